"""Requests that look odd and are right: each is served, and means to the backend what it meant to the client."""

from __future__ import annotations

from tests.attacks.row import CHUNKED, FIELD_LIMIT, HOST, TARGET_LIMIT, VALUE_LIMIT, Served, chunked, get, hosted, line, lines, post

_LINE = "RFC 9112 3"
_TARGET = "RFC 9112 3.2"
_FIELD = "RFC 9110 5"
_CHUNK = "RFC 9112 7.1"
_PATH = "RFC 3986 6.2.2"
_LAST = b"0\r\n\r\n"


def _chunked(name: str, body: bytes, expected: bytes = b"hello", source: str = _CHUNK) -> Served:
    return Served(name, source, chunked(body), method=b"POST", body=expected)


def _as(name: str, source: str, target: bytes, forwarded: bytes) -> Served:
    return Served(name, source, get(target=target), target=forwarded)


def _host(name: str, value: bytes, forwarded: bytes) -> Served:
    return Served(name, "RFC 9110 7.2", hosted(value), fields=((b"host", forwarded),))


LINES = (
    Served("one empty line before the request", "RFC 9112 2.2", b"\r\n" + get()),
    Served("method of every token character", "RFC 9110 9.1", line(b"M!#$%&'*+-.^_`|~9 / HTTP/1.1"), method=b"M!#$%&'*+-.^_`|~9"),
    Served("method in lower case", "RFC 9110 9.1", line(b"get / HTTP/1.1"), method=b"get"),
    Served("method of 100 letters", "RFC 9110 9.1", line(b"A" * 100 + b" / HTTP/1.1"), method=b"A" * 100),
    Served("TRACE", "RFC 9110 9.3.8", line(b"TRACE / HTTP/1.1"), method=b"TRACE"),
    Served("PRI as a method of HTTP/1.1", "RFC 9110 9.1", line(b"PRI / HTTP/1.1"), method=b"PRI"),
    Served("HTTP/1.2", "RFC 9112 2.3", line(b"GET / HTTP/1.2")),
    Served("HTTP/1.9", "RFC 9112 2.3", line(b"GET / HTTP/1.9")),
    Served("HTTP/1.0", "RFC 9112 2.3", line(b"GET / HTTP/1.0"), closes=True),
    Served("HTTP/1.0 without Host", "RFC 9112 3.2", lines(b"GET / HTTP/1.0"), closes=True),
    Served("HTTP/1.0 kept alive", "RFC 9112 9.3", lines(b"GET / HTTP/1.0", HOST, b"Connection: Keep-Alive")),
    Served(
        "HTTP/1.0 with a body",
        "RFC 9112 6.3",
        lines(b"POST / HTTP/1.0", HOST, b"Content-Length: 5", body=b"hello"),
        b"POST",
        body=b"hello",
        closes=True,
    ),
    Served(
        "HTTP/1.0 with Expect",
        "RFC 9110 10.1.1",
        lines(b"POST / HTTP/1.0", HOST, b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
        b"POST",
        body=b"hello",
        closes=True,
    ),
    Served("Connection: close", "RFC 9112 9.6", get(b"Connection: close"), closes=True),
    Served("Connection: CLOSE among others", "RFC 9112 9.6", get(b"Connection: X-A , CLOSE,,"), closes=True),
    Served("Connection: keep-alive", "RFC 9112 9.3", get(b"Connection: keep-alive")),
    Served("empty Connection", "RFC 9110 5.6.1", get(b"Connection:")),
    Served("Connection names a field that is not there", "RFC 9110 7.6.1", get(b"Connection: X-Nothing")),
)

TARGETS = (
    Served("absolute target that agrees", "RFC 9112 3.2.2", get(target=b"http://a.example/a?b"), target=b"/a?b"),
    Served("absolute target in capitals", "RFC 9112 3.2.2", get(target=b"HTTP://A.EXAMPLE/A"), target=b"/A"),
    Served("absolute target without a path", "RFC 9112 3.2.2", get(target=b"http://a.example"), target=b"/"),
    Served("absolute target with a query alone", "RFC 9112 3.2.2", get(target=b"http://a.example?a"), target=b"/?a"),
    Served(
        "absolute target of HTTP/1.0 without Host",
        "RFC 9112 3.2.2",
        lines(b"GET http://a.example/a HTTP/1.0"),
        target=b"/a",
        fields=((b"host", b"a.example"),),
        closes=True,
    ),
    Served("OPTIONS *", "RFC 9112 3.2.4", line(b"OPTIONS * HTTP/1.1"), method=b"OPTIONS", target=b"*"),
    Served("OPTIONS of a host", "RFC 9112 3.2.4", line(b"OPTIONS http://a.example HTTP/1.1"), method=b"OPTIONS", target=b"*"),
    Served("OPTIONS of a path", "RFC 9110 9.3.7", line(b"OPTIONS / HTTP/1.1"), method=b"OPTIONS"),
    _as("empty query", _TARGET, b"/?", b"/?"),
    _as("query with question marks", "RFC 3986 3.4", b"/?a?b?", b"/?a?b?"),
    _as("query with slashes and dots", "RFC 3986 3.4", b"/?/../a//b", b"/?/../a//b"),
    _as("query with a bad escape", "reference 2.3: query untouched", b"/?a=%zz", b"/?a=%zz"),
    _as("query with raw bytes", "RFC 3986 3.4: escaped like a path's", b"/?a=\xc3\xa4&b=\xff%c3", b"/?a=%C3%A4&b=%FF%c3"),
    _as("query with an absolute URI", "RFC 3986 3.4", b"/?u=http://b.example/", b"/?u=http://b.example/"),
    _as("path with a colon and an at sign", "RFC 3986 3.3", b"/a:b@c", b"/a:b@c"),
    _as("path with every sub-delimiter", "RFC 3986 3.3", b"/!$&'()*+,;=", b"/!$&'()*+,;="),
    _as("path with a parameter", "RFC 3986 3.3", b"/a;v=1/b", b"/a;v=1/b"),
    _as("path with raw UTF-8", _PATH, b"/\xc3\xa4", b"/%C3%A4"),
    _as("path with bytes that may not stand raw", _PATH, b'/"<>^`{|}', b"/%22%3C%3E%5E%60%7B%7C%7D"),
    _as("escaped unreserved characters", _PATH, b"/%7Euser/%41%2d%5f%2E%2E%2ea", b"/~user/A-_...a"),
    _as("escapes in lower case", _PATH, b"/%c3%a4%20", b"/%C3%A4%20"),
    _as("escaped delimiters stay", "RFC 3986 2.2", b"/%23%3f%25%2a", b"/%23%3F%25%2A"),
    _as("runs of slashes stay", "design 7", b"//a//b/", b"//a//b/"),
    _as("name of three dots", "RFC 3986 5.2.4", b"/...", b"/..."),
    _as("name that begins with a dot", "RFC 3986 5.2.4", b"/.well-known/..a", b"/.well-known/..a"),
    _as("target of 8 KiB", "reference 2.2", b"/" + b"a" * (TARGET_LIMIT - 1), b"/" + b"a" * (TARGET_LIMIT - 1)),
    _as("2,000 segments", "RFC 3986 3.3", b"/a" * 2000, b"/a" * 2000),
    _host("Host in capitals", b"A.EXAMPLE", b"A.EXAMPLE"),
    _host("Host with a port", b"a.example:8080", b"a.example:8080"),
    _host("Host with an empty port", b"a.example:", b"a.example"),
    _host("Host with a trailing dot", b"a.example.", b"a.example."),
    _host("Host with an underscore", b"a_b.example", b"a_b.example"),
    _host("Host of an IPv4 address", b"127.0.0.1:80", b"127.0.0.1:80"),
    _host("Host of an IPv6 address", b"[2001:db8::1]:80", b"[2001:db8::1]:80"),
    _host("Host of an A-label", b"xn--4ca.example", b"xn--4ca.example"),
    _host("Host of one label", b"localhost", b"localhost"),
    _host("Host with spaces around", b"\t a.example \t", b"a.example"),
)

FIELDS = (
    Served("empty value", _FIELD, get(b"X:"), fields=((b"x", b""),)),
    Served("value of spaces", _FIELD, get(b"X:  \t "), fields=((b"x", b""),)),
    Served("no space behind the colon", _FIELD, get(b"X:y"), fields=((b"x", b"y"),)),
    Served("tabs and spaces around a value", _FIELD, get(b"X:\t y \t"), fields=((b"x", b"y"),)),
    Served("tabs and spaces inside a value", _FIELD, get(b"X: a \t b"), fields=((b"x", b"a \t b"),)),
    Served("obs-text in a value", "RFC 9110 5.5", get(b"X: \x80\xa0\xff"), fields=((b"x", b"\x80\xa0\xff"),)),
    Served(
        "every visible character in a value", "RFC 9110 5.5", get(b"X: " + bytes(range(33, 127))), fields=((b"x", bytes(range(33, 127))),)
    ),
    Served("every token character in a name", "RFC 9110 5.6.2", get(b"!#$%&'*+-.^_`|~9: y"), fields=((b"!#$%&'*+-.^_`|~9", b"y"),)),
    Served("underscore in a name of nobody", "RFC 9110 5.6.2", get(b"my_field: y"), fields=((b"my_field", b"y"),)),
    Served(
        "field repeated in other spellings",
        "RFC 9110 5.3",
        get(b"X: 1", b"x: 2", b"X: 1"),
        fields=((b"x", b"1"), (b"x", b"2"), (b"x", b"1")),
    ),
    Served("two cookies", "RFC 9110 5.3", get(b"Cookie: a=b", b"Cookie: c=d"), fields=((b"cookie", b"a=b"), (b"cookie", b"c=d"))),
    Served("name of X-Transfer-Encoding", _FIELD, get(b"X-Transfer-Encoding: chunked"), fields=((b"x-transfer-encoding", b"chunked"),)),
    Served("name of Content-Length-2", _FIELD, get(b"Content-Length-2: 5"), fields=((b"content-length-2", b"5"),)),
    Served("value that looks like a field", _FIELD, get(b"X: Transfer-Encoding: chunked"), fields=((b"x", b"Transfer-Encoding: chunked"),)),
    Served("100 options of Connection", "RFC 9110 7.6.1", get(b"Connection: " + b"x, " * 100, b"X: y"), absent=(b"x",)),
    Served("TE: trailers", "RFC 9110 10.1.4", get(b"TE: trailers", b"Connection: TE"), fields=((b"te", b"trailers"),)),
    Served("TE with weights", "RFC 9110 10.1.4", get(b"TE: gzip;q=0.5, trailers", b"Connection: TE"), fields=((b"te", b"trailers"),)),
    Served("100 fields", "reference 2.2", get(*[b"X: y"] * (FIELD_LIMIT - 1)), fields=((b"x", b"y"),) * (FIELD_LIMIT - 1)),
    Served("value of 16 KiB", "reference 2.2", get(b"X: " + b"a" * VALUE_LIMIT), fields=((b"x", b"a" * VALUE_LIMIT),)),
    Served("head of 48 KiB", "reference 2.2", get(*[b"X: " + b"a" * 8000] * 6), fields=((b"x", b"a" * 8000),) * 6),
    Served("Expect: 100-continue without a body", "RFC 9110 10.1.1", get(b"Expect: 100-continue"), absent=(b"expect",)),
    Served(
        "Expect with the body sent along",
        "RFC 9110 10.1.1",
        post(b"Expect: 100-Continue", b"Content-Length: 5", body=b"hello"),
        b"POST",
        absent=(b"expect",),
        body=b"hello",
    ),
    Served(
        "Expect with a chunked body",
        "RFC 9110 10.1.1",
        post(b"Expect: 100-continue", CHUNKED, body=b"5\r\nhello\r\n" + _LAST),
        b"POST",
        absent=(b"expect",),
        body=b"hello",
    ),
)

BODIES = (
    Served("length 0", "RFC 9110 8.6", post(b"Content-Length: 0"), b"POST"),
    Served("length with leading zeros", "RFC 9110 8.6", post(b"Content-Length: 0005", body=b"hello"), b"POST", body=b"hello"),
    Served("length with spaces around", "RFC 9112 5", post(b"Content-Length: \t 5 ", body=b"hello"), b"POST", body=b"hello"),
    Served("POST without a length", "RFC 9112 6.3", post(), b"POST", fields=((b"content-length", b"0"),)),
    Served("counted body of a GET", "RFC 9110 9.3.1", get(b"Content-Length: 5") + b"hello", body=b"hello"),
    Served("chunked body of a GET", "TE.0", get(CHUNKED) + b"5\r\nhello\r\n" + _LAST, body=b"hello"),
    Served(
        "chunked body of OPTIONS",
        "TE.0",
        lines(b"OPTIONS / HTTP/1.1", HOST, CHUNKED, body=b"5\r\nhello\r\n" + _LAST),
        b"OPTIONS",
        body=b"hello",
    ),
    Served(
        "chunked body of HEAD", "TE.0", lines(b"HEAD / HTTP/1.1", HOST, CHUNKED, body=b"5\r\nhello\r\n" + _LAST), b"HEAD", body=b"hello"
    ),
    Served("HEAD", "RFC 9110 9.3.2", line(b"HEAD / HTTP/1.1"), b"HEAD"),
    Served(
        "counted body of DELETE",
        "RFC 9110 9.3.5",
        lines(b"DELETE / HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"),
        b"DELETE",
        body=b"hello",
    ),
    Served(
        "chunked body of an unknown method",
        "RFC 9112 6.3",
        lines(b"PURGE / HTTP/1.1", HOST, CHUNKED, body=b"5\r\nhello\r\n" + _LAST),
        b"PURGE",
        body=b"hello",
    ),
    Served(
        "body that looks like a request",
        "RFC 9112 6.3",
        post(b"Content-Length: 39", body=b"GET /second HTTP/1.1\r\nHost: a.example\r\n\r\n"[:39]),
        b"POST",
        body=b"GET /second HTTP/1.1\r\nHost: a.example\r\n\r\n"[:39],
    ),
    Served("body of every byte", "RFC 9112 6.3", post(b"Content-Length: 256", body=bytes(range(256))), b"POST", body=bytes(range(256))),
    Served(
        "chunked in mixed case", "RFC 9112 7", post(b"Transfer-Encoding: cHuNkEd", body=b"5\r\nhello\r\n" + _LAST), b"POST", body=b"hello"
    ),
    Served(
        "chunked with spaces around",
        "RFC 9112 5",
        post(b"Transfer-Encoding:\t chunked \t", body=b"5\r\nhello\r\n" + _LAST),
        b"POST",
        body=b"hello",
    ),
    _chunked("empty chunked body", _LAST, b""),
    _chunked("many chunks", b"1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n" + _LAST),
    _chunked("chunk size in capitals", b"A\r\n0123456789\r\n" + _LAST, b"0123456789"),
    _chunked("chunk size with leading zeros", b"0000000000000005\r\nhello\r\n" + _LAST),
    _chunked("last chunk of many zeros", b"5\r\nhello\r\n0000\r\n\r\n"),
    _chunked("chunk that holds CR LF and chunks", b"c\r\n\r\n0\r\n\r\nGET /\r\n" + _LAST, b"\r\n0\r\n\r\nGET /"),
    _chunked("extension", b"5;a\r\nhello\r\n" + _LAST, source="RFC 9112 7.1.1"),
    _chunked("extension with a value", b"5;a=b;c=d\r\nhello\r\n" + _LAST, source="RFC 9112 7.1.1"),
    _chunked("extension with a quoted value", b'5;a="b;c \\" \t\xe9"\r\nhello\r\n' + _LAST, source="RFC 9112 7.1.1"),
    _chunked("extension with spaces", b"5 ; a = b\r\nhello\r\n" + _LAST, source="RFC 9112 7.1.1: BWS"),
    _chunked("extension of the last chunk", b"5\r\nhello\r\n0;a=b\r\n\r\n", source="RFC 9112 7.1.1"),
    Served(
        "trailer of a client that takes trailers",
        "RFC 9110 6.5",
        post(b"TE: trailers", b"Connection: TE", CHUNKED, body=b"5\r\nhello\r\n0\r\nX:  y \r\n\r\n"),
        b"POST",
        body=b"hello",
        trailers=((b"x", b"y"),),
    ),
    _chunked("4 KiB of extensions", b"5;" + b"a" * 4000 + b"\r\nhello\r\n" + _LAST, source="reference 2.1"),
)

LEGAL = LINES + TARGETS + FIELDS + BODIES
