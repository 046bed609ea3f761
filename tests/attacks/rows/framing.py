"""Where a request's body ends (RFC 9112 6): Content-Length, Transfer-Encoding, both. All of it is judged in the head."""

from __future__ import annotations

from tests.attacks.row import CHUNKED, HOST, Refused, get, lines, post

_LAST = b"0\r\n\r\n"
_BOTH = "RFC 9112 6.1, 6.3: CL.TE and TE.CL"
_CODING = "RFC 9112 6.1, 7: TE.TE"
_LENGTH = "RFC 9110 8.6"


def _coding(value: bytes) -> bytes:
    return post(b"Transfer-Encoding:" + value, body=_LAST)


def _length(value: bytes, body: bytes = b"hello") -> bytes:
    return post(b"Content-Length: " + value, body=body)


BOTH = (
    Refused("length, then chunks", _BOTH, post(b"Content-Length: 6", CHUNKED, body=_LAST + b"G")),
    Refused("chunks, then length", _BOTH, post(CHUNKED, b"Content-Length: 4", body=b"1\r\nZ\r\nQ\r\n\r\n")),
    Refused("length 0 and chunks", _BOTH, post(b"Content-Length: 0", CHUNKED, body=_LAST)),
    Refused("length that fits the chunks", _BOTH, post(b"Content-Length: 5", CHUNKED, body=_LAST)),
    Refused("length and chunks of a GET", _BOTH, get(b"Content-Length: 5", CHUNKED) + _LAST),
    Refused("length and an empty coding", _BOTH, post(b"Content-Length: 5", b"Transfer-Encoding:", body=b"hello")),
    Refused("length and the identity coding", _BOTH, post(b"Content-Length: 5", b"Transfer-Encoding: identity", body=b"hello")),
    Refused("length and an unknown coding", _BOTH, post(b"Content-Length: 5", b"Transfer-Encoding: x", body=b"hello")),
    Refused("length and chunked in capitals", _BOTH, post(b"CONTENT-LENGTH: 5", b"TRANSFER-ENCODING: CHUNKED", body=_LAST)),
    Refused("length far from the chunks", _BOTH, post(b"Content-Length: 5", *[b"X-%d: y" % at for at in range(20)], CHUNKED, body=_LAST)),
)

CODINGS = (
    Refused("chunked in two fields", _CODING, post(CHUNKED, CHUNKED, body=_LAST)),
    Refused("chunked, then identity in a second field", _CODING, post(CHUNKED, b"Transfer-Encoding: identity", body=_LAST)),
    Refused("unknown, then chunked in a second field", _CODING, post(b"Transfer-Encoding: x", CHUNKED, body=_LAST)),
    Refused("chunked twice in a list", _CODING, _coding(b" chunked, chunked")),
    Refused("chunked before gzip", "RFC 9112 6.3: chunked not last", _coding(b" chunked, gzip")),
    Refused("chunked before identity", "RFC 9112 6.3: chunked not last", _coding(b" chunked, identity")),
    Refused("gzip before chunked", _CODING, _coding(b" gzip, chunked"), 501),
    Refused("unknown before chunked", _CODING, _coding(b" x, chunked"), 501),
    Refused("identity before chunked", _CODING, _coding(b" identity, chunked"), 501),
    Refused("gzip alone", _CODING, _coding(b" gzip"), 501),
    Refused("identity alone", _CODING, _coding(b" identity"), 501),
    Refused("xchunked", _CODING, _coding(b" xchunked"), 501),
    Refused("chunkedx", _CODING, _coding(b" chunkedx"), 501),
    Refused("empty member before chunked", "RFC 9110 5.6.1", _coding(b" ,chunked")),
    Refused("empty member after chunked", "RFC 9110 5.6.1", _coding(b" chunked,")),
    Refused("empty coding", _CODING, _coding(b"")),
    Refused("chunked with a bare parameter", "RFC 9112 7", _coding(b" chunked;p")),
    Refused("chunked with a parameter", "RFC 9112 7: parameters of chunked are an error", _coding(b" chunked;p=1")),
    Refused("quoted chunked", _CODING, _coding(b' "chunked"')),
    Refused("single-quoted list", _CODING, _coding(b" 'chunked', x"), 501),
    Refused("chunked in angle brackets", _CODING, _coding(b" <chunked>")),
    Refused("VT before chunked", _CODING, _coding(b" \x0bchunked")),
    Refused("FF after chunked", _CODING, _coding(b" chunked\x0c")),
    Refused("NUL after chunked", _CODING, _coding(b" chunked\x00")),
    Refused("no-break space before chunked", _CODING, _coding(b"\xa0chunked")),
    Refused("no-break space after chunked", _CODING, _coding(b" chunked\xa0")),
    Refused("next-line byte before chunked", "str.strip eats 85", _coding(b" \x85chunked")),
    Refused("Kelvin sign in chunKed", "Unicode case folding", _coding(b" chun\xe2\x84\xaaed")),
    Refused("tab inside chunked", _CODING, _coding(b" chun\tked")),
    Refused("space inside chunked", _CODING, _coding(b" chun ked")),
    Refused("two codings without a comma", _CODING, _coding(b" chunked chunked")),
    Refused("semicolon instead of a comma", _CODING, _coding(b" x; chunked")),
    Refused("coding folded onto the next line", "RFC 9112 5.2", post(b"Transfer-Encoding:\r\n chunked", body=_LAST)),
    Refused("coding field folded into another", "RFC 9112 5.2", post(b"X: y\r\n Transfer-Encoding: chunked", body=_LAST)),
    Refused("space before the colon of the coding", "RFC 9112 5.1", post(b"Transfer-Encoding : chunked", body=_LAST)),
    Refused("tab before the colon of the coding", "RFC 9112 5.1", post(b"Transfer-Encoding\t: chunked", body=_LAST)),
    Refused("coding with bare CR before its end", "RFC 9112 2.2", post(b"Transfer-Encoding: chunked\r", body=_LAST)),
    Refused("coding line ended by LF", "RFC 9112 2.2", post(b"Transfer-Encoding: chunked\nX: y", body=_LAST)),
    Refused("coding behind a bare CR", "RFC 9112 2.2", post(b"X: y\rTransfer-Encoding: chunked", body=_LAST)),
    Refused("coding behind a bare LF", "RFC 9112 2.2", post(b"X: y\nTransfer-Encoding: chunked", body=_LAST)),
    Refused("coding name with a high byte", "RFC 9110 5.1", post(b"Transfer\xad-Encoding: chunked", body=_LAST)),
    Refused("coding name behind a NUL", "RFC 9110 5.1", post(b"\x00Transfer-Encoding: chunked", body=_LAST)),
    Refused("coding in HTTP/1.0", "RFC 9112 6.1", lines(b"POST / HTTP/1.0", HOST, CHUNKED, body=_LAST)),
    Refused(
        "coding in HTTP/1.0 kept alive", "RFC 9112 6.1", lines(b"POST / HTTP/1.0", HOST, b"Connection: keep-alive", CHUNKED, body=_LAST)
    ),
)

