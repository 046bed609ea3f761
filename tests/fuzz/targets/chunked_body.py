"""A chunked body: the same verdict however it arrives, the same bytes as a slow reader and h11 find, and written it reads the same."""

from __future__ import annotations

import string
from typing import Final, NamedTuple

import h11

from gateway.http.chunked import EXTENSION_LIMIT, TRAILER_COUNT, TRAILER_LIMIT, ChunkedReader, MalformedChunk, last_chunk
from gateway.http.head import Fields
from tests.fuzz.cuts import cuts

_HEAD: Final = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
_HEXADECIMAL: Final = frozenset(string.hexdigits.encode())


class Read(NamedTuple):
    body: bytes
    ended: bool
    trailers: Fields
    surplus: bytes


def run(data: bytes) -> None:
    """`data` is a chunked body and whatever is behind it."""
    found = [read(pieces) for pieces in cuts(data)]
    assert found.count(found[0]) == len(found), found
    first = found[0]
    if first is None:
        return
    assert first.body == slow_body(data)[: len(first.body)]
    if first.ended:
        assert first.body == slow_body(data)
        assert data.endswith(first.surplus)
        check_trailers(first.trailers)
        compare_with_h11(data[: len(data) - len(first.surplus)], first.body)
        written = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (first.body,) if piece) + last_chunk(first.trailers)
        assert read([written]) == first._replace(surplus=b"")


def read(pieces: list[bytes]) -> Read | None:
    """None for what is malformed."""
    reader = ChunkedReader()
    body = surplus = b""
    try:
        for piece in pieces:
            if reader.ended:
                surplus += piece
            else:
                body += b"".join(reader.feed(piece))
    except MalformedChunk:
        return None
    return Read(body, reader.ended, reader.trailers, reader.surplus + surplus)


def check_trailers(trailers: Fields) -> None:
    assert len(trailers) <= TRAILER_COUNT
    assert sum(len(name) + len(value) for name, value in trailers) <= TRAILER_LIMIT
    assert not {name.lower() for name, _ in trailers} & {b"content-length", b"transfer-encoding", b"host", b"connection", b"authorization"}


def slow_body(data: bytes) -> bytes:
    """The body as far as it is there, read with nothing but splitting: of an input that is well formed."""
    body, extensions = b"", 0
    while data:
        line, mark, data = data.partition(b"\r\n")
        if not mark:
            break
        digits = bytes(byte for byte in line.partition(b";")[0] if byte in _HEXADECIMAL)
        assert 0 < len(digits) <= 16, line
        extensions += len(line) - len(digits)
        assert extensions <= EXTENSION_LIMIT
        size = int(digits, 16)
        if not size:
            break
        body += data[:size]
        data = data[size + 2 :]
    return body


def compare_with_h11(body: bytes, expected: bytes) -> None:
    """Where h11 takes the message it finds the same body. It knows no white space before an extension, and reads trailers as a head."""
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    reader.receive_data(_HEAD + body)
    found = b""
    try:
        reader.next_event()
        while isinstance(event := reader.next_event(), h11.Data):
            found += event.data
    except h11.RemoteProtocolError:
        return
    assert isinstance(event, h11.EndOfMessage), event
    assert found == expected
