"""Floods of HTTP/2 (reference 2.5, S4): the connection ends within 500 events, memory stays bounded, and others are served meanwhile.

Memory is what Python allocated for gateway, client and backend together, told by tracemalloc at its peak. How long others wait meanwhile
is measured by benchmarks/abuse.py.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from typing import Final

import pytest

from tests.attacks.backend import LIMIT, OK, Plan
from tests.attacks.http2_client import Http2Client, Seen
from tests.attacks.rows.http2_abuse import ABUSES, LARGE, MOST_EVENTS, MOST_GROWTH, Abuse
from tests.attacks.stage import Stage

ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
BODY: Final = bytes(256 * 1024)
"""Of `/large`: more than any window that the attacks leave at its default."""
OTHERS_EVERY: Final = 50
"""Events after which another client asks."""


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> Iterator[None]:
    """What other tests left is not looked at again each time: collecting it would hold the loop, which the gateway takes for overload."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.parametrize("abuse", ABUSES, ids=lambda abuse: abuse.name)
def test_an_abuse_is_ended_or_bounded(stage: Stage, abuse: Abuse) -> None:
    """GOAWAY and the end within 500 events, or no more memory than 10 MiB where the client only stands still; others are answered."""
    plan(stage, abuse)
    stage.run(stage.canary())
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        seen, events = stage.run(attack(stage, abuse))
        growth = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    if abuse.ends:
        assert seen.ended, f"it goes on: {seen.frames} frames came back"
        assert events < MOST_EVENTS, "all events were taken before the end"
        assert seen.goaway is not None or not abuse.reads, "it ended without a word"
    assert growth < MOST_GROWTH, f"{growth} bytes"
    stage.all_logged()


def plan(stage: Stage, abuse: Abuse) -> None:
    """`/large` and everything else is answered by one body, since what is measured is not what it says; at once where the abuse asks so."""
    stage.backend.plan = Plan(OK, early=True) if abuse.early else Plan(ANSWER % len(BODY) + BODY)


async def attack(stage: Stage, abuse: Abuse) -> tuple[Seen, int]:
    """What came back, and the events that the client got rid of."""
    with await Http2Client.connect(stage.site.address(), None if abuse.reads else 65_536) as client:
        await client.open(*abuse.settings)
        going = await client.send([abuse.opening])
        events = 0
        for number in range(abuse.events):
            going = going and await client.send([abuse.event(number)])
            if not going or (abuse.reads and client.look().ended):
                break
            events += 1
            if number % OTHERS_EVERY == 0:
                await stage.canary()
        if abuse.ends:
            await client.read(lambda seen: seen.ended, LIMIT)
        await stage.canary()
        return client.seen, events


def test_the_abuses_are_many() -> None:
    """Each another one, and each names what it is known by."""
    assert len({abuse.name for abuse in ABUSES}) == len(ABUSES) >= 40
    assert all(abuse.source for abuse in ABUSES)
    assert any(LARGE in abuse.event(1) for abuse in ABUSES)
