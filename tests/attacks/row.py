"""What a row of the attack table says: the bytes, the verdict, and the text that demands it. Plain values, no sockets.

Two kinds of rows are about requests (`Refused`, `Served`), two about a backend's answers (`Failed`, `Relayed`). `Served` and
`Relayed` stand for what is legal but odd, and for attacks that are taken apart instead of refused: the module they stand in says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Fields = tuple[tuple[bytes, bytes], ...]

HOST: Final = b"Host: a.example"
CHUNKED: Final = b"Transfer-Encoding: chunked"
TARGET_LIMIT: Final = 8 * 1024
"""Limits of the product, restated: reference 2.1 and 2.2."""
HEAD_LIMIT: Final = 60 * 1024
VALUE_LIMIT: Final = 16 * 1024
FIELD_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that never gets through.

    status  of the answer; 0 when the client has gone away and nobody is left to answer
    late    the fault stands behind a good head: a backend may have seen how the request begins, but never its end
    closes  whether the answer ends the connection; an answer of ours that is no refusal (a redirect) need not
    ends    the client ends its side after the bytes
    """

    name: str
    source: str
    sent: bytes
    status: int = 400
    late: bool = False
    closes: bool = True
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A request that reaches the backend once, as this. `fields` are all values of the names they name, `absent` names do not arrive."""

    name: str
    source: str
    sent: bytes
    method: bytes = b"GET"
    target: bytes = b"/"
    fields: Fields = ()
    absent: tuple[bytes, ...] = ()
    body: bytes = b""
    trailers: Fields = ()
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """An answer of a backend that is not passed on: the client gets `status`, and the connection is never used again.

    late     the fault stands behind a good head: the client may have got a beginning instead, which must be visibly cut
    surplus  the answer is whole, and more follows: if it comes later, the answer has gone out already and stands
    ends     the backend closes the connection after the bytes
    """

    name: str
    source: str
    answer: bytes
    sent: bytes = b"GET /asked HTTP/1.1\r\nHost: a.example\r\n\r\n"
    status: int = 502
    late: bool = False
    surplus: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Relayed:
    """An answer of a backend that reaches the client as this. `kept` tells whether the connection serves the next request too."""

    name: str
    source: str
    answer: bytes
    sent: bytes = b"GET /asked HTTP/1.1\r\nHost: a.example\r\n\r\n"
    status: int = 200
    fields: Fields = ()
    absent: tuple[bytes, ...] = ()
    body: bytes = b"ok"
    informational: tuple[int, ...] = ()
    ends: bool = False
    kept: bool = True


AnyRow = Refused | Served | Failed | Relayed


def lines(*parts: bytes, body: bytes = b"") -> bytes:
    """A message of these lines, an empty line, and a body."""
    return b"\r\n".join((*parts, b"", body))


def get(*fields: bytes, target: bytes = b"/") -> bytes:
    """A GET with a good Host and these field lines."""
    return lines(b"GET %b HTTP/1.1" % target, HOST, *fields)


def post(*fields: bytes, body: bytes = b"", target: bytes = b"/") -> bytes:
    """A POST with a good Host and these field lines; the framing is theirs."""
    return lines(b"POST %b HTTP/1.1" % target, HOST, *fields, body=body)


def chunked(body: bytes) -> bytes:
    """A POST whose chunked body is these bytes."""
    return post(CHUNKED, body=body)


def line(request_line: bytes) -> bytes:
    """A request with this request line and a good Host."""
    return lines(request_line, HOST)


def hosted(value: bytes) -> bytes:
    """A GET with this Host."""
    return lines(b"GET / HTTP/1.1", b"Host: " + value)


def answer(*fields: bytes, body: bytes = b"ok", status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A response with these field lines; the framing is theirs."""
    return lines(status, *fields, body=body)
