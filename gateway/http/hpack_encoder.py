"""Header compression, writing side (RFC 7541): heads in, field blocks out.

Lines are looked up whole, in the table of the connection, then among literals written before. Only a line that was seen before goes
into the table, and none that is a secret or different each time, so the table holds what repeats. Names go out in lower case; what is
connection-specific does not go out (RFC 9113 8.2.2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from gateway.http.head import WITHOUT_BODY, RequestHead, ResponseHead
from gateway.http.hpack import ENTRY_OVERHEAD, SECRET, STATIC_TABLE, TABLE_SIZE
from gateway.http.http2_fields import CONNECTION_FIELDS
from gateway.http.sensitive import SensitiveLine

_VARYING: Final = frozenset(
    b"age content-range etag expires if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location "
    b"range".split()
)
"""Values that seldom repeat on one connection: in its table they would only drive out others."""
_UNIQUE: Final = frozenset({b"content-length", b"traceparent", b"x-request-id"})
"""Not even remembered."""

_LITERALS: Final[dict[bytes, tuple[bytes, bytes, int]]] = {}
"""Lines seen before: as a literal that goes into the table, as it is written without, and what it takes in the table."""
_NO_ENTRY: Final = TABLE_SIZE + 1
"""Size of what goes into no table."""
_MOST_LITERALS: Final = 8192
_LONGEST_LITERAL: Final = 256


def _integer(value: int, prefix: int, first: int) -> bytes:
    """RFC 7541 5.1; `first` has the bits before the prefix."""
    if value < prefix:
        return bytes((first | value,))
    octets = [first | prefix]
    value -= prefix
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _string(value: bytes) -> bytes:
    """RFC 7541 5.2, without Huffman coding: what repeats is indexed, and for the rest it would cost more than it saves."""
    return _integer(len(value), 0x7F, 0) + value


_STATIC_NAMES: Final[dict[bytes, int]] = {line[1]: index for index, line in reversed([*enumerate(STATIC_TABLE, 1)])}
_INDEXED: Final = tuple([_integer(index, 0x7F, 0x80) for index in range(len(STATIC_TABLE) + TABLE_SIZE // ENTRY_OVERHEAD + 1)])
"""Every index that there can be (RFC 7541 6.1)."""
_STATIC: Final[dict[tuple[bytes, bytes], bytes]] = {(line[1], line[2]): _INDEXED[index] for index, line in enumerate(STATIC_TABLE, 1)}


_INDEXING, _WITHOUT, _NEVER = (0x40, 0x3F), (0x00, 0x0F), (0x10, 0x0F)
"""First bits and prefix of the three forms of a literal (RFC 7541 6.2)."""


def _literal(form: tuple[int, int], name: bytes, value: bytes) -> bytes:
    index = _STATIC_NAMES.get(name, 0)
    begin = _integer(index, form[1], form[0])
    return begin + _string(value) if index else begin + _string(name) + _string(value)


_STATUSES: Final[dict[int, bytes]] = {}


def _status(status: int) -> bytes:
    known = _STATUSES.get(status)
    if known is None:
        value = b"%d" % status
        known = _STATUSES[status] = _STATIC.get((b":status", value)) or _literal(_WITHOUT, b":status", value)
    return known


class HeaderEncoder:
    """The writing side of one connection. Every block must be sent, in order: the peer's table follows them.

    _numbers  of each line in the dynamic table, counted from 1 by insertion
    _lines    the same lines and their sizes, oldest first
    _next     index of the entry with number 0, were it still there
    _size     of the table in bytes
    _most     what it may become
    _lowest   what it had to become since the last block, when the peer changed its limit
    """

    __slots__ = ("_lines", "_lowest", "_most", "_next", "_numbers", "_size")

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._lines: deque[tuple[bytes, int]] = deque()
        self._next = len(STATIC_TABLE) + 1
        self._size = 0
        self._most = TABLE_SIZE
        self._lowest: int | None = None

    def table_limit(self, size: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE; a table beyond the first 4096 bytes gains nothing."""
        most = min(size, TABLE_SIZE)
        if most != self._most:
            self._lowest = min(most, self._most if self._lowest is None else self._lowest)
            self._most = most
            self._evict(self._lowest)

    def request(self, head: RequestHead, scheme: bytes, authority: bytes) -> bytes:
        """A whole block. A WebSocket handshake is written as extended CONNECT (RFC 8441 4)."""
        out = self._begin()
        websocket = head.upgrade is not None
        target = head.path if head.query is None else b"%b?%b" % (head.path, head.query)
        out.append(_pseudo(b":method", b"CONNECT" if websocket else head.method))
        if head.upgrade is not None:
            out.append(self._line(b":protocol: %b\r\n" % head.upgrade))
        out.append(_pseudo(b":scheme", scheme))
        out.append(self._line(b":authority: %b\r\n" % authority))
        out.append(_pseudo(b":path", target))
        lines = head.lines if head.edited is None else head.written()
        if websocket:
            lines = [line for line in lines if not line[:18].lower().startswith(b"sec-websocket-key:")]
        self._append(out, lines)
        if head.forwarded:
            self._append(out, head.forwarded.splitlines(True))
        if head.length is not None and not websocket and (head.length or head.method not in WITHOUT_BODY):
            out.append(_literal(_WITHOUT, b"content-length", b"%d" % head.length))
        if head.trailers:
            out.append(self._line(b"te: trailers\r\n"))
        return b"".join(out)

    def response(self, head: ResponseHead) -> bytes:
        """A whole block. What Content-Length says in answer to HEAD or with 304 is the head's `length` too."""
        out = self._begin()
        out.append(_status(head.status))
        self._append(out, head.lines if head.edited is None else head.written())
        if head.length is not None and head.status != 204:
            out.append(_literal(_WITHOUT, b"content-length", b"%d" % head.length))
        return b"".join(out)

    def interim(self, head: ResponseHead) -> bytes:
        """A block for a 1xx response."""
        out = self._begin()
        out.append(_status(head.status))
        self._append(out, head.written())
        return b"".join(out)

    def trailers(self, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
        """A block for a trailer section."""
        out = self._begin()
        self._append(out, [b"%b: %b\r\n" % pair for pair in fields])
        return b"".join(out)

    def _begin(self) -> list[bytes]:
        """What must stand before the fields: table size updates that are due (RFC 7541 4.2)."""
        if self._lowest is None:
            return []
        lowest, self._lowest = self._lowest, None
        updates = [_integer(lowest, 0x1F, 0x20)]
        if self._most > lowest:
            updates.append(_integer(self._most, 0x1F, 0x20))
        return updates

    def _append(self, out: list[bytes], lines: list[bytes]) -> None:
        numbers = self._numbers
        for line in lines:
            number = numbers.get(line)
            out.append(self._other(line) if number is None else _INDEXED[self._next - number])

    def _line(self, line: bytes) -> bytes:
        number = self._numbers.get(line)
        return self._other(line) if number is None else _INDEXED[self._next - number]

    def _other(self, line: bytes) -> bytes:
        """A line that is not in the table, which it enters when it was seen before."""
        known = _LITERALS.get(line)
        if known is None:
            return _new_literal(line)
        indexing, without, size = known
        if size > self._most:
            return without
        if self._size + size > self._most:
            self._evict(self._most - size)
        self._size += size
        self._lines.append((line, size))
        self._numbers[line] = self._next - len(STATIC_TABLE)
        self._next += 1
        return indexing

    def _evict(self, most: int) -> None:
        """RFC 7541 4.3 and 4.4."""
        while self._size > most:
            line, size = self._lines.popleft()
            del self._numbers[line]
            self._size -= size


def _pseudo(name: bytes, value: bytes) -> bytes:
    return _STATIC.get((name, value)) or _literal(_WITHOUT, name, value)


def _new_literal(line: bytes) -> bytes:
    name, _, value = line.partition(b":")
    if not name:  # of a pseudo-header field
        name, _, value = line[1:].partition(b":")
        name = b":" + name
    name, value = name.lower(), value.strip(b" \t\r\n")
    if name in SECRET or isinstance(line, SensitiveLine):
        return _literal(_NEVER, name, value)
    if name in CONNECTION_FIELDS:
        return b""
    indexed = _STATIC.get((name, value))
    literal = indexed or _literal(_WITHOUT, name, value)
    if len(line) <= _LONGEST_LITERAL and name not in _UNIQUE:
        if len(_LITERALS) >= _MOST_LITERALS:
            _LITERALS.clear()
        size = _NO_ENTRY if indexed or name in _VARYING else len(name) + len(value) + ENTRY_OVERHEAD
        _LITERALS[line] = _literal(_INDEXING, name, value), literal, size
    return literal
