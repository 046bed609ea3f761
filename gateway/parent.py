"""The process side of a data plane: keeps the workers alive, and keeps the ports served whatever becomes of one of them.

A worker is connected by two socket pairs: the configuration stream, whose server is handed in, and the descriptor channel. The
end of its stream is the sign that a worker is gone; one whose loop stands still is killed. What it would have accepted
meanwhile is accepted here, and handed to another.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from gateway.descriptors import Place
from gateway.net.sockets import BindError
from gateway.options import RuntimeOptions
from gateway.places import Claim, Places, nothing
from gateway.stand_in import StandIn
from gateway.subscribe import LINE_LIMIT
from gateway.watchdog import INTERVAL
from gateway.worker_process import PROGRAM, WorkerProcess

_FIRST_BACKOFF: Final = 0.1
_LONGEST_BACKOFF: Final = 5.0
_STABLE_AFTER: Final = 10.0
"""Seconds after which a worker's death is a new story, and the backoff starts anew."""
_GRACE: Final = 5.0
"""Seconds that a worker gets to end after it has closed its stream, or beyond the time of its drain."""


class Standing(Protocol):
    """Where a worker stands on the configuration stream."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> int:
        """The last that it has acknowledged."""


class Presence(Protocol):
    """How far a worker is waited for (controller.publish.Presence)."""

    @property
    def silent(self) -> bool: ...

    @property
    def late(self) -> bool: ...


class StreamServer(Protocol):
    """The server end of the configuration stream (controller.publish.Publisher)."""

    @property
    def subscribers(self) -> Sequence[Standing]:
        """Everyone being served."""

    async def serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        before_batch: Callable[[], Awaitable[None]] | None = None,
        presence: Presence | None = None,
    ) -> None:
        """Serves one worker until its stream ends; `before_batch` is awaited before each batch."""

    def reconsider(self) -> None:
        """Somebody's presence has changed."""

    async def ask(self, what: str, argument: bytes = b"null", timeout: float = 5.0) -> dict[str, msgspec.Raw]:
        """Puts a question to all workers."""


class Observer(Protocol):
    """Who is told about the workers' lives."""

    def message(self, text: str) -> None:
        """Something a user or a log should know."""

    def ended(self, worker: str) -> None:
        """A worker process is no more."""


