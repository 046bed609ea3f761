"""What stands where a ClientHello should (RFC 8446 4.1.2, reference 2.7): another protocol, a broken hello, or one of the past."""

from __future__ import annotations

from typing import Final

from tests.attacks.row import HOST, get, lines
from tests.attacks.tls_row import Alert, Greeting
from tests.gateway.net.hellos import extension, message, protocols, records, server_name, versions

_ELSE = "another protocol on the port"
_HELLO = "RFC 8446 4.1.2"
_RECORD = "RFC 8446 5.1"
_NAME = "RFC 6066 3"
_SUITE = "RFC 9325 4.1, 4.2"
_VERSION = "RFC 8996, RFC 9325 3.1"
_PLAIN: Final = b"HTTP/1.1 400 "
_NAMED: Final = server_name((0, b"a.example"))
_ABLE: Final = extension(10, b"\x00\x04\x00\x1d\x00\x17") + extension(13, b"\x00\x06\x04\x03\x08\x04\x04\x01") + extension(11, b"\x01\x00")
"""Curves, signatures and point formats of today."""
_STRONG: Final = b"\xc0\x2b\xc0\x2f\xcc\xa9\xcc\xa8"


def _hello(name: str, source: str, body: bytes, alert: Alert = "decode error") -> Greeting:
    return Greeting(name, source, records(body), alert)


def _named(name: str, names: bytes, alert: Alert = "unrecognized name") -> Greeting:
    return _hello(name, _NAME, message(names), alert)


def _suite(name: str, suites: bytes, alert: Alert = "handshake failure") -> Greeting:
    return _hello(name, _SUITE, message(_NAMED + _ABLE, suites=suites), alert)


def _old(name: str, version: bytes, alert: Alert = "protocol version") -> Greeting:
    hello = bytearray(message(_NAMED + _ABLE, suites=b"\xc0\x13\xc0\x09\x00\x2f"))
    hello[4:6] = version
    return _hello(name, _VERSION, bytes(hello), alert)


def _record(kind: int, body: bytes) -> bytes:
    return bytes((kind, 3, 1)) + len(body).to_bytes(2, "big") + body


