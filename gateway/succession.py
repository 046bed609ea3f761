"""How a running program hands its listening sockets to the one that replaces it, and learns whether that one is ready.

The old program starts the new one (Successor) with one end of a SOCK_SEQPACKET pair, over which the new one (Predecessor) gets
every listening socket. They are the same sockets in both, so what queues on them is lost by neither. Only when the new one
says that it serves does the old one stop; until then nothing has happened that could not be taken back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from gateway.descriptor_channel import DescriptorChannel, Parcel
from gateway.descriptors import Place, Transport

CHANNEL_VARIABLE: Final = "TIDEGATE_PREDECESSOR"
"""Environment variable with the descriptor of the new program's end."""
READY_WITHIN: Final = 60.0
"""Seconds in which the new program has to serve."""
_SOCKETS_WITHIN: Final = 10.0
_GRACE: Final = 5.0
"""Seconds that a new program gets to end after it was told to."""
_POLL: Final = 0.01


class Word(msgspec.Struct, frozen=True):
    """One message. From the old program: a place's socket or the admin server's (with its descriptor), a place that is gone, that
    these are all, that everything is the new one's. From the new one: that it serves, or why it will not."""

    what: Literal["socket", "admin", "gone", "complete", "over", "ready", "refused"]
    address: str = ""
    port: int = 0
    transport: Transport = "tcp"
    reason: str = ""

    @property
    def place(self) -> Place:
        return Place(self.address, self.port, self.transport)


_decoder = msgspec.json.Decoder(Word)


def _send(channel: DescriptorChannel, word: Word, passed: socket.socket | None = None) -> None:
    channel.send(Parcel(msgspec.json.encode(word), passed))


class SuccessionFailed(Exception):
    """The new program does not take over; the message says why."""


class Successor:
    """The old program's side: the new process, and our end of the channel to it."""

    def __init__(self, channel: DescriptorChannel, process: subprocess.Popen[bytes]) -> None:
        self._channel = channel
        self._process = process
        self._readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(channel.fileno(), self._readable.set)

    @classmethod
    def start(cls, command: Sequence[str], environment: Mapping[str, str], inherited: Sequence[int] = ()) -> Successor:
        """Starts the new program, in a process group of its own: signals of a terminal reach it through us. Raises OSError."""
        ours, its_own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with its_own:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    env={**environment, CHANNEL_VARIABLE: str(its_own.fileno())},
                    pass_fds=(its_own.fileno(), *inherited),
                    process_group=0,
                )
        except BaseException:
            ours.close()
            raise
        return cls(DescriptorChannel(ours), process)

    @property
    def process(self) -> int:
        """Its process id."""
        return self._process.pid

    def hand(self, place: Place, sockets: Iterable[socket.socket]) -> None:
        """All sockets of a place, in the order of the workers."""
        for listening in sockets:
            _send(self._channel, Word("socket", *place), listening)

    def hand_admin(self, listening: socket.socket) -> None:
        _send(self._channel, Word("admin"), listening)

    def forget(self, place: Place) -> None:
        """The place is no longer ours to give."""
        _send(self._channel, Word("gone", *place))

    def complete(self) -> None:
        """Everything that there is has been handed; changes may follow."""
        _send(self._channel, Word("complete"))

    async def ready(self) -> None:
        """Returns when the new program serves. Raises SuccessionFailed."""
        try:
            async with asyncio.timeout(READY_WITHIN):
                while not self._is_ready():
                    await self._readable.wait()
        except TimeoutError:
            raise SuccessionFailed(f"it was not ready within {READY_WITHIN:g} s") from None
        if self._channel.ended:
            await self._end_within(_GRACE)
            status = self._process.returncode
            ending = "closed its channel" if status is None else f"ended with exit status {status}"
            raise SuccessionFailed(f"it {ending} before it was ready")

    def _is_ready(self) -> bool:
        """Whether it is, or never will be. Raises SuccessionFailed if it says so."""
        self._readable.clear()
        for message, _ in self._channel.received():
            word = _decoder.decode(message)
            if word.what == "refused":
                raise SuccessionFailed(word.reason)
            if word.what == "ready":
                return True
        return self._channel.ended

    async def leave_it_all(self) -> None:
        """From here on the new program is the one that serves; closes our end."""
        _send(self._channel, Word("over"))
        await self._channel.flushed()
        self.close()

    async def end(self) -> None:
        """Ends the new program, which has not taken over: what it has accepted by now is finished."""
        if self._process.poll() is None:
            self._process.terminate()
            if not await self._end_within(_GRACE):
                self._process.kill()
                await self._end_within(_GRACE)
        self.close()

    def close(self) -> None:
        if self._channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()

    async def _end_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._process.poll() is None:  # noqa: ASYNC110  # no event on every platform; it is about to end
                    await asyncio.sleep(_POLL)
        return self._process.poll() is not None


class Predecessor:
    """The new program's side: the sockets that it was given and has not used yet."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = DescriptorChannel(channel)
        self._sockets: dict[Place, list[socket.socket]] = {}
        self._readable = asyncio.Event()
        self._complete = self._over = False
        self._admin: socket.socket | None = None
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._receive)

    @classmethod
    def of_environment(cls) -> Predecessor | None:
        """The program that has started this one to take over from it, if one has. Asked once: processes of ours must not find it."""
        channel = _inherited(os.environ.pop(CHANNEL_VARIABLE, ""))
        return cls(channel) if channel is not None else None

    async def hand_over(self) -> None:
        """Returns when all sockets are here, or there is nobody to give more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SOCKETS_WITHIN):
                while not (self._complete or self._over):
                    self._readable.clear()
                    await self._readable.wait()

    def claim(self, place: Place) -> list[socket.socket]:
        """See places.Claim."""
        self._receive()
        return self._sockets.pop(place, [])

    def claim_admin(self) -> socket.socket | None:
        """The listening socket of its admin server, if it has one."""
        admin, self._admin = self._admin, None
        return admin

    def refuse(self, reason: str) -> None:
        """Says why this program does not take over; it is ended then."""
        _send(self._channel, Word("refused", reason=reason))

    async def take_over(self) -> None:
        """Says that this program serves; returns when the old one has stopped accepting and leaves everything to us, or is gone."""
        _send(self._channel, Word("ready"))
        while not self._over:
            self._readable.clear()
            await self._readable.wait()

    def close(self) -> None:
        """Closes what nobody has claimed."""
        if self._channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
        for place in list(self._sockets):
            self._drop(place)
        if self._admin is not None:
            self._admin.close()

    def _drop(self, place: Place) -> None:
        for listening in self._sockets.pop(place, ()):
            listening.close()

    def _receive(self) -> None:
        for message, received in self._channel.received():
            word = _decoder.decode(message)
            match word.what:
                case "socket":
                    self._sockets.setdefault(word.place, []).extend(received)
                case "admin":
                    self._admin = next(iter(received), None)
                case "gone":
                    self._drop(word.place)
                case "complete":
                    self._complete = True
                case "over":
                    self._over = True
                case "ready" | "refused":
                    pass  # nobody who came before us says so
        if self._channel.ended and self._channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._over = True
        self._readable.set()


def _inherited(number: str) -> socket.socket | None:
    """The socket with this descriptor; None for what is none, so that a variable that somebody else has set does no harm."""
    try:
        channel = socket.socket(fileno=int(number))
    except (OSError, ValueError):
        return None
    channel.set_inheritable(False)
    return channel