class Workers:
    """Owner of the worker processes and of their listening sockets. `claim` finds sockets that are bound already: see Places."""

    def __init__(
        self,
        count: int,
        server: StreamServer,
        observer: Observer,
        options: RuntimeOptions,
        program: tuple[str, ...] = PROGRAM,
        claim: Claim = nothing,
    ) -> None:
        self._places = Places(count, claim)
        self._server = server
        self._observer = observer
        self._options = options
        self._program = program
        self._workers = [WorkerProcess(number) for number in range(count)]
        self._stand_in = StandIn(self._workers)
        self._ending = asyncio.Event()

    @property
    def running(self) -> int:
        """How many worker processes there are."""
        return sum(worker.process is not None for worker in self._workers)

    @property
    def handed(self) -> int:
        """Connections accepted for a worker that could not, and handed to another."""
        return self._stand_in.handed

    async def run(self) -> None:
        """Keeps all workers alive until `drain` or `stop`; returns when the last one has ended. Closes the sockets."""
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch())
                async with asyncio.TaskGroup() as lives:
                    for worker in self._workers:
                        lives.create_task(self._keep(worker))
                watching.cancel()
        finally:
            self._stand_in.close()
            self._places.close_all()

    def open(self, place: Place) -> BindError | None:
        """Binds a place for every worker and hands the sockets over, or says why it cannot be bound."""
        error = self._places.open(place)
        if error is None:
            for worker, bound in zip(self._workers, self._places.all(place), strict=False):
                if worker.sender is not None:
                    worker.sender.hand(place, bound)
            self._attend()
        return error

    def close(self, place: Place) -> None:
        """Closes a place here and has the workers, none of which uses it, close their copies: see `let_go`."""
        self._stand_in.leave(self._places.all(place))
        self._places.close(place)
        for worker in self._workers:
            if worker.sender is not None:
                worker.sender.forget(place)

    def places(self) -> tuple[Place, ...]:
        """All that are open."""
        return tuple(self._places)

    def sockets(self, place: Place) -> tuple[socket.socket, ...]:
        """The listening sockets of a place, those of the workers in turn first."""
        return self._places.all(place)

    async def let_go(self) -> None:
        """Returns when no worker has a copy of what was closed, so that another socket may take the port; waits for none that hangs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                for worker in self._workers:
                    if worker.sender is not None and not worker.silent:
                        await worker.sender.flushed()
        await self._server.ask("sockets", timeout=_GRACE)

    async def drain(self, delay: float, timeout: float, *, accepting: bool = True) -> bool:
        """Has all workers accept for `delay` seconds more and finish within `timeout`; whether all did and ended by themselves.

        Without `accepting` somebody else has the sockets and accepts: the workers stop at once, and connections that wait get the
        delay to bring one more request.
        """
        self._ending.set()
        self._stand_in.finish()
        self._places.close_all()  # the workers' own are the last then, and accept what still queues
        processes = [worker.process for worker in self._workers if worker.process is not None]
        patience = delay + timeout + _GRACE
        argument = msgspec.json.encode({"delay": delay, "timeout": timeout, "accepting": accepting})
        await self._server.ask("drain", argument, timeout=patience)
        late = [worker for worker in self._workers if not await worker.end_within(_GRACE)]
        for worker in late:
            self._observer.message(f"{worker.name} has not ended {patience:g} s after it was told to drain: it is killed")
            worker.kill()
        return not late and all(process.returncode == 0 for process in processes)

    async def hurry(self) -> None:
        """Has a drain under way close the connections that wait."""
        await self._server.ask("hurry", timeout=_GRACE)

    def stop(self) -> None:
        """Ends all workers at once."""
        self._ending.set()
        for worker in self._workers:
            worker.kill()

    async def _watch(self) -> None:
        """Looks at the heartbeats, and has everybody served by whoever can."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(INTERVAL)
            now = loop.time()
            for worker in self._workers:
                was_silent = worker.silent
                worker.pulse.passed(now - looked)
                worker.listen()
                if worker.process is not None and worker.pulse.hung:
                    self._kill_hung(worker)
                if worker.silent != was_silent:
                    self._server.reconsider()
            looked = now
            self._attend()

    def _kill_hung(self, worker: WorkerProcess) -> None:
        assert worker.process is not None
        revisions = [standing.revision for standing in self._server.subscribers if standing.name == worker.name]
        known = f"the last revision that it acknowledged is {revisions[0]}" if revisions else "it has not subscribed"
        silence = worker.pulse.silence
        self._observer.message(f"{worker.name} (process {worker.process.pid}) has been silent for {silence:.0f} s, {known}: it is killed")
        worker.pulse.given_up = True
        worker.kill()

    def _attend(self) -> None:
        """Has the parent accept where nobody else does."""
        if not self._ending.is_set():
            self._stand_in.watch(self._unattended())

    def _unattended(self) -> Iterator[tuple[Place, socket.socket]]:
        """Datagrams wait for their worker in the system's queue: another one would know nothing of their flows."""
        for worker in self._workers:
            if not worker.serves:
                yield from (bound for bound in self._places.of(worker.number) if bound[0].transport == "tcp")
        yield from self._places.surplus()

    async def _keep(self, worker: WorkerProcess) -> None:
        loop = asyncio.get_running_loop()
        backoff = _FIRST_BACKOFF
        while not self._ending.is_set():
            started = loop.time()
            outcome = await self._live(worker)
            self._observer.ended(worker.name)
            if self._ending.is_set():
                if worker.failed:
                    self._observer.message(f"{outcome}, while it drained")
                return
            if loop.time() - started > _STABLE_AFTER:
                backoff = _FIRST_BACKOFF
            self._observer.message(f"{outcome}; starting it anew in {backoff:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff):
                    await self._ending.wait()
            backoff = min(backoff * 2, _LONGEST_BACKOFF)

    async def _live(self, worker: WorkerProcess) -> str:
        """One life of a worker, from start to end; returns how it ended."""
        try:
            stream, sender = worker.start(self._program, msgspec.structs.replace(self._options, name=worker.name))
        except OSError as error:
            return f"{worker.name} could not be started: {error.strerror or error}"
        try:
            for place, bound in self._places.of(worker.number):
                sender.hand(place, bound)
            reader, writer = await asyncio.open_unix_connection(sock=stream, limit=LINE_LIMIT)
            await self._server.serve(reader, writer, sender.flushed, worker)
            self._stand_in.give_back(worker.disconnect())
            self._attend()
            await worker.end_within(_GRACE)
        finally:
            self._stand_in.give_back(worker.disconnect())
            outcome = await worker.bury()
        return outcome
