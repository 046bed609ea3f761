"""Upgrades (RFC 9110 7.8, RFC 6455 4, reference 2.6): a tunnel is opened for a proper WebSocket alone."""

from __future__ import annotations

from typing import Final

from tests.attacks.row import CHUNKED, HOST, Failed, Refused, Served, answer, get, lines

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The pair of RFC 6455 1.3."""
UPGRADE: Final = (b"Connection: Upgrade", b"Upgrade: websocket")
_VERSION: Final = b"Sec-WebSocket-Version: 13"
_KEY: Final = b"Sec-WebSocket-Key: " + KEY
HANDSHAKE: Final = get(*UPGRADE, _VERSION, _KEY)
"""A good one."""

_SOCKET = "RFC 6455 4.2.1"
_IGNORED = "RFC 9110 7.8"


def _keyed(name: str, key: bytes) -> Refused:
    return Refused(name, _SOCKET, get(*UPGRADE, _VERSION, b"Sec-WebSocket-Key: " + key))


def _versioned(name: str, version: bytes) -> Refused:
    return Refused(name, "RFC 6455 4.2.2, 4.4", get(*UPGRADE, version, _KEY), 426)


REFUSED = (
    Refused("WebSocket with a counted body", "CVE-2026-69243", get(*UPGRADE, _VERSION, _KEY, b"Content-Length: 5") + b"hello"),
    Refused("WebSocket with a chunked body", "CVE-2026-69243", get(*UPGRADE, _VERSION, _KEY, CHUNKED) + b"0\r\n\r\n"),
    _versioned("WebSocket of version 8", b"Sec-WebSocket-Version: 8"),
    _versioned("WebSocket of version 0", b"Sec-WebSocket-Version: 0"),
    _versioned("WebSocket of version 013", b"Sec-WebSocket-Version: 013"),
    _versioned("WebSocket of two versions in a list", b"Sec-WebSocket-Version: 13, 8"),
    _versioned("WebSocket without a version", b"X: y"),
    Refused("WebSocket of two versions", "RFC 6455 4.2.1", get(*UPGRADE, _VERSION, b"Sec-WebSocket-Version: 8", _KEY), 426),
    Refused("WebSocket without a key", _SOCKET, get(*UPGRADE, _VERSION)),
    Refused("WebSocket with two keys", _SOCKET, get(*UPGRADE, _VERSION, _KEY, _KEY)),
    _keyed("WebSocket with an empty key", b""),
    _keyed("WebSocket with a short key", b"dGhlIHNhbXBsZQ=="),
    _keyed("WebSocket with a key of 17 bytes", b"dGhlIHNhbXBsZSBub25jZWE="),
    _keyed("WebSocket with a key that is no base64", b"dGhlIHNhbXBsZSBub25j!Q=="),
    _keyed("WebSocket with a key in another alphabet", b"dGhlIHNhbXBsZSBub25_ZQ=="),
    _keyed("WebSocket with a key and more", KEY + b" x"),
)

_ABSENT = (b"upgrade", b"connection", b"http2-settings")

TAKEN_APART = (
    Served(
        "HTTP/2 upgrade",
        "RFC 9113 3.1: h2c smuggling",
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
        absent=_ABSENT,
    ),
    Served(
        "HTTP/2 upgrade without the Connection options", "h2c smuggling", get(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), absent=_ABSENT
    ),
    Served(
        "HTTP/2 upgrade with one option",
        "h2c smuggling",
        get(b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AA"),
        absent=_ABSENT,
    ),
    Served("TLS upgrade", "RFC 2817", get(b"Connection: Upgrade", b"Upgrade: TLS/1.0"), absent=_ABSENT),
    Served("upgrade to something unknown", _IGNORED, get(b"Connection: Upgrade", b"Upgrade: x/1"), absent=_ABSENT),
    Served("upgrade to a later HTTP", _IGNORED, get(b"Connection: Upgrade", b"Upgrade: HTTP/3.0"), absent=_ABSENT),
    Served("WebSocket without Connection", _IGNORED, get(b"Upgrade: websocket", _VERSION, _KEY), absent=_ABSENT),
    Served("Connection names an upgrade that is not there", _IGNORED, get(b"Connection: Upgrade"), absent=_ABSENT),
    Served(
        "WebSocket with POST",
        "RFC 6455 4.1",
        lines(b"POST / HTTP/1.1", HOST, *UPGRADE, _VERSION, _KEY, b"Content-Length: 0"),
        method=b"POST",
        absent=_ABSENT,
    ),
    Served(
        "WebSocket in HTTP/1.0",
        "RFC 9110 7.8",
        lines(b"GET / HTTP/1.0", HOST, *UPGRADE, _VERSION, _KEY),
        absent=_ABSENT,
        closes=True,
    ),
)

_SWITCHED = b"HTTP/1.1 101 Switching Protocols"


def _switch(name: str, *fields: bytes, source: str = "RFC 6455 4.2.2", sent: bytes = HANDSHAKE) -> Failed:
    return Failed(name, source, answer(*fields, status=_SWITCHED, body=b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhacked"), sent)


ANSWERS = (
    _switch("101 with a wrong accept", *UPGRADE, b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    _switch("101 without an accept", *UPGRADE, source="CVE-2025-64763"),
    _switch("101 with the key as accept", *UPGRADE, b"Sec-WebSocket-Accept: " + KEY),
    _switch("101 to another protocol", b"Connection: Upgrade", b"Upgrade: h2c", b"Sec-WebSocket-Accept: " + ACCEPT),
    _switch("101 without Connection", b"Upgrade: websocket", b"Sec-WebSocket-Accept: " + ACCEPT),
    _switch("101 without Upgrade", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + ACCEPT),
    _switch("101 that nobody asked for", *UPGRADE, source="RFC 9110 15.2.2", sent=get(target=b"/asked")),
    _switch("101 to h2c that was taken out", b"Connection: Upgrade", b"Upgrade: h2c", source="h2c smuggling", sent=TAKEN_APART[0].sent),
)

ATTACKS = REFUSED + TAKEN_APART + ANSWERS
