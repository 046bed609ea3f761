"""Requests that are malformed, or more than anybody takes (RFC 9113 8; reference 2.0, 2.2, 2.4, 2.5, 2.6).

Most of them would be two requests, or another one, once they are written as HTTP/1.1.
"""

from __future__ import annotations

from tests.attacks.http2_row import (
    COMPRESSION_ERROR,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    MALFORMED,
    PROTOCOL_ERROR,
    Field,
    Fields,
    Http2Attack,
    Http2Served,
    Verdict,
    answers,
    block,
    data,
    ends,
    frame,
    get,
    head,
    headers,
    ping,
    post,
    resets,
)
from tests.attacks.row import FIELD_LIMIT, TARGET_LIMIT, VALUE_LIMIT

_FIELD = "RFC 9113 8.2.1"
_CONNECTION = "RFC 9113 8.2.2"
_PSEUDO = "RFC 9113 8.3"
_REQUEST = "RFC 9113 8.3.1"
_LENGTH = "RFC 9113 8.1.1, H2.CL"
_DOWNGRADE = "reference 2.0: request line injection"
_TRAILERS = "RFC 9113 8.1"
_LIMIT = "RFC 6585 5, reference 2.2"
_HOST = "RFC 9113 8.3.1, CVE-2026-71554"
_HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n"


def _field(name: str, field: Field, source: str = _FIELD, verdict: Verdict = MALFORMED) -> Http2Attack:
    """A good request with this field."""
    return Http2Attack(name, source, get(field), verdict)


def _request(name: str, source: str, fields: Fields, verdict: Verdict = MALFORMED) -> Http2Attack:
    return Http2Attack(name, source, headers(1, fields), verdict)


def _without(name: bytes) -> Fields:
    return tuple(field for field in head() if field[0] != name)


def _with(name: bytes, value: bytes, *more: Field) -> Fields:
    """A good head with another value of one pseudo-header field."""
    return (*[(each, value if each == name else kept) for each, kept in head()], *more)


FIELDS = (
    _field("upper case in a name", (b"X-a", b"y"), "RFC 9113 8.2"),
    _field("upper case at the end of a name", (b"x-A", b"y"), "RFC 9113 8.2"),
    _field("transfer-encoding with one capital", (b"transfer-Encoding", b"chunked"), "RFC 9113 8.2, H2.TE"),
    _field("empty name", (b"", b"y")),
    _field("space in a name", (b"x y", b"z")),
    _field("space behind a name", (b"x ", b"y")),
    _field("tab in a name", (b"x\ty", b"z")),
    _field("colon in a name", (b"x:y", b"z")),
    _field("colon behind a name", (b"transfer-encoding:", b"chunked")),
    _field("whole field in a name", (b"x: y\r\nz", b"a")),
    _field("CR in a name", (b"x\ry", b"z")),
    _field("LF in a name", (b"x\ny", b"z")),
    _field("NUL in a name", (b"x\x00", b"y")),
    _field("DEL in a name", (b"x\x7f", b"y")),
    _field("high byte in a name", (b"x\xe9", b"y")),
    _field("request in a name", (b"x: y\r\n\r\n" + _HIDDEN, b"z"), _DOWNGRADE),
    _field("CR LF in a value", (b"x", b"a\r\nz: b")),
    _field("request in a value", (b"x", b"a\r\n\r\n" + _HIDDEN), _DOWNGRADE),
    _field("transfer-encoding in a value", (b"x", b"a\r\ntransfer-encoding: chunked"), "H2.TE"),
    _field("CR in a value", (b"x", b"a\rb")),
    _field("LF in a value", (b"x", b"a\nb")),
    _field("CR at the end of a value", (b"x", b"a\r")),
    _field("NUL in a value", (b"x", b"a\x00b")),
    _field("byte 01 in a value", (b"x", b"a\x01b"), "design 7: control bytes"),
    _field("escape byte in a value", (b"x", b"a\x1b[2J"), "design 7: control bytes"),
    _field("DEL in a value", (b"x", b"a\x7fb"), "design 7: control bytes"),
    _field("space before a value", (b"x", b" a")),
    _field("space behind a value", (b"x", b"a ")),
    _field("tab before a value", (b"x", b"\ta")),
    _field("tab behind a value", (b"x", b"a\t")),
    _field("value of a space", (b"x", b" ")),
    _field("LF in a cookie", (b"cookie", b"a=b\nx: y")),
)

