"""What an attack may cost (reference S5, 2.5): memory in proportion to what was sent, and nothing that grows without a bound.

Memory is what Python allocated for the gateway, told by tracemalloc; the CPU that attacks cost is measured by benchmarks/amplification.py.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from gateway.http.request import parse_request
from gateway.http.target import PathRules, parse_authority, parse_target
from gateway.telemetry.access_log import _quoted
from tests.attacks.backend import Plan, turn
from tests.attacks.client import Client
from tests.attacks.row import CHUNKED, HOST, answer, get, lines, post
from tests.attacks.stage import Stage

CONNECTIONS: Final = 4
RATIO: Final = 20
"""Bytes held for each byte sent (S5)."""
ALLOWANCE: Final = 8 * 1024
"""Bytes that any connection may cost before it has sent anything, the client's and the backend's ends among them."""
PATIENT: Final = b"GET /never HTTP/1.1\r\n" + HOST + b"\r\n\r\n"
"""A request that nobody answers here."""


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes on a connection that the gateway has to keep, since they are the beginning of something, or wait for their turn."""

    name: str
    sent: bytes


def _fields(count: int, size: int) -> list[bytes]:
    return [b"X-%04d: " % number + b"v" * size for number in range(count)]


def _begun(*fields: bytes) -> bytes:
    return lines(b"GET / HTTP/1.1", HOST, *fields).removesuffix(b"\r\n\r\n")


HELD: Final = (
    Held("nothing", b""),
    Held("head of one long line", _begun(b"X: " + b"a" * 50_000)),
    Held("head of 98 fields without its end", _begun(*_fields(98, 500))),
    Held("head of 98 tiny fields without its end", _begun(*_fields(98, 0))),
    Held("head of 98 fields, and no body", post(*_fields(97, 500), b"Content-Length: 5")),
    Held("head of 98 tiny fields, and no body", post(*_fields(97, 0), b"Content-Length: 5")),
    Held("head of 98 cookies, and no body", post(*[b"Cookie: %04d=" % number for number in range(97)], b"Content-Length: 5")),
    Held("target of 8 KiB, and no body", post(b"Content-Length: 5", target=b"/" + b"a" * 8000)),
    Held("target of 8 KiB of raw bytes, and no body", post(b"Content-Length: 5", target=b"/" + b"\xff" * 8000)),
    Held("path of 4,000 segments, and no body", post(b"Content-Length: 5", target=b"/a" * 4000)),
    Held("Connection that names 2,000 fields, and no body", post(b"Connection: " + b"x," * 2000, b"Content-Length: 5")),
    Held("TE of 8,000 members, and no body", post(b"TE: " + b"a," * 8000, b"Content-Length: 5")),
    Held("extension without an end", post(CHUNKED, body=b"5;" + b"a" * 4000)),
    Held("trailers without an end", post(CHUNKED, body=b"0\r\n" + b"X: " + b"a" * 8000)),
    Held("small trailers without an end", post(CHUNKED, body=b"0\r\n" + b"".join(b"%04d:\r\n" % number for number in range(99)))),
    Held("requests behind one that is not answered", PATIENT + get(target=b"/behind") * 800),
    Held("empty lines behind one that is not answered", PATIENT + b"\r\n" * 30_000),
    Held("chunks of one byte", post(CHUNKED, body=b"1\r\nx\r\n" * 1000)),
)


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> Iterator[None]:
    """What other tests left is not looked at again each time: collecting it would hold the loop, which the gateway takes for overload."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.parametrize("held", HELD, ids=lambda held: held.name)
def test_memory_is_held_in_proportion_to_what_was_sent(stage: Stage, held: Held) -> None:
    """20 times at most, beside what any connection costs (reference S5)."""
    stage.run(hold(stage, held.sent))  # what is remembered of any client is remembered now
    stage.begin()
    tracemalloc.start()
    try:
        found = stage.run(hold(stage, held.sent)) / CONNECTIONS
    finally:
        tracemalloc.stop()
    assert found <= ALLOWANCE + RATIO * len(held.sent), f"{found:.0f} bytes for {len(held.sent)}"


async def hold(stage: Stage, sent: bytes) -> int:
    """Bytes that are held once so many clients have sent this and wait."""
    stage.backend.plan = Plan(b"")
    before = _allocated()
    clients = [await stage.connect_client() for _ in range(CONNECTIONS)]
    for client in clients:
        await client.send([sent])
    await _settled(stage, CONNECTIONS if b"/never" in sent else 0)
    stage.backend.forget()  # what the backend keeps is not the gateway's
    after = _allocated()
    for client in clients:
        client.__exit__()
    await _settled(stage, 0)
    return after - before


async def _settled(stage: Stage, requests: int) -> None:
    """Everything that was sent has been read: what a later client sent has been answered, and what must come at the backend has come."""
    await stage.backend.wait_until(lambda: len(stage.backend.requests) >= requests, "the requests that nobody answers")
    await stage.canary()
    await turn()


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def flood(client: Client, data: bytes, limit: int) -> int:
    """How many bytes of the data, over and over, the gateway takes before it takes no more for a while that means never."""
    loop = asyncio.get_running_loop()
    sent = 0
    while sent < limit:
        try:
            async with asyncio.timeout(0.5):
                await loop.sock_sendall(client._socket, data)
        except TimeoutError:
            return sent
        sent += len(data)
    return sent


MOST_TAKEN: Final = 24 * 1024 * 1024
"""Bytes that the kernel's buffers of both connections and ours may hold: nobody sends so much to a side that stands still."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "data"),
    [
        pytest.param(PATIENT, get(target=b"/behind") * 1000, id="requests behind one that is not answered"),
        pytest.param(PATIENT, b"\r\n" * 30_000, id="empty lines behind one that is not answered"),
        pytest.param(post(b"Content-Length: 1000000000000", target=b"/never"), bytes(65_536), id="body that the backend does not read"),
        pytest.param(post(CHUNKED, target=b"/never"), (b"64\r\n" + bytes(100) + b"\r\n") * 600, id="chunks that nobody reads"),
    ],
)
def test_who_stands_still_stops_the_other(stage: Stage, head: bytes, data: bytes) -> None:
    """The gateway reads no more than it may hold, however much is sent (reference 2.5: back pressure), and serves others meanwhile."""

    async def attack() -> None:
        stage.backend.plan = Plan(b"")
        with await stage.connect_client() as client:
            await client.send([head])
            await stage.backend.wait_until(lambda: any(b"/never" in link.received for link in stage.backend.links), "the request")
            for link in stage.backend.links:
                link.transport.pause_reading()
            sent = await flood(client, data, MOST_TAKEN)
            assert sent < MOST_TAKEN
            await _answered(stage)

    stage.run(attack())


