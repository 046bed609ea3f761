"""The ways in which the same bytes may arrive. Where they are cut follows from the bytes, so an input says all there is to say."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

MOST_PIECES = 1000
"""A longer input comes in so many pieces instead of byte by byte."""


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and in two pieces."""
    yield [data] if data else []
    size = -(-len(data) // MOST_PIECES) or 1
    yield [data[at : at + size] for at in range(0, len(data), size)]
    middle = crc32(data) % (len(data) + 1)
    yield [piece for piece in (data[:middle], data[middle:]) if piece]
