"""What the gateway forwards is one request with one body for everybody who reads it (reference S2), whatever the client sent.

The requests are drawn from a grammar, half of them mutated. TIDEGATE_TEST_MESSAGES sets how many; see tests/README.md.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.attacks.canonical import check_requests
from tests.attacks.client import read_answer
from tests.attacks.reading import Request, read_request
from tests.attacks.stage import Stage
from tests.differential.grammar import Drawn, draw
from tests.differential.servers import SERVERS, Address, NotInstalled, connect
from tests.wire.backends import LoopThread

MESSAGES: Final = int(os.environ.get("TIDEGATE_TEST_MESSAGES", "1000"))
SENTINEL: Final = b"PUT /sentinel HTTP/1.1\r\nhost: a.example\r\ncontent-length: 3\r\nconnection: close\r\n\r\nend"
AT_ONCE: Final = 16
"""Connections to a server at a time."""
MOST_REFUSED: Final = 0.05
"""Part of what we forward that a server may refuse for reasons of its own, such as a repeated Content-Type or a raw byte in a query:
what is refused is read in no other way."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What came of one message: the requests that a backend got whole, their bytes, and the statuses that the client got."""

    requests: tuple[Request, ...]
    raw: bytes
    statuses: tuple[int, ...]


async def forward(stage: Stage, sent: bytes) -> Forwarded:
    """Sends a message as it is, and no more."""
    stage.backend.forget()
    with await stage.connect_client() as client:
        await client.send([sent])
        client.end()
        try:
            received = await client.read()
        except AssertionError as fault:
            raise AssertionError(f"{sent!r}: {fault}") from None
    raw = b""
    for link in stage.backend.links:
        whole = _whole(bytes(link.received))
        if whole != link.received:
            await stage.backend.wait_until(lambda: link.ended, f"the end of the connection with half a request: {sent!r}")  # noqa: B023
        raw += whole
    return Forwarded(tuple(stage.backend.requests), raw, _statuses(received))


def _whole(received: bytes) -> bytes:
    """Without the beginning of a request that was broken off."""
    at = 0
    while (found := read_request(received[at:])) is not None:
        at += found[1]
    return received[:at]


def _statuses(received: bytes) -> tuple[int, ...]:
    statuses = []
    while received:
        answer = read_answer(received, b"GET", ended=True)
        if not answer.status and answer.informational:
            break  # the body that was asked for never came
        assert answer.complete, f"the client got {received!r}"
        statuses.append(answer.status)
        received = answer.rest
    return tuple(statuses)


def check(drawn: Drawn, forwarded: Forwarded) -> None:
    """As many answers of the backend as requests; a legal message is one request that means what the client meant."""
    assert check_requests(forwarded.raw) == len(forwarded.requests)
    assert forwarded.statuses.count(200) == len(forwarded.requests), forwarded
    assert all(status < 500 or status in (501, 505) for status in forwarded.statuses), forwarded
    if drawn.method is not None:
        assert [(request.method, request.body) for request in forwarded.requests] == [(drawn.method, drawn.body)], forwarded
    assert read_by_h11(forwarded.raw) == meanings(forwarded)


def meanings(forwarded: Forwarded) -> list[tuple[bytes, bytes]]:
    return [(request.method, request.body) for request in forwarded.requests]


def read_by_h11(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Method and body of each request, as h11 reads them."""
    found = []
    while raw:
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        line, end, rest = raw.partition(b"\r\n")
        # h11 refuses the raw bytes above ASCII of a query, which we pass on as they came; where the request ends is not their concern
        reader.receive_data(bytes(byte if byte < 0x80 else ord("x") for byte in line) + end + rest)
        head, body = reader.next_event(), b""
        assert isinstance(head, h11.Request), head
        while isinstance(event := reader.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), event
        found.append((head.method, bytes(body)))
        raw = reader.trailing_data[0]
    return found


@settings(max_examples=max(MESSAGES // 3, 1), deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(random=st.randoms(use_true_random=False))
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_is_forwarded_is_one_request_to_h11(stage: Stage, random: Random) -> None:
    """Legal or not: whatever reaches the backend stands in the one form in which we write, h11 reads the same requests and bodies, and
    the client got one answer for each (RFC 9112 6.3, 9.3)."""
    drawn = draw(random)
    check(drawn, stage.run(forward(stage, drawn.sent)))


@pytest.fixture(scope="module")
def corpus(stage: Stage) -> list[Forwarded]:
    """What the gateway forwards of the messages with the first numbers; those of which it forwards nothing are left out."""

    async def collect() -> list[Forwarded]:
        found = []
        for number in range(MESSAGES):
            drawn = draw(Random(number))
            forwarded = await forward(stage, drawn.sent)
            check(drawn, forwarded)
            if forwarded.requests:
                found.append(forwarded)
        return found

    forwarded = stage.run(collect())
    assert len(forwarded) > MESSAGES // 3
    return forwarded


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SERVERS)
def test_every_server_reads_the_same_requests(corpus: list[Forwarded], peers: LoopThread, folder: Path, name: str) -> None:
    """The bytes that we forward, and a request behind them: a real server answers each once, with the method and the body that we
    meant, and then the one behind (RFC 9112 6.3, 9.3)."""

    async def compare() -> list[Reading]:
        async with SERVERS[name](folder) as address:
            limit = asyncio.Semaphore(AT_ONCE)
            return await asyncio.gather(*[read_by_server(address, forwarded, limit) for forwarded in corpus])

    try:
        found = asyncio.run_coroutine_threadsafe(compare(), peers.loop).result()
    except NotInstalled as missing:
        pytest.skip(f"{missing} is not installed")
    disagreements = [reading for reading in found if not reading.agrees]
    assert not disagreements, f"{len(disagreements)} of {len(corpus)}: {disagreements[:3]}"
    assert sum(reading.refuses for reading in found) <= len(corpus) * MOST_REFUSED


@dataclass(frozen=True, slots=True)
class Reading:
    """What a server answered to the bytes, and what was expected: each request in turn, then the sentinel."""

    raw: bytes
    expected: tuple[bytes, ...]
    said: tuple[bytes, ...]

    @property
    def refuses(self) -> bool:
        return any(_is_refusal(said) for said in self.said)

    @property
    def agrees(self) -> bool:
        """Whether every request was taken as we meant it or refused. After a refusal a server may close the connection."""
        right = all(said == expected or _is_refusal(said) for said, expected in zip(self.said, self.expected, strict=False))
        return right and (len(self.said) == len(self.expected) or (len(self.said) < len(self.expected) and _is_refusal(self.said[-1])))


def _is_refusal(said: bytes) -> bool:
    return said.isdigit()


async def read_by_server(address: Address, forwarded: Forwarded, limit: asyncio.Semaphore) -> Reading:
    """All answers of the server until it closes the connection, which the sentinel asks for."""
    async with limit, asyncio.timeout(60):
        reader, writer = await connect(address)
        writer.write(forwarded.raw + SENTINEL)
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
    said = []
    while received:
        answer = read_answer(received, b"GET", ended=True)
        said.append(answer.body if answer.status == 200 else b"%d" % answer.status)
        received = answer.rest
    expected = [b"%b %b" % (method, body.hex().encode()) for method, body in meanings(forwarded)] + [b"PUT " + b"end".hex().encode()]
    return Reading(forwarded.raw, tuple(expected), tuple(said))
