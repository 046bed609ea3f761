"""Whether a proxy withstood a row of the attack table of HTTP/2, judged from outside and alike for all proxies.

As lenient as `verdicts`: any end, reset or status but 2xx will do for a refused row. What counts is what reached the backend.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from measuring.verdicts import SILENCE, Backend, Verdict, changed_fields
from tests.attacks.backend import LIMIT, Plan, turn
from tests.attacks.http2_client import Http2Client, Seen
from tests.attacks.http2_row import Http2Attack, Http2Row, Http2Served, block, get
from tests.attacks.reading import Request

_CANARY = get(path=b"/canary")


async def judge_http2(row: Http2Row, legal: bool, address: tuple[str, int], backend: Backend) -> Verdict:
    """Sends the row whole, on a connection of its own. Raises OSError when the proxy is gone."""
    backend.forget()
    if isinstance(row, Http2Attack) and row.unanswered:
        backend.plan = Plan(b"")
    seen = await _exchange(row, address, backend)
    if seen is None:
        return Verdict(row, "speaks no HTTP/2")
    requests = [request for request in backend.requests if request.target != b"/canary"]
    if isinstance(row, Http2Served):
        return Verdict(row, _served_fault(row, legal, seen, requests))
    partial = any(link.received and not link.received.startswith(b"GET /canary") for link in backend.links)
    return Verdict(row, _refused_fault(row, seen, requests, partial))


async def _exchange(row: Http2Row, address: tuple[str, int], backend: Backend) -> Seen | None:
    """What the client saw; None of a proxy that does not open the connection."""
    with await Http2Client.connect(address) as client:
        if not (isinstance(row, Http2Attack) and row.bare) and not await _opened(client, row):
            return None
        await client.send([row.sent])
        if isinstance(row, Http2Served) and row.then:
            await _patiently(client, lambda seen: bool(backend.requests) or seen.stream(row.stream).over)
            await client.send([row.then])
        wanted = (row.stream, *(row.others if isinstance(row, Http2Served) else ()))
        await _patiently(client, lambda seen: all(seen.stream(number).over for number in wanted))
    with await Http2Client.connect(address) as canary:  # what was forwarded has come to the backend before this has
        await canary.open()
        await canary.send([_CANARY])
        await canary.read(lambda seen: seen.stream(1).over)
    await turn()
    return client.seen


async def _opened(client: Http2Client, row: Http2Row) -> bool:
    try:
        await client.open(*(row.settings if isinstance(row, Http2Served) else ()), limit=LIMIT)
    except AssertionError:
        return False
    return not client.seen.ended


async def _patiently(client: Http2Client, enough: Callable[[Seen], bool]) -> None:
    """Until it is enough, or nothing comes for a while."""
    with contextlib.suppress(AssertionError):
        await client.read(enough, SILENCE)


def _refused_fault(row: Http2Attack, seen: Seen, requests: list[Request], partial: bool) -> str:
    """The first of a row's streams may have been good."""
    forwarded = [request for request in requests if request.target not in row.before]
    if forwarded:
        return f"forwarded as {forwarded[0].method!r} {forwarded[0].target!r} {forwarded[0].body!r}"[:200]
    if partial and not row.late and not row.before:
        return "forwarded in part"
    status = seen.stream(row.stream).status
    return f"answered {status}" if 200 <= status < 300 and not row.before else ""


def _served_fault(row: Http2Served, legal: bool, seen: Seen, requests: list[Request]) -> str:
    """Of an attack that may be served once it is taken apart, a refusal is as good."""
    stream = seen.stream(row.stream)
    if not legal and not requests and not 200 <= stream.status < 300:
        return ""
    found = [request for request in requests if request.target not in (*row.cancelled, *row.more)]
    if stream.status != 200 or not stream.ended:
        return f"answered {stream.status}, reset {stream.reset}, GOAWAY {seen.goaway}"
    if len(found) != 1:
        return f"forwarded as {len(found)} requests"
    request = found[0]
    if (request.method, request.body) != (row.method, row.body) or (request.target != row.target and request.target not in row.sent):
        return f"forwarded as {request.method!r} {request.target!r} {request.body!r}"[:200]
    if legal:
        changed = changed_fields(row.fields, request)
        return f"changed {changed}" if changed else ""
    kept = [name for name, _ in (*request.fields, *request.trailers) if name in row.absent]
    believed = [name for name, _ in row.fields if block((name, b", ".join(request.values(name)))) in row.sent]
    return f"forwarded {kept}" if kept else f"believed {believed}" if believed else ""
