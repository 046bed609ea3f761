"""Names that do not fit each other, certificates that are not good, protocols that were not agreed on (reference 2.7)."""

from __future__ import annotations

from typing import Literal

from tests.attacks.row import get, hosted, lines
from tests.attacks.tls_row import ANY_NAME, ASKING, DEMANDING, Alert, Visit

_FRONTING = "RFC 9110 15.5.20, Gateway API: server name and Host"
_CLIENT = "GatewayTLSConfig.frontend: AllowValidOnly"
_FALLBACK = "GatewayTLSConfig.frontend: AllowInsecureFallback"
_ALPN = "RFC 7301 3.2: the parser is chosen by what was agreed on"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def _host(server_name: str, host: bytes, status: int, name: str = "") -> Visit:
    shown = name or f"{host.decode('latin-1')} over a connection for {server_name}"
    return Visit(shown, _FRONTING, server_name, hosted(host), status=status)


def _absolute(name: str, target: bytes, host: bytes, status: int) -> Visit:
    return Visit(name, _FRONTING, "a.example", lines(b"GET %b HTTP/1.1" % target, b"Host: " + host), status=status)


FRONTING = (
    _host("a.example", b"deep.wild.example", 421),
    _host("a.example", b"x.wild.example", 421),
    _host("x.wild.example", b"a.example", 421),
    _host("x.wild.example", b"deep.wild.example", 421),
    _host("deep.wild.example", b"x.wild.example", 421),
    _host("deep.wild.example", b"a.example", 421),
    _host("a.example", b"unknown.example", 404),
    _host("a.example", b"wild.example", 404),
    _host("a.example", b"127.0.0.1", 404),
    _host("a.example", b"[::1]", 404),
    _host("x.wild.example", b"unknown.example", 404),
    _host("a.example", b"DEEP.WILD.EXAMPLE", 421, "another listener's host in capitals"),
    _host("a.example", b"deep.wild.example.", 421, "another listener's host with a trailing dot"),
    _host("a.example", b"deep.wild.example:443", 421, "another listener's host with a port"),
    _host("a.example", b"a.example, deep.wild.example", 400, "both hosts in a list"),
    _host("a.example", b"a.example@deep.wild.example", 400, "own host as user information of another"),
    _absolute("another listener's host in an absolute target", b"https://deep.wild.example/", b"a.example", 400),
    _absolute("own host in an absolute target, another listener's in Host", b"https://a.example/", b"deep.wild.example", 421),
    _absolute("another listener's host in both", b"https://deep.wild.example/", b"deep.wild.example", 421),
    _absolute("plain scheme in an absolute target over TLS", b"http://a.example/", b"a.example", 400),
    Visit("no Host over TLS", "RFC 9112 3.2", "a.example", lines(b"GET / HTTP/1.1"), status=400),
    Visit(
        "CONNECT over TLS", "reference 2.6", "a.example", lines(b"CONNECT deep.wild.example:443 HTTP/1.1", b"Host: a.example"), status=405
    ),
)


def _shows(sort: str, alert: Alert, older: Alert = "", source: str = _CLIENT) -> tuple[Visit, ...]:
    """In TLS 1.3, and with the alert of TLS 1.2 where that is another."""
    versions: tuple[tuple[Literal["TLSv1.2", "TLSv1.3"], Alert], ...] = (("TLSv1.3", alert), ("TLSv1.2", older or alert))
    named = sort or "none"
    return tuple(
        Visit(f"client certificate {named}, {version}", source, sent=get(), port=DEMANDING, shows=sort, version=version, alert=each)
        for version, each in versions
    )


