"""What a filter may put on the wire: values of the configuration become bytes here, once, or are refused with a reason.

Translation checks the same; this is the second lock, for resources that come from elsewhere (RFC 9110 5.1, 5.5).
"""

from __future__ import annotations

import re
from typing import Final

from gateway.http.fields import TOKEN

FRAMING: Final = frozenset(
    (
        b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"te", b"trailer", b"keep-alive", b"proxy-connection",
        b"http2-settings", b"expect",
    )
)  # fmt: skip
"""Framing and hop-by-hop fields: the codec writes them anew for each connection, so no filter may name them (RFC 9110 7.6.1)."""

_is_token = re.compile(TOKEN).fullmatch
_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_is_host = re.compile(r"[0-9A-Za-z_]([0-9A-Za-z_.-]*[0-9A-Za-z_])?").fullmatch
_is_authority = re.compile(r"([0-9A-Za-z_]([0-9A-Za-z_.-]*[0-9A-Za-z_])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?").fullmatch


def token(text: str) -> bytes:
    """A token (RFC 9110 5.6.2), case kept. Raises ValueError."""
    raw = text.encode()
    if not _is_token(raw):
        raise ValueError(f"{text!r} is not a token: write letters, digits and !#$%&'*+-.^_`|~ only")
    return raw


def field_name(text: str) -> bytes:
    """A field name in lower case. Raises ValueError for what is no token, and for fields that belong to the connection."""
    raw = token(text).lower()
    if raw.replace(b"_", b"-").replace(b".", b"-") in FRAMING:
        raise ValueError(f"{text!r} belongs to the connection, and the proxy writes it anew: remove it")
    return raw


def field_value(text: str) -> bytes:
    """A field value (RFC 9110 5.5). Raises ValueError."""
    raw = text.encode()
    if _control(raw):
        raise ValueError(f"value {text!r} holds a control character: write printable characters, spaces and tabs only")
    if raw != raw.strip(b" \t"):
        raise ValueError(f"value {text!r} begins or ends with white space: remove it")
    return raw


def host_name(text: str) -> bytes:
    """A host name without port. Raises ValueError."""
    if not _is_host(text):
        raise ValueError(f"{text!r} is not a host name: write letters, digits, '-' and '.' only")
    return text.encode()


def authority(text: str) -> bytes:
    """A host name or address, with or without port. Raises ValueError."""
    if not _is_authority(text):
        raise ValueError(f"{text!r} is not a host: write a host name, with or without :port")
    return text.encode()
