"""The process side of a data plane: holds the listening sockets, starts the workers and restarts those that die.

Every port has one SO_REUSEPORT socket a worker, bound here and kept here, so that what has queued on it survives the worker.
A worker is connected by two socket pairs: the configuration stream, whose server is handed in, and the descriptor channel.
The end of its stream is the sign that a worker is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec

from gateway.descriptors import DescriptorSender, Place
from gateway.net.sockets import BindError, bind, bind_again
from gateway.options import RuntimeOptions
from gateway.subscribe import LINE_LIMIT

PROGRAM: Final = (sys.executable, "-P", "-m", "gateway.worker")
"""-P keeps the folder that the user stands in out of the import path."""

_FIRST_BACKOFF: Final = 0.1
_LONGEST_BACKOFF: Final = 5.0
_STABLE_AFTER: Final = 10.0
"""Seconds after which a worker's death is a new story, and the backoff starts anew."""
_GRACE: Final = 5.0
"""Seconds that a worker gets to end after it has closed its stream, or beyond the time of its drain."""
_POLL: Final = 0.01


class StreamServer(Protocol):
    """The server end of the configuration stream (controller.publish.Publisher)."""

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, before_batch: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Serves one worker until its stream ends; `before_batch` is awaited before each batch."""

    async def ask(self, what: str, argument: bytes = b"null", timeout: float = 5.0) -> dict[str, msgspec.Raw]:
        """Puts a question to all workers."""


class Observer(Protocol):
    """Who is told about the workers' lives."""

    def message(self, text: str) -> None:
        """Something a user or a log should know."""

    def ended(self, worker: str) -> None:
        """A worker process is no more."""


class Workers:
    """Owner of the worker processes and of their listening sockets."""

    def __init__(
        self, count: int, server: StreamServer, observer: Observer, options: RuntimeOptions, program: tuple[str, ...] = PROGRAM
    ) -> None:
        self._server = server
        self._observer = observer
        self._options = options
        self._program = program
        self._sockets: dict[Place, list[socket.socket]] = {}
        self._workers = [_Worker(number) for number in range(count)]
        self._ending = asyncio.Event()

    @property
    def running(self) -> int:
        """How many worker processes there are."""
        return sum(worker.process is not None for worker in self._workers)

    async def run(self) -> None:
        """Keeps all workers alive until `drain` or `stop`; returns when the last one has ended. Closes the sockets."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for worker in self._workers:
                    tasks.create_task(self._keep(worker))
        finally:
            for place in list(self._sockets):
                self.close(place)

    def open(self, place: Place) -> BindError | None:
        """Binds a place for every worker and hands the sockets over, or says why it cannot be bound."""
        try:
            bound = [bind(*place)]
        except BindError as error:
            return error
        try:
            while len(bound) < len(self._workers):
                bound.append(bind_again(bound[0]))
        except BindError as error:
            for opened in bound:
                opened.close()
            return error
        self._sockets[place] = bound
        for worker in self._workers:
            if worker.sender is not None:
                worker.sender.hand(place, bound[worker.number])
        return None

    def close(self, place: Place) -> None:
        """Closes a place here and has the workers, none of which uses it, close their copies: see `let_go`."""
        for bound in self._sockets.pop(place, ()):
            bound.close()
        for worker in self._workers:
            if worker.sender is not None:
                worker.sender.forget(place)

    async def let_go(self) -> None:
        """Returns when no worker has a copy of what was closed, so that another socket may take the port; waits for none that hangs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                for worker in self._workers:
                    if worker.sender is not None:
                        await worker.sender.flushed()
        await self._server.ask("sockets", timeout=_GRACE)

    async def drain(self, delay: float, timeout: float) -> bool:
        """Has all workers accept for `delay` seconds more and finish within `timeout`; whether all did and ended by themselves."""
        self._ending.set()
        for place in list(self._sockets):
            for bound in self._sockets.pop(place):  # the workers' own are the last then, and accept what still queues
                bound.close()
        processes = [worker.process for worker in self._workers if worker.process is not None]
        patience = delay + timeout + _GRACE
        await self._server.ask("drain", msgspec.json.encode({"delay": delay, "timeout": timeout}), timeout=patience)
        late = [worker for worker in self._workers if not await worker.end_within(_GRACE)]
        for worker in late:
            self._observer.message(f"{worker.name} has not ended {patience:g} s after it was told to drain: it is killed")
            worker.kill()
        return not late and all(process.returncode == 0 for process in processes)

    def stop(self) -> None:
        """Ends all workers at once."""
        self._ending.set()
        for worker in self._workers:
            worker.kill()

    async def _keep(self, worker: _Worker) -> None:
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

    async def _live(self, worker: _Worker) -> str:
        """One life of a worker, from start to end; returns how it ended."""
        loop = asyncio.get_running_loop()
        try:
            stream, sender = worker.start(loop, self._program, msgspec.structs.replace(self._options, name=worker.name))
        except OSError as error:
            return f"{worker.name} could not be started: {error.strerror or error}"
        try:
            for place, bound in self._sockets.items():
                sender.hand(place, bound[worker.number])
            reader, writer = await asyncio.open_unix_connection(sock=stream, limit=LINE_LIMIT)
            await self._server.serve(reader, writer, sender.flushed)
            await worker.end_within(_GRACE)
        finally:
            outcome = await worker.bury()
        return outcome


