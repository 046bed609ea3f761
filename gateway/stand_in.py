"""The parent's part in serving: where a worker cannot accept, connections are accepted here and handed to one that can.

Nobody waits for a worker that is gone, starting or silent, as long as another one serves. Without any they wait in the system's
queue. The parent accepts a few at a time, and none while the workers are too busy to take what it has.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from gateway.descriptors import Connection, DescriptorSender, Place

AT_ONCE: Final = 16
"""Connections accepted in one callback."""
MOST_WAITING: Final = 64
"""Messages that a worker has not taken, beyond which it gets no more connections."""
MOST_QUEUED: Final = 4_096
"""Connections that the queue of a socket holds."""
PAUSE: Final = 0.05
"""Seconds without accepting after the workers were too busy, or descriptors ran out."""


class Server(Protocol):
    """A worker."""

    @property
    def takes(self) -> bool:
        """Whether connections may be handed to it."""

    @property
    def sender(self) -> DescriptorSender | None:
        """The way to it."""


class StandIn:
    """Accepts on other workers' sockets, which stay their owner's. `handed` counts the connections handed over."""

    __slots__ = ("_loop", "_next", "_pause", "_returned", "_servers", "_watched", "handed")

    def __init__(self, servers: Sequence[Server]) -> None:
        self._loop = asyncio.get_running_loop()
        self._servers = servers
        self._watched: dict[socket.socket, Place] = {}
        self._next = 0
        self._pause: asyncio.TimerHandle | None = None
        self._returned: list[Connection] = []
        """Connections that were on their way to a worker that is gone."""
        self.handed = 0

    def watch(self, unattended: Iterable[tuple[Place, socket.socket]]) -> None:
        """From now on these sockets, and no others; none while there is nobody to hand a connection to."""
        wanted = {listening: place for place, listening in unattended} if any(server.takes for server in self._servers) else {}
        for listening in self._watched.keys() - wanted.keys():
            self._stop(listening)
        for listening, place in wanted.items():
            if listening not in self._watched:
                self._watched[listening] = place
                if self._pause is None:
                    self._loop.add_reader(listening, self._accept, listening)
        while self._returned and (server := self._choose()) is not None:
            self._hand(server, self._returned.pop())

    def leave(self, sockets: Iterable[socket.socket]) -> None:
        """These are about to be closed."""
        for listening in sockets:
            if listening in self._watched:
                self._stop(listening)

    def give_back(self, connections: Iterable[Connection]) -> None:
        """What could not be sent to its worker goes to another one, as soon as there is one."""
        self._returned += connections

    def finish(self) -> None:
        """Accepts what is queued where nobody else does, and ends."""
        for listening in tuple(self._watched):
            for _ in range(MOST_QUEUED // AT_ONCE):
                if not self._accept(listening):
                    break
        self.close()

    def close(self) -> None:
        """Ends it; connections that nobody took are closed."""
        self.leave(tuple(self._watched))
        for _, connection in self._returned:
            connection.close()
        self._returned.clear()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _stop(self, listening: socket.socket) -> None:
        del self._watched[listening]
        if self._pause is None:
            self._loop.remove_reader(listening)

    def _accept(self, listening: socket.socket) -> bool:
        """Whether it is worth to try again at once."""
        for _ in range(AT_ONCE):
            server = self._choose()
            if server is None:
                self._rest()
                return False
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return False
            except OSError:  # no descriptor left: whoever waits is served when there is one, or when the worker is back
                self._rest()
                return False
            connection.setblocking(False)
            self._hand(server, (self._watched[listening], connection))
        return True

    def _choose(self) -> DescriptorSender | None:
        """The next in turn of those that take connections and are not too busy."""
        count = len(self._servers)
        for step in range(count):
            server = self._servers[(self._next + step) % count]
            if server.takes and server.sender is not None and server.sender.waiting < MOST_WAITING:
                self._next = (self._next + step + 1) % count
                return server.sender
        return None

    def _hand(self, server: DescriptorSender, connection: Connection) -> None:
        self.handed += 1
        server.pass_on(*connection)

    def _rest(self) -> None:
        if self._pause is not None:
            return
        for listening in self._watched:
            self._loop.remove_reader(listening)
        self._pause = self._loop.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        self._pause = None
        for listening in self._watched:
            self._loop.add_reader(listening, self._accept, listening)