CONNECTION = (
    _field("connection", (b"connection", b"close"), _CONNECTION),
    _field("connection that names a field", (b"connection", b"x-forwarded-for"), "CVE-2026-29054"),
    _field("empty connection", (b"connection", b""), _CONNECTION),
    _field("keep-alive", (b"keep-alive", b"timeout=5"), _CONNECTION),
    _field("proxy-connection", (b"proxy-connection", b"keep-alive"), _CONNECTION),
    _field("upgrade to a WebSocket", (b"upgrade", b"websocket"), _CONNECTION),
    _field("upgrade to h2c", (b"upgrade", b"h2c"), "h2c smuggling"),
    _field("transfer-encoding of a GET", (b"transfer-encoding", b"chunked"), "RFC 9113 8.2.2, H2.TE"),
    Http2Attack(
        "transfer-encoding with chunks in DATA",
        "RFC 9113 8.2.2, H2.TE",
        post((b"transfer-encoding", b"chunked")) + data(b"0\r\n\r\n" + _HIDDEN),
        MALFORMED,
    ),
    _field("transfer-encoding: identity", (b"transfer-encoding", b"identity"), "RFC 9113 8.2.2, H2.TE"),
    _field("te: gzip", (b"te", b"gzip"), _CONNECTION),
    _field("te: trailers and more", (b"te", b"trailers, deflate"), _CONNECTION),
    _field("te: chunked", (b"te", b"chunked"), _CONNECTION),
)

PSEUDO = (
    _request("no :method", _REQUEST, _without(b":method")),
    _request("no :scheme", _REQUEST, _without(b":scheme")),
    _request("no :path", _REQUEST, _without(b":path")),
    _request("no pseudo-header field", _REQUEST, ((b"host", b"a.example"),)),
    _request("two :method", _PSEUDO, ((b":method", b"POST"), *head())),
    _request("two :path", _PSEUDO, (*head(), (b":path", b"/private"))),
    _request("two :scheme", _PSEUDO, ((b":scheme", b"https"), *head())),
    _request("two :authority", _PSEUDO, (*head(), (b":authority", b"b.example"))),
    _request("two equal :path", _PSEUDO, (*head(), (b":path", b"/"))),
    _request(":path behind an ordinary field", _PSEUDO, (*_without(b":path"), (b"x", b"y"), (b":path", b"/"))),
    _request(":authority behind an ordinary field", _PSEUDO, (*_without(b":authority"), (b"x", b"y"), (b":authority", b"a.example"))),
    _request("unknown pseudo-header field", _PSEUDO, head((b":x", b"y"))),
    _request(":status in a request", _PSEUDO, head((b":status", b"200"))),
    _request("pseudo-header field without a name", _PSEUDO, head((b":", b"y"))),
    _request(":protocol of a GET", "RFC 8441 4", ((b":protocol", b"websocket"), *head())),
)

METHODS = (
    _request("empty :method", _REQUEST, head(method=b"")),
    _request("space in :method", _DOWNGRADE, head(method=b"GET /private HTTP/1.1")),
    _request("request in :method", _DOWNGRADE, head(method=b"GET /private HTTP/1.1\r\nHost: a.example\r\n\r\nGET")),
    _request("space before :method", _DOWNGRADE, head(method=b" GET")),
    _request("NUL in :method", _DOWNGRADE, head(method=b"GE\x00T")),
    _request("delimiter in :method", "RFC 9110 9.1", head(method=b"GE(T")),
    _request("high byte in :method", "RFC 9110 9.1", head(method=b"GET\xe9")),
)

SCHEMES = (
    _request("empty :scheme", _REQUEST, head(scheme=b"")),
    _request(":scheme of another protocol", "reference 2.0", head(scheme=b"ftp")),
    _request(":scheme with a URI", "reference 2.0", head(scheme=b"http://b.example/?")),
    _request("space in :scheme", "reference 2.0", head(scheme=b"http ")),
    _request("CR LF in :scheme", "reference 2.0", head(scheme=b"http\r\nx: y")),
)

