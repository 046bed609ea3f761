"""Backends that are not ours: ASGI applications under uvicorn that keep what they received and say who they are.

An echo answers 200 with `echo: NAME/NUMBER`, the number of the request among those it keeps, unless a test planned another
answer. A scripted backend does on each connection what a test wrote, for what no real server would do.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Any, Self, TypeVar

import uvicorn
import uvloop

from tests.wire.http2_asgi import Http2Server

LIMIT = 10.0
"""Seconds that a test waits for what must come; reached only when it never does."""

T = TypeVar("T")
Message = MutableMapping[str, Any]


class LoopThread:
    """An event loop in a thread of its own; `run` is called by the thread of the tests."""

    def __init__(self, name: str) -> None:
        self.loop = uvloop.new_event_loop()
        self.faults: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self._thread = Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that ran in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT)

    def call(self, function: Callable[[], T]) -> T:
        """The result of a function that ran between two callbacks of the loop."""

        async def called() -> T:
            return function()

        return self.run(called())

    def close(self) -> None:
        """Ends the loop, and all that still runs in it."""
        self.run(self._cancel_others())
        self.run(self.loop.shutdown_asyncgens())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LIMIT)
        # raised as an error, this warning comes before uvloop closes the handle, and then its close() never returns
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always", ResourceWarning)
            self.loop.close()
        assert not left_open, [str(warning.message) for warning in left_open]

    async def _cancel_others(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the backend got it; names of fields are in lower case."""

    backend: str
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    port: int

    def values(self, name: str) -> list[str]:
        """All values of a field, in order."""
        return [value for field, value in self.fields if field == name]

    def value(self, name: str) -> str | None:
        """The only value of a field; None if it is absent."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} came more than once: {values}"
        return values[0] if values else None


class Planned:
    """An answer that a test wants. `held` waits before the head until `release` is called, or the proxy gives up."""

    def __init__(self, status: int = 200, *fields: tuple[str, str], body: bytes = b"", held: bool = False, pieces: int = 1) -> None:
        self.status, self.fields, self.body, self.pieces = status, fields, body, pieces
        self.gate = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        if not held:
            self.gate.set()

    def release(self) -> None:
        """Lets the answer go; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.gate.set)
        else:
            self.gate.set()

    def begin(self) -> None:
        self._loop = asyncio.get_running_loop()