class _Worker:
    """A place for one process after another."""

    __slots__ = ("failed", "name", "number", "process", "sender")

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"worker-{number}"
        self.process: subprocess.Popen[bytes] | None = None
        self.sender: DescriptorSender | None = None
        self.failed = False
        """Whether the last process ended with a status of its own that is not 0."""

    def start(
        self, loop: asyncio.AbstractEventLoop, program: tuple[str, ...], options: RuntimeOptions
    ) -> tuple[socket.socket, DescriptorSender]:
        """Starts a process; returns our ends of its stream and of its descriptor channel. Raises OSError."""
        stream, its_stream = socket.socketpair()
        channel, its_channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inherited = (its_stream.fileno(), its_channel.fileno())
        arguments = (*program, *map(str, inherited), msgspec.json.encode(options).decode())
        try:
            # What the terminal sends to all must not meet a worker before it ignores it: blocked signals stay blocked over exec.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            try:
                self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, pass_fds=inherited, env=_environment())
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        except BaseException:
            stream.close()
            channel.close()
            raise
        finally:
            its_stream.close()
            its_channel.close()
        self.sender = DescriptorSender(loop, channel)
        return stream, self.sender

    async def end_within(self, seconds: float) -> bool:
        """Waits for the process to end; False if it has not."""
        if self.process is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await _ended(self.process)
        except TimeoutError:
            return False
        return True

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    async def bury(self) -> str:
        """Ends the process if it still lives; returns what became of it."""
        process, sender = self.process, self.sender
        assert process is not None
        assert sender is not None
        self.sender = None
        sender.close()
        killed = process.poll() is None
        process.kill()
        await _ended(process)
        self.process = None
        self.failed = process.returncode > 0
        if killed:
            return f"{self.name} (process {process.pid}) closed its stream and did not end: it was killed"
        return f"{self.name} (process {process.pid}) {_ending(process.returncode)}"


async def _ended(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:  # noqa: ASYNC110  # no event on every platform; its stream has ended or it was killed, so this is short
        await asyncio.sleep(_POLL)


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by signal {signal.Signals(-status).name}"
    if status:
        return f"failed with exit status {status} (standard error says why)"
    return "ended without being told to"


def _environment() -> dict[str, str]:
    """Ours, and where this very package is, unless every interpreter of this installation finds it anyway."""
    root = str(Path(__file__).resolve().parents[1])
    environment = dict(os.environ)
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
    return environment
