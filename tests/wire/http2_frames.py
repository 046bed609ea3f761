"""An end of an HTTP/2 connection frame by frame, for what no library would send: written and read by hyperframe and hpack."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Self, TypeVar

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGE = (1 << 31) - 1
Fields = list[tuple[str, str]]
F = TypeVar("F", bound=Frame)


class FrameEnd:
    """In blocking calls; a context manager. `seen` are all frames that have come."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.seen: list[Frame] = []
        self._received = b""
        self._encoder, self._decoder = Encoder(), Decoder()

    @classmethod
    def client(cls, connection: socket.socket, settings: dict[int, int] | None = None) -> Self:
        """The preface and SETTINGS go out."""
        end = cls(connection)
        connection.sendall(PREFACE)
        end.send(SettingsFrame(0, settings=settings or {}))
        return end

    @classmethod
    def server(cls, connection: socket.socket, settings: dict[int, int] | None = None) -> Self:
        """The client's preface is read, SETTINGS go out."""
        end = cls(connection)
        while len(end._received) < len(PREFACE):
            end._receive()
        assert end._received.startswith(PREFACE)
        end._received = end._received[len(PREFACE) :]
        end.send(SettingsFrame(0, settings=settings or {}))
        return end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # sending

    def send(self, *frames: Frame) -> None:
        """All of them in one write."""
        self.socket.sendall(b"".join(frame.serialize() for frame in frames))

    def headers(self, stream: int, fields: Fields, ends: bool = True) -> HeadersFrame:
        flags = ["END_HEADERS", "END_STREAM"] if ends else ["END_HEADERS"]
        return HeadersFrame(stream, self._encoder.encode(fields), flags=flags)

    def request(self, stream: int, target: str = "/", *more: tuple[str, str], method: str = "GET", ends: bool = True) -> HeadersFrame:
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "example.com"), (":path", target)]
        return self.headers(stream, [*pseudo, *more], ends)

    def response(self, stream: int, status: int = 200, *more: tuple[str, str], ends: bool = True) -> HeadersFrame:
        return self.headers(stream, [(":status", str(status)), *more], ends)

    # reading

    def _receive(self) -> bool:
        data = self.socket.recv(65_536)
        self._received += data
        return bool(data)

    def read(self) -> Frame | None:
        """The next frame; None at the end of the connection. SETTINGS are acknowledged."""
        while len(self._received) < 9 or len(self._received) < 9 + int.from_bytes(self._received[:3], "big"):
            if not self._receive():
                return None
        frame, size = Frame.parse_frame_header(memoryview(self._received[:9]))
        frame.parse_body(memoryview(self._received[9 : 9 + size]))
        self._received = self._received[9 + size :]
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.send(SettingsFrame(0, flags=["ACK"]))
        self.seen.append(frame)
        return frame

    def until(self, kind: type[F], true: Callable[[F], bool] = lambda _: True) -> F:
        """The next frame of a kind of which something is true. Raises AssertionError where the connection ends before."""
        while (frame := self.read()) is not None:
            if isinstance(frame, kind) and true(frame):
                return frame
        raise AssertionError(f"the connection ended: {self.seen[-5:]}")

    def fields(self, frame: HeadersFrame) -> dict[str, str]:
        """Of a block, which must be asked of every one in turn."""
        return {str(name): str(value) for name, value in self._decoder.decode(frame.data)}

    def rest(self) -> list[Frame]:
        """What comes until the connection ends."""
        before = len(self.seen)
        while self.read() is not None:
            pass
        return self.seen[before:]

    def ping(self) -> None:
        """Waits for its acknowledgement: whatever was sent before has been read."""
        self.send(PingFrame(0, b"settled?"))
        self.until(PingFrame, lambda frame: "ACK" in frame.flags)


def data(stream: int, payload: bytes = b"", ends: bool = False, padding: int = 0) -> DataFrame:
    flags = [*(["END_STREAM"] if ends else []), *(["PADDED"] if padding else [])]
    return DataFrame(stream, payload, flags=flags, pad_length=padding)


def reset(stream: int, code: int = 8) -> RstStreamFrame:
    return RstStreamFrame(stream, error_code=code)


def goaway(last: int, code: int = 0) -> GoAwayFrame:
    return GoAwayFrame(0, last_stream_id=last, error_code=code)


def window(stream: int, increment: int) -> WindowUpdateFrame:
    return WindowUpdateFrame(stream, window_increment=increment)