class Echo:
    """One backend: the ASGI application and what it has received. Kept for the whole run, emptied before each test.

    It listens on a port for HTTP/1.1 and on one for HTTP/2; `port` is the one that is meant in this test.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.http2_socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.ports: dict[str, int] = {"HTTP/1.1": self.socket.getsockname()[1], "HTTP/2": self.http2_socket.getsockname()[1]}
        self.port = self.ports["HTTP/1.1"]
        self.requests: list[Received] = []
        self.abandoned = 0
        """How many requests the proxy gave up before they were answered."""
        self._planned: deque[Planned] = deque()
        self._always: Planned | None = None
        self._held: set[Planned] = set()
        self._changed = Condition()

    def clear(self) -> None:
        for planned in list(self._held):
            planned.release()
        self.requests, self._planned, self._always, self.abandoned = [], deque(), None, 0

    def plan(self, *answers: Planned) -> None:
        """The answers to the next requests, in order; after them the usual one."""
        self._planned.extend(answers)

    def always(self, answer: Planned) -> None:
        """The answer to every request for which none is planned."""
        self._always = answer

    def wait_for(self, count: int) -> list[Received]:
        """The requests, once there are that many."""
        return self.wait_until(lambda requests: len(requests) >= count)

    def wait_until(self, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """The requests, once they are enough."""
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self.requests), LIMIT), f"{self.name} got only {len(self.requests)} requests"
            return list(self.requests)

    def wait_for_abandoned(self, count: int = 1) -> None:
        """Until the proxy has given up that many."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.abandoned >= count, LIMIT), "the proxy still waits for the answer"

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        number = self._keep(scope, body)
        planned = self._planned.popleft() if self._planned else self._always or Planned()
        if not planned.gate.is_set() and not await self._hold(planned, receive):
            return
        fields = [(b"echo", f"{self.name}/{number}".encode()), *[(name.encode(), value.encode()) for name, value in planned.fields]]
        if planned.pieces == 1 and planned.status not in (204, 304):
            fields.append((b"content-length", str(len(planned.body)).encode()))
        await send({"type": "http.response.start", "status": planned.status, "headers": fields})
        size = -(-len(planned.body) // planned.pieces) or 1
        for start in range(0, len(planned.body), size):
            await send({"type": "http.response.body", "body": planned.body[start : start + size], "more_body": True})
        await send({"type": "http.response.body"})

    def _keep(self, scope: Message, body: bytes) -> int:
        query = "?" + scope["query_string"].decode() if scope["query_string"] else ""
        fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        port: int = scope["server"][1]
        received = Received(self.name, scope["method"], scope["raw_path"].decode() + query, fields, body, port)
        with self._changed:
            self.requests.append(received)
            self._changed.notify_all()
            return len(self.requests) - 1

    async def _hold(self, planned: Planned, receive: Callable[[], Awaitable[Message]]) -> bool:
        """Waits for the release; False when the proxy has closed the connection before."""
        planned.begin()
        self._held.add(planned)
        released, gone = asyncio.ensure_future(planned.gate.wait()), asyncio.ensure_future(receive())
        done, others = await asyncio.wait((released, gone), return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        self._held.discard(planned)
        if released not in done:
            with self._changed:
                self.abandoned += 1
                self._changed.notify_all()
        return released in done


class Echoes:
    """All echo backends of the run, in one loop."""

    def __init__(self, *names: str) -> None:
        self.thread = LoopThread("backends")
        self.echoes = {name: Echo(name) for name in names}
        self._servers = [_server(echo) for echo in self.echoes.values()]
        self._running = [
            asyncio.run_coroutine_threadsafe(server.serve(sockets=[echo.socket]), self.thread.loop)
            for server, echo in zip(self._servers, self.echoes.values(), strict=True)
        ]
        self._http2_servers = [Http2Server(echo) for echo in self.echoes.values()]
        for http2_server, echo in zip(self._http2_servers, self.echoes.values(), strict=True):
            self.thread.run(http2_server.serve(echo.http2_socket))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.should_exit = True
        for running in self._running:
            running.result(LIMIT)
        for http2_server in self._http2_servers:
            self.thread.run(http2_server.close())
        self.thread.close()
        assert not self.thread.faults, self.thread.faults


def _server(echo: Echo) -> uvicorn.Server:
    config = uvicorn.Config(
        echo, http="h11", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False, date_header=False,
        timeout_keep_alive=60, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return uvicorn.Server(config)


class Conversation:
    """The backend's end of one connection, in blocking calls."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""

    def read_head(self) -> bytes:
        """A request's head, with the empty line; b'' if the proxy closed the connection."""
        return self.read_until(b"\r\n\r\n")

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.received:
            data = self.connection.recv(65_536)
            if not data:
                return b""
            self.received += data
        head, self.received = self.received[: self.received.index(mark) + len(mark)], self.received.partition(mark)[2]
        return head

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reset(self) -> None:
        """Ends with a reset instead of an end of the stream."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


Script = Callable[[Conversation], None]


class Scripted:
    """Accepts one connection after another; each follows the next script, the last script serves all that come after."""

    def __init__(self, *scripts: Script, address: str = "127.0.0.1", port: int = 0) -> None:
        self._scripts = scripts
        self._listening = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0
        self.faults: list[BaseException] = []
        self._open: list[socket.socket] = []
        self._threads = [Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._open.append(connection)
            self._threads.append(Thread(target=self._follow, args=(script, connection), daemon=True))
            self._threads[-1].start()

    def _follow(self, script: Script, connection: socket.socket) -> None:
        connection.settimeout(LIMIT)
        with connection:
            try:
                script(Conversation(connection))
            except OSError:
                pass  # the proxy left first: whether it may is the test's question
            except BaseException as fault:
                self.faults.append(fault)  # it belongs to the test, not to this thread

    def close(self) -> None:
        """Accepts no more, and ends what is open."""
        if self._listening.fileno() >= 0:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        for connection in self._open:
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)
        assert not self.faults, self.faults


def closed_port() -> int:
    """A port of 127.0.0.1 on which nothing listens: connections are refused."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
