"""Chunked bodies (RFC 9112 7.1). The head is good, so a backend may be asked before the fault comes; it must never see the end."""

from __future__ import annotations

from tests.attacks.row import CHUNKED, Refused, Served, chunked

_SIZE = "RFC 9112 7.1: chunk-size"
_END = "RFC 9112 7.1: CRLF (TERM.EXT, EXT.TERM, SPILL)"
_EXTENSION = "RFC 9112 7.1.1"
_TRAILER = "RFC 9112 7.1.2, RFC 9110 6.5.1"
_LAST = b"0\r\n\r\n"
_LINE = CHUNKED + b"\r\n"


def _late(name: str, source: str, body: bytes, *, ends: bool = False) -> Refused:
    return Refused(name, source, chunked(body), 0 if ends else 400, late=True, ends=ends)


def _size(name: str, size: bytes, source: str = _SIZE) -> Refused:
    return _late(name, source, size + b"\r\nhello\r\n" + _LAST)


def _extension(name: str, extension: bytes, source: str = _EXTENSION) -> Refused:
    return _late(name, source, b"5;" + extension + b"\r\nhello\r\n" + _LAST)


def _trailer(name: str, section: bytes, source: str = _TRAILER) -> Refused:
    return _late(name, source, b"5\r\nhello\r\n0\r\n" + section)


SIZES = (
    _size("size with 0x", b"0x5"),
    _size("size with a plus sign", b"+5", "int() takes it"),
    _size("negative size", b"-5"),
    _size("size with an underscore", b"0_5", "int() takes it"),
    _size("space before the size", b" 5"),
    _size("space after the size", b"5 "),
    _size("tab before the size", b"\t5"),
    _size("tab after the size", b"5\t"),
    _size("VT after the size", b"5\x0b", "int() strips it"),
    _size("no-break space after the size", b"5\xa0", "str.strip eats A0"),
    _size("NUL after the size", b"5\x00"),
    _size("empty size", b""),
    _size("size that is no digit", b"g"),
    _size("letter after the size", b"5g"),
    _size("size with a fraction", b"5.0"),
    _size("quoted size", b'"5"'),
    _size("two sizes", b"5,5"),
    _size("size with an h behind it", b"5h"),
    _size("size of 17 digits", b"00000000000000005"),
    _size("size of 2^64 + 5", b"10000000000000005", "integer overflow"),
    _size("size of 2^64 - 1", b"FFFFFFFFFFFFFFFF", "integer overflow"),
    _size("size of 2^63", b"8000000000000000", "integer overflow"),
    _size("fullwidth digit as size", b"\xef\xbc\x95", "int() takes it"),
    _size("Arabic digit as size", b"\xd9\xa5", "int() takes it"),
    _size("size of 70 KiB of zeros", b"0" * 70_000, "a line without end"),
    _late("size without an end", "a line without end", b"1" * 40),
    _late("negative zero as last size", _SIZE, b"5\r\nhello\r\n-0\r\n\r\n"),
    _late("last size of 17 zeros", _SIZE, b"5\r\nhello\r\n" + b"0" * 17 + b"\r\n\r\n"),
)

ENDS = (
    _late("size ended by LF", _END, b"5\nhello\r\n" + _LAST),
    _late("size ended by CR", _END, b"5\rhello\r\n" + _LAST),
    _late("size ended by CR CR LF", _END, b"5\r\r\nhello\r\n" + _LAST),
    _late("size ended by LF CR", _END, b"5\n\rhello\r\n" + _LAST),
    _late("size ended by CR and another byte", _END, b"5\rXhello\r\n" + _LAST),
    _late("data ended by LF", _END, b"5\r\nhello\n" + _LAST),
    _late("data ended by CR", _END, b"5\r\nhello\r" + _LAST),
    _late("data ended by CR CR", _END, b"5\r\nhello\r\r" + _LAST),
    _late("data ended by LF CR", _END, b"5\r\nhello\n\r" + _LAST),
    _late("data ended by two wrong bytes", _END, b"5\r\nhelloXX" + _LAST),
    _late("data ended by nothing", _END, b"5\r\nhello" + _LAST),
    _late("data longer than its size", _END, b"4\r\nhello\r\n" + _LAST),
    _late("data shorter than its size", _END, b"6\r\nhello\r\n" + _LAST),
    _late("last size ended by LF", _END, b"5\r\nhello\r\n0\n\r\n"),
    _late("last line ended by LF", _END, b"5\r\nhello\r\n0\r\n\n"),
    _late("last line ended by CR CR LF", _END, b"5\r\nhello\r\n0\r\n\r\r\n"),
    _late("all lines ended by LF", _END, b"5\nhello\n0\n\n"),
    _late("empty line before the first chunk", _END, b"\r\n5\r\nhello\r\n" + _LAST),
    _late("client leaves before the first chunk", "RFC 9112 8", b"", ends=True),
    _late("client leaves inside a size", "RFC 9112 8", b"5", ends=True),
    _late("client leaves inside the data", "RFC 9112 8", b"5\r\nhel", ends=True),
    _late("client leaves before the last chunk", "RFC 9112 8", b"5\r\nhello\r\n", ends=True),
    _late("client leaves before the last line", "RFC 9112 8", b"5\r\nhello\r\n0\r\n", ends=True),
    _late("client leaves inside the trailers", "RFC 9112 8", b"5\r\nhello\r\n0\r\nA: b\r\n", ends=True),
)

