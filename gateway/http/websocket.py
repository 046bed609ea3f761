"""Whether a backend really accepted a WebSocket handshake (RFC 6455 4.2.2)."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Final

from gateway.http.head import RequestHead, ResponseHead

_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accepts(request: RequestHead, response: ResponseHead) -> bool:
    """A tunnel is only opened on the right answer to the client's key: anything else is not a WebSocket server."""
    return response.get(b"sec-websocket-accept") == acceptance(request.get(b"sec-websocket-key") or b"")


def acceptance(key: bytes) -> bytes:
    """The answer to a client's key, as it stands in Sec-WebSocket-Accept."""
    return b64encode(sha1(key + _SUFFIX, usedforsecurity=False).digest())