LENGTHS = (
    Refused("two lengths that differ", _LENGTH, post(b"Content-Length: 5", b"Content-Length: 0", body=b"hello")),
    Refused("two lengths that are equal", _LENGTH, post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")),
    Refused("two lengths in two spellings", _LENGTH, post(b"Content-Length: 5", b"content-length: 6", body=b"hello")),
    Refused("length and an empty length", _LENGTH, post(b"Content-Length: 5", b"Content-Length:", body=b"hello")),
    Refused("list of equal lengths", _LENGTH, _length(b"5, 5")),
    Refused("list of lengths that differ", _LENGTH, _length(b"5,6")),
    Refused("length with a comma behind it", _LENGTH, _length(b"5,")),
    Refused("length with a comma before it", _LENGTH, _length(b",5")),
    Refused("two lengths with a space between", _LENGTH, _length(b"5 5")),
    Refused("length with a plus sign", _LENGTH, _length(b"+5")),
    Refused("negative length", _LENGTH, _length(b"-5")),
    Refused("length -0", _LENGTH, _length(b"-0", b"")),
    Refused("hexadecimal length", _LENGTH, _length(b"0x5")),
    Refused("octal length", _LENGTH, _length(b"0o5")),
    Refused("length with an underscore", "int() takes it", _length(b"0_5")),
    Refused("length with a fraction", _LENGTH, _length(b"5.0")),
    Refused("length with an exponent", _LENGTH, _length(b"5e0")),
    Refused("empty length", _LENGTH, _length(b"", b"")),
    Refused("quoted length", _LENGTH, _length(b'"5"')),
    Refused("length that is a word", _LENGTH, _length(b"five")),
    Refused("length with a parameter", _LENGTH, _length(b"5;x")),
    Refused("length of 19 digits", "reference 2.1", _length(b"1000000000000000000")),
    Refused("length of 2^64 + 5", "integer overflow", _length(b"18446744073709551621")),
    Refused("length of 1,000 digits", "quadratic int()", _length(b"9" * 1000)),
    Refused("length of 20 digits with leading zeros", "reference 2.1", _length(b"0" * 19 + b"5")),
    Refused("Arabic digit as length", "int() takes it", _length(b"\xd9\xa5")),
    Refused("fullwidth digit as length", "int() takes it", _length(b"\xef\xbc\x95")),
    Refused("superscript two as length", "str.isdigit takes it", _length(b"\xb2")),
    Refused("length behind VT", "int() strips it", _length(b"\x0b5")),
    Refused("length behind a no-break space", "str.strip eats A0", _length(b"\xa05")),
    Refused("length before a NUL", _LENGTH, _length(b"5\x00")),
    Refused("length folded onto the next line", "RFC 9112 5.2", post(b"Content-Length: 0\r\n 5", body=b"hello")),
    Refused("space before the colon of the length", "RFC 9112 5.1", post(b"Content-Length : 5", body=b"hello")),
    Refused("length behind a bare CR", "RFC 9112 2.2", post(b"X: y\rContent-Length: 5", body=b"hello")),
    Refused("length of a body that does not come", "RFC 9112 8", _length(b"5", b"hel"), 0, late=True, ends=True),
)

ATTACKS = BOTH + CODINGS + LENGTHS