REFUSED_CLIENTS = (
    *_shows("", "certificate required", "handshake failure"),
    *_shows("of a stranger", "unknown ca"),
    *_shows("of a stranger with the authority's name", "unknown ca"),
    *_shows("expired", "certificate expired"),
    *_shows("not yet valid", "bad certificate"),
    *_shows("self-signed", "unknown ca"),
    *_shows("self-signed with the authority's name", "unknown ca"),
    *_shows("of a server", "unsupported certificate", source="wrong extended key usage"),
    *_shows("for signing code", "unsupported certificate", source="wrong extended key usage"),
    *_shows("issued by a leaf", "unknown ca", source="RFC 5280 4.2.1.9: a leaf issues nothing"),
    *_shows("path too long", "unknown ca", source="RFC 5280 4.2.1.9: path length"),
    *_shows("outside of name constraints", "certificate unknown", source="RFC 5280 4.2.1.10"),
    *_shows("behind another", "unknown ca", source="RFC 8446 4.4.2: the first is the client's"),
    *_shows("without its intermediate", "unknown ca"),
    *_shows("with a malformed name", "", source="RFC 5280 4.2.1.6: a name that is no text"),
    *_shows("with a NUL in its name", "", source="CVE-2009-2408"),
    *_shows("with a key of 1024 bits", "bad certificate", source="RFC 9325 4.5"),
)


def _counts_for_nothing(sort: str) -> Visit:
    field = b'X-Forwarded-Client-Cert: Hash=00;Cert="forged"'
    return Visit(f"{sort or 'no certificate'} is no identity", _FALLBACK, sent=get(field), port=ASKING, shows=sort, status=200)


NO_IDENTITY = tuple(
    _counts_for_nothing(sort)
    for sort in ("", "of a stranger", "of a stranger with the authority's name", "expired", "not yet valid", "self-signed", "of a server")
)

PROTOCOLS = (
    Visit("HTTP/2 where HTTP/1.1 was agreed on", _ALPN, sent=_PREFACE, status=505),
    Visit("HTTP/2 where nothing was agreed on", _ALPN, sent=_PREFACE, alpn=(), status=505),
    Visit("plain text behind the handshake", "RFC 8446 5.2", sent=b"", plain=get()),
    Visit("a record of another length behind the handshake", "RFC 8446 5.2", sent=b"", plain=b"\x17\x03\x03\xff\xff" + bytes(100)),
    Visit("a record that nobody encrypted", "RFC 8446 5.2", sent=b"", plain=b"\x17\x03\x03\x00\x40" + bytes(64)),
    Visit("a plain alert behind the handshake", "RFC 8446 6", sent=get().removesuffix(b"\r\n"), plain=b"\x15\x03\x03\x00\x02\x01\x00"),
    Visit("smuggling over TLS", "RFC 9112 6.3", sent=get(b"Content-Length: 5", b"Transfer-Encoding: chunked"), status=400),
    Visit("own X-Forwarded-Client-Cert over TLS", "CVE-2026-46579", sent=get(b'X-Forwarded-Client-Cert: URI="spiffe://a/b"'), status=200),
)

LEGAL = (
    _host("a.example", b"a.example", 200),
    _host("x.wild.example", b"y.wild.example", 200),
    _host("deep.wild.example", b"deep.wild.example", 200),
    _host("a.example", b"A.Example.:443", 200, "own host in another spelling"),
    _absolute("own host in an absolute target", b"https://a.example/", b"a.example", 200),
    Visit("any host where the listener has none", _FRONTING, "any.example", hosted(b"other.example"), port=ANY_NAME, status=200),
    Visit("no server name where the listener has no hostname", _FRONTING, None, hosted(b"other.example"), port=ANY_NAME, status=200),
    Visit("client that agrees on nothing", _ALPN, alpn=(), status=200),
    Visit("TLS 1.2", "RFC 9325 3.1", version="TLSv1.2", status=200),
    Visit("valid client certificate", _CLIENT, port=DEMANDING, shows="valid", status=200, identity=True),
    Visit("valid client certificate, TLS 1.2", _CLIENT, port=DEMANDING, shows="valid", version="TLSv1.2", status=200, identity=True),
    Visit(
        "client certificate through an intermediate", _CLIENT, port=DEMANDING, shows="through an intermediate", status=200, identity=True
    ),
    Visit("valid client certificate where any will do", _FALLBACK, port=ASKING, shows="valid", status=200, identity=True),
)

ATTACKS = FRONTING + REFUSED_CLIENTS + NO_IDENTITY + PROTOCOLS
