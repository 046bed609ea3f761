"""What a backend may not say (RFC 9112 4, 6.3, RFC 9110 15): the client gets 502 and the connection is never used again."""

from __future__ import annotations

from tests.attacks.row import CHUNKED, Failed, answer, lines

_FRAMING = "RFC 9112 6.3: response smuggling"
_STATUS = "RFC 9112 4"
_FIELD = "RFC 9112 5, RFC 9110 5.5"
_LINES = "RFC 9112 2.2"
_CUT = "RFC 9112 8"
_SURPLUS = "RFC 9112 9.2, 6.3: queue poisoning"
_INTERIM = "RFC 9110 15.2"
_LAST = b"0\r\n\r\n"
_HACKED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhacked"
_TWO = b"Content-Length: 2"
_HEAD = b"HEAD /asked HTTP/1.1\r\nHost: a.example\r\n\r\n"


def _length(name: str, value: bytes) -> Failed:
    return Failed(name, _FRAMING, answer(b"Content-Length: " + value))


def _coding(name: str, value: bytes) -> Failed:
    return Failed(name, _FRAMING, answer(b"Transfer-Encoding:" + value, body=b"2\r\nok\r\n" + _LAST))


def _status(name: str, status: bytes, source: str = _STATUS) -> Failed:
    return Failed(name, source, answer(_TWO, status=status))


def _field(name: str, field: bytes, source: str = _FIELD) -> Failed:
    return Failed(name, source, answer(_TWO, field))


def _chunks(name: str, body: bytes, *, ends: bool = False) -> Failed:
    return Failed(name, _CUT if ends else "RFC 9112 7.1", answer(CHUNKED, body=body), late=True, ends=ends)


FRAMING = (
    Failed("answer with length and chunks", _FRAMING, answer(_TWO, CHUNKED, body=b"2\r\nok\r\n" + _LAST)),
    Failed("answer with chunks and length", _FRAMING, answer(CHUNKED, _TWO, body=b"2\r\nok\r\n" + _LAST)),
    Failed("answer with two lengths that differ", _FRAMING, answer(_TWO, b"Content-Length: 6", body=b"okhack")),
    Failed("answer with two lengths that are equal", _FRAMING, answer(_TWO, _TWO)),
    _length("answer with a list of lengths", b"2, 2"),
    _length("answer with a signed length", b"+2"),
    _length("answer with a negative length", b"-2"),
    _length("answer with a hexadecimal length", b"0x2"),
    _length("answer with an underscore in the length", b"0_2"),
    _length("answer with an empty length", b""),
    _length("answer with a length of 19 digits", b"1000000000000000000"),
    _length("answer with a length of 2^64 + 2", b"18446744073709551618"),
    _length("answer with an Arabic digit as length", b"\xd9\xa2"),
    _length("answer with a length behind VT", b"\x0b2"),
    _coding("answer with gzip", b" gzip"),
    _coding("answer with identity", b" identity"),
    _coding("answer with chunked before gzip", b" chunked, gzip"),
    _coding("answer with gzip before chunked", b" gzip, chunked"),
    _coding("answer with chunked twice", b" chunked, chunked"),
    _coding("answer with xchunked", b" xchunked"),
    _coding("answer with an empty coding", b""),
    _coding("answer with an empty member", b" ,chunked"),
    _coding("answer with VT before chunked", b" \x0bchunked"),
    _coding("answer with chunked and a parameter", b" chunked;p=1"),
    Failed("answer with chunked in two fields", _FRAMING, answer(CHUNKED, CHUNKED, body=b"2\r\nok\r\n" + _LAST)),
    Failed("chunked answer in HTTP/1.0", "RFC 9112 6.1", answer(CHUNKED, body=b"2\r\nok\r\n" + _LAST, status=b"HTTP/1.0 200 OK")),
    Failed("chunked answer of 204", "RFC 9112 6.1", answer(CHUNKED, body=_LAST, status=b"HTTP/1.1 204 No Content")),
    Failed("coding of an interim answer", "RFC 9112 6.1", answer(CHUNKED, body=b"", status=b"HTTP/1.1 103 Early Hints") + answer(_TWO)),
)

