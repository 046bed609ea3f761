"""The worker process: one runtime on one loop, told what to do by its parent over two inherited sockets.

The configuration stream brings batches and questions, the descriptor channel the listening sockets. Signals are the parent's
business. When the stream ends without a farewell the parent is dead: the worker finishes what it has and ends too.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
import uvloop

from gateway.descriptors import InheritedSockets, ListeningSockets
from gateway.ir.batch import Ask, Batch, Rejection, Subscribe
from gateway.options import RuntimeOptions
from gateway.subscribe import LINE_LIMIT, StreamError, Subscription
from gateway.telemetry.statistics import Statistics


class Runtime(Protocol):
    """What a worker needs of gateway.runtime.Runtime."""

    async def apply(self, batch: Batch) -> tuple[Rejection, ...]:
        """Puts a batch in place; returns all rejections that stand after it."""

    def statistics(self) -> Statistics: ...

    def explain(self, argument: dict[str, Any]) -> dict[str, Any]:
        """What would happen to a request; ValueError for an argument that describes none."""

    async def drain(self, delay: float, timeout: float) -> None:
        """Accepts for `delay` seconds more, then waits at most `timeout` for what is under way, then closes."""

    def close(self) -> None:
        """Ends everything at once. Not called after a drain."""


COLLECTOR: Final = (10_000, 20, 100)
"""Thresholds of the garbage collector while serving. Connections and exchanges break their cycles and resources are not tracked, so
there is little to find, and a full collection among 10,000 rules would stop the loop for tens of milliseconds."""

MakeRuntime = Callable[[asyncio.AbstractEventLoop, ListeningSockets, RuntimeOptions], Runtime]


class Drain(msgspec.Struct, frozen=True):
    """Argument of the question "drain": seconds."""

    delay: float
    timeout: float


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

    def receive() -> None:
        if not sockets.receive():
            loop.remove_reader(sockets.fileno())

    loop.add_reader(sockets.fileno(), receive)
    runtime = make_runtime(loop, sockets, options)
    worker = Worker(runtime, sockets, await asyncio.open_unix_connection(sock=stream, limit=LINE_LIMIT))
    try:
        await worker.follow(options)
    except BaseException:
        runtime.close()
        raise
    finally:
        loop.remove_reader(sockets.fileno())
        sockets.close()


class Worker:
    """Between the stream and the runtime."""

    __slots__ = ("_drained", "_runtime", "_sockets", "_started", "_subscription")

    def __init__(self, runtime: Runtime, sockets: InheritedSockets, stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self._runtime = runtime
        self._sockets = sockets
        self._subscription = Subscription(*stream, self.apply, self.reply)
        self._started = False
        self._drained: asyncio.Future[None] | None = None

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
        rejected = await self._runtime.apply(batch)
        if not self._started:
            self._started = True
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECTOR)
        return rejected

    async def reply(self, ask: Ask) -> msgspec.Raw:
        """Answers one question of the parent."""
        answer: object = None
        match ask.what:
            case "statistics":
                answer = self._runtime.statistics()
            case "explain":
                answer = self._explain(ask.argument)
            case "time":
                answer = asyncio.get_running_loop().time()
            case "sockets":
                self._sockets.receive()
            case "drain":
                try:
                    await self._drain(msgspec.json.decode(ask.argument, type=Drain))
                finally:
                    self._subscription.finish()
            case _:
                answer = {"error": f"a worker does not know the question {ask.what!r}"}
        return msgspec.Raw(msgspec.json.encode(answer))

    def _explain(self, argument: msgspec.Raw) -> dict[str, Any]:
        try:
            return self._runtime.explain(msgspec.json.decode(argument, type=dict[str, Any]))
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
            await self._runtime.drain(drain.delay, drain.timeout)
        except Exception as error:
            drained.set_exception(error)
            raise
        except asyncio.CancelledError:
            self._drained = None  # the stream broke meanwhile: it is tried again
            raise
        drained.set_result(None)


if __name__ == "__main__":
    from gateway.runtime import Runtime as ProxyRuntime

    main(ProxyRuntime)
