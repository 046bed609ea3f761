"""Which subscribers answer: each is asked for the time every second, and one that has said nothing for 5 s is not waited for.

Whatever it sends counts, so that one that is busy sending is not taken for gone. After a minute without a word its connection
is given up: if it lives it comes back, and if not, nothing is kept for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from controller.publish import Publisher

INTERVAL: Final = 1.0
"""Seconds between two questions."""
SILENCE: Final = 5.0
"""Seconds without a word before nobody waits for a subscriber any more (design.md section 4, `Programmed`)."""
LOST: Final = 60.0
"""Seconds without a word before its connection is given up."""


class Heartbeat:
    """The presence (publish.Presence) of one subscriber. Times are seconds of the loop's clock."""

    __slots__ = ("_abort", "_publisher", "heard_at", "late", "silent")

    def __init__(self, publisher: Publisher, abort: Callable[[], None], now: float) -> None:
        self._publisher = publisher
        self._abort = abort
        self.heard_at = now
        self.silent = False
        self.late = publisher.applied > 0
        """It joins others that have something in place: a Pod more does not make what they serve unready."""

    def heard(self, now: float) -> None:
        """It sent something."""
        self.heard_at = now
        if self.silent:
            self.silent = False
            self._publisher.reconsider()

    def judge(self, now: float) -> None:
        """Looks how long it has been silent."""
        silence = now - self.heard_at
        if silence > SILENCE and not self.silent:
            self.silent = True
            self._publisher.reconsider()
        if silence > LOST:
            self._abort()


class Heartbeats:
    """Owner of the heartbeats of all subscribers, whatever their publisher."""

    def __init__(self) -> None:
        self._beating: dict[Heartbeat, Publisher] = {}

    @contextmanager
    def of(self, publisher: Publisher, abort: Callable[[], None]) -> Iterator[Heartbeat]:
        """The heartbeat of one subscriber while it is served; `abort` ends its connection at once."""
        heartbeat = Heartbeat(publisher, abort, asyncio.get_running_loop().time())
        self._beating[heartbeat] = publisher
        try:
            yield heartbeat
        finally:
            del self._beating[heartbeat]

    async def run(self) -> None:
        """Asks and judges until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.judge(asyncio.get_running_loop().time())
            for publisher in dict.fromkeys(self._beating.values()):
                await publisher.ask("time", timeout=0)

    def judge(self, now: float) -> None:
        """Looks at every subscriber."""
        for heartbeat in tuple(self._beating):
            heartbeat.judge(now)
