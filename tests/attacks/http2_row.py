"""What a row about HTTP/2 says: the frames, the verdict, and the text that demands it. Plain values, no sockets.

Field blocks of rows are literals that touch no table (RFC 7541 6.2.2), so that a row's bytes mean the same whole, in pieces, and behind
others. Where a row is about compression it writes its block itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack
from typing import Final

Field = tuple[bytes, bytes]
Fields = tuple[Field, ...]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
INITIAL_WINDOW_SIZE: Final = 4
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20

(
    NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM,
    CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED,
) = range(14)  # fmt: skip

WINDOW: Final = 65_535
"""Of a stream, and of a connection, until something else is said (RFC 9113 6.9.2)."""
LARGEST: Final = (1 << 31) - 1
MOST_IN_A_FRAME: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may become of a row; one of these, with any of the codes.

    ends      GOAWAY with such a code, and the end of the connection
    resets    RST_STREAM of the row's stream with such a code; the connection goes on
    answers   a response with such a status; the connection goes on
    unspoken  the end of the connection without GOAWAY will do (RFC 9113 3.4)
    """

    ends: tuple[int, ...] = ()
    resets: tuple[int, ...] = ()
    answers: tuple[int, ...] = ()
    unspoken: bool = False


def ends(*codes: int) -> Verdict:
    return Verdict(ends=codes)


def resets(*codes: int) -> Verdict:
    return Verdict(resets=codes)


def answers(*statuses: int) -> Verdict:
    return Verdict(answers=statuses)


MALFORMED: Final = Verdict(resets=(PROTOCOL_ERROR,), answers=(400,))
"""RFC 9113 8.1.1: a stream error; a response may go before it."""
INVALID_PREFACE: Final = Verdict(ends=(PROTOCOL_ERROR,), unspoken=True)


@dataclass(frozen=True, slots=True)
class Http2Attack:
    """Frames of which nothing gets through.

    sent        what follows the exchange of SETTINGS; of a `bare` row all that the client writes, the preface too
    stream      the one that the verdict is about
    late        the fault stands behind a good head: a backend may have seen how a request begins, but never its end
    before      targets of good requests that stand before the fault, and may reach the backend whole
    unanswered  the backend answers nothing, so that streams stay as the row has left them
    """

    name: str
    source: str
    sent: bytes
    verdict: Verdict
    stream: int = 1
    late: bool = False
    before: tuple[bytes, ...] = ()
    unanswered: bool = False
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Http2Served:
    """A request that reaches the backend as this. `fields` are all values of the names they name, `absent` names do not arrive.

    settings   of the client, announced first
    stream     the one that carries the request
    closes     whether the client will open no stream any more
    others     streams of others that are served beside it, with the targets `more`
    cancelled  targets that may reach the backend, whole or not, and are not answered
    then       what the client sends once the request has reached the backend
    pings      payloads that are acknowledged
    """

    name: str
    source: str
    sent: bytes
    method: bytes = b"GET"
    target: bytes = b"/"
    fields: Fields = ()
    absent: tuple[bytes, ...] = ()
    body: bytes = b""
    trailers: Fields = ()
    settings: tuple[tuple[int, int], ...] = ()
    stream: int = 1
    closes: bool = False
    others: tuple[int, ...] = ()
    more: tuple[bytes, ...] = ()
    cancelled: tuple[bytes, ...] = ()
    then: bytes = b""
    pings: tuple[bytes, ...] = ()


Http2Row = Http2Attack | Http2Served


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return pack("!I", len(payload))[1:] + pack("!BBI", kind, flags, stream) + payload


def string(data: bytes) -> bytes:
    """A string literal as it is (RFC 7541 5.2)."""
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest, size = len(data) - 127, b"\x7f"
    while rest >= 128:
        size, rest = size + bytes((rest & 0x7F | 0x80,)), rest >> 7
    return size + bytes((rest,)) + data


def block(*fields: Field) -> bytes:
    """Literals without indexing and with their names."""
    return b"".join(b"\x00" + string(name) + string(value) for name, value in fields)


def head(*fields: Field, method: bytes = b"GET", path: bytes = b"/", scheme: bytes = b"http", authority: bytes = b"a.example") -> Fields:
    """A good head with further fields."""
    return ((b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path), *fields)


def headers(stream: int, fields: Fields | bytes, flags: int = END_STREAM | END_HEADERS) -> bytes:
    """HEADERS with these fields, or with a block that is written already."""
    return frame(HEADERS, flags, stream, fields if isinstance(fields, bytes) else block(*fields))


def get(*fields: Field, stream: int = 1, path: bytes = b"/") -> bytes:
    """A whole GET with further fields."""
    return headers(stream, head(*fields, path=path))


def post(*fields: Field, stream: int = 1, path: bytes = b"/") -> bytes:
    """The head of a POST whose body is still to come."""
    return headers(stream, head(*fields, method=b"POST", path=path), END_HEADERS)


def data(body: bytes, stream: int = 1, flags: int = END_STREAM) -> bytes:
    return frame(DATA, flags, stream, body)


def padded(kind: int, flags: int, stream: int, payload: bytes, padding: int, length: int | None = None) -> bytes:
    """A frame with so much padding; `length` is what it says of it."""
    said = padding if length is None else length
    return frame(kind, flags | PADDED, stream, bytes((said,)) + payload + bytes(padding))


def settings(*pairs: tuple[int, int], flags: int = 0, stream: int = 0) -> bytes:
    return frame(SETTINGS, flags, stream, b"".join(pack("!HI", name, value) for name, value in pairs))


def window_update(increment: int, stream: int = 0) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, pack("!I", increment))


def rst_stream(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, pack("!I", code))


def ping(payload: bytes = b"8 bytes.", flags: int = 0, stream: int = 0) -> bytes:
    return frame(PING, flags, stream, payload)


def goaway(last: int = 0, code: int = NO_ERROR, stream: int = 0) -> bytes:
    return frame(GOAWAY, 0, stream, pack("!II", last, code))


def priority(stream: int, dependency: int = 0, weight: int = 15) -> bytes:
    return frame(PRIORITY, 0, stream, pack("!IB", dependency, weight))
