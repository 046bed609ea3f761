"""Header compression, reading side (RFC 7541): field blocks in, field lines out.

The dynamic table holds lines that are read and judged already, so a field that repeats costs one append. What comes as a literal is looked
up by its coded bytes first: most literals were seen before, on this connection or on another. Memory and time are bounded by the
size of the block and by that of the table, whatever the peer sends.
"""

from __future__ import annotations

from typing import Final

from hpack.table import HeaderTable

from gateway.http.fields import FieldLine
from gateway.http.frames import ENHANCE_YOUR_CALM, ConnectionFault
from gateway.http.http2_fields import field_line
from gateway.http.huffman import BadHuffmanCode, decode_huffman
from gateway.http.request import FIELD_LIMIT, HEAD_LIMIT
from gateway.http.sensitive import SensitiveLine

TABLE_SIZE: Final = 4096
"""Bytes of a dynamic table until something else is agreed upon (RFC 9113 6.5.2)."""
ENTRY_OVERHEAD: Final = 32
"""Bytes that count for a field beside its name and value (RFC 7541 4.1)."""
PSEUDO_FIELDS: Final = 8
"""More than any message may have, so that whoever reads heads can say what is wrong with them."""
FAR_BEYOND: Final = 4
"""Times as many fields as are taken: a block that has more is read no further, and its connection ends. A browser that sends each of its
cookies as a field of its own stays below."""
MOST_BUILT: Final = 2 * HEAD_LIMIT
"""Bytes of the literals of a block, as they would be written; the same for more, which a name in the table makes of little."""

STATIC_TABLE: Final[tuple[FieldLine, ...]] = tuple([field_line(name, value) for name, value in HeaderTable.STATIC_TABLE])
_NEWEST: Final = len(STATIC_TABLE) + 1
"""Index of the newest line in the dynamic table (RFC 7541 2.3.3)."""

_LINES: Final[dict[tuple[bytes, bytes], FieldLine]] = {}
"""Literals seen before: by name and coded value, its length included."""
_NAMES: Final[dict[bytes, bytes]] = {}
"""Names seen before, by what codes them, their length included."""
_MOST_LINES: Final = 4096
_MOST_NAMES: Final = 1024
_LONGEST_KEPT: Final = 256
SECRET: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})
"""Not kept in memory any longer than their request, but for the table of the connection where the peer put them."""

_MOST_SHIFT: Final = 28
"""Of the bytes that continue an integer: with five of them it is larger than anything it could count."""


_NO_LINE: Final[FieldLine] = (0, b"", b"", b"")
"""At index 0, which nobody may use."""


class HpackError(Exception):
    """A decoding error of RFC 7541; the connection ends with COMPRESSION_ERROR, for the tables may differ now."""