LINES = (
    _status("status of two digits", b"HTTP/1.1 20 OK"),
    _status("status of four digits", b"HTTP/1.1 2000 OK"),
    _status("status below 100", b"HTTP/1.1 099 OK", "RFC 9110 15"),
    _status("status 000", b"HTTP/1.1 000 OK", "RFC 9110 15"),
    _status("status 600", b"HTTP/1.1 600 OK", "RFC 9110 15"),
    _status("status 999", b"HTTP/1.1 999 OK", "RFC 9110 15"),
    _status("status with a sign", b"HTTP/1.1 +20 OK"),
    _status("status with a letter", b"HTTP/1.1 2OO OK"),
    _status("no status", b"HTTP/1.1 OK"),
    _status("two spaces before the status", b"HTTP/1.1  200 OK"),
    _status("tab before the status", b"HTTP/1.1\t200 OK"),
    _status("reason without a space", b"HTTP/1.1 200OK"),
    _status("answer of HTTP/0.9 with a version", b"HTTP/0.9 200 OK"),
    _status("answer of HTTP/2", b"HTTP/2 200 OK"),
    _status("answer of HTTP/2.0", b"HTTP/2.0 200 OK"),
    _status("answer in lower case", b"http/1.1 200 OK"),
    _status("answer of ICY", b"ICY 200 OK"),
    _status("space before the answer", b" HTTP/1.1 200 OK"),
    _status("NUL in the reason", b"HTTP/1.1 200 O\x00K"),
    _status("escape byte in the reason", b"HTTP/1.1 200 \x1b[2J"),
    _status("bare CR in the reason", b"HTTP/1.1 200 O\rK", _LINES),
    Failed("empty line before the answer", _STATUS, b"\r\n" + answer(_TWO)),
    Failed("answer of HTTP/0.9", _STATUS, b"<html>hello</html>\r\n\r\n", ends=True),
    Failed("request instead of an answer", _STATUS, lines(b"GET / HTTP/1.1", b"Host: b.example")),
    Failed("TLS alert instead of an answer", "plain text to a TLS port", b"\x15\x03\x01\x00\x02\x02\x46", ends=True),
    Failed("status line ended by LF", _LINES, b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok"),
    Failed("every line of the answer ended by LF", _LINES, b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", ends=True),
    Failed("head of the answer ended by LF LF", _LINES, b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\nok", ends=True),
    _field("field of the answer ended by LF", b"X: y\nZ: a", _LINES),
    _field("bare CR in a value of the answer", b"X: a\rb", _LINES),
    _field("obs-fold in the answer", b"X: a\r\n b", "RFC 9112 5.2"),
    _field("space before a colon in the answer", b"X : y", "RFC 9112 5.1"),
    _field("no colon in the answer", b"X"),
    _field("empty name in the answer", b": y"),
    _field("space in a name of the answer", b"X Y: z"),
    _field("high byte in a name of the answer", b"X\xe9: y"),
    _field("NUL in a value of the answer", b"X: a\x00b"),
    _field("DEL in a value of the answer", b"X: a\x7fb"),
    _field("escape byte in a value of the answer", b"X: \x1b[2J"),
    _field("answer whose Connection names Content-Length", b"Connection: content-length", "RFC 9110 7.6.1"),
    _field("answer whose Connection option is quoted", b'Connection: "close"', "RFC 9110 7.6.1"),
    _field("answer with 101 options of Connection", b"Connection: " + b",".join([b"x"] * 101), "CPU"),
    _field("head of the answer over 60 KiB", b"\r\n".join([b"X: " + b"a" * 8000] * 8), "reference 2.1"),
    _field("201 fields in the answer", b"\r\n".join([b"X: y"] * 201), "reference 2.1"),
    Failed("head of the answer without an end", "reference 2.1", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000),
    Failed("status line without an end", "reference 2.1", b"HTTP/1.1 200 " + b"a" * 70_000),
)

CHUNKS = (
    _chunks("chunk of the answer with 0x", b"0x2\r\nok\r\n" + _LAST),
    _chunks("chunk of the answer with a negative size", b"-2\r\nok\r\n" + _LAST),
    _chunks("chunk of the answer without a size", b"\r\nok\r\n" + _LAST),
    _chunks("chunk of the answer with a space behind the size", b"2 \r\nok\r\n" + _LAST),
    _chunks("chunk of the answer of 17 digits", b"00000000000000002\r\nok\r\n" + _LAST),
    _chunks("chunk of the answer of 2^64 - 1", b"FFFFFFFFFFFFFFFF\r\nok\r\n" + _LAST),
    _chunks("chunk size of the answer ended by LF", b"2\nok\r\n" + _LAST),
    _chunks("chunk of the answer ended by LF", b"2\r\nok\n" + _LAST),
    _chunks("chunk of the answer too long", b"1\r\nok\r\n" + _LAST),
    _chunks("chunk of the answer too short", b"3\r\nok\r\n" + _LAST),
    _chunks("NUL in an extension of the answer", b"2;a\x00\r\nok\r\n" + _LAST),
    _chunks("5 KiB of extensions in the answer", b"2;" + b"a" * 5 * 1024 + b"\r\nok\r\n" + _LAST),
    _chunks("trailer of the answer without a colon", b"2\r\nok\r\n0\r\nX\r\n\r\n"),
    _chunks("trailer of the answer folded", b"2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n"),
    _chunks("an answer where a trailer should be", b"2\r\nok\r\n0\r\n" + _HACKED),
    _chunks("9 KiB of trailers in the answer", b"2\r\nok\r\n0\r\n" + (b"X: " + b"a" * 1000 + b"\r\n") * 9 + b"\r\n"),
)

CUT = (
    Failed("no answer", _CUT, b"", status=503, ends=True),
    Failed("answer cut inside the status line", _CUT, b"HTTP/1.1 20", ends=True),
    Failed("answer cut inside a field", _CUT, b"HTTP/1.1 200 OK\r\nContent-Le", ends=True),
    Failed("answer cut before the empty line", _CUT, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", ends=True),
    Failed("answer cut before its body", _CUT, answer(_TWO, body=b""), late=True, ends=True),
    Failed("answer cut inside its body", _CUT, answer(_TWO, body=b"o"), late=True, ends=True),
    Failed("answer cut after an interim one", _CUT, b"HTTP/1.1 103 Early Hints\r\n\r\n", status=503, ends=True),
    _chunks("answer cut before its first chunk", b"", ends=True),
    _chunks("answer cut inside a chunk size", b"2", ends=True),
    _chunks("answer cut inside a chunk", b"2\r\no", ends=True),
    _chunks("answer cut between chunks", b"2\r\nok\r\n", ends=True),
    _chunks("answer cut before its last line", b"2\r\nok\r\n0\r\n", ends=True),
    _chunks("answer cut inside its trailers", b"2\r\nok\r\n0\r\nX: y\r\n", ends=True),
)

SURPLUS = (
    Failed("answer behind the answer", _SURPLUS, answer(_TWO) + _HACKED, surplus=True),
    Failed("a byte behind the answer", _SURPLUS, answer(_TWO, body=b"ok!"), surplus=True),
    Failed("CR LF behind the answer", _SURPLUS, answer(_TWO, body=b"ok\r\n"), surplus=True),
    Failed("answer behind the last chunk", _SURPLUS, answer(CHUNKED, body=b"2\r\nok\r\n" + _LAST) + _HACKED, surplus=True),
    Failed("a byte behind the last chunk", _SURPLUS, answer(CHUNKED, body=b"2\r\nok\r\n" + _LAST + b"!"), surplus=True),
    Failed("body of a HEAD", "RFC 9110 9.3.2", answer(_TWO), _HEAD, surplus=True),
    Failed("chunks of a HEAD", "RFC 9110 9.3.2", answer(CHUNKED, body=b"2\r\nok\r\n" + _LAST), _HEAD, surplus=True),
    Failed("answer behind the answer to a HEAD", _SURPLUS, answer(body=b"") + _HACKED, _HEAD, surplus=True),
    Failed("body of 204", "RFC 9110 15.3.5", answer(body=b"ok", status=b"HTTP/1.1 204 No Content"), surplus=True),
    Failed("counted body of 204", "RFC 9110 15.3.5", answer(_TWO, status=b"HTTP/1.1 204 No Content"), surplus=True),
    Failed("body of 304", "RFC 9110 15.4.5", answer(_TWO, status=b"HTTP/1.1 304 Not Modified"), surplus=True),
    Failed("answer behind 304", _SURPLUS, answer(body=b"", status=b"HTTP/1.1 304 Not Modified") + _HACKED, surplus=True),
)

INTERIM = (
    Failed("11 interim answers", _INTERIM, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 11 + answer(_TWO)),
    Failed("11 times 100", _INTERIM, b"HTTP/1.1 100 Continue\r\n\r\n" * 11 + answer(_TWO)),
    Failed("interim answers without an end", _INTERIM, b"HTTP/1.1 102 Processing\r\n\r\n" * 2000),
    Failed("body of an interim answer", _INTERIM, answer(_TWO, status=b"HTTP/1.1 103 Early Hints")),
    Failed("malformed interim answer", _INTERIM, b"HTTP/1.1 103 Early Hints\r\nX : y\r\n\r\n" + answer(_TWO)),
)

ATTACKS = FRAMING + LINES + CHUNKS + CUT + SURPLUS + INTERIM