EXTENSIONS = (
    _extension("extension without a name", b""),
    _extension("extension of a name with a NUL", b"a\x00"),
    _extension("extension with a bare CR", b"a\rb"),
    _extension("extension ended by LF", b"a\n0\r\n\r\nX", "TERM.EXT, CVE-2025-43859"),
    _extension("quoted value with an LF", b'a="\n"', "EXT.TERM"),
    _extension("quoted value with a NUL", b'a="\x00"'),
    _extension("quoted value without an end", b'a="b'),
    _extension("quoted value with more behind it", b'a="b"c'),
    _extension("extension without a value", b"a="),
    _extension("value without a name", b"=b"),
    _extension("two semicolons", b"a;;b"),
    _extension("extension of two words", b"a b"),
    _extension("DEL in a name", b"a\x7f"),
    _extension("escape byte in an extension", b"a=\x1b[31m"),
    _extension("high byte in a name", b"\xe9"),
    _extension("extension of 5 KiB", b"a" * 5 * 1024, "reference 2.1, CVE-2023-39326"),
    _late("5 KiB of extensions over many chunks", "reference 2.1, CVE-2023-39326", (b"1;" + b"a" * 255 + b"\r\nx\r\n") * 20 + _LAST),
    _late("leading zeros over 600 chunks", "reference 2.1: what comes beside the data", b"0000000000000001\r\nx\r\n" * 600 + _LAST),
    _late("extension before a size", _EXTENSION, b";a=b\r\nhello\r\n" + _LAST),
    _late("malformed extension of the last chunk", _EXTENSION, b"5\r\nhello\r\n0;=\r\n\r\n"),
)

TRAILERS = (
    _trailer("trailer without a colon", b"A\r\n\r\n"),
    _trailer("trailer without a name", b": b\r\n\r\n"),
    _trailer("space before a trailer's colon", b"A : b\r\n\r\n"),
    _trailer("trailer folded", b"A: b\r\n c\r\n\r\n"),
    _trailer("space before the first trailer", b" A: b\r\n\r\n"),
    _trailer("trailer ended by LF", b"A: b\n\r\n"),
    _trailer("trailer with a bare CR", b"A: b\rC: d\r\n\r\n"),
    _trailer("NUL in a trailer", b"A: \x00\r\n\r\n"),
    _trailer("space in a trailer's name", b"A B: c\r\n\r\n"),
    _trailer("a request where a trailer should be", b"GET /second HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    _trailer("101 trailers", b"A: b\r\n" * 101 + b"\r\n", "reference 2.1"),
    _trailer("9 KiB of trailers", (b"A: " + b"b" * 1000 + b"\r\n") * 9 + b"\r\n", "reference 2.1"),
)


def _dropped(name: str, trailer: bytes) -> Served:
    field, _, _ = trailer.partition(b":")
    sent = chunked(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n").replace(_LINE, b"TE: trailers\r\nConnection: TE\r\n" + _LINE)
    absent = () if field.lower() in (b"host", b"transfer-encoding", b"connection") else (field,)
    return Served(name, "RFC 9110 6.5.1", sent, method=b"POST", absent=absent, body=b"hello")


DROPPED = (
    Served("trailer of a client that takes none", _TRAILER, chunked(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"), method=b"POST", body=b"hello"),
    _dropped("Content-Length as a trailer", b"Content-Length: 50"),
    _dropped("Transfer-Encoding as a trailer", b"Transfer-Encoding: identity"),
    _dropped("Host as a trailer", b"Host: b.example"),
    _dropped("Connection as a trailer", b"Connection: close"),
    _dropped("Authorization as a trailer", b"Authorization: Basic eDp5"),
    _dropped("Cookie as a trailer", b"Cookie: a=b"),
    _dropped("Content-Type as a trailer", b"Content-Type: text/html"),
    _dropped("Expect as a trailer", b"Expect: 100-continue"),
    _dropped("Upgrade as a trailer", b"Upgrade: websocket"),
)

ATTACKS = SIZES + ENDS + EXTENSIONS + TRAILERS + DROPPED