class HeaderDecoder:
    """The reading side of one connection; `table_limit` is what we announced as SETTINGS_HEADER_TABLE_SIZE.

    _lines    both tables, each line at its index
    _size     of the dynamic table in bytes
    _most     what the size may become, chosen by the peer up to the limit
    _longest  no entry of the tables is longer; a bound that spares counting the bytes of ordinary heads
    """

    __slots__ = ("_field_limit", "_limit", "_lines", "_longest", "_most", "_size")

    def __init__(self, table_limit: int = TABLE_SIZE, field_limit: int = FIELD_LIMIT) -> None:
        self._limit = table_limit
        self._field_limit = field_limit + PSEUDO_FIELDS
        self._lines: list[FieldLine] = [_NO_LINE, *STATIC_TABLE]
        self._size = 0
        self._most = TABLE_SIZE
        self._longest = 128

    def decode(self, block: bytes) -> list[FieldLine] | None:
        """The fields of a whole block; None for more than `field_limit` and a few, or than HEAD_LIMIT bytes (RFC 9113 6.5.2).

        Raises HpackError, and ConnectionFault for a block that is far beyond a limit: keeping the table in step with it would cost more
        than the connection is worth.
        """
        entries: list[FieldLine] = []
        lines = self._lines
        at, end, built = 0, len(block), 0
        try:
            while at < end and block[at] & 0xE0 == 0x20:
                at = self._resize(block, at)
            while at < end:
                stop = min(end, at + self._field_limit)  # a field takes a byte at least: the limits are looked at often enough
                while at < stop:
                    first = block[at]
                    if first > 0x80:
                        index = first & 0x7F
                        at += 1
                        if index == 0x7F:
                            index, at = _integer(block, at, 0x7F)
                        entries.append(lines[index])
                    elif first == 0x80 or first & 0xE0 == 0x20:
                        raise HpackError("index 0, or a table size update inside a block")
                    else:
                        line, at = self._literal(block, at)
                        entries.append(line)
                        built += len(line[3])
                        if built > MOST_BUILT:
                            raise ConnectionFault(ENHANCE_YOUR_CALM, "block of fields far too large")
                if len(entries) > FAR_BEYOND * self._field_limit:
                    raise ConnectionFault(ENHANCE_YOUR_CALM, "block of far too many fields")
        except IndexError:
            raise HpackError("index out of range, or the block ends inside a field") from None
        count = len(entries)
        if count > self._field_limit or (count * self._longest + 2 * end > HEAD_LIMIT and _size(entries) > HEAD_LIMIT):
            return None
        return entries

    def _literal(self, block: bytes, at: int) -> tuple[FieldLine, int]:
        """A literal at `at` (RFC 7541 6.2), and where it ends."""
        first = block[at]
        prefix = 0x3F if first >= 0x40 else 0x0F
        index = first & prefix
        at += 1
        if index == prefix:
            index, at = _integer(block, at, prefix)
        if index:
            name = self._lines[index][1]
        else:
            begin = at
            start, at = _string_end(block, at)
            name = _NAMES.get(block[begin:at]) or _read_name(block[begin:at], block[start:at])
        begin = at
        start, at = _string_end(block, at)
        coded = block[begin:at]
        line = _LINES.get((name, coded))
        if line is None:
            value = block[start:at] if coded[0] < 0x80 else _decoded(block[start:at])
            line = field_line(name, value)
            if len(name) + len(coded) <= _LONGEST_KEPT and first & 0xF0 != 0x10 and name not in SECRET:
                if len(_LINES) >= _MOST_LINES:
                    _LINES.clear()
                _LINES[name, coded] = line
        if first & 0xF0 == 0x10:
            line = line[0], name, line[2], SensitiveLine(line[3])
        if first >= 0x40:
            self._insert(line)
        return line, at

    def _insert(self, line: FieldLine) -> None:
        size = len(line[1]) + len(line[2]) + ENTRY_OVERHEAD
        self._longest = max(self._longest, size)
        self._size += size
        self._lines.insert(_NEWEST, line)
        if self._size > self._most:
            self._evict()

    def _evict(self) -> None:
        """The oldest go first; an entry larger than the table empties it, itself too (RFC 7541 4.4)."""
        while self._size > self._most:
            line = self._lines.pop()
            self._size -= len(line[1]) + len(line[2]) + ENTRY_OVERHEAD

    def _resize(self, block: bytes, at: int) -> int:
        most = block[at] & 0x1F
        at += 1
        if most == 0x1F:
            most, at = _integer(block, at, 0x1F)
        if most > self._limit:
            raise HpackError("table size update above the limit")
        self._most = most
        self._evict()
        return at


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """An integer whose prefix is full, from the byte after it (RFC 7541 5.1)."""
    value, shift = prefix, 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > _MOST_SHIFT:
            raise HpackError("integer too large")


def _string_end(block: bytes, at: int) -> tuple[int, int]:
    """Where the bytes of a string begin and end (RFC 7541 5.2)."""
    size = block[at] & 0x7F
    at += 1
    if size == 0x7F:
        size, at = _integer(block, at, 0x7F)
    if at + size > len(block):
        raise HpackError("string longer than its block")
    return at, at + size


def _decoded(coded: bytes) -> bytes:
    try:
        return decode_huffman(coded)
    except BadHuffmanCode:
        raise HpackError("bad Huffman code") from None


def _read_name(coded: bytes, octets: bytes) -> bytes:
    """`octets` are `coded` without their length."""
    name = octets if coded[0] < 0x80 else _decoded(octets)
    if len(coded) <= _LONGEST_KEPT:
        if len(_NAMES) >= _MOST_NAMES:
            _NAMES.clear()
        _NAMES[coded] = name
    return name


def _size(entries: list[FieldLine]) -> int:
    """RFC 9113 6.5.2."""
    return sum([len(line[1]) + len(line[2]) + ENTRY_OVERHEAD for line in entries])
