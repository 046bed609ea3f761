"""From exchanges that have ended to requests for a collector: encoded on the loop in small slices, sent by a thread of its own.

Nothing here makes a request wait. What waits is bounded, in exchanges and in spans that are written; what is beyond is dropped and counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.tracing.otlp import spans_of_resource
from gateway.tracing.resource import own_version
from gateway.tracing.sender import Batch, Sender

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.tracing.otlp import Attributes

ResourceOf = Callable[[str], "Attributes"]
"""Attributes of the resource, for a Gateway's key."""

MOST_WAITING: Final = 2_048
"""Exchanges whose spans are not written yet, and as many spans for which the collector has no time yet."""
AT_ONCE: Final = 16
"""Spans written in one callback: about half a millisecond."""
BATCH: Final = 512
"""Spans of one request to the collector."""
DELAY: Final = 1.0
"""Seconds that a span waits for others, unless DELAY_VARIABLE says otherwise."""
DELAY_VARIABLE: Final = "OTEL_BSP_SCHEDULE_DELAY"
"""Environment variable with that time in milliseconds."""
LONGEST_DELAY: Final = 60.0


class Exporter:
    """One for each collector. Owned by `Tracing`; `dropped` counts what never reached the thread, `Sender.dropped` the rest."""

    __slots__ = ("_batch", "_delay", "_handle", "_loop", "_resource_of", "_waiting", "dropped", "sender")

    def __init__(self, loop: asyncio.AbstractEventLoop, sender: Sender, resource_of: ResourceOf, delay: float = DELAY) -> None:
        self._loop, self.sender, self._resource_of, self._delay = loop, sender, resource_of, delay
        self._waiting: list[Exchange] = []
        self._batch: dict[str, list[bytes]] = {}
        """Spans of the next request, by Gateway."""
        self._handle: asyncio.Handle | None = None
        self.dropped = 0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and not self._batch and not self.sender.waiting

    def take(self, exchange: Exchange) -> None:
        """An exchange that is sampled has ended."""
        waiting = self._waiting
        if len(waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        waiting.append(exchange)
        if self._handle is None:
            self._handle = self._loop.call_later(self._delay, self._write_some)
        elif len(waiting) == BATCH:
            self._handle.cancel()
            self._handle = self._loop.call_soon(self._write_some)

    def _write_some(self) -> None:
        some = self._waiting[:AT_ONCE]
        del self._waiting[:AT_ONCE]
        offset = time.time() - time.monotonic()
        batch = self._batch
        for exchange in some:
            span = exchange.span
            assert span is not None
            batch.setdefault(span.tracer.service, []).append(span.tracer.written(exchange, span, offset))
        if not self._waiting or sum(map(len, batch.values())) >= BATCH:
            self._hand_over()
        self._handle = self._loop.call_soon(self._write_some) if self._waiting else None

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, {}
        count = sum(map(len, batch.values()))
        if self.sender.waiting + count > MOST_WAITING:
            self.dropped += count
            return
        parts = [spans_of_resource(self._resource_of(service), own_version(), spans) for service, spans in batch.items()]
        self.sender.put(Batch(b"".join(parts), count))

    def close(self) -> None:
        """Sends what is left; waits a second at most for a collector that takes its time."""
        if self._handle is not None:
            self._handle.cancel()
        while self._waiting:
            self._write_some()
            if self._handle is not None:
                self._handle.cancel()
        self.sender.close()


def delay_of(text: str) -> float:
    """Seconds, of the text of DELAY_VARIABLE; DELAY where it says nothing that can be used."""
    return min(int(text) / 1000, LONGEST_DELAY) if text.isascii() and text.isdecimal() and len(text) < 9 else DELAY