PATHS = (
    _request("empty :path", _REQUEST, head(path=b"")),
    _request(":path without a slash", _REQUEST, head(path=b"private")),
    _request("absolute :path", _REQUEST, head(path=b"http://b.example/")),
    _request("absolute :path of this host", _REQUEST, head(path=b"http://a.example/")),
    _request("* with GET", _REQUEST, head(path=b"*")),
    _request("* and more with OPTIONS", _REQUEST, head(path=b"*/a", method=b"OPTIONS")),
    _request("space in :path", _DOWNGRADE, head(path=b"/ HTTP/1.1")),
    _request("request in :path", _DOWNGRADE, head(path=b"/ HTTP/1.1\r\nHost: a.example\r\n\r\nGET /private")),
    _request("tab in :path", _DOWNGRADE, head(path=b"/a\tb")),
    _request("LF in :path", _DOWNGRADE, head(path=b"/a\nb")),
    _request("NUL in :path", _DOWNGRADE, head(path=b"/a\x00b")),
    _request("DEL in :path", _DOWNGRADE, head(path=b"/a\x7f")),
    _request("fragment in :path", "RFC 9110 7.1", head(path=b"/a#b")),
    _request("backslash in :path", "reference 2.3", head(path=b"/a\\b")),
    _request("escaped NUL in :path", "reference 2.3", head(path=b"/%00")),
    _request("bad escape in :path", "reference 2.3", head(path=b"/%zz")),
    _request("..; in :path", "design 7", head(path=b"/a/..;/b")),
    _request(":path that leaves the root", "reference 2.3", head(path=b"/../private/../..")),
    _request(":path over 8 KiB", _LIMIT, head(path=b"/" + b"a" * TARGET_LIMIT), answers(414)),
)

AUTHORITIES = (
    _request("neither :authority nor Host", _REQUEST, _without(b":authority")),
    _request("empty :authority", _HOST, head(authority=b"")),
    _request("empty :authority and a Host", _HOST, _with(b":authority", b"", (b"host", b"a.example"))),
    _request("empty Host beside :authority", _HOST, head((b"host", b""))),
    _request("Host that disagrees", _HOST, head((b"host", b"b.example"))),
    _request("Host whose port disagrees", _HOST, head((b"host", b"a.example:8443"))),
    _request("Host twice", _HOST, head((b"host", b"a.example"), (b"host", b"a.example"))),
    _request("Host twice without :authority", _HOST, (*_without(b":authority"), (b"host", b"a.example"), (b"host", b"b.example"))),
    _request("userinfo in :authority", _REQUEST, head(authority=b"user@a.example")),
    _request("userinfo in Host", _REQUEST, (*_without(b":authority"), (b"host", b"user@a.example"))),
    _request("path in :authority", "reference 2.0", head(authority=b"a.example/private")),
    _request("space in :authority", "reference 2.0", head(authority=b"a.example b.example")),
    _request("list in :authority", "reference 2.2", head(authority=b"a.example,b.example")),
    _request("CR LF in :authority", _DOWNGRADE, head(authority=b"a.example\r\nx: y")),
    _request("NUL in :authority", _DOWNGRADE, head(authority=b"a.example\x00")),
    _request("high byte in :authority", "reference 2.2", head(authority=b"\xe4.example")),
    _request("port that is a word in :authority", "reference 2.2", head(authority=b"a.example:port")),
    _request("port over 65,535 in :authority", "reference 2.2", head(authority=b"a.example:65536")),
    _request("fragment in :authority", "reference 2.2", head(authority=b"a.example#")),
)

