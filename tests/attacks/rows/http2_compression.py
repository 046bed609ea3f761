"""Field blocks that cannot be decoded (RFC 7541): COMPRESSION_ERROR, since the tables of both sides may differ from there on."""

from __future__ import annotations

from tests.attacks.http2_row import COMPRESSION_ERROR, END_HEADERS, MALFORMED, Http2Attack, block, ends, get, head, headers, post, string

_FAULT = ends(COMPRESSION_ERROR)
_INDEX = "RFC 7541 2.3.3"
_INTEGER = "RFC 7541 5.1"
_STRING = "RFC 7541 5.2"
_SIZE = "RFC 7541 4.2, 6.3"
_HEAD = block(*head())


def _block(name: str, source: str, coded: bytes) -> Http2Attack:
    """A good head, and this behind it."""
    return Http2Attack(name, source, headers(1, _HEAD + coded), _FAULT)


def _huffman(coded: bytes) -> bytes:
    """A field named x whose value is this Huffman code."""
    return b"\x00\x01x" + bytes((0x80 | len(coded),)) + coded


ATTACKS = (
    _block("index 0", _INDEX, b"\x80"),
    _block("index behind the static table, the other being empty", _INDEX, b"\xbe"),
    _block("index of 2^14", _INDEX, b"\xff\x81\x7f"),
    _block("name of an index that is not there", _INDEX, b"\x7f\x00" + string(b"y")),
    _block("index of an entry that was evicted", "RFC 7541 4.3", b"\x40\x01x\x01y\x40\x01z" + string(b"y" * 4090) + b"\xbe"),
    _block("index that does not end", _INTEGER, b"\xff"),
    _block("index of eleven bytes", _INTEGER, b"\xff" + b"\xff" * 9 + b"\x01"),
    _block("index of a thousand bytes", "RFC 7541 7.4, CVE-2026-59980", b"\xff" + b"\x80" * 1000 + b"\x00"),
    _block("length of a name beyond 2^32", _INTEGER, b"\x00\x7f\x80\x80\x80\x80\x10x"),
    _block("length of a value beyond 2^64", _INTEGER, b"\x00\x01x\x7f" + b"\xff" * 9 + b"\x01"),
    _block("name longer than the block", _STRING, b"\x00\x05x"),
    _block("value longer than the block", _STRING, b"\x00\x01x\x05y"),
    _block("value of 1 MiB that is not there", _STRING, b"\x00\x01x\x7f\x81\xff\x3f"),
    _block("literal without a value", _STRING, b"\x00\x01x"),
    _block("literal without anything", _STRING, b"\x40"),
    _block("Huffman code with EOS", _STRING, _huffman(b"\xff\xff\xff\xff")),
    _block("Huffman code padded by zeros", _STRING, _huffman(b"\x18")),
    _block("Huffman code padded by eight bits", _STRING, _huffman(b"\x1f\xff")),
    _block("size update behind a field", _SIZE, b"\x20"),
    Http2Attack("size update above the limit", _SIZE, headers(1, b"\x3f\xe2\x1f" + _HEAD), _FAULT),
    Http2Attack("size update of 4 GiB", _SIZE, headers(1, b"\x3f\xe0\xff\xff\xff\x0f" + _HEAD), _FAULT),
    Http2Attack("trailers that cannot be decoded", _INDEX, post() + headers(1, b"\x80"), _FAULT, late=True),
    Http2Attack("block of nothing", "RFC 9113 8.3.1", headers(1, b""), MALFORMED),
    Http2Attack("empty HEADERS without an end, and a whole block", "RFC 9113 6.10", headers(1, b"", 0) + get(), ends(1)),
    Http2Attack("block that ends inside a field", _STRING, headers(1, _HEAD[:-1]), _FAULT),
    Http2Attack("request that is cut inside a field, its body to come", _STRING, headers(1, _HEAD[:-3], END_HEADERS), _FAULT),
)
