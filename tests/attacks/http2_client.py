"""A client of HTTP/2 that sends exactly the bytes it is given, and takes apart what comes back; field blocks are read by the hpack library.

It answers nothing by itself but the gateway's SETTINGS, once, and opens no window.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hpack import Decoder, HPACKError

from tests.attacks.backend import LIMIT, turn
from tests.attacks.http2_row import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    SETTINGS,
    settings,
)


@dataclass(slots=True)
class Stream:
    """What came on one: `status` of the final head, 0 without one; `reset` the code of RST_STREAM, None without one."""

    status: int = 0
    fields: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    informational: tuple[int, ...] = ()
    reset: int | None = None
    ended: bool = False

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


@dataclass(slots=True)
class Seen:
    """All that came on a connection. `goaway` is the code of the last GOAWAY, None without one; `fault` what is no HTTP/2."""

    streams: dict[int, Stream] = field(default_factory=dict)
    goaway: int | None = None
    settings: bool = False
    acknowledged: int = 0
    """SETTINGS of ours that were acknowledged."""
    pongs: list[bytes] = field(default_factory=list)
    frames: int = 0
    fault: str = ""
    ended: bool = False

    def stream(self, number: int) -> Stream:
        return self.streams.setdefault(number, Stream())


class Http2Client:
    """One connection, in the running loop."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.seen = Seen()
        self.received = b""
        """What was not taken apart yet."""
        self._decoder = Decoder()
        self._decoder.max_header_list_size = 1 << 20
        self._block: bytes | None = None

    @classmethod
    async def connect(cls, address: tuple[str, int], receive_buffer: int | None = None) -> Http2Client:
        """Says nothing yet."""
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(connection, address)
        return cls(connection)

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def open(self, *pairs: tuple[int, int], limit: float = LIMIT) -> None:
        """The preface, these settings, and the acknowledgement of the other side's."""
        await self.send([PREFACE + settings(*pairs)])
        await self.read(lambda seen: seen.settings and seen.acknowledged > 0, limit)
        await self.send([settings(flags=ACK)])

    async def send(self, pieces: Iterable[bytes], limit: float = LIMIT) -> bool:
        """Each piece is read before the next is sent. False where the other side has closed the connection or takes no more."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit):
                for piece in pieces:
                    await loop.sock_sendall(self._socket, piece)
                    await turn()
        except OSError:
            return False  # what was answered before is still there to be read
        return True

    async def read(self, enough: Callable[[Seen], Any], limit: float = LIMIT) -> Seen:
        """What came until it is enough, or until the end of the connection."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit):
                while not self.seen.ended and not enough(self.seen):
                    try:
                        data = await loop.sock_recv(self._socket, 65_536)
                    except ConnectionResetError:
                        data = b""
                    self._take(data)
        except TimeoutError:
            raise AssertionError(f"nothing more came after {self.seen}") from None
        return self.seen

    def look(self) -> Seen:
        """What has come by now, without waiting."""
        while not self.seen.ended:
            try:
                data = self._socket.recv(65_536)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            self._take(data)
        return self.seen

    def _take(self, data: bytes) -> None:
        self.seen.ended = not data
        self.received += data
        at = 0
        while len(self.received) - at >= 9 and not self.seen.fault:
            size = int.from_bytes(self.received[at : at + 3], "big")
            if len(self.received) - at < 9 + size:
                break
            kind, flags = self.received[at + 3], self.received[at + 4]
            stream = int.from_bytes(self.received[at + 5 : at + 9], "big")
            if not self.seen.settings and (kind, flags) != (SETTINGS, 0):
                self.seen.fault = f"no SETTINGS come first: {self.received[:80]!r}"
                return
            self._take_frame(kind, flags, stream, self.received[at + 9 : at + 9 + size])
            at += 9 + size
        self.received = self.received[at:]

    def _take_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        seen = self.seen
        seen.frames += 1
        if kind in (DATA, HEADERS) and flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        match kind:
            case 0:  # DATA
                seen.stream(stream).body += payload
                seen.stream(stream).ended |= bool(flags & END_STREAM)
            case 1 | 9:  # HEADERS, CONTINUATION
                self._block = (self._block or b"") + payload
                if kind == HEADERS and flags & END_STREAM:
                    seen.stream(stream).ended = True
                if flags & END_HEADERS:
                    self._take_block(stream)
            case 3:  # RST_STREAM
                seen.stream(stream).reset = int.from_bytes(payload, "big")
            case 4:  # SETTINGS
                if flags & ACK:
                    seen.acknowledged += 1
                else:
                    seen.settings = True
            case 6 if flags & ACK:  # PING
                seen.pongs.append(payload)
            case 7:  # GOAWAY
                seen.goaway = int.from_bytes(payload[4:8], "big")

    def _take_block(self, number: int) -> None:
        try:
            fields = tuple((bytes(name), bytes(value)) for name, value in self._decoder.decode(self._block or b"", raw=True))
        except HPACKError as fault:
            self.seen.fault = f"a field block cannot be decoded: {fault}"
            return
        self._block = None
        stream = self.seen.stream(number)
        status = int(dict(fields).get(b":status", b"0"))
        if stream.status:
            stream.trailers = fields
        elif 100 <= status < 200:
            stream.informational += (status,)
        else:
            stream.status, stream.fields = status, fields