LENGTHS = (
    Http2Attack("length of a request without DATA", _LENGTH, get((b"content-length", b"5")), MALFORMED),
    Http2Attack("length of a POST that ends at once", _LENGTH, headers(1, head((b"content-length", b"1"), method=b"POST")), MALFORMED),
    Http2Attack("length below the DATA", _LENGTH, post((b"content-length", b"2")) + data(b"ok" + _HIDDEN), MALFORMED, late=True),
    Http2Attack("length 0 and DATA", _LENGTH, post((b"content-length", b"0")) + data(_HIDDEN), MALFORMED),
    Http2Attack("length 0, and DATA later", _LENGTH, post((b"content-length", b"0")) + ping() + data(_HIDDEN), MALFORMED),
    Http2Attack(
        "length 0, and DATA behind DATA of no bytes",
        _LENGTH,
        post((b"content-length", b"0")) + data(b"", flags=0) + data(_HIDDEN),
        MALFORMED,
    ),
    Http2Attack(
        "DATA behind the length", _LENGTH, post((b"content-length", b"2")) + data(b"ok", flags=0) + data(_HIDDEN), MALFORMED, late=True
    ),
    Http2Attack("length above the DATA", _LENGTH, post((b"content-length", b"50")) + data(b"ok"), MALFORMED, late=True),
    Http2Attack(
        "length above DATA in two frames",
        _LENGTH,
        post((b"content-length", b"5")) + data(b"he", flags=0) + data(b"ll"),
        MALFORMED,
        late=True,
    ),
    Http2Attack(
        "length below DATA in two frames",
        _LENGTH,
        post((b"content-length", b"5")) + data(b"hel", flags=0) + data(b"lo!"),
        MALFORMED,
        late=True,
    ),
    Http2Attack(
        "length above the DATA before trailers",
        _LENGTH,
        post((b"content-length", b"5")) + data(b"hell", flags=0) + headers(1, ((b"x", b"y"),)),
        MALFORMED,
        late=True,
    ),
    Http2Attack("two lengths", _LENGTH, post((b"content-length", b"5"), (b"content-length", b"6")) + data(b"hello"), MALFORMED),
    Http2Attack(
        "two equal lengths", "reference 2.1", post((b"content-length", b"5"), (b"content-length", b"5")) + data(b"hello"), MALFORMED
    ),
    Http2Attack("list of lengths", _LENGTH, post((b"content-length", b"5, 5")) + data(b"hello"), MALFORMED),
    Http2Attack("length with a sign", _LENGTH, post((b"content-length", b"+5")) + data(b"hello"), MALFORMED),
    Http2Attack("negative length", _LENGTH, post((b"content-length", b"-1")) + data(b"hello"), MALFORMED),
    Http2Attack("hexadecimal length", _LENGTH, post((b"content-length", b"0x5")) + data(b"hello"), MALFORMED),
    Http2Attack("length with an underscore", "int() takes it", post((b"content-length", b"0_5")) + data(b"hello"), MALFORMED),
    Http2Attack("empty length", _LENGTH, post((b"content-length", b"")) + data(b"hello"), MALFORMED),
    Http2Attack("length of 20 digits", "reference 2.1", post((b"content-length", b"9" * 20)) + data(b"hello"), MALFORMED),
    Http2Attack("length and no end", _LENGTH, post((b"content-length", b"5")) + data(b"hello!", flags=0), MALFORMED, late=True),
)

TRAILERS = (
    Http2Attack(
        "pseudo-header field in trailers", _TRAILERS, post() + headers(1, ((b":path", b"/private"),)), resets(PROTOCOL_ERROR), late=True
    ),
    Http2Attack(":status in trailers", _TRAILERS, post() + headers(1, ((b":status", b"200"),)), resets(PROTOCOL_ERROR), late=True),
    Http2Attack("upper case in trailers", _TRAILERS, post() + headers(1, ((b"X", b"y"),)), resets(PROTOCOL_ERROR), late=True),
    Http2Attack("CR LF in trailers", _TRAILERS, post() + headers(1, ((b"x", b"y\r\n\r\n" + _HIDDEN),)), resets(PROTOCOL_ERROR), late=True),
    Http2Attack("name with CR LF in trailers", _TRAILERS, post() + headers(1, ((b"x\r\n\r\ny", b"z"),)), resets(PROTOCOL_ERROR), late=True),
    Http2Attack("connection in trailers", _TRAILERS, post() + headers(1, ((b"connection", b"close"),)), resets(PROTOCOL_ERROR), late=True),
    Http2Attack(
        "transfer-encoding in trailers",
        _TRAILERS,
        post() + headers(1, ((b"transfer-encoding", b"chunked"),)),
        resets(PROTOCOL_ERROR),
        late=True,
    ),
    Http2Attack(
        "200 trailers",
        "reference 2.5",
        post() + headers(1, ((b"x", b"y"),) * 200),
        Verdict(ends=(ENHANCE_YOUR_CALM,), resets=(PROTOCOL_ERROR, ENHANCE_YOUR_CALM)),
        late=True,
    ),
    Http2Attack(
        "trailers without the end of the stream",
        _TRAILERS,
        post() + data(b"hello", flags=0) + headers(1, ((b"x", b"y"),), END_HEADERS),
        resets(PROTOCOL_ERROR),
        late=True,
    ),
)

