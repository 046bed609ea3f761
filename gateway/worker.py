"""The worker process: one runtime on one loop, told what to do by its parent over two inherited sockets.

The configuration stream brings batches and questions, the descriptor channel the listening sockets. Signals are the parent's
business. When the stream ends without a farewell the parent is dead: the worker finishes what it has and ends too.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
import uvloop

from gateway.collector import making_for_good
from gateway.descriptors import InheritedSockets, ListeningSockets, Place
from gateway.ir.batch import Ask, Batch, Rejection, Subscribe
from gateway.options import RuntimeOptions
from gateway.standard_streams import never_wait
from gateway.subscribe import LINE_LIMIT, StreamError, Subscription
from gateway.watchdog import INTERVAL


class Runtime(Protocol):
    """What a worker needs of gateway.runtime.Runtime."""

    async def apply(self, batch: Batch) -> tuple[Rejection, ...]:
        """Puts a batch in place; returns all rejections that stand after it."""

    def rejections(self) -> tuple[Rejection, ...]:
        """What stands now of what could not be built."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Has `changed` called whenever rejections may have become others without a batch."""

    async def statistics(self) -> msgspec.Raw:
        """Statistics, in JSON."""

    async def explain(self, argument: dict[str, Any]) -> msgspec.Raw:
        """What would happen to a request; ValueError for an argument that describes none."""

    def adopt(self, place: Place, connection: socket.socket) -> bool:
        """Serves a connection as if it had been accepted here; False if this port is not open, and the connection still the caller's."""

    @property
    def busy(self) -> bool:
        """Whether there is any connection."""

    @property
    def full(self) -> bool:
        """Whether overload keeps it from taking more connections."""

    def stop_accepting(self) -> None:
        """For somebody else has the sockets now. Connections go on, each until its next answer."""

    async def drain(self, delay: float, timeout: float) -> None:
        """Accepts for `delay` seconds more, then waits at most `timeout` for what is under way, then closes."""

    def close(self) -> None:
        """Ends everything at once. Not called after a drain."""


MakeRuntime = Callable[[asyncio.AbstractEventLoop, ListeningSockets, RuntimeOptions], Runtime]


_POLL: Final = 0.1


class Drain(msgspec.Struct, frozen=True):
    """Argument of the question "drain": seconds, and whether connections are accepted during the delay."""

    delay: float
    timeout: float
    accepting: bool = True


