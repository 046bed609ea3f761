"""Backends to try a configuration with: each answers every request with JSON that tells what it received.

A process for all of them, on h11 and asyncio. `/status/NNN` is answered with that status, `?delay=200ms` after that time.
Each line of its standard input is a backend to start, in JSON; each is answered with a line on standard output, what is wrong
or nothing. It lives until its standard input ends, so that it never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import responses
from typing import Any, Final
from urllib.parse import parse_qsl

import h11

from gateway.net.accept import accept_queued

HEAD_LIMIT: Final = 64 * 1024
LONGEST_DELAY: Final = 60.0
LAST_WAIT: Final = 2.0
"""Seconds that the end waits for what is under way."""
_POLL: Final = 0.02
_STATUS: Final = re.compile(r"/status/([2-5][0-9]{2})").fullmatch
_BODILESS: Final = frozenset({204, 304})
_DELAY: Final = re.compile(r"([0-9]{1,6})(ms|s)").fullmatch


@dataclass(frozen=True, slots=True)
class DemoBackend:
    """Where it listens, and as whom it answers."""

    address: str
    port: int
    name: str


class Conversation(asyncio.Protocol):
    """One connection: requests of any method, with bodies of any size, one after another."""

    transport: asyncio.Transport

    def __init__(self, backend: DemoBackend, all_open: set[Conversation]) -> None:
        self._backend = backend
        self._all_open = all_open
        self._codec = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._request: h11.Request | None = None
        self._received = 0
        self._later: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._all_open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_open.discard(self)
        if self._later is not None:
            self._later.cancel()

    @property
    def rests(self) -> bool:
        """Whether it has answered, and nothing more has come."""
        return self._request is not None and self._codec.our_state is h11.IDLE

    def data_received(self, data: bytes) -> None:
        self._codec.receive_data(data)
        self._read()

    def eof_received(self) -> bool:
        self._codec.receive_data(b"")
        self._read()
        return True

    def _read(self) -> None:
        try:
            self._take_events()
        except h11.RemoteProtocolError as error:
            if self._codec.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                self._answer(error.error_status_hint, {"error": str(error)})
            self.transport.close()

    def _take_events(self) -> None:
        while True:
            event = self._codec.next_event()
            if event is h11.NEED_DATA:
                if self._codec.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                return
            if event is h11.PAUSED:
                return
            match event:
                case h11.Request():
                    self._request, self._received = event, 0
                case h11.Data():
                    self._received += len(event.data)
                case h11.EndOfMessage():
                    self._received_all()
                case h11.ConnectionClosed():
                    self.transport.close()
                    return

    def _received_all(self) -> None:
        delay = self._delay()
        if delay:
            self._later = asyncio.get_running_loop().call_later(delay, self._reply)
        else:
            self._reply()

    def _delay(self) -> float:
        _, query = self._target()
        asked = _DELAY(dict(parse_qsl(query)).get("delay", ""))
        return 0.0 if asked is None else min(int(asked[1]) / (1000 if asked[2] == "ms" else 1), LONGEST_DELAY)

    def _target(self) -> tuple[str, str]:
        assert self._request is not None
        path, _, query = self._request.target.decode("latin-1").partition("?")
        return path, query

    def _reply(self) -> None:
        request = self._request
        assert request is not None
        path, query = self._target()
        headers: dict[str, str] = {}
        for raw_name, raw_value in request.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        asked = _STATUS(path)
        received = {
            "backend": self._backend.name,
            "endpoint": f"{self._backend.address}:{self._backend.port}",
            "method": request.method.decode("ascii"),
            "path": path,
            "query": query,
            "host": headers.get("host", ""),
            "headers": headers,
            "body_length": self._received,
        }
        self._answer(int(asked[1]) if asked is not None else 200, received)
        if self._codec.our_state is h11.MUST_CLOSE:
            self.transport.close()
        elif self._codec.our_state is h11.DONE and self._codec.their_state is h11.DONE:
            self._codec.start_next_cycle()
            self._read()

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content, indent=2).encode() + b"\n"
        fields = [("content-type", "application/json"), ("content-length", str(len(body)))]
        reason = responses.get(status, "")
        self._send(h11.Response(status_code=status, reason=reason, headers=[] if status in _BODILESS else fields))
        if status not in _BODILESS and (self._request is None or self._request.method != b"HEAD"):
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> None:
        data = self._codec.send(event)
        if data:
            self.transport.write(data)


class DemoServer:
    """Everything that listens, and every connection.

    A port is shared with the demo backends of a program that replaces this one's, or that this one's replaces (SIGUSR2), so that
    somebody listens at every moment, and what has queued here is answered before the end.
    """

    def __init__(self) -> None:
        self._servers: list[tuple[asyncio.Server, socket.socket, Callable[[], Conversation]]] = []
        self._open: set[Conversation] = set()

    async def start(self, backend: DemoBackend) -> str:
        """What is wrong, '' if nothing is."""
        make = partial(Conversation, backend, self._open)
        try:
            server = await asyncio.get_running_loop().create_server(make, backend.address, backend.port, reuse_port=True)
        except OSError as error:
            return os.strerror(error.errno or 0)
        self._servers += [(server, _duplicate(listening), make) for listening in server.sockets]
        return ""

    async def end(self) -> None:
        """Takes what is queued, and waits a moment for what is under way."""
        loop = asyncio.get_running_loop()
        for server, queue, make in self._servers:
            server.close()
            for connection, _ in accept_queued(queue):
                await loop.connect_accepted_socket(make, connection)
            queue.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WAIT):
                while self._open:  # those that rest are looked for, too
                    for conversation in [conversation for conversation in self._open if conversation.rests]:
                        conversation.transport.close()
                    await asyncio.sleep(_POLL)


def _duplicate(listening: socket.socket) -> socket.socket:
    """What the loop shows of its sockets can do less than a socket."""
    return socket.socket(fileno=os.dup(listening.fileno()))


async def serve() -> None:
    """Starts what standard input names, until it ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    server = DemoServer()
    while line := await lines.readline():
        print(await server.start(DemoBackend(**json.loads(line))), flush=True)
    await server.end()


def main() -> None:
    """See the module. What a terminal's Ctrl-C sends to all is for whoever started this program."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve())


if __name__ == "__main__":
    main()