LIMITS = (
    Http2Attack("101 fields", _LIMIT, get(*[(b"x", b"y")] * (FIELD_LIMIT + 1)), answers(431)),
    Http2Attack("101 cookie crumbs", "HTTP/2 Bomb, CVE-2026-47774", get(*[(b"cookie", b"a=b")] * (FIELD_LIMIT + 1)), answers(431)),
    Http2Attack("400 tiny fields", _LIMIT, get(*[(b"a", b"")] * 400), answers(431)),
    Http2Attack("3,000 tiny fields", "HTTP/2 Bomb, CVE-2026-47774", get(*[(b"a", b"")] * 3000), ends(ENHANCE_YOUR_CALM)),
    Http2Attack(
        "400 fields of one byte each by the table",
        "HPACK bomb, CVE-2016-6581",
        headers(1, block(*head()) + b"\x40\x01x" + b"\x7f\x81\x1e" + b"y" * 3968 + b"\xbe" * 400),
        answers(431),
    ),
    Http2Attack(
        "3,000 fields of one byte each by the table",
        "HPACK bomb, CVE-2016-6581",
        headers(1, block(*head()) + b"\x40\x01x" + b"\x7f\x81\x1e" + b"y" * 3968 + b"\xbe" * 3000),
        ends(ENHANCE_YOUR_CALM),
    ),
    Http2Attack(
        "value one byte over 16 KiB",
        _LIMIT,
        headers(1, block(*head(), (b"x", b"a" * (VALUE_LIMIT + 1)))[:16_384], END_STREAM)
        + frame(CONTINUATION, END_HEADERS, 1, block(*head(), (b"x", b"a" * (VALUE_LIMIT + 1)))[16_384:]),
        answers(431),
    ),
    Http2Attack(
        "nine CONTINUATION frames",
        "reference 2.5, CVE-2024-27316",
        headers(1, block(*head()), END_STREAM) + frame(CONTINUATION, 0, 1, block((b"x", b"y"))) * 8 + frame(CONTINUATION, END_HEADERS, 1),
        ends(ENHANCE_YOUR_CALM),
    ),
    Http2Attack(
        "block of 80 KiB",
        "reference 2.5, CVE-2024-27316",
        headers(1, block(*head()), END_STREAM) + frame(CONTINUATION, 0, 1, bytes(16_384)) * 5,
        ends(ENHANCE_YOUR_CALM, COMPRESSION_ERROR),
    ),
)

TUNNELS = (
    _request("CONNECT", "design 7", ((b":method", b"CONNECT"), (b":authority", b"a.example:443")), answers(405)),
    _request("CONNECT with a path", "RFC 9113 8.5", head(method=b"CONNECT")),
    _request("CONNECT without :authority", "RFC 9113 8.5", ((b":method", b"CONNECT"), (b"host", b"a.example:443"))),
    _request(
        "extended CONNECT for another protocol",
        "RFC 8441 4",
        ((b":protocol", b"connect-udp"), *head(method=b"CONNECT")),
        Verdict(answers=(400, 405, 501)),
    ),
    _request("extended CONNECT without :path", "RFC 8441 4", ((b":protocol", b"websocket"), *_with(b":method", b"CONNECT")[:3])),
    _request(
        "extended CONNECT without a version", "RFC 6455 4.2.1", ((b":protocol", b"websocket"), *head(method=b"CONNECT")), answers(400, 426)
    ),
    _request(
        "extended CONNECT of version 8",
        "RFC 6455 4.4",
        ((b":protocol", b"websocket"), *head((b"sec-websocket-version", b"8"), method=b"CONNECT")),
        answers(426),
    ),
    _request(
        "extended CONNECT with a length",
        "reference 2.6",
        ((b":protocol", b"websocket"), *head((b"sec-websocket-version", b"13"), (b"content-length", b"5"), method=b"CONNECT")),
        Verdict(resets=(PROTOCOL_ERROR,), answers=(400,)),
    ),
    Http2Attack(
        "TLS in a plain connection behind CONNECT",
        "reference 2.6",
        headers(1, ((b":method", b"CONNECT"), (b":authority", b"a.example:443")), END_HEADERS)
        + data(b"\x16\x03\x01\x00\x05hello", flags=0),
        answers(405),
    ),
)