def main(make_runtime: MakeRuntime, arguments: Sequence[str] | None = None) -> None:
    """Arguments: descriptors of the stream and of the descriptor channel, RuntimeOptions as JSON (from the command line by default)."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})  # blocked by the parent until here
    stream, channel, options = sys.argv[1:] if arguments is None else arguments
    uvloop.run(
        _serve(
            make_runtime,
            socket.socket(fileno=int(stream)),
            InheritedSockets(socket.socket(fileno=int(channel))),
            msgspec.json.decode(options, type=RuntimeOptions),
        )
    )


async def _serve(make_runtime: MakeRuntime, stream: socket.socket, sockets: InheritedSockets, options: RuntimeOptions) -> None:
    loop = asyncio.get_running_loop()
    gc.collect()
    gc.disable()  # until the first configuration is in place: it makes nothing but what stays
    runtime = make_runtime(loop, sockets, options)
    worker = Worker(runtime, sockets, await asyncio.open_unix_connection(sock=stream, limit=LINE_LIMIT))

    def receive() -> None:
        if not worker.receive():
            loop.remove_reader(sockets.fileno())

    loop.add_reader(sockets.fileno(), receive)
    beating = loop.create_task(worker.beat())
    try:
        await worker.follow(options)
    except BaseException:
        runtime.close()
        raise
    finally:
        beating.cancel()
        loop.remove_reader(sockets.fileno())
        sockets.close()


class Worker:
    """Between the stream and the runtime."""

    __slots__ = ("_drained", "_hurry", "_runtime", "_sockets", "_started", "_subscription")

    def __init__(self, runtime: Runtime, sockets: InheritedSockets, stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self._runtime = runtime
        self._sockets = sockets
        self._subscription = Subscription(*stream, self.apply, self.reply)
        self._started = False
        self._hurry = asyncio.Event()
        self._drained: asyncio.Future[None] | None = None
        runtime.watch(self._report)

    def _report(self) -> None:
        """What the parent is told between two batches."""
        if self._started:
            self._subscription.report(self._runtime.rejections())

    async def beat(self) -> None:
        """Shows the parent, for ever, that the loop runs."""
        while True:
            self._beat()
            await asyncio.sleep(INTERVAL)

    def _beat(self) -> None:
        if not self._started:
            self._sockets.beat("starting")
        else:
            self._sockets.beat("full" if self._runtime.full else "serving")

    def receive(self) -> bool:
        """Takes in what the parent has sent beside the stream; False once it has closed its end."""
        going_on = self._sockets.receive()
        for place, connection in self._sockets.connections():
            if not self._runtime.adopt(place, connection):
                self._sockets.put_back(place, connection)
        return going_on

    async def follow(self, options: RuntimeOptions) -> None:
        """Until the parent has said farewell, or is gone; returns when nothing is under way any more."""
        try:
            await self._subscription.run(Subscribe(options.name))
        except StreamError as error:
            print(f"{options.name}: {error}; draining", file=sys.stderr, flush=True)
        await self._drain(Drain(0, options.drain_timeout))

    async def apply(self, batch: Batch) -> tuple[Rejection, ...]:
        """One batch, after the sockets that came before it."""
        self._sockets.receive()
        try:
            with making_for_good(len(batch.set) + len(batch.remove), first=not self._started):
                rejected = await self._runtime.apply(batch)
        finally:
            self._started = True
        self._beat()
        self.receive()  # connections for ports that are open by now
        return rejected

    async def reply(self, ask: Ask) -> msgspec.Raw:
        """Answers one question of the parent."""
        answer: object = None
        match ask.what:
            case "statistics":
                answer = await self._runtime.statistics()
            case "explain":
                answer = await self._explain(ask.argument)
            case "time":
                answer = asyncio.get_running_loop().time()
            case "sockets":
                self.receive()
            case "hurry":
                self._hurry.set()
            case "drain":
                try:
                    await self._drain(msgspec.json.decode(ask.argument, type=Drain))
                finally:
                    self._subscription.finish()
            case _:
                answer = {"error": f"a worker does not know the question {ask.what!r}"}
        return msgspec.Raw(msgspec.json.encode(answer))

    async def _explain(self, argument: msgspec.Raw) -> object:
        try:
            return await self._runtime.explain(msgspec.json.decode(argument, type=dict[str, Any]))
        except ValueError as error:
            return {"error": str(error)}

    async def _drain(self, drain: Drain) -> None:
        """Once: whoever asks again, or comes because the stream has ended, gets what became of the first."""
        if self._drained is not None:
            await self._drained
            return
        drained = self._drained = asyncio.get_running_loop().create_future()
        self._sockets.close_held()  # the runtime's own are the last then, and what still queues on them is accepted
        try:
            if drain.accepting:
                await self._runtime.drain(drain.delay, drain.timeout)
            else:
                await self._let_rest(drain.delay)
                await self._runtime.drain(0, drain.timeout)
        except Exception as error:
            drained.set_exception(error)
            raise
        except asyncio.CancelledError:
            self._drained = None  # the stream broke meanwhile: it is tried again
            raise
        drained.set_result(None)

    async def _let_rest(self, seconds: float) -> None:
        """Connections that wait may bring one more request: a client that sends it while we close would take that for a failure."""
        self._runtime.stop_accepting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._runtime.busy and not self._hurry.is_set():  # noqa: ASYNC110  # connections that go tell nobody
                    await asyncio.sleep(_POLL)


if __name__ == "__main__":
    from gateway.runtime import Runtime as ProxyRuntime

    never_wait()
    main(ProxyRuntime)
