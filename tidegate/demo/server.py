"""The process of the demo backends: whatever is asked of one is answered with what it received.

Each line of its standard input is a backend to start, in JSON; each is answered with a line on standard output, what is wrong
or nothing. It lives until its standard input ends, so that it never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.net.accept import accept_queued
from tidegate.demo.answers import DemoBackend
from tidegate.demo.conversations import Conversation, EchoDatagrams

LAST_WAIT: Final = 2.0
"""Seconds that the end waits for what is under way."""
_POLL: Final = 0.02


class DemoServer:
    """Everything that listens, and every connection.

    A port is shared with the demo backends of a program that replaces this one's, or that this one's replaces (SIGUSR2), so that
    somebody listens at every moment, and what has queued here is answered before the end.
    """

    def __init__(self) -> None:
        self._servers: list[tuple[asyncio.Server, socket.socket, Callable[[], Conversation]]] = []
        self._datagrams: list[asyncio.BaseTransport] = []
        self._open: set[Conversation] = set()

    async def start(self, backend: DemoBackend) -> str:
        """What is wrong, '' if nothing is."""
        try:
            await (self._listen(backend) if backend.transport == "tcp" else self._receive(backend))
        except OSError as error:
            return os.strerror(error.errno or 0)
        return ""

    async def _listen(self, backend: DemoBackend) -> None:
        make = partial(Conversation, backend, self._open)
        server = await asyncio.get_running_loop().create_server(make, backend.address, backend.port, reuse_port=True)
        self._servers += [(server, _duplicate(listening), make) for listening in server.sockets]

    async def _receive(self, backend: DemoBackend) -> None:
        place = (backend.address, backend.port)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(partial(EchoDatagrams, backend), place, reuse_port=True)
        self._datagrams.append(transport)

    async def end(self) -> None:
        """Takes what is queued, and waits a moment for what is under way."""
        loop = asyncio.get_running_loop()
        for transport in self._datagrams:
            transport.close()
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
