"""The wire format of Protocol Buffers, as far as the few messages need it that the proxy itself sends and reads.

A message is a sequence of fields, each a number, a wire type and a value; fields that nobody knows are skipped, and of those that
repeat the last counts where only one is meant.
"""

from __future__ import annotations

from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
"""Wire types. Groups, which nobody writes any more, are malformed."""

Message = list[tuple[int, int | bytes]]
"""Numbers of fields and their values in order: a number for VARINT, the bytes of any other."""

_MOST_VARINT: Final = 10
"""Bytes of the longest number."""
_MASK: Final = (1 << 64) - 1


class Malformed(ValueError):
    """Not the bytes of a message."""


def varint(number: int) -> bytes:
    """A number of 64 bits; a negative one as its complement."""
    number &= _MASK
    octets = bytearray()
    while number >= 0x80:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def number_field(number: int, value: int) -> bytes:
    """Nothing for 0, which is what an absent number means."""
    return varint(number << 3 | VARINT) + varint(value) if value else b""


def text_field(number: int, value: bytes) -> bytes:
    """A string, or bytes; nothing for an empty one, which is what an absent one means."""
    return message_field(number, value) if value else b""


def message_field(number: int, value: bytes) -> bytes:
    """A message in a message, which is there even if it is empty."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def fixed64_field(number: int, value: int) -> bytes:
    """A number of 64 bits without a sign, in eight bytes; nothing for 0."""
    return varint(number << 3 | FIXED64) + value.to_bytes(8, "little") if value else b""


def read_fields(data: bytes) -> Message:
    """Raises Malformed."""
    fields: Message = []
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise Malformed("a field without a number")
        if kind == VARINT:
            value, at = _read_varint(data, at)
            fields.append((number, value))
            continue
        if kind == BYTES:
            size, at = _read_varint(data, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise Malformed(f"a field of wire type {kind}")
        if size > end - at:
            raise Malformed("a field that is cut")
        fields.append((number, data[at : at + size]))
        at += size
    return fields


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next thing begins."""
    number = 0
    for index in range(_MOST_VARINT):
        if at + index >= len(data):
            raise Malformed("a number that is cut")
        octet = data[at + index]
        number |= (octet & 0x7F) << 7 * index
        if octet < 0x80:
            return number & _MASK, at + index + 1
    raise Malformed("a number that is too long")


def last_number(fields: Message, number: int) -> int:
    """As 32 bits with a sign; 0 where it is absent. Raises Malformed for a field of another kind."""
    found = 0
    for other, value in fields:
        if other == number:
            if isinstance(value, bytes):
                raise Malformed(f"field {number} is no number")
            found = value & 0xFFFFFFFF
    return found - (1 << 32) if found >> 31 else found


def texts(fields: Message, number: int) -> list[bytes]:
    """All strings, bytes or messages of a number. Raises Malformed for a field of another kind."""
    found = []
    for other, value in fields:
        if other == number:
            if not isinstance(value, bytes):
                raise Malformed(f"field {number} is a number")
            found.append(value)
    return found


def last_text(fields: Message, number: int) -> bytes:
    """b'' where it is absent. Raises Malformed."""
    found = texts(fields, number)
    return found[-1] if found else b""


def merged(fields: Message, number: int) -> Message | None:
    """The fields of a message in this one, None where it is absent; one that comes in pieces is put together. Raises Malformed."""
    found = texts(fields, number)
    return read_fields(b"".join(found)) if found else None
