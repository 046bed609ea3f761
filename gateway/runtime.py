"""The data plane of one process: takes batches, keeps the live tables, opens and closes ports, serves, and drains.

Batch -> Preparation (beside, in slices) -> commit (one callback) -> ports -> rejections for the acknowledgement
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from gateway.descriptors import ListeningSockets, Place, place_of
from gateway.explain import explain_in_steps
from gateway.guarding import has_tokens, load_token_keys, missing_keys, selections
from gateway.ir.batch import Batch, Rejection
from gateway.ir.listener import Listener
from gateway.live import Live
from gateway.net.deadlines import GRAIN
from gateway.options import RuntimeOptions
from gateway.overload import Overload, SystemMonitor
from gateway.overload.descriptors import most_connections
from gateway.overload.ladder import Stage
from gateway.overload.overload import TICK
from gateway.policies.rate_limit import Buckets
from gateway.preparation import Preparation
from gateway.proxy.capture_port import CapturePort
from gateway.proxy.core import Core
from gateway.proxy.key_folder import KeyFolder
from gateway.proxy.open_port import OpenPort
from gateway.proxy.port import kind_of
from gateway.relay.udp_port import OpenUdpPort
from gateway.shared_memory import shared_memory
from gateway.telemetry.access_log import LINES_AT_ONCE, AccessLog
from gateway.telemetry.collect import collect, requests_in_steps, series_in_steps, streams_in_steps
from gateway.telemetry.pauses import Pauses
from gateway.telemetry.process import process_gauges
from gateway.telemetry.statistics import Statistics

SLICE: Final = 0.002
"""Seconds a batch is prepared before the loop serves requests again."""
IDLE_TURNS: Final = 11
"""Turns of AGING seconds that a pooled backend connection may be idle, 55 s: less than the usual keep-alive of servers."""
AGING: Final = 5.0
_ROUNDING: Final = 0.001
"""Seconds by which a timer of the loop may be early."""

AnyOpenPort: TypeAlias = OpenPort | OpenUdpPort | CapturePort
Result = TypeVar("Result")


class Runtime:
    """Owner of everything live. `apply` is called by one caller, one batch after another."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sockets: ListeningSockets, options: RuntimeOptions) -> None:
        self._loop, self._sockets = loop, sockets
        self._core = Core(loop)
        if options.shared_descriptor is not None:
            self._core.buckets = Buckets(shared_memory(options.shared_descriptor))
        self._core.source = options.source
        if options.keys:
            self._core.issuer_keys.folder = KeyFolder(Path(options.keys))
        self._core.tracing.default(options.otlp_endpoint, options.trace_sampling, options.name)
        self._live = Live(self._core, options.workload)
        self._open: dict[Place, AnyOpenPort] = {}
        self._outdated: list[AnyOpenPort] = []
        self._closing: list[AnyOpenPort] = []
        """Ports that nobody wants any more, while connections on them go on."""
        self._name, self._admin, self._leaves_early = options.name, options.admin, options.leaves_early
        self._log = AccessLog(self._core.log, options.access_log, options.log_descriptor) if options.access_log != "off" else None
        self._pauses = Pauses()
        self._core.clients.most = most_connections()
        self._overload = Overload(
            self._core, self._open.values, SystemMonitor(options.memory_limit, options.workers), partial(_say, options.name)
        )
        self._explaining = asyncio.Lock()
        """One explanation at a time: two would take two slices of a turn."""
        self._quiet: asyncio.Event | None = None
        """Set when the last exchange has ended; None before `drain`."""
        self._aged = monotonic()
        self._due = monotonic() + TICK
        """When the next tick is to be."""
        self._tick_handle = loop.call_later(TICK, self._tick)
        self._core.deadlines.hurry = self._tick_at
        self._core.write_log = self._log_some

    # configuration

    async def apply(self, batch: Batch) -> tuple[Rejection, ...]:
        """Puts a batch in place; returns every rejection that stands afterwards."""
        if has_tokens(batch):
            await asyncio.to_thread(load_token_keys)  # a tenth of a second that requests do not wait for
        preparation = Preparation(self._live, batch)
        await self._in_slices(preparation.steps())
        if preparation.arranged:
            preparation.commit()
        else:
            wanted = self._places(preparation)
            preparation.commit()
            self._arrange(wanted)
            self._end_replaced(preparation)
            for opened in self._open.values():
                await opened.serve()
        self._core.issuer_keys.begin()
        await asyncio.sleep(0)  # the swap was work enough for one turn
        await self._in_slices(preparation.release())
        return self.rejections()

    def rejections(self) -> tuple[Rejection, ...]:
        """What stands now of what could not be built, and of policies whose keys could not be fetched."""
        standing = {**dict(missing_keys(self._live)), **self._live.rejections}
        return tuple([Rejection(kind, key, reason) for (kind, key), reason in sorted(standing.items())])

    def watch(self, changed: Callable[[], None]) -> None:
        """Has `changed` called whenever rejections may have become others without a batch."""
        self._core.issuer_keys.changed = changed

    async def _in_slices(self, steps: Generator[None, None, Result]) -> Result:
        """Lets the loop serve requests in between; returns what the steps return."""
        began = perf_counter()
        while True:
            try:
                next(steps)
            except StopIteration as done:
                result: Result = done.value
                if perf_counter() - began > SLICE / 4:
                    await asyncio.sleep(0)
                return result
            if perf_counter() - began > SLICE:
                await asyncio.sleep(0)
                began = perf_counter()

    def _places(self, preparation: Preparation) -> dict[Place, list[str]]:
        """Listener keys by the place they want, without those whose place cannot be had."""
        wanted: dict[Place, list[str]] = {}
        for key, listener in preparation.listeners.items():
            wanted.setdefault(place_of(listener.resource), []).append(key)
        for place, keys in list(wanted.items()):
            _keep_apart(place, keys, preparation)
            kind = kind_of(preparation.listeners[keys[0]].resource)
            opened = self._open.get(place)
            if opened is not None and opened.kind == kind:
                continue
            try:
                listening = self._sockets.take(place)
            except LookupError as refusal:
                for key in wanted.pop(place):
                    preparation.rejections["Listener", key] = str(refusal)
                continue
            if opened is not None:
                self._outdated.append(opened)  # the port changes its protocol
            if kind == "udp":
                self._open[place] = OpenUdpPort(self._core, place, listening)
            elif kind == "captured":
                self._open[place] = CapturePort(self._core, place, listening)
            else:
                self._open[place] = OpenPort(self._core, place, listening, kind)
        return wanted

    def _arrange(self, wanted: dict[Place, list[str]]) -> None:
        """Gives each port its listeners, in the same callback as the commit, and closes those that nobody wants."""
        listeners = self._live.listeners
        while self._outdated:
            self._shut(self._outdated.pop())
        for place, keys in wanted.items():
            opened = self._open[place]
            opened.listen([listeners[key] for key in keys])
        for place in [place for place in self._open if place not in wanted]:
            self._shut(self._open.pop(place))
        self._live.ports = {place: opened.port for place, opened in self._open.items() if not isinstance(opened, CapturePort)}
        self._live.captures = {place: opened.table for place, opened in self._open.items() if isinstance(opened, CapturePort)}
        ours = [place for place, opened in self._open.items() if not isinstance(opened, CapturePort) or not opened.is_of_workload]
        self._core.forbid(ours, self._admin)

    def _shut(self, opened: AnyOpenPort) -> None:
        opened.listen(())
        opened.close()
        for port in opened.ports:
            port.drain()
        self._closing.append(opened)

    def _end_replaced(self, preparation: Preparation) -> None:
        """Connections that a listener accepted under demands that no longer hold end after the exchange that runs; a capture port sees to
        its own."""
        if not preparation.replaced:
            return
        listeners = self._live.listeners
        for port in self._live.ports.values():
            for connection in list(port.connections):
                accepted = connection.listener
                if accepted is None:
                    continue
                current = listeners.get(accepted.key)
                if current is None or not accepted.replaced_by(current):  # by any earlier version, not only the last
                    connection.drain()

    # time

    def _tick(self) -> None:
        """The next one comes when something is due; a grain later where there is much to log, since exchanges that wait for their line
        longer have left the processor's caches."""
        now = monotonic()
        try:
            self._overload.tick(now, max(now - self._due, 0.0))
            self._core.deadlines.sweep(now)
        finally:
            busy = bool(self._core.log) or self._quiet is not None
            latest = now + GRAIN if len(self._core.log) > LINES_AT_ONCE else self._overload.next_tick(now, busy)
            self._tick_at(self._core.deadlines.next_sweep(latest))
        if self._quiet is not None and not self.busy:
            self._quiet.set()
        self._log_some()
        if now - self._aged > AGING:
            self._aged = now
            self._core.issuer_keys.begin()
            self._closing = [opened for opened in self._closing if opened.busy]
            turns = 0 if self._overload.stage else IDLE_TURNS  # under pressure what is idle is let go, for its descriptors
            for opened in self._closing:
                opened.tend()
            for backend in self._live.described.values():
                backend.age(turns)

    def _tick_at(self, due: float) -> None:
        self._tick_handle.cancel()
        self._due = due + _ROUNDING
        self._tick_handle = self._loop.call_later(self._due - monotonic(), self._tick)

    def _log_some(self) -> None:
        if self._log is None:
            self._core.log.clear()
        elif self._log.format_some():
            self._loop.call_soon(self._log_some)

    # seeing

    async def statistics(self) -> msgspec.Raw:
        """Statistics, in JSON."""
        requests = await self._in_slices(requests_in_steps(self._core))
        return msgspec.Raw(msgspec.json.encode(msgspec.structs.replace(await self._numbers(), requests=requests)))

    async def numbers(self) -> Statistics:
        """The same as a value, for one who is in this process."""
        requests = await self._in_slices(series_in_steps(self._core))
        return msgspec.structs.replace(await self._numbers(), requests=requests)

    async def _numbers(self) -> Statistics:
        """Those that are not of requests."""
        gauges = (*self._overload.gauges(self._name), *process_gauges(self._loop))
        ports = (*self._open.values(), *self._closing)
        streams = await self._in_slices(streams_in_steps(self._core, ports))
        return msgspec.structs.replace(collect(self._core, ports, self._log, self._pauses, gauges), streams=streams)

    async def explain(self, argument: dict[str, Any]) -> msgspec.Raw:
        """What would happen to a request, and why, in JSON. Raises ValueError for a bad argument."""
        async with self._explaining:
            live = self._live
            return await self._in_slices(explain_in_steps(self._core, live.ports, argument, live.captures, partial(selections, live)))

    def listeners(self) -> tuple[Listener, ...]:
        """Those that serve."""
        return tuple([listener.resource for listener in self._live.listeners.values()])

    def adopt(self, place: Place, connection: socket.socket) -> bool:
        """Serves a connection as if it had been accepted here; False if this port is not open, and the connection still the caller's."""
        opened = self._open.get(place)
        if opened is None or isinstance(opened, OpenUdpPort):
            return False
        opened.adopt(connection)
        return True

    @property
    def busy(self) -> bool:
        """Whether there is any connection."""
        return any(opened.busy for opened in (*self._open.values(), *self._closing))

    @property
    def full(self) -> bool:
        """Whether overload keeps it from taking more connections."""
        return self._overload.stage >= Stage.NOT_ACCEPTING

    # the end

    def stop_accepting(self) -> None:
        """For somebody else has the sockets now. Connections go on, each until its next answer."""
        for opened in self._open.values():
            opened.close_kept()
            opened.close()

    async def drain(self, delay: float, timeout: float) -> None:
        """Accepts for `delay` seconds more while telling clients to go, then ends what is idle and waits `timeout` seconds for the rest."""
        for opened in self._open.values():
            opened.close_kept()
        if self._leaves_early:
            await self._fall_quiet(delay)
        elif delay:
            await asyncio.sleep(delay)
        for opened in self._open.values():
            opened.drain()
        await self._fall_quiet(timeout)
        self.close()

    async def _fall_quiet(self, timeout: float) -> None:
        """Returns when there is no connection, or when the time is over."""
        self._quiet = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                await self._quiet.wait()
        except TimeoutError:
            pass  # what still runs is cut, in the end

    def close(self) -> None:
        """Ends everything at once; what was logged is written."""
        for opened in (*self._open.values(), *self._closing):
            opened.abort()
        self._open.clear()
        self._closing.clear()
        for backend in self._live.described.values():
            backend.close()
        self._tick_handle.cancel()
        self._pauses.close()
        self._core.tracing.close()
        if self._log is not None:
            self._log.close()


def _keep_apart(place: Place, keys: list[str], preparation: Preparation) -> None:
    """A capture port is for captured listeners alone: others at the same place are rejected."""
    others = [key for key in keys if preparation.listeners[key].resource.capture is None]
    if not others or len(others) == len(keys):
        return
    for key in others:
        keys.remove(key)
        reason = f"bind_port {place.port} at {place.address} is the port of captured listeners; bind it at another port"
        preparation.rejections["Listener", key] = reason


def _say(name: str, line: str) -> None:
    print(f"{name}: {line}", file=sys.stderr, flush=True)
