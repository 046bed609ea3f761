"""The request line, and what may stand before it (RFC 9112 2.2, 2.3, 3)."""

from __future__ import annotations

from tests.attacks.row import HOST, Refused, get, line, lines

_FORM = "RFC 9112 3"
_VERSION = "RFC 9112 2.3"
_BEFORE = "RFC 9112 2.2"
_ELSE = "another protocol on the port"

LINES = (
    Refused("two spaces after the method", _FORM, line(b"GET  / HTTP/1.1")),
    Refused("two spaces before the version", _FORM, line(b"GET /  HTTP/1.1")),
    Refused("space behind the version", _FORM, line(b"GET / HTTP/1.1 ")),
    Refused("space before the method", _FORM, line(b" GET / HTTP/1.1")),
    Refused("tab before the method", _FORM, line(b"\tGET / HTTP/1.1")),
    Refused("tab after the method", _FORM, line(b"GET\t/ HTTP/1.1")),
    Refused("tab before the version", _FORM, line(b"GET /\tHTTP/1.1")),
    Refused("VT after the method", _FORM, line(b"GET\x0b/ HTTP/1.1")),
    Refused("FF after the method", _FORM, line(b"GET\x0c/ HTTP/1.1")),
    Refused("no-break space after the method", _FORM, line(b"GET\xa0/ HTTP/1.1")),
    Refused("space in the target", _FORM, line(b"GET /a b HTTP/1.1")),
    Refused("tab in the target", _FORM, line(b"GET /a\tb HTTP/1.1")),
    Refused("a request hidden in the target", _FORM, line(b"GET /a HTTP/1.1 /b HTTP/1.1")),
    Refused("no target", _FORM, line(b"GET HTTP/1.1")),
    Refused("empty target", _FORM, line(b"GET  HTTP/1.1")),
    Refused("no method", _FORM, line(b"/ HTTP/1.1")),
    Refused("empty request line", _FORM, line(b" ")),
    Refused("method with a colon", "RFC 9110 9.1", line(b"GE:T / HTTP/1.1")),
    Refused("method in parentheses", "RFC 9110 9.1", line(b"(GET) / HTTP/1.1")),
    Refused("method with a NUL", "RFC 9110 9.1", line(b"GET\x00 / HTTP/1.1")),
    Refused("method with a high byte", "RFC 9110 9.1", line(b"GE\xd4 / HTTP/1.1")),
    Refused("quoted method", "RFC 9110 9.1", line(b'"GET" / HTTP/1.1')),
    Refused("method that is a comma-separated list", "RFC 9110 9.1", line(b"GET,POST / HTTP/1.1")),
    Refused("method of 9 KiB", "reference 2.2", line(b"G" * 9 * 1024 + b" / HTTP/1.1"), 414),
    Refused("bare CR in the request line", _BEFORE, line(b"GET /\r HTTP/1.1")),
    Refused("bare LF in the request line", _BEFORE, line(b"GET /\n HTTP/1.1")),
    Refused("request line ended by LF", _BEFORE, b"GET / HTTP/1.1\nHost: a.example\r\n\r\n"),
    Refused("request line ended by CR", _BEFORE, b"GET / HTTP/1.1\rHost: a.example\r\n\r\n"),
    Refused("request line ended by CR CR LF", _BEFORE, b"GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n"),
    Refused("NUL in the target", _FORM, line(b"GET /\x00 HTTP/1.1")),
    Refused("DEL in the target", _FORM, line(b"GET /\x7f HTTP/1.1")),
    Refused("escape byte in the target", _FORM, line(b"GET /\x1b[31m HTTP/1.1")),
    Refused("NUL in the query", _FORM, line(b"GET /?a=\x00 HTTP/1.1")),
    Refused("space in the query", _FORM, line(b"GET /?a=b c HTTP/1.1")),
)

VERSIONS = (
    Refused("HTTP/0.9 without a version", _VERSION, b"GET /\r\n\r\n"),
    Refused("version in lower case", _VERSION, line(b"GET / http/1.1")),
    Refused("version in mixed case", _VERSION, line(b"GET / Http/1.1")),
    Refused("version without a minor number", _VERSION, line(b"GET / HTTP/1")),
    Refused("version with an empty minor number", _VERSION, line(b"GET / HTTP/1.")),
    Refused("version with an empty major number", _VERSION, line(b"GET / HTTP/.1")),
    Refused("version with two minor digits", _VERSION, line(b"GET / HTTP/1.10")),
    Refused("version with three numbers", _VERSION, line(b"GET / HTTP/1.1.1")),
    Refused("version with a leading zero", _VERSION, line(b"GET / HTTP/01.1")),
    Refused("version with a comma", _VERSION, line(b"GET / HTTP/1,1")),
    Refused("version with a sign", _VERSION, line(b"GET / HTTP/+1.1")),
    Refused("version with spaces inside", _VERSION, line(b"GET / HTTP/ 1.1")),
    Refused("version of another protocol", _VERSION, line(b"GET / HTTPS/1.1")),
    Refused("version without the slash", _VERSION, line(b"GET / HTTP1.1")),
    Refused("version with a letter", _VERSION, line(b"GET / HTTP/1.x")),
    Refused("HTTP/0.9 with a version", _VERSION, line(b"GET / HTTP/0.9"), 505),
    Refused("HTTP/2.0 in the form of 1.1", _VERSION, line(b"GET / HTTP/2.0"), 505),
    Refused("HTTP/2 preface with another end", "RFC 9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505),
    Refused("HTTP/2 preface with a field", "RFC 9113 3.4", b"PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n", 505),
    Refused("HTTP/2 preface behind an empty line", "RFC 9113 3.4", b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505),
    Refused("HTTP/3.0", _VERSION, line(b"GET / HTTP/3.0"), 505),
    Refused("HTTP/9.9", _VERSION, line(b"GET / HTTP/9.9"), 505),
)

BEFORE = (
    Refused("two empty lines before the request", _BEFORE, b"\r\n\r\n" + get()),
    Refused("empty line of LF before the request", _BEFORE, b"\n" + get()),
    Refused("LF before the beginning of a request", _BEFORE, b"\nGET / HTTP/1.1\r\n"),
    Refused("CR before the request", _BEFORE, b"\r" + get()),
    Refused("NUL before the request", _BEFORE, b"\x00" + get()),
    Refused("byte order mark before the request", _BEFORE, b"\xef\xbb\xbf" + get()),
    Refused("chunk left over before the request", _BEFORE, b"0\r\n\r\n" + get()),
    Refused("TLS ClientHello", _ELSE, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n"),
    Refused("SSH banner", _ELSE, b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    Refused("SOCKS4 connect", _ELSE, b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00\r\n\r\n"),
    Refused("PROXY protocol version 1", _ELSE, b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + get()),
    Refused("PROXY protocol version 2", _ELSE, b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c" + bytes(12) + get()),
    Refused("SMTP greeting", _ELSE, b"EHLO a.example\r\n\r\n"),
    Refused("a response instead of a request", _ELSE, b"HTTP/1.1 200 OK\r\nHost: a.example\r\n\r\n"),
    Refused("RTSP", _ELSE, lines(b"OPTIONS * RTSP/1.0", HOST)),
    Refused("ICAP", _ELSE, lines(b"REQMOD / ICAP/1.0", HOST)),
)

ATTACKS = LINES + VERSIONS + BEFORE