EXPECTATIONS = (
    _field("expectation that nobody knows", (b"expect", b"200-ok"), "RFC 9110 10.1.1", answers(417)),
    _field("expectation of a list", (b"expect", b"100-continue, x"), "RFC 9110 10.1.1", answers(417)),
)

PRIVATE = (
    _request("the private path itself", "reference 2.3", head(path=b"/private/a"), answers(302)),
    _request("dot segments into the private path", "reference 2.3", head(path=b"/public/../private/a"), answers(302)),
    _request("escaped dot segments into the private path", "reference 2.3", head(path=b"/public/%2e%2e/private/a"), answers(302)),
    _request(
        "private path named by an override field", "X-Original-URL", head((b"x-original-url", b"/"), path=b"/private/a"), answers(302)
    ),
)


def _taken_apart(name: str, field: Field, *expected: Field, source: str = "reference 2.4") -> Http2Served:
    """Served, but the field does not arrive as it was sent: it has the value expected, or is gone."""
    return Http2Served(name, source, get(field), fields=expected, absent=() if expected else (field[0],))


SPOOFED = (
    _taken_apart("own x-forwarded-for stays left of ours", (b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-for", b"1.2.3.4, 127.0.0.1")),
    _taken_apart("own x-forwarded-proto", (b"x-forwarded-proto", b"https"), (b"x-forwarded-proto", b"http")),
    _taken_apart("own x-forwarded-host", (b"x-forwarded-host", b"b.example"), (b"x-forwarded-host", b"a.example")),
    _taken_apart("own x-forwarded-port", (b"x-forwarded-port", b"443"), (b"x-forwarded-port", b"80")),
    _taken_apart("own x-forwarded-client-cert", (b"x-forwarded-client-cert", b'URI="spiffe://a/b"'), source="CVE-2026-46579"),
    _taken_apart("own forwarded", (b"forwarded", b"for=1.2.3.4;proto=https")),
    _taken_apart("own x-real-ip", (b"x-real-ip", b"1.2.3.4")),
    _taken_apart("alias x_forwarded_for", (b"x_forwarded_for", b"1"), source="CVE-2026-88011"),
    _taken_apart("alias transfer_encoding", (b"transfer_encoding", b"chunked"), source="CVE-2026-88011"),
    _taken_apart("alias content_length", (b"content_length", b"5"), source="CVE-2026-88011"),
    _taken_apart("http2-settings is taken out", (b"http2-settings", b"AAMAAABk"), source="h2c smuggling"),
    _taken_apart("proxy-authorization is taken out", (b"proxy-authorization", b"Basic eDp5"), source="RFC 9110 7.6.1"),
    _taken_apart("trailer is taken out", (b"trailer", b"x"), source="RFC 9110 7.6.1"),
    Http2Served(
        "content-length as a trailer",
        "RFC 9110 6.5.1",
        post((b"te", b"trailers")) + data(b"hello", flags=0) + headers(1, ((b"content-length", b"50"), (b"x", b"y"))),
        method=b"POST",
        body=b"hello",
        trailers=((b"x", b"y"),),
    ),
    Http2Served(
        "host and authorization as trailers",
        "RFC 9110 6.5.1",
        post((b"te", b"trailers")) + headers(1, ((b"host", b"b.example"), (b"authorization", b"Basic eDp5"))),
        method=b"POST",
    ),
)

ATTACKS = (
    FIELDS
    + CONNECTION
    + PSEUDO
    + METHODS
    + SCHEMES
    + PATHS
    + AUTHORITIES
    + LENGTHS
    + TRAILERS
    + LIMITS
    + TUNNELS
    + EXPECTATIONS
    + PRIVATE
    + SPOOFED
)
