"""One end of a SOCK_SEQPACKET pair on which messages and descriptors (SCM_RIGHTS) travel between two processes, in order.

What the other end is too busy to take waits here, so that nobody blocks; what waits when that end is gone comes back to
whoever gave it away. Descriptors that arrive are sockets of this process, non-blocking and not inherited by what it starts.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MESSAGE_BYTES: Final = 4_096
_TOO_MANY_IN_FLIGHT_PAUSE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message, with the socket whose descriptor goes with it. One that is given away is closed here once it is sent."""

    message: bytes
    passed: socket.socket | None = None
    given_away: bool = False


class DescriptorChannel:
    """Owner of its end of the pair. Sending needs a running loop only when the other end does not keep up."""

    __slots__ = ("_channel", "_idle", "_loop", "_unsent", "_waiting", "ended")

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._waiting: deque[Parcel] = deque()
        self._unsent: list[Parcel] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Set while it tells when the channel can be written."""
        self.ended = False
        """Whether the other end is closed, and all that it sent has been received."""

    def fileno(self) -> int:
        """-1 once it is closed."""
        return self._channel.fileno()

    @property
    def waiting(self) -> int:
        """Messages that the other end has not made room for."""
        return len(self._waiting)

    def send(self, parcel: Parcel) -> None:
        """In order; a socket that is closed before its turn comes is left out with its message."""
        self._waiting.append(parcel)
        self._idle.clear()
        if len(self._waiting) == 1:
            self._flush()

    def send_now(self, message: bytes) -> None:
        """Past everything that waits, or not at all when the other end has no room."""
        try:
            self._channel.send(message)
        except OSError:
            pass  # full, or the other end is gone, which `ended` says

    async def flushed(self) -> None:
        """Returns when everything has been sent, or can no longer be sent because the other end is gone."""
        while self._waiting:
            await self._idle.wait()

    def received(self) -> Iterator[tuple[bytes, list[socket.socket]]]:
        """What has come, without waiting: messages, each with its sockets; none where this process had no descriptor left to take one."""
        while not self.ended and self._channel.fileno() >= 0:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._channel, _MESSAGE_BYTES, 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                message, descriptors = b"", []
            if not message:
                self.ended = True
                return
            yield message, [_adopted(descriptor) for descriptor in descriptors]

    def close(self) -> tuple[Parcel, ...]:
        """Ends it; what was given away and could not be sent is the caller's again."""
        self._stop_writing()
        self._give_up()
        self._channel.close()
        unsent, self._unsent = tuple(self._unsent), []
        return unsent

    def _flush(self) -> None:
        while self._waiting:
            parcel = self._waiting[0]
            passed = parcel.passed
            if passed is None or passed.fileno() >= 0:
                try:
                    socket.send_fds(self._channel, [parcel.message], [] if passed is None else [passed.fileno()])
                except (BlockingIOError, InterruptedError):
                    self._start_writing()
                    return
                except OSError as error:
                    self._stop_writing()
                    if error.errno == errno.ETOOMANYREFS:  # the kernel's limit of descriptors in flight, over all processes of this user
                        asyncio.get_running_loop().call_later(_TOO_MANY_IN_FLIGHT_PAUSE, self._flush)
                        return
                    self._give_up()
                    return
                if passed is not None and parcel.given_away:
                    passed.close()
            self._waiting.popleft()
        self._stop_writing()
        self._idle.set()

    def _give_up(self) -> None:
        self._unsent += [parcel for parcel in self._waiting if parcel.given_away]
        self._waiting.clear()
        self._idle.set()

    def _start_writing(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_writer(self._channel.fileno(), self._flush)

    def _stop_writing(self) -> None:
        if self._loop is not None:
            self._loop.remove_writer(self._channel.fileno())
            self._loop = None


def _adopted(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    received = socket.socket(fileno=descriptor)
    received.setblocking(False)
    return received
