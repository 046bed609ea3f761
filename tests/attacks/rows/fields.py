"""Field lines and their limits (RFC 9112 5, RFC 9110 5), and fields that would speak for somebody else (reference 2.4)."""

from __future__ import annotations

from tests.attacks.row import FIELD_LIMIT, HEAD_LIMIT, HOST, VALUE_LIMIT, Refused, Served, get, lines

_NAME = "RFC 9110 5.1, RFC 9112 5"
_VALUE = "RFC 9110 5.5"
_FOLD = "RFC 9112 5.2"
_LINES = "RFC 9112 2.2"
_TRUST = "reference 2.4"
_LIMIT = "RFC 6585 5"


def _value(name: str, byte: bytes) -> Refused:
    return Refused(f"{name} in a value", _VALUE, get(b"X: a" + byte + b"b"))


NAMES = (
    Refused("space before a colon", "RFC 9112 5.1", get(b"X : y")),
    Refused("tab before a colon", "RFC 9112 5.1", get(b"X\t: y")),
    Refused("no colon", _NAME, get(b"X")),
    Refused("no colon but a value", _NAME, get(b"X y")),
    Refused("empty name", _NAME, get(b": y")),
    Refused("colon alone", _NAME, get(b":")),
    Refused("space in a name", _NAME, get(b"X Y: z")),
    Refused("name with a high byte", _NAME, get(b"X\xe9: y")),
    Refused("name with a NUL", _NAME, get(b"X\x00: y")),
    Refused("name with a DEL", _NAME, get(b"X\x7f: y")),
    Refused("name with a control byte", _NAME, get(b"X\x01: y")),
    Refused("name in parentheses", _NAME, get(b"(X): y")),
    Refused("quoted name", _NAME, get(b'"X": y')),
    Refused("name with a slash", _NAME, get(b"X/Y: z")),
    Refused("name with an at sign", _NAME, get(b"X@Y: z")),
    Refused("name with an equals sign", _NAME, get(b"X=Y: z")),
    Refused("name with a brace", _NAME, get(b"{X}: y")),
    Refused("pseudo-field of HTTP/2", "RFC 9113 8.3", get(b":path: /private")),
    Refused("byte order mark before a name", _NAME, get(b"\xef\xbb\xbfX: y")),
    Refused("white space before the first field", _LINES, lines(b"GET / HTTP/1.1", b" X: y", HOST)),
    Refused("line of spaces", _LINES, get(b"  ")),
    Refused("line of a tab", _LINES, get(b"\t")),
    Refused("request line where a field should be", _NAME, get(b"GET /second HTTP/1.1")),
)

VALUES = (
    _value("NUL", b"\x00"),
    _value("byte 01", b"\x01"),
    _value("backspace", b"\x08"),
    _value("VT", b"\x0b"),
    _value("FF", b"\x0c"),
    _value("shift out", b"\x0e"),
    _value("escape byte", b"\x1b[2J"),
    _value("byte 1F", b"\x1f"),
    _value("DEL", b"\x7f"),
    Refused("bare CR in a value", _LINES, get(b"X: a\rb")),
    Refused("bare CR at the end of a value", _LINES, get(b"X: a\r")),
    Refused("bare CR before a value", _LINES, get(b"X:\ra")),
    Refused("bare LF in a value", _LINES, get(b"X: a\nb: c")),
    Refused("field line ended by LF", _LINES, b"GET / HTTP/1.1\r\nHost: a.example\nX: y\r\n\r\n"),
    Refused("head ended by LF LF", _LINES, b"GET / HTTP/1.1\r\nHost: a.example\n\n"),
    Refused("head ended by CR LF LF", _LINES, b"GET / HTTP/1.1\r\nHost: a.example\r\n\n"),
    Refused("head ended by LF CR LF", _LINES, b"GET / HTTP/1.1\r\nHost: a.example\n\r\n"),
    Refused("every line ended by LF", _LINES, b"GET / HTTP/1.1\nHost: a.example\n\n"),
    Refused("every line ended by CR", _LINES, b"GET / HTTP/1.1\rHost: a.example\r\r\r\n\r\n"),
    Refused("line ended by CR CR LF", _LINES, get(b"X: y\r", b"Z: a")),
    Refused("value folded by a space", _FOLD, get(b"X: a", b" b")),
    Refused("value folded by a tab", _FOLD, get(b"X: a", b"\tb")),
    Refused("empty value folded", _FOLD, get(b"X:", b" b")),
    Refused("value folded into nothing", _FOLD, get(b"X: a", b" ")),
    Refused("line folded behind the request line", _FOLD, lines(b"GET / HTTP/1.1", b" Y: z", HOST)),
)