async def _answered(stage: Stage) -> None:
    for link in stage.backend.links:
        link.transport.abort()
    await stage.canary()


@pytest.mark.slow
def test_a_client_that_does_not_read_stops_the_backend(stage: Stage) -> None:
    """An answer of any size is read from the backend no faster than its client takes it (zero window, reference 2.5)."""

    async def attack() -> None:
        body = bytes(MOST_TAKEN)
        stage.backend.plan = Plan(answer(b"Content-Length: %d" % len(body), body=body))
        with await stage.connect_client() as client:
            await client.send([get(target=b"/large")])
            await stage.backend.wait_until(lambda: bool(stage.backend.requests), "the request")
            [link] = [link for link in stage.backend.links if b"/large" in link.received]
            waiting, before = link.transport.get_write_buffer_size(), 0
            while waiting != before:
                await stage.canary()
                waiting, before = link.transport.get_write_buffer_size(), waiting
            assert waiting > 0

    stage.run(attack())


REMEMBERED: Final = 16 * 1024 * 1024
"""Bytes that the process may keep of all clients together, in caches of what they write."""


@pytest.mark.slow
def test_what_is_remembered_of_clients_is_bounded() -> None:
    """Heads whose every part is another one, more of them than any cache holds: lines, targets, hosts, spellings, log texts."""
    tracemalloc.start()
    try:
        before = most = _allocated()
        for number in range(8400):  # and two lines each that may be kept: a table that is full begins anew
            read_a_head_of_nobody_else(number)
            if number % 64 == 0:
                most = max(most, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert most - before <= REMEMBERED, most - before


def read_a_head_of_nobody_else(number: int) -> None:
    line = b"GET /%06d%b HTTP/1.1" % (number, b"%2f" * 78)
    fields = b"Host: %06d%b" % (number, b"h" * 240), b"X: %06d%b" % (number, b"v" * 240), b"%064d: x" % number
    sent = lines(line, *fields)
    head = parse_request(sent, len(sent) - 4)
    parse_target(b"GET", b"/%06d%b" % (number, b"%2f" * 160), PathRules())
    parse_authority(head.authority)
    _quoted(b"%06d%b" % (number, b"\xff" * 250))
