"""Field blocks of one connection: read as the hpack library reads them, with the same table, and written so that it reads them again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import hpack

from gateway.http.fields import FieldLine
from gateway.http.hpack import HeaderDecoder, HpackError
from gateway.http.hpack_encoder import HeaderEncoder
from gateway.http.http2_fields import CONNECTION_FIELDS, field_line
from gateway.http.request import FIELD_LIMIT, HEAD_LIMIT

Pairs = list[tuple[bytes, bytes]]
_STATIC: Final = 61
_long_integer = re.compile(rb"[\x80-\xff]{5}").search
_passes_on = re.compile(rb"[^\x00\r\n:]+").fullmatch


def run(data: bytes) -> None:
    """`data` is blocks, each after a byte with its length."""
    decoder, library = HeaderDecoder(), hpack.Decoder(max_header_list_size=1 << 24)
    encoder, reader = HeaderEncoder(), hpack.Decoder()
    for block in blocks(data):
        expected = by_library(library, block)
        try:
            entries = decoder.decode(block)
        except HpackError:
            assert expected is None or _long_integer(block), "the library takes what we refuse"
            return
        assert expected is not None, "the library refuses what we take"
        check_table(decoder, library)
        if entries is None:
            assert len(expected) > FIELD_LIMIT or sum(len(name) + len(value) + 32 for name, value in expected) > HEAD_LIMIT
            continue
        assert [entry[1:3] for entry in entries] == expected
        check_lines(entries)
        write_back(encoder, reader, expected)


def blocks(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        yield data[at + 1 : end]
        at = end


def by_library(library: hpack.Decoder, block: bytes) -> Pairs | None:
    try:
        return [(bytes(name), bytes(value)) for name, value in library.decode(block, raw=True)]
    except hpack.HPACKError:
        return None


def check_table(decoder: HeaderDecoder, library: hpack.Decoder) -> None:
    table = decoder._lines[_STATIC + 1 :]
    assert [line[1:3] for line in table] == [tuple(pair) for pair in library.header_table.dynamic_entries]
    assert decoder._size == library.header_table._current_size <= decoder._most
    check_lines(table)


def check_lines(lines: list[FieldLine]) -> None:
    for line in lines:
        assert line == field_line(line[1], line[2])


def write_back(encoder: HeaderEncoder, reader: hpack.Decoder, fields: Pairs) -> None:
    """The encoder's table is that of its reader, whatever the fields are."""
    sent = [(name, value) for name, value in fields if _passes_on(name) and b"\n" not in value and b"\r" not in value]
    found = by_library(reader, encoder.trailers(sent))
    assert found == [(name.lower(), value.strip(b" \t")) for name, value in sent if name.lower() not in CONNECTION_FIELDS]
    assert encoder._size == reader.header_table._current_size
