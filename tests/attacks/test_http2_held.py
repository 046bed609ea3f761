"""What a connection of HTTP/2 holds while its client does nothing more (reference S5, 2.5): itself, its table, its requests.

Memory is what Python allocated for the gateway, and for the client's and the backend's ends, told by tracemalloc.
"""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import pytest

from tests.attacks.http2_client import Http2Client
from tests.attacks.http2_row import block, head, headers, post, string
from tests.attacks.rows.http2_abuse import SCARCE
from tests.attacks.stage import Stage

CONNECTIONS: Final = 8
CONNECTION: Final = 12 * 1024
"""Bytes that one costs before it has asked for anything, both ends of it; 9,300 when this was written."""
TABLE: Final = 72 * 1024
"""Bytes more with a table of 4 KiB that is full of the smallest entries: they are kept as they were read, and judged, and what all
connections remember of names and lines has grown by them."""
REQUEST: Final = 12 * 1024
"""Bytes of each small request under way, its connection to a backend among them."""
NUMBER: Final = b"nnnn"


@dataclass(frozen=True, slots=True)
class Held:
    """What each connection sends, and what it may cost. NUMBER becomes its own, so that nothing is shared."""

    name: str
    sent: bytes
    most: int


def entry(number: int, value: bytes = b"") -> bytes:
    """A literal that enters the table; of 38 bytes there without a value."""
    return b"\x40" + string(NUMBER + b"%x" % number) + string(value)


HEAD: Final = block(*head())
HELD: Final = (
    Held("nothing", b"", CONNECTION),
    Held(
        "table of the smallest entries",
        headers(1, HEAD + b"".join(map(entry, range(80)))) + headers(3, HEAD + b"".join(map(entry, range(80, 120)))),
        CONNECTION + TABLE,
    ),
    Held("table of one entry", headers(1, HEAD + entry(0, b"y" * 4000)), CONNECTION + TABLE),
    Held("100 requests whose bodies do not come", b"".join(post(stream=stream) for stream in range(1, 200, 2)), CONNECTION + 100 * REQUEST),
    Held(
        "100 requests that wait for a connection",
        b"".join(post(stream=stream, path=SCARCE) for stream in range(1, 200, 2)),
        CONNECTION + 100 * REQUEST,
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("held", HELD, ids=lambda held: held.name)
def test_a_connection_holds_no_more_than_its_table_and_its_requests(stage: Stage, held: Held) -> None:
    """Nor do many: tables are 4 KiB as the RFC counts them (RFC 7541 4.1), and heads small."""
    stage.run(hold(stage, held, CONNECTIONS, 10))  # what any first connection makes, and caches
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        after = stage.run(hold(stage, held, CONNECTIONS, 20))
    finally:
        tracemalloc.stop()
    assert (after - before) / CONNECTIONS <= held.most
    stage.all_logged()


async def hold(stage: Stage, held: Held, count: int, first: int) -> int:
    """Bytes allocated while so many connections stand still."""
    with ExitStack() as open_ones:
        for number in range(first, first + count):
            client = open_ones.enter_context(await Http2Client.connect(stage.site.address()))
            await client.open()
            await client.send([held.sent.replace(NUMBER, b"%04d" % number)])
        await stage.canary()
        stage.backend.forget()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
