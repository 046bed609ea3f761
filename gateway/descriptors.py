"""Listening sockets on their way from the parent, which binds them, to a worker, which accepts on them.

They travel one by one as SCM_RIGHTS over a SOCK_SEQPACKET pair beside the configuration stream: the parent sends a place's
socket before the batch that needs it. Both ends hold the same places: the worker keeps its copy until the parent says that
the place is gone, and hands out duplicates, so that a listener may leave and come back in between.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from typing import Final, Protocol

import msgspec

Place = tuple[str, int]
"""Address and port, as in Listener.address and Listener.bind_port."""

_MESSAGE_BYTES: Final = 4_096
_TOO_MANY_IN_FLIGHT_PAUSE: Final = 0.01


class ListeningSockets(Protocol):
    """Where a runtime gets the sockets of its listeners from."""

    def take(self, address: str, port: int) -> socket.socket:
        """A duplicate of the place's bound, non-blocking socket; the caller closes it when it no longer accepts there.

        Raises LookupError if there is no socket for this place.
        """


class _Handover(msgspec.Struct, frozen=True):
    """One message: with a descriptor the place is new, without one it is gone."""

    address: str
    port: int


class InheritedSockets:
    """The worker's end. Owns one copy of every socket that it was sent and not told to forget."""

    __slots__ = ("_channel", "_held")

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._held: dict[Place, socket.socket] = {}

    def fileno(self) -> int:
        return self._channel.fileno()

    def receive(self) -> bool:
        """Takes in everything that waits; False once the parent has closed its end."""
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._channel, _MESSAGE_BYTES, 1)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
            if not message:
                return False
            handover = msgspec.json.decode(message, type=_Handover)
            place = (handover.address, handover.port)
            known = self._held.pop(place, None)
            if known is not None:
                known.close()
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
                self._held[place] = socket.socket(fileno=descriptor)
                self._held[place].setblocking(False)

    def take(self, address: str, port: int) -> socket.socket:
        """See ListeningSockets."""
        self.receive()
        held = self._held.get((address, port))
        if held is None:
            raise LookupError(f"the parent process has sent no socket for {address} port {port}")
        return held.dup()

    def close_held(self) -> None:
        """Leaves every place to whoever has taken it: for the end, when the last one that accepts must be the last that holds it."""
        for held in self._held.values():
            held.close()
        self._held.clear()

    def close(self) -> None:
        self.close_held()
        self._channel.close()


class DescriptorSender:
    """The parent's end. Sends in order, and waits in order while the socket is full (some 200 messages)."""

    __slots__ = ("_channel", "_idle", "_loop", "_waiting", "_writing")

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._loop = loop
        self._channel = channel
        self._waiting: deque[tuple[bytes, socket.socket | None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._writing = False

    def hand(self, place: Place, bound: socket.socket) -> None:
        """The other end gets a copy of the socket."""
        self._send(place, bound)

    def forget(self, place: Place) -> None:
        """The other end closes its copy."""
        self._send(place, None)

    async def flushed(self) -> None:
        """Returns when everything has been sent, or can no longer be sent because the worker is gone."""
        while self._waiting:
            await self._idle.wait()

    def close(self) -> None:
        self._stop_writing()
        self._give_up()
        self._channel.close()

    def _send(self, place: Place, bound: socket.socket | None) -> None:
        if self._channel.fileno() < 0:
            return
        self._waiting.append((msgspec.json.encode(_Handover(*place)), bound))
        self._idle.clear()
        if len(self._waiting) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._waiting:
            message, bound = self._waiting[0]
            if bound is None or bound.fileno() >= 0:  # closed meanwhile: its "forget" follows
                try:
                    socket.send_fds(self._channel, [message], [] if bound is None else [bound.fileno()])
                except (BlockingIOError, InterruptedError):
                    self._start_writing()
                    return
                except OSError as error:
                    if error.errno == errno.ETOOMANYREFS:  # the kernel's limit of descriptors in flight, over all processes of this user
                        self._stop_writing()
                        self._loop.call_later(_TOO_MANY_IN_FLIGHT_PAUSE, self._flush)
                        return
                    self._stop_writing()
                    self._give_up()  # the worker is gone, which its stream reports
                    return
            self._waiting.popleft()
        self._stop_writing()
        self._idle.set()

    def _give_up(self) -> None:
        self._waiting.clear()
        self._idle.set()

    def _start_writing(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._channel.fileno(), self._flush)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._channel.fileno())