ELSE = (
    Greeting("plain HTTP on a TLS port", _ELSE, get(), answer=_PLAIN),
    Greeting("plain HTTP with a body", _ELSE, lines(b"POST / HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"), answer=_PLAIN),
    Greeting("HTTP/2 preface in plain", _ELSE, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", answer=_PLAIN),
    Greeting("CONNECT in plain", _ELSE, b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", answer=_PLAIN),
    Greeting(
        "PROXY protocol version 1 before TLS", _ELSE, b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + records(message(_NAMED)), answer=_PLAIN
    ),
    Greeting("PROXY protocol version 2 before TLS", _ELSE, b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c" + bytes(12) + records(message(_NAMED))),
    Greeting("empty line before TLS", _ELSE, b"\r\n" + records(message(_NAMED))),
    Greeting("banner of a mail server on a TLS port", _ELSE, b"220 a.example ESMTP\r\n"),
    Greeting("lower-case method on a TLS port", _ELSE, get().lower()),
    Greeting("PostgreSQL's request for TLS", "STARTTLS injection", b"\x00\x00\x00\x08\x04\xd2\x16\x2f" + records(message(_NAMED))),
    Greeting("zeros", _ELSE, bytes(64)),
    Greeting("hello of SSL 2", _VERSION, b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37)),
    Greeting("hello of SSL 2 that offers TLS", _VERSION, b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + bytes(37)),
    Greeting("heartbeat before a hello", "CVE-2014-0160", _record(24, b"\x01\x40\x00")),
    Greeting("alert before a hello", _RECORD, _record(21, b"\x01\x00")),
    Greeting("ChangeCipherSpec before a hello", "CVE-2014-0224", _record(20, b"\x01")),
    Greeting("application data before a hello", _RECORD, _record(23, get())),
    Greeting("record of TLS 2", _RECORD, b"\x16\x04\x01\x00\x05\x01\x00\x00\x01\x00", "decode error"),
    Greeting("client that leaves inside a hello", _HELLO, records(message(_NAMED))[:30], ends=True),
    Greeting("client that leaves before a hello", _HELLO, b"", ends=True),
)

RECORDS = (
    Greeting("empty handshake record", _RECORD, _record(22, b""), "decode error"),
    Greeting("record of 16 KiB and a byte", _RECORD, b"\x16\x03\x01\x40\x01", "decode error"),
    _hello("hello of 17 KiB", "reference 2.7", message(_NAMED + extension(21, bytes(17 * 1024)))),
    Greeting("hello that says it has 16 MiB", "memory", _record(22, b"\x01\xff\xff\xff" + bytes(100)), "decode error"),
    Greeting(
        "hello in 65 records",
        "CPU: each is looked at again",
        records(message(_NAMED + extension(21, bytes(200))), [1] * 64),
        "decode error",
    ),
    Greeting("two hellos in one record", _RECORD, records(message(_NAMED) * 2), "decode error"),
    Greeting("ServerHello", _HELLO, records(b"\x02" + message(_NAMED)[1:]), "decode error"),
    Greeting("HelloRequest", _HELLO, records(b"\x00\x00\x00\x00"), "decode error"),
    Greeting("Certificate before a hello", "state machine", records(b"\x0b\x00\x00\x03\x00\x00\x00"), "decode error"),
    Greeting("Finished before a hello", "state machine", records(b"\x14\x00\x00\x0c" + bytes(12)), "decode error"),
    Greeting("hello of three bytes", _HELLO, records(b"\x01\x00\x00\x03\x03\x03\x00"), "decode error"),
)

STRUCTURE = (
    _hello("bytes behind a hello", _HELLO, message(_NAMED, trailing=b"x")),
    _hello("session id of 33 bytes", _HELLO, message(_NAMED, session=bytes(33))),
    _hello("no cipher suites", _HELLO, message(_NAMED, suites=b"")),
    _hello("half a cipher suite", _HELLO, message(_NAMED, suites=b"\x13\x01\x13")),
    _hello("no compression method", _HELLO, message(_NAMED, compressions=b"")),
    _hello("extension longer than its block", _HELLO, message(b"\x00\x00\x00\x05x")),
    _hello("extensions cut", _HELLO, message(None, trailing=b"\x00\x09\x00")),
    _hello("extension twice", "RFC 8446 4.2", message(_NAMED + extension(21, b"") * 2)),
    _hello("two server_name extensions", _NAME, message(_NAMED + server_name((0, b"deep.wild.example")))),
    _hello("two names in server_name", _NAME, message(server_name((0, b"a.example"), (0, b"deep.wild.example")))),
    _hello("server_name of another type", _NAME, message(server_name((1, b"a.example")))),
    _hello("empty server_name", _NAME, message(server_name((0, b"")))),
    _hello("server_name extension without a list", _NAME, message(extension(0, b""))),
    _hello("server_name with a NUL", "CVE-2024-45808", message(server_name((0, b"a.example\x00.b.example")))),
    _hello("server_name with a line feed", "log injection", message(server_name((0, b"a.example\n{}")))),
    _hello("server_name with a space", _NAME, message(server_name((0, b"a.example b")))),
    _hello("server_name that is not ASCII", _NAME, message(server_name((0, "\u00e4.wild.example".encode())))),
    _hello("server_name of 256 bytes", _NAME, message(server_name((0, b"a" * 256)))),
    _hello("server_name of the root", _NAME, message(server_name((0, b".")))),
    _hello("server_name with an empty label", _NAME, message(server_name((0, b"a..wild.example")))),
    _hello("server_name with two trailing dots", _NAME, message(server_name((0, b"a.example..")))),
    _hello("server_name longer than its list", _NAME, message(extension(0, b"\x00\x04\x00\x00\x05a"))),
    _hello("bytes behind the list of server_name", _NAME, message(extension(0, b"\x00\x04\x00\x00\x01a!"))),
    _hello("empty list of protocols", "RFC 7301 3.1", message(_NAMED + protocols())),
    _hello("empty protocol", "RFC 7301 3.1", message(_NAMED + protocols(b"http/1.1", b""))),
    _hello("no versions", "RFC 8446 4.2.1", message(_NAMED + versions())),
)

NAMES = (
    _named("name that no listener has", server_name((0, b"unknown.example"))),
    _named("name of an address", server_name((0, b"127.0.0.1"))),
    _named("name below a listener's", server_name((0, b"b.a.example"))),
    _named("name above a wildcard", server_name((0, b"wild.example"))),
    _named("name that ends like a wildcard", server_name((0, b"evilwild.example"))),
    _named("name of a listener of another port", server_name((0, b"any.example"))),
    _named("name with a port", server_name((0, b"a.example:443"))),
    _named("name with user information", server_name((0, b"x@a.example"))),
    _named("name with a path", server_name((0, b"a.example/"))),
    _named("name of a terminal's escape", server_name((0, b"a.example\\x1b[2J"))),
    _named("no name where every listener has one", b""),
)

VERSIONS = (
    _old("SSL 3.0", b"\x03\x00", "handshake failure"),
    _old("TLS 1.0", b"\x03\x01"),
    _old("TLS 1.1", b"\x03\x02"),
    _hello("TLS 1.1 as the only supported version", _VERSION, message(_NAMED + _ABLE + versions(0x0302)), "protocol version"),
    _hello("a draft of TLS 1.3", "RFC 8446 4.2.1", message(_NAMED + _ABLE + versions(0x7F1C)), "protocol version"),
    _suite("fallback to TLS 1.2 of a client that could do more", _STRONG + b"\x56\x00", "inappropriate fallback"),
    _hello("compression and nothing else", "CRIME", message(_NAMED + _ABLE, suites=_STRONG, compressions=b"\x01")),
    _suite("no encryption", b"\x00\x3b\x00\x02\x00\x01\xc0\x10"),
    _suite("export ciphers", b"\x00\x03\x00\x08\x00\x14"),
    _suite("RC4", b"\x00\x05\x00\x04\xc0\x11"),
    _suite("DES", b"\x00\x09\x00\x15"),
    _suite("triple DES", b"\x00\x0a\xc0\x12\xc0\x08"),
    _suite("anonymous key exchange", b"\x00\x34\x00\xa6\xc0\x18\x00\x1b"),
    _suite("RSA key exchange", b"\x00\x9c\x00\x9d\x00\x2f\x00\x35"),
    _suite("CBC", b"\xc0\x13\xc0\x14\xc0\x09\xc0\x0a\xc0\x23\xc0\x27"),
    _suite("finite-field Diffie-Hellman with CBC", b"\x00\x33\x00\x39\x00\x67"),
    _suite("pre-shared keys", b"\x00\x8c\x00\xa8\xc0\x35"),
    _suite("only the signal of renegotiation", b"\x00\xff"),
    _hello("cipher suites of nobody", _SUITE, message(_NAMED + _ABLE + versions(0x0304), suites=b"\x13\x99"), "handshake failure"),
    _hello("HTTP/3 alone", "RFC 7301 3.2", message(_NAMED + protocols(b"h3")), "no application protocol"),
    _hello("HTTP/1.0 as a protocol", "RFC 7301 3.2", message(_NAMED + protocols(b"http/1.0")), "no application protocol"),
    _hello("protocol in other letters", "RFC 7301 3.1", message(_NAMED + protocols(b"HTTP/1.1")), "no application protocol"),
    _hello("protocol with a NUL", "RFC 7301 3.1", message(_NAMED + protocols(b"http/1.1\x00")), "no application protocol"),
)

GREETINGS = ELSE + RECORDS + STRUCTURE + NAMES + VERSIONS
