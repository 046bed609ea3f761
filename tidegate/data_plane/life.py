"""The life of a data plane in a Pod: what it does while it serves, what signals do to it, and how it ends.

start ─> (snapshot) ─> following the controller ─> SIGTERM, SIGINT: not ready, still accepting ─> draining ─> ended
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from gateway.following.data_plane import DataPlane
from gateway.following.follower import Follower
from gateway.following.own import Own
from gateway.following.questions import Questions
from gateway.following.serving import Serving
from gateway.following.snapshots import Snapshots
from gateway.following.subject import Subject
from gateway.ir.batch import Ask, Batch, Rejection, Subscribe
from gateway.ir.value import Identity
from gateway.telemetry.statistics import Sample
from tidegate.certificates import Expiries
from tidegate.data_plane.belongings import Belongings, Work
from tidegate.data_plane.options import DataPlaneOptions
from tidegate.data_plane.servers import Listening, Servers
from tidegate.enduring import endure

GOOD: Final = 0
CUT_OFF: Final = 1

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
_NOTHING_TO_DO: Final = {
    signal.SIGHUP: "there is nothing to read again: the configuration is the controller's, and files are read whenever they are needed",
    signal.SIGUSR2: "a data plane in a cluster is not replaced in place: start its Pod anew",
}

Message: TypeAlias = Callable[[str], None]

class Life:
    """One data plane, from start to end; see subject.State too. Used once. `serving` is made for what is to be told of its changes."""

    def __init__(
        self, options: DataPlaneOptions, belongings: Belongings, make: Callable[[Callable[[], None]], Serving], message: Message
    ) -> None:
        self._options = options
        self._belongings = belongings
        self._message = message
        self._serving = make(self._moved)
        self._data_plane = DataPlane(self._serving, self._report, Own(belongings.pod), belongings.placing)
        names = (options.gateway, options.workload, options.controller)
        self._follower = Follower(belongings.connect, self._introduce, self._take, self._reply, message)
        self._subject = Subject(names, self, self._data_plane, self._follower, self._serving)
        self._questions = Questions(self._subject)
        self._expiries = Expiries(lambda: self._data_plane.desired.resources, message)
        self._snapshots = None if options.snapshot is None else Snapshots(options.snapshot, options.served, options.command, message)
        self._restored = False
        self._is_placed = False
        self._was_ready = False
        self._signals = 0
        self._ending = asyncio.Event()
        self._drain: asyncio.Task[bool] | None = None

    def _moved(self) -> None:
        self._data_plane.reconsider()

    def _report(self, rejected: tuple[Rejection, ...]) -> None:
        self._follower.report(rejected)

    async def _take(self, batch: Batch, unreadable: Container[Identity] = ()) -> tuple[Rejection, ...]:
        rejected = await self._data_plane.take(batch, unreadable)
        self._tell_ready()
        return rejected

    def _tell_ready(self) -> None:
        """Something has come in place."""
        self._is_placed = self._is_placed or not self._belongings.waiting()
        if not self._was_ready and not self._subject.not_ready():
            self._was_ready = True
            self._message("ready: the first configuration is in place")

    async def _introduce(self) -> Subscribe:
        return Subscribe(self._options.name, self._options.scope, self._data_plane.revision, await self._data_plane.digest())

    async def _reply(self, ask: Ask) -> msgspec.Raw:
        return await self._questions.reply(ask)

    @property
    def draining(self) -> bool:
        return self._signals > 0

    @property
    def waiting(self) -> str:
        if found := self._belongings.waiting() or self._data_plane.own_refusal:
            return found
        return "" if self._is_placed else "what it serves of its own is not in place; the log of the controller says why"

    @property
    def snapshot(self) -> str:
        return "" if self._snapshots is None else self._snapshots.sentence(self._data_plane)

    @property
    def snapshot_failures(self) -> int:
        return 0 if self._snapshots is None else self._snapshots.failures

    def samples(self) -> Iterable[Sample]:
        return (*self._expiries.samples(), *self._belongings.samples())

    async def run(self, listening: Listening) -> int:
        """Serves until SIGTERM or SIGINT, then drains; once more ends at once. Returns GOOD or CUT_OFF. Owns `listening`."""
        loop = asyncio.get_running_loop()
        servers = Servers(self._subject, listening, self._belongings.pages, self._message)
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            await servers.start()
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._serving.run())
                background = [tasks.create_task(endure(*work, self._message)) for work in self._work()]
                await self._ending.wait()
                clean = await self._leave(tasks, background)
                await serving
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
            await servers.close()
        return GOOD if clean and self._signals == 1 else CUT_OFF

    def _work(self) -> list[Work]:
        work: list[Work] = [
            ("following the controller", self._follow),
            ("binding ports", self._data_plane.retry),
            ("watching certificates", self._expiries.watch),
            *self._belongings.beside,
        ]
        if self._belongings.identities is not None:
            work.append(("putting the identity in place", self._identify))
        if self._snapshots is not None:
            snapshots = self._snapshots
            work.append(("writing snapshots", lambda: snapshots.keep(self._data_plane)))
        return work

    async def _follow(self) -> None:
        """A snapshot that cannot be served for a fault of ours is not tried twice."""
        if self._snapshots is not None and not self._restored:
            self._restored = True
            await self._snapshots.restore(self._data_plane, self._take)
        await self._follower.run()

    async def _identify(self) -> None:
        """The present identity, and each new one. Connections that there are stay under the old one."""
        assert self._belongings.identities is not None
        async with contextlib.aclosing(self._belongings.identities()) as identities:
            async for identity in identities:
                await self._data_plane.identify(identity)
                self._tell_ready()

    async def _leave(self, tasks: asyncio.TaskGroup, background: Sequence[asyncio.Task[None]]) -> bool:
        """Changes are followed as long as new connections are taken; whether all went well."""
        delay = self._options.drain_delay
        drain = self._drain = tasks.create_task(self._serving.drain(delay, self._options.drain_timeout))
        await asyncio.wait((drain,), timeout=delay)
        for task in background:
            task.cancel()
        await asyncio.wait((drain,))
        return not drain.cancelled() and drain.result()

    def _signalled(self, number: int) -> None:
        name = signal.Signals(number).name
        if number in _NOTHING_TO_DO:
            self._message(f"{name}: {_NOTHING_TO_DO[signal.Signals(number)]}")
            return
        self._signals += 1
        if self._signals == 1:
            seconds = self._options.drain_delay + self._options.drain_timeout
            self._message(f"{name}: draining, for {seconds:g} s at most; once more ends at once")
            self._ending.set()
        elif self._signals == 2:
            self._message(f"{name}: ending at once")
            self._serving.stop()
            if self._drain is not None:
                self._drain.cancel()
