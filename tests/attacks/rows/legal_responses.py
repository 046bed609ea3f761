"""Answers that look odd and are right: each reaches the client with its meaning."""

from __future__ import annotations

from tests.attacks.row import CHUNKED, Relayed, answer

_STATUS = "RFC 9112 4"
_FIELD = "RFC 9110 5"
_BODY = "RFC 9112 6.3"
_CHUNK = "RFC 9112 7.1"
_TWO = b"Content-Length: 2"
_LAST = b"0\r\n\r\n"
_HEAD = b"HEAD /asked HTTP/1.1\r\nHost: a.example\r\n\r\n"
_HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

LEGAL = (
    Relayed("empty reason", _STATUS, answer(_TWO, status=b"HTTP/1.1 200 ")),
    Relayed("no reason and no space before it", _STATUS, answer(_TWO, status=b"HTTP/1.1 200")),
    Relayed("reason of obs-text and tabs", _STATUS, answer(_TWO, status=b"HTTP/1.1 200 \xe9\t!")),
    Relayed("status without a meaning", "RFC 9110 15", answer(_TWO, status=b"HTTP/1.1 299 Fine"), status=299),
    Relayed("status 599", "RFC 9110 15", answer(_TWO, status=b"HTTP/1.1 599 No"), status=599),
    Relayed("status 418", "RFC 9110 15", answer(_TWO, status=b"HTTP/1.1 418 I'm a teapot"), status=418),
    Relayed("answer of a later minor version", "RFC 9110 2.5", answer(_TWO, status=b"HTTP/1.2 200 OK")),
    Relayed("counted answer of HTTP/1.0", "RFC 9112 9.3", answer(_TWO, status=b"HTTP/1.0 200 OK"), kept=False),
    Relayed("answer of HTTP/1.0 kept alive", "RFC 9112 9.3", answer(_TWO, b"Connection: keep-alive", status=b"HTTP/1.0 200 OK")),
    Relayed("answer of HTTP/1.0 until the end", _BODY, answer(status=b"HTTP/1.0 200 OK"), ends=True, kept=False),
    Relayed("answer until the end", _BODY, answer(), ends=True, kept=False),
    Relayed("empty answer until the end", _BODY, answer(body=b""), body=b"", ends=True, kept=False),
    Relayed("counted answer that closes", "RFC 9112 9.6", answer(_TWO, b"Connection: close"), kept=False),
    Relayed("length with leading zeros in the answer", "RFC 9110 8.6", answer(b"Content-Length: 0002")),
    Relayed("chunked answer", _CHUNK, answer(CHUNKED, body=b"1\r\no\r\n1\r\nk\r\n" + _LAST)),
    Relayed("empty chunked answer", _CHUNK, answer(CHUNKED, body=_LAST), body=b""),
    Relayed("chunked answer with extensions", "RFC 9112 7.1.1", answer(CHUNKED, body=b'2;a;b="c"\r\nok\r\n' + _LAST)),
    Relayed(
        "chunked answer with trailers nobody asked for",
        "RFC 9112 7.1.2",
        answer(CHUNKED, body=b"2\r\nok\r\n0\r\nX: y\r\n\r\n"),
        absent=(b"x",),
    ),
    Relayed("chunked in capitals in the answer", "RFC 9112 7", answer(b"TRANSFER-ENCODING: CHUNKED", body=b"2\r\nok\r\n" + _LAST)),
    Relayed(
        "204",
        "RFC 9110 15.3.5",
        answer(body=b"", status=b"HTTP/1.1 204 No Content"),
        status=204,
        body=b"",
        absent=(b"content-length", b"transfer-encoding"),
    ),
    Relayed(
        "204 with length 0",
        "RFC 9110 8.6",
        answer(b"Content-Length: 0", body=b"", status=b"HTTP/1.1 204 No Content"),
        status=204,
        body=b"",
        absent=(b"content-length",),
    ),
    Relayed(
        "304 with the length of the representation",
        "RFC 9110 15.4.5",
        answer(b"Content-Length: 99", body=b"", status=b"HTTP/1.1 304 Not Modified"),
        status=304,
        body=b"",
        fields=((b"content-length", b"99"),),
    ),
    Relayed(
        "205 without a body",
        "RFC 9110 15.3.6",
        answer(b"Content-Length: 0", body=b"", status=b"HTTP/1.1 205 Reset Content"),
        status=205,
        body=b"",
    ),
    Relayed(
        "HEAD with the length of the representation",
        "RFC 9110 9.3.2",
        answer(b"Content-Length: 99", body=b""),
        _HEAD,
        body=b"",
        fields=((b"content-length", b"99"),),
    ),
    Relayed("HEAD with the coding of the representation", "RFC 9110 9.3.2", answer(CHUNKED, body=b""), _HEAD, body=b""),
    Relayed("HEAD without any length", "RFC 9110 9.3.2", answer(body=b""), _HEAD, body=b""),
    Relayed("empty value in the answer", _FIELD, answer(_TWO, b"X:"), fields=((b"x", b""),)),
    Relayed("tabs and spaces around a value of the answer", _FIELD, answer(_TWO, b"X:\t y \t"), fields=((b"x", b"y"),)),
    Relayed("obs-text in a value of the answer", "RFC 9110 5.5", answer(_TWO, b"X: \x80\xff"), fields=((b"x", b"\x80\xff"),)),
    Relayed(
        "two Set-Cookies",
        "RFC 6265 3",
        answer(_TWO, b"Set-Cookie: a=b", b"Set-Cookie: c=d"),
        fields=((b"set-cookie", b"a=b"), (b"set-cookie", b"c=d")),
    ),
    Relayed(
        "escaped CR LF in a value", "RFC 9110 5.5", answer(_TWO, b"Location: /%0d%0aX:%20y"), fields=((b"location", b"/%0d%0aX:%20y"),)
    ),
    Relayed(
        "hop-by-hop fields of the answer",
        "RFC 9110 7.6.1",
        answer(_TWO, b"Connection: X-A", b"X-A: 1", b"Keep-Alive: timeout=5", b"X-B: 2"),
        absent=(b"x-a", b"keep-alive"),
        fields=((b"x-b", b"2"),),
    ),
    Relayed("offer of another protocol", "RFC 9110 7.8", answer(_TWO, b"Connection: Upgrade", b"Upgrade: h2c"), absent=(b"upgrade",)),
    Relayed("100 fields in the answer", "reference 2.1", answer(_TWO, *[b"X: y"] * 100), fields=((b"x", b"y"),) * 100),
    Relayed("100 that nobody asked for", "RFC 9110 15.2.1", b"HTTP/1.1 100 Continue\r\n\r\n" + answer(_TWO)),
    Relayed("103 before the answer", "RFC 8297", _HINT + answer(_TWO), informational=(103,)),
    Relayed("ten interim answers", "RFC 9110 15.2", _HINT * 10 + answer(_TWO), informational=(103,) * 10),
    Relayed("unknown interim answer", "RFC 9110 15.2", b"HTTP/1.1 199 Soon\r\n\r\n" + answer(_TWO), informational=(199,)),
    Relayed(
        "upgrade demanded",
        "RFC 9110 15.5.22",
        answer(_TWO, b"Connection: Upgrade", b"Upgrade: TLS/1.3", status=b"HTTP/1.1 426 Upgrade Required"),
        status=426,
    ),
)
