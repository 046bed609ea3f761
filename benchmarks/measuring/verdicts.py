"""Whether a proxy withstood a row of the attack table, judged from outside and alike for all proxies.

More lenient than the tests of Tidegate: any refusal of a refused row will do, whatever its status, and a path may be forwarded as it was
sent where that is no attack. What counts is what reached the backend, and what reached the client.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from measuring.configuration import ROOT

sys.path.insert(0, str(ROOT))  # the table, its client and its backend belong to the tests

from tests.attacks.backend import Backend, Plan, turn
from tests.attacks.client import Answer, Client, read_answer
from tests.attacks.http2_row import Http2Row
from tests.attacks.reading import Request
from tests.attacks.row import AnyRow, Failed, Fields, Refused, Relayed, Served, get

__all__ = ["SILENCE", "Backend", "Verdict", "changed_fields", "judge"]

SILENCE = 0.4
"""Seconds without an answer after which the client ends its side, and again after which it leaves."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`fault` is '' for a proxy that withstood the attack, or served what is legal."""

    row: AnyRow | Http2Row
    fault: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client got, and what reached the backend."""

    answer: Answer
    received: bytes
    requests: list[Request]
    partial: bool


async def judge(row: AnyRow, legal: bool, address: tuple[str, int], backend: Backend) -> Verdict:
    """Sends the row whole, on a connection of its own. Raises OSError when the proxy is gone."""
    backend.forget()
    if isinstance(row, Failed | Relayed):
        backend.plan = Plan(row.answer, "whole", row.ends)
    seen = await _exchange(row, address, backend)
    match row:
        case Refused():
            return Verdict(row, _refused_fault(row, seen))
        case Served() if legal:
            return Verdict(row, _served_fault(row, seen))
        case Served():
            return Verdict(row, "" if not seen.requests and not 200 <= seen.answer.status < 300 else _taken_apart_fault(row, seen))
        case Failed():
            return Verdict(row, _failed_fault(row, seen))
        case Relayed():
            return Verdict(row, _relayed_fault(row, seen))


async def _exchange(row: AnyRow, address: tuple[str, int], backend: Backend) -> Seen:
    method = row.sent.lstrip(b"\r\n").partition(b" ")[0]
    with await Client.connect(address) as client:
        await client.send([row.sent])
        if isinstance(row, Refused) and row.ends:
            client.end()
        answer = await _patient_answer(client, method if method in (b"HEAD", b"GET", b"POST") else b"GET")
        received = client.received
        if isinstance(row, Failed) and row.surplus and answer.complete:  # does it answer the next request?
            backend.plan = Plan()
            await client.send([get(target=b"/next")])
            received += (await _patient_answer(client, b"GET")).body
    with await Client.connect(address) as canary:  # what was forwarded has come to the backend before this has
        await canary.send([get(target=b"/canary")])
        await canary.answer()
    await turn()
    requests = [request for request in backend.requests if request.target not in (b"/canary", b"/next")]
    return Seen(answer, received, requests, any(link.received and not link.received.startswith(b"GET /canary") for link in backend.links))


async def _patient_answer(client: Client, method: bytes) -> Answer:
    """The answer. A proxy that waits for more is told that no more comes, so that waiting is not taken for a refusal."""
    for last in (False, True):
        try:
            return await client.answer(method, SILENCE)
        except AssertionError:
            if not last:
                client.end()
    return read_answer(client.received, method, ended=True)


def _refused_fault(row: Refused, seen: Seen) -> str:
    if seen.requests:
        return f"forwarded as {seen.requests[0].method!r} {seen.requests[0].target!r} {seen.requests[0].body!r}"[:200]
    if seen.partial and not row.late:
        return "forwarded in part"
    return f"answered {seen.answer.status}" if 200 <= seen.answer.status < 300 else ""


def _taken_apart_fault(row: Served, seen: Seen) -> str:
    """An attack that may be served once it is taken apart."""
    if len(seen.requests) != 1:
        return f"forwarded as {len(seen.requests)} requests"
    request = seen.requests[0]
    if (request.target, request.body, request.trailers) != (row.target, row.body, row.trailers):
        return f"forwarded as {request.target!r} {request.body!r} {request.trailers!r}"
    kept = [name for name, _ in (*request.fields, *request.trailers) if name in {absent.lower() for absent in row.absent}]
    if kept:
        return f"forwarded {kept}"
    return _spoofed(row, request)


def _spoofed(row: Served, request: Request) -> str:
    for name in {name for name, _ in row.fields}:
        values = request.values(name)
        if name.startswith(b"x-forwarded-") and name + b": " + b", ".join(values) in row.sent.lower().split(b"\r\n"):
            return f"believed {name!r}: {values}"
    return ""


def _served_fault(row: Served, seen: Seen) -> str:
    if seen.answer.status != 200:
        return f"answered {seen.answer.status}"
    if len(seen.requests) != 1:
        return f"forwarded as {len(seen.requests)} requests"
    request = seen.requests[0]
    sent_target = row.sent.lstrip(b"\r\n").split(b" ")[1]
    if request.method != row.method or request.body != row.body or request.target not in (row.target, sent_target):
        return f"forwarded as {request.method!r} {request.target!r} {request.body!r}"[:200]
    changed = changed_fields(row.fields, request)
    return f"changed {changed}" if changed else ""


def changed_fields(expected: Fields, found: Request | Answer) -> list[bytes]:
    """Names of fields whose values are others, however they are divided (RFC 9110 5.3); some are each proxy's own to write."""
    names = {name for name, _ in expected} - {b"host", b"te", b"content-length"}
    return [name for name in names if _joined(found.values(name)) != _joined([value for other, value in expected if other == name])]


def _joined(values: list[bytes]) -> bytes:
    """Repeated fields and one list are the same (RFC 9110 5.3)."""
    return b",".join(values).replace(b", ", b",").replace(b"; ", b",")


def _failed_fault(row: Failed, seen: Seen) -> str:
    if b"hacked" in seen.received + seen.answer.body:
        return "passed the second answer on"
    if row.surplus and seen.answer.complete:
        return ""
    return f"passed on as {seen.answer.status}" if seen.answer.complete and seen.answer.status < 500 else ""


def _relayed_fault(row: Relayed, seen: Seen) -> str:
    answer = seen.answer
    if (answer.status, answer.body, answer.complete) != (row.status, row.body, True):
        return f"passed on as {answer.status} {answer.body!r}"
    changed = changed_fields(row.fields, answer)
    return f"changed {changed}" if changed else ""