LIMITS = (
    Refused("101 fields", _LIMIT, get(*[b"X: y"] * FIELD_LIMIT), 431),
    Refused("2,000 small fields", _LIMIT, get(*[b"a:"] * 2000), 431),
    Refused("value one byte over 16 KiB", _LIMIT, get(b"X: " + b"a" * (VALUE_LIMIT + 1)), 431),
    Refused("head over 60 KiB", _LIMIT, get(*[b"X: " + b"a" * 8000] * 8), 431),
    Refused("name of 61 KiB", _LIMIT, get(b"a" * (HEAD_LIMIT + 1024) + b": b"), 431),
    Refused("head of 61 KiB without an end", _LIMIT, get(b"X: y").removesuffix(b"\r\n") + b"X: " + b"a" * HEAD_LIMIT, 431),
    Refused("15,000 spaces before a bad byte", "quadratic backtracking", get(b"X: a" + b" " * 15_000 + b"\x01")),
    Refused("101 options of Connection", "CPU", get(b"Connection: " + b",".join([b"x"] * 101))),
    Refused("101 options in two lines of Connection", "CPU", get(b"Connection: " + b"x," * 50, b"Connection: " + b"x," * 51)),
    Refused("101 cookies", "HTTP/2 Bomb, CVE-2026-47774", get(*[b"Cookie: a=b"] * FIELD_LIMIT), 431),
)


def _protected(field: bytes) -> Refused:
    name = field.decode().lower()
    return Refused(f"Connection names {name}", "RFC 9110 7.6.1, CVE-2021-32813", get(b"Connection: close, " + field, field + b": x"))


CONNECTION = (
    Refused("Connection names Host", "RFC 9110 7.6.1", get(b"Connection: host")),
    Refused("Connection names Content-Length", "RFC 9110 7.6.1", get(b"Connection: content-length", b"Content-Length: 0")),
    Refused("Connection names Transfer-Encoding", "RFC 9110 7.6.1", get(b"Connection: Transfer-Encoding")),
    _protected(b"Authorization"),
    _protected(b"Cookie"),
    _protected(b"X-Forwarded-For"),
    _protected(b"X-Forwarded-Proto"),
    _protected(b"X-Forwarded-Host"),
    _protected(b"X-Forwarded-Port"),
    _protected(b"X-Forwarded-Prefix"),
    _protected(b"X-Forwarded-Client-Cert"),
    _protected(b"X-Real-IP"),
    _protected(b"X-Request-Id"),
    _protected(b"Forwarded"),
    Refused("Connection names a protected field in capitals", "CVE-2024-45410", get(b"CONNECTION: X-FORWARDED-FOR")),
    Refused("Connection names a protected field in its second line", "CVE-2026-29054", get(b"Connection: close", b"connection: cookie")),
    Refused("quoted Connection option", "RFC 9110 7.6.1", get(b'Connection: "cookie"')),
    Refused("two Connection options without a comma", "RFC 9110 7.6.1", get(b"Connection: close x-a")),
    Refused("Connection option with a parameter", "RFC 9110 7.6.1", get(b"Connection: close;a=b")),
    Refused("Connection option that is not ASCII", "RFC 9110 7.6.1", get(b"Connection: \xe9")),
)

EXPECTATIONS = (
    Refused("expectation that nobody knows", "RFC 9110 10.1.1", get(b"Expect: 200-ok"), 417),
    Refused("expectation of a list", "RFC 9110 10.1.1", get(b"Expect: 100-continue, x"), 417),
    Refused("expectation with a parameter", "RFC 9110 10.1.1", get(b"Expect: 100-continue;a=b"), 417),
    Refused("empty expectation", "RFC 9110 10.1.1", get(b"Expect:"), 417),
    Refused("expectation with a number in another form", "Expect desync, 2025", get(b"Expect: y 100-continue"), 417),
    Refused("quoted expectation", "Expect desync, 2025", get(b'Expect: "100-continue"'), 417),
    Refused("second expectation", "Expect desync, 2025", get(b"Expect: 100-continue", b"Expect: x"), 417),
    Refused("expectation folded", _FOLD, get(b"Expect:", b" 100-continue")),
)


