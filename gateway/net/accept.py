"""Accepts connections from a listening socket and hands them on, whatever is spoken on them.

When the process runs out of descriptors a waiting connection could neither be accepted nor refused, and a level-triggered
loop would spin on it. A descriptor kept in reserve is then given up to accept and close one, so that its client learns of
it at once, and accepting pauses; the others wait in the system's queue.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Protocol

from gateway.net.proxy_protocol import Ends
from gateway.net.sockets import Address

AT_ONCE = 64
"""Connections accepted in one callback, so that a burst does not keep those that are served waiting."""
PAUSE = 0.5
"""Seconds without accepting after descriptors or buffers ran out."""

_NO_DESCRIPTOR = frozenset((errno.EMFILE, errno.ENFILE))
_OF_ONE_CONNECTION = frozenset(
    (
        errno.ECONNABORTED,
        errno.EPERM,
        errno.EPROTO,
        errno.ENOPROTOOPT,
        errno.EHOSTDOWN,
        errno.ENONET,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENETDOWN,
        errno.ENETUNREACH,
    )
)
"""Errors of the connection that was waiting, which is gone with them (accept(2)); the next one may be well."""


class Seat(Protocol):
    """The place of a connection among those that are counted, from accept to its end."""

    ends: Ends | None
    """What a PROXY header says of it."""

    def leave(self) -> None:
        """Its end; further calls do nothing."""


class Acceptor:
    """Starts at once. `accepted` gets each connection, non-blocking and its own to close, with the peer's address.

    The listening socket belongs to the acceptor from here on.
    """

    __slots__ = ("_accepted", "_closing", "_listening", "_loop", "_paused", "_reserve", "_resting", "errors")

    def __init__(
        self, listening: socket.socket, loop: asyncio.AbstractEventLoop, accepted: Callable[[socket.socket, Address], None]
    ) -> None:
        self._listening, self._loop, self._accepted = listening, loop, accepted
        self._reserve: int | None = _reserve()
        self._closing = self._paused = False
        self._resting: asyncio.TimerHandle | None = None
        self.errors: dict[str, int] = {}
        """How often accepting failed, by the name of the error (EMFILE, ECONNABORTED ...)."""
        loop.add_reader(listening, self._readable)

    def close(self) -> None:
        """Accepts what is queued already, then listens no more. A connection that comes in between those two steps is reset.

        Nothing is lost where another descriptor for the same socket stays open, as in a parent of several workers.
        """
        if self._closing:
            return
        self.pause()
        self._closing = True
        if self._resting is not None:
            self._resting.cancel()
        while self._accept():
            pass
        self._listening.close()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def pause(self) -> None:
        """Accepts nothing until `resume`; who connects meanwhile waits in the system's queue."""
        if not self._paused and not self._closing:
            self._paused = True
            self._loop.remove_reader(self._listening)

    def resume(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            if self._resting is None:
                self._loop.add_reader(self._listening, self._readable)

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            if not self._accept():
                return

    def _accept(self) -> bool:
        """Whether it is worth to try again at once."""
        try:
            connection, address = self._listening.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            self._count(error)
            if error.errno in _OF_ONE_CONNECTION:
                return True
            if error.errno in _NO_DESCRIPTOR:
                self._shed()
            self._rest()
            return False
        connection.setblocking(False)
        self._accepted(connection, address)
        return True

    def _shed(self) -> None:
        if self._reserve is None:
            return
        os.close(self._reserve)
        try:
            self._listening.accept()[0].close()
        except OSError:
            pass  # whoever waited has left, or another thread was quicker to take the descriptor
        self._reserve = _reserve()

    def _rest(self) -> None:
        if not self._closing:
            self._loop.remove_reader(self._listening)
            self._resting = self._loop.call_later(PAUSE, self._rested)

    def _rested(self) -> None:
        self._resting = None
        if self._reserve is None:
            self._reserve = _reserve()
        if not self._paused:
            self._loop.add_reader(self._listening, self._readable)

    def _count(self, error: OSError) -> None:
        name = errno.errorcode.get(error.errno or 0, "other")
        self.errors[name] = self.errors.get(name, 0) + 1


def accept_queued(listening: socket.socket) -> Iterator[tuple[socket.socket, Address]]:
    """What is queued on a socket that is about to be closed, each connection non-blocking and the caller's; ends at the first failure."""
    while True:
        try:
            connection, address = listening.accept()
        except OSError as error:
            if error.errno in _OF_ONE_CONNECTION:
                continue
            return
        connection.setblocking(False)
        yield connection, address


def _reserve() -> int | None:
    """A descriptor to give up later; None while there is none to be had."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
