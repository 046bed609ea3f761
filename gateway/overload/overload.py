"""Acts on overload: tells the ports of a worker what to hold back, ends what is idle, gives memory back.

Nothing of it touches a request: ports get a Restraint when the stage changes, and have none as a rule.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway.overload.ladder import Ladder, Readings, Stage
from gateway.overload.memory import give_back
from gateway.overload.monitor import Monitor
from gateway.proxy.restraint import Restraint
from gateway.telemetry.statistics import Sample

if TYPE_CHECKING:
    from gateway.proxy.capture_port import CapturePort
    from gateway.proxy.client import Client
    from gateway.proxy.core import Core
    from gateway.proxy.open_port import OpenPort
    from gateway.relay.udp_port import OpenUdpPort

    AnyOpenPort: TypeAlias = OpenPort | OpenUdpPort | CapturePort

PERIOD: Final = 0.25
"""Seconds between readings."""
IDLE_UNDER_PRESSURE: Final = 2.0
"""Seconds that a connection may be idle from SHORT_IDLE on, and in which those that are idle then are closed, the longest idle first."""
SUSTAINED: Final = 4
"""Ticks that are late one after another before the least of their delays counts: a loop that stands still for once, or for a moment now
and then, because of a long callback or of a machine that has other things to do, has less to do than its requests."""
TICK: Final = PERIOD / SUSTAINED
"""Seconds between two ticks, at most: so many that a reading has a delay of its own."""
ON_TIME: Final = 0.005
"""Seconds by which a tick may be late and is not."""
LONGEST_DELAY: Final = 2.0
"""Seconds by which a delay of the loop counts at most."""
SMOOTHING: Final = 0.25
"""Weight of the latest delay."""
_SLICE: Final = 500
"""Connections whose deadline is moved in one callback."""
_BETWEEN_RELEASES: Final = 2.0
_WORDS: Final = {"memory": "memory", "descriptors": "file descriptors", "loop_delay": "time"}
_DEEDS: Final = {
    Stage.NORMAL: "serving as usual",
    Stage.SHORT_IDLE: "idle connections are closed",
    Stage.NO_KEEP_ALIVE: "every response ends its connection",
    Stage.SHEDDING: "new requests are answered with 503",
    Stage.NOT_ACCEPTING: "new connections are not accepted",
}


class Overload:
    """One per worker. `tick` is called by the worker's loop when `next_tick` said, or before; `say` gets a line when the stage changes."""

    __slots__ = ("_core", "_delay", "_ladder", "_late", "_monitor", "_next", "_ports", "_released", "_say", "readings")

    def __init__(self, core: Core, ports: Callable[[], Iterable[AnyOpenPort]], monitor: Monitor, say: Callable[[str], None]) -> None:
        self._core, self._ports, self._monitor, self._say = core, ports, monitor, say
        self._ladder = Ladder()
        self.readings = Readings()
        self._next = 0.0
        self._late: deque[float] = deque([0.0], maxlen=SUSTAINED)
        self._delay = 0.0
        self._released = -inf

    @property
    def stage(self) -> Stage:
        return self._ladder.stage

    def next_tick(self, now: float, busy: bool) -> float:
        """When the next tick has to be. A worker that has nothing to do sleeps through the period, unless the last tick was late all the
        same."""
        return min(now + TICK, self._next) if busy or self._late[-1] > ON_TIME else self._next

    def tick(self, now: float, late: float) -> None:
        """At `now`, so many seconds after it was due."""
        self._late.append(late)
        if now < self._next:
            return
        self._next = now + PERIOD
        self._delay += (min(*self._late, LONGEST_DELAY) - self._delay) * SMOOTHING
        self.readings = Readings(self._monitor.memory(), self._monitor.descriptors(), self._delay)
        self._act(now)

    def _act(self, now: float) -> None:
        before = self.stage
        changed = self._ladder.read(self.readings)
        stage = self.stage
        if changed:
            self._tell()
        if changed or stage:
            for opened in self._ports():
                self.press(opened)
        for opened in self._ports():
            opened.tend()
        if stage and not before:
            self._shorten()
        if stage and self._ladder.shortage == "memory" and now - self._released > _BETWEEN_RELEASES:
            self._released = now
            give_back()

    def press(self, opened: AnyOpenPort) -> None:
        """Tells a port what the stage asks of it."""
        stage = self.stage
        shortage = _WORDS[self._ladder.shortage] if stage >= Stage.SHEDDING else ""
        ceiling = IDLE_UNDER_PRESSURE if stage >= Stage.SHORT_IDLE else inf
        for port in opened.ports:
            port.press(ceiling, Restraint(stage >= Stage.NO_KEEP_ALIVE, shortage=shortage))
        if stage >= Stage.NOT_ACCEPTING:
            opened.pause()
        else:
            opened.resume()

    def gauges(self, worker: str) -> tuple[Sample, ...]:
        """Numbers for /metrics, each worker's apart: sums would mean nothing."""
        readings = self.readings
        return (
            Sample("tidegate_overload_stage", (("worker", worker),), self.stage),
            Sample("tidegate_overload_pressure", (("worker", worker), ("resource", "memory")), readings.memory),
            Sample("tidegate_overload_pressure", (("worker", worker), ("resource", "descriptors")), readings.descriptors),
            Sample("tidegate_loop_delay_seconds", (("worker", worker),), readings.loop_delay),
        )

    def _tell(self) -> None:
        deed = _DEEDS[self.stage]
        self._say(f"overload of {_WORDS[self._ladder.shortage]} ({self._reading()}): {deed}" if self.stage else f"overload is over: {deed}")

    def _reading(self) -> str:
        reading = self.readings._asdict()[self._ladder.shortage]
        return f"{reading:.2f} s late" if self._ladder.shortage == "loop_delay" else f"{reading:.0%} in use"

    def _shorten(self) -> None:
        """Connections that are idle now end within IDLE_UNDER_PRESSURE, those first that have been idle longest."""
        idle = [connection for opened in self._ports() for port in opened.ports for connection in port.connections if connection.idle]
        idle.sort(key=lambda connection: connection.deadline)
        if idle:
            self._shorten_some(idle, 0, IDLE_UNDER_PRESSURE / len(idle))

    def _shorten_some(self, idle: list[Client], begin: int, apart: float) -> None:
        now, deadlines = monotonic(), self._core.deadlines
        for number, connection in enumerate(idle[begin : begin + _SLICE], begin):
            if connection.idle:
                deadlines.set(connection, min(connection.deadline, now + number * apart))
        if begin + _SLICE < len(idle):
            self._core.loop.call_soon(self._shorten_some, idle, begin + _SLICE, apart)