def _aliased(field: bytes) -> Served:
    name = field.decode()
    return Served(f"alias {name}", "CVE-2026-88011", get(field + b": 1"), absent=(field,))


SPOOFED = (
    Served(
        "own X-Forwarded-For stays left of ours",
        _TRUST,
        get(b"X-Forwarded-For: 1.2.3.4"),
        fields=((b"x-forwarded-for", b"1.2.3.4, 127.0.0.1"),),
    ),
    Served("own X-Forwarded-Proto", _TRUST, get(b"X-Forwarded-Proto: https"), fields=((b"x-forwarded-proto", b"http"),)),
    Served("own X-Forwarded-Proto in capitals", _TRUST, get(b"X-FORWARDED-PROTO: https"), fields=((b"x-forwarded-proto", b"http"),)),
    Served("own X-Forwarded-Host", _TRUST, get(b"X-Forwarded-Host: b.example"), fields=((b"x-forwarded-host", b"a.example"),)),
    Served("own X-Forwarded-Port", _TRUST, get(b"X-Forwarded-Port: 443"), fields=((b"x-forwarded-port", b"80"),)),
    Served(
        "own X-Forwarded-Client-Cert",
        "CVE-2026-46579",
        get(b'X-Forwarded-Client-Cert: URI="spiffe://a/b"'),
        absent=(b"x-forwarded-client-cert",),
    ),
    Served("own Forwarded", _TRUST, get(b"Forwarded: for=1.2.3.4;proto=https"), absent=(b"forwarded",)),
    Served("own X-Real-IP", _TRUST, get(b"X-Real-IP: 1.2.3.4"), absent=(b"x-real-ip",)),
    Served(
        "X-Forwarded-Proto twice",
        _TRUST,
        get(b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: https"),
        fields=((b"x-forwarded-proto", b"http"),),
    ),
    _aliased(b"X_Forwarded_For"),
    _aliased(b"X_Forwarded_Proto"),
    _aliased(b"X.Forwarded.Proto"),
    _aliased(b"x-forwarded_host"),
    _aliased(b"X_Forwarded_Client_Cert"),
    _aliased(b"X_Real_IP"),
    _aliased(b"X_Request_Id"),
    _aliased(b"Transfer_Encoding"),
    _aliased(b"Content_Length"),
    Served("Keep-Alive is taken out", "RFC 9110 7.6.1", get(b"Keep-Alive: timeout=5"), absent=(b"keep-alive",)),
    Served("Proxy-Connection is taken out", "RFC 9110 7.6.1", get(b"Proxy-Connection: keep-alive"), absent=(b"proxy-connection",)),
    Served("Proxy-Authorization is taken out", "RFC 9110 7.6.1", get(b"Proxy-Authorization: Basic eDp5"), absent=(b"proxy-authorization",)),
    Served("TE for the next hop is taken out", "RFC 9110 10.1.4", get(b"TE: gzip", b"Connection: TE"), absent=(b"te",)),
    Served("Trailer is taken out", "RFC 9110 7.6.1", get(b"Trailer: X"), absent=(b"trailer",)),
    Served(
        "a field that Connection names is taken out",
        "RFC 9110 7.6.1",
        get(b"Connection: X-A", b"x-a: 1", b"X-B: 2"),
        fields=((b"x-b", b"2"),),
        absent=(b"x-a",),
    ),
    Served(
        "fields that two Connection lines name are taken out",
        "RFC 9110 7.6.1",
        get(b"Connection: X-A,, close", b"X-A: 1", b"Connection: x-b", b"X-B: 2"),
        absent=(b"x-a", b"x-b", b"connection"),
        closes=True,
    ),
)

ATTACKS = NAMES + VALUES + LIMITS + CONNECTION + EXPECTATIONS + SPOOFED
