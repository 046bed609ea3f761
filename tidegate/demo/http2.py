"""HTTP/2 of the demo backends, without TLS and without upgrade, on the gateway's own codec.

A request gets what HTTP/1.1 would get. A gRPC call of any method gets its own messages back as they come, and the status OK: what a method
does whose answer has the type of its question. The metadata `backend` and `endpoint` say who answered.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.http import frames
from gateway.http.head import ResponseHead
from gateway.http.hpack import HeaderDecoder, HpackError
from gateway.http.hpack_encoder import HeaderEncoder
from tidegate.demo.answers import BODILESS, Asked, DemoBackend, answer, read

_HEADER: Final = 9
_GRPC: Final = "application/grpc"
_WINDOW: Final = 65_535


class _Stream:
    """One request. `window` is what may still be sent, `waiting` what is to be sent, `trailers` what ends it then; None for not yet."""

    def __init__(self, asked: Asked, window: int) -> None:
        self.asked = asked
        self.window = window
        self.waiting = bytearray()
        self.trailers: list[tuple[bytes, bytes]] | None = None
        self.received = 0
        self.later: asyncio.TimerHandle | None = None

    @property
    def is_call(self) -> bool:
        return self.asked.fields.get("content-type", "").startswith(_GRPC)


class Http2Conversation(asyncio.Protocol):
    """One connection. What breaks a rule ends it with GOAWAY."""

    transport: asyncio.Transport

    def __init__(self, backend: DemoBackend) -> None:
        self._backend = backend
        self._decoder, self._encoder = HeaderDecoder(), HeaderEncoder()
        self._streams: dict[int, _Stream] = {}
        self._last = 0
        self._window = self._first_window = _WINDOW
        self._unread = b""
        self._greeted = False
        self._block: tuple[int, int, bytes] | None = None
        """Stream, flags and what has come of a field block that CONTINUATION goes on with."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(frames.settings_frame(()))

    def connection_lost(self, exc: Exception | None) -> None:
        for number in list(self._streams):
            self._forget(number)

    @property
    def rests(self) -> bool:
        """Whether it has answered, and nothing more has come."""
        return self._last > 0 and not self._streams

    def data_received(self, data: bytes) -> None:
        self._unread += data
        try:
            self._read()
        except (frames.ConnectionFault, HpackError) as fault:
            code = fault.code if isinstance(fault, frames.ConnectionFault) else frames.COMPRESSION_ERROR
            self.transport.write(frames.goaway(self._last, code, str(fault).encode()))
            self.transport.close()

    def _read(self) -> None:
        if not self._greeted:
            if len(self._unread) < len(frames.PREFACE):
                return
            self._unread, self._greeted = self._unread[len(frames.PREFACE) :], True
        while len(self._unread) >= _HEADER:
            head = self._unread[:_HEADER]
            size = int.from_bytes(head[:3], "big")
            if size > frames.SMALLEST_MAX_FRAME:
                raise frames.ConnectionFault(frames.FRAME_SIZE_ERROR, "frame longer than SETTINGS_MAX_FRAME_SIZE")
            if len(self._unread) < _HEADER + size:
                return
            payload, self._unread = self._unread[_HEADER : _HEADER + size], self._unread[_HEADER + size :]
            self._take(head[3], head[4], int.from_bytes(head[5:], "big") & frames.LARGEST_WINDOW, payload)

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and kind != frames.CONTINUATION:
            raise frames.ConnectionFault(frames.PROTOCOL_ERROR, "a field block is not whole")
        match kind:
            case frames.HEADERS:
                self._headers(flags, number, payload)
            case frames.CONTINUATION if self._block is not None:
                stream, first, begun = self._block
                self._fields(stream, first | flags & frames.END_HEADERS, begun + payload)
            case frames.DATA:
                self._data(flags, number, payload)
            case frames.SETTINGS if not flags & frames.ACK:
                self._settings(payload)
            case frames.PING if not flags & frames.ACK:
                self.transport.write(frames.ping(payload, ack=True))
            case frames.WINDOW_UPDATE:
                self._widen(number, frames.read_window_update(payload))
            case frames.RST_STREAM:
                self._forget(number)

    def _settings(self, payload: bytes) -> None:
        for setting, value in frames.read_settings(payload):
            if setting == frames.HEADER_TABLE_SIZE:
                self._encoder.table_limit(value)
            elif setting == frames.INITIAL_WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.window += value - self._first_window
                self._first_window = value
        self.transport.write(frames.SETTINGS_ACK)
        self._send_all()

    def _widen(self, number: int, increment: int) -> None:
        if number == 0:
            self._window += increment
        elif number in self._streams:
            self._streams[number].window += increment
        self._send_all()

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        if flags & frames.PADDED:
            payload = frames.unpadded(payload)
        if flags & frames.PRIORITIZED:
            payload, _ = frames.unprioritized(payload, number)
        self._fields(number, flags, payload)

    def _fields(self, number: int, flags: int, block: bytes) -> None:
        if len(block) > 4 * frames.SMALLEST_MAX_FRAME:
            raise frames.ConnectionFault(frames.ENHANCE_YOUR_CALM, "field block too long")
        self._block = None if flags & frames.END_HEADERS else (number, flags, block)
        if self._block is not None:
            return
        lines = self._decoder.decode(block)
        stream = self._streams.get(number)
        if stream is None:
            if lines is None or number <= self._last or not number % 2:
                raise frames.ConnectionFault(frames.PROTOCOL_ERROR, "no head of a new request")
            self._last = number
            self._begin(number, {name: value for _, name, value, _ in lines}, [(name, value) for _, name, value, _ in lines])
        if flags & frames.END_STREAM:
            self._ended(number)

    def _begin(self, number: int, first: dict[bytes, bytes], lines: list[tuple[bytes, bytes]]) -> None:
        fields = [(name, value) for name, value in lines if not name.startswith(b":")]
        asked = read(first.get(b":method", b""), first.get(b":path", b""), first.get(b":authority"), fields)
        stream = self._streams[number] = _Stream(asked, self._first_window)
        if stream.is_call:
            who = [(b"backend", self._backend.name.encode()), (b"endpoint", self._backend.endpoint.encode())]
            self._head(number, ResponseHead(200, b"OK", [(b"content-type", asked.fields["content-type"].encode("latin-1")), *who], None))

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        if payload:
            self.transport.write(frames.window_update(0, len(payload)) + frames.window_update(number, len(payload)))
        if flags & frames.PADDED:
            payload = frames.unpadded(payload)
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.received += len(payload)
        if stream.is_call:
            stream.waiting += payload
            self._send(number, stream)
        if flags & frames.END_STREAM:
            self._ended(number)

    def _ended(self, number: int) -> None:
        """All of a request has come."""
        stream = self._streams.get(number)
        if stream is None:
            return
        if stream.is_call:
            stream.trailers = [(b"grpc-status", b"0")]
            self._send(number, stream)
        elif delay := stream.asked.delay:
            stream.later = asyncio.get_running_loop().call_later(delay, self._reply, number, stream)
        else:
            self._reply(number, stream)

    def _reply(self, number: int, stream: _Stream) -> None:
        status, body = answer(self._backend, stream.asked, stream.received)
        bodiless = status in BODILESS
        fields = [] if bodiless else [(b"content-type", b"application/json")]
        self._head(number, ResponseHead(status, b"", fields, None if bodiless else len(body)))
        stream.waiting += b"" if bodiless or stream.asked.method == "HEAD" else body
        stream.trailers = []
        self._send(number, stream)

    def _head(self, number: int, head: ResponseHead) -> None:
        self.transport.write(frames.header_frames(number, self._encoder.response(head), False, frames.SMALLEST_MAX_FRAME))

    def _send_all(self) -> None:
        for number, stream in list(self._streams.items()):
            self._send(number, stream)

    def _send(self, number: int, stream: _Stream) -> None:
        """What the windows allow, and the end once all has been sent."""
        while stream.waiting and (most := min(len(stream.waiting), stream.window, self._window, frames.SMALLEST_MAX_FRAME)) > 0:
            self.transport.write(frames.frame(frames.DATA, 0, number, bytes(stream.waiting[:most])))
            del stream.waiting[:most]
            stream.window -= most
            self._window -= most
        if stream.waiting or stream.trailers is None:
            return
        if stream.trailers:
            block = self._encoder.trailers(stream.trailers)
            self.transport.write(frames.header_frames(number, block, True, frames.SMALLEST_MAX_FRAME))
        else:
            self.transport.write(frames.frame(frames.DATA, frames.END_STREAM, number))
        self._forget(number)

    def _forget(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None and stream.later is not None:
            stream.later.cancel()
