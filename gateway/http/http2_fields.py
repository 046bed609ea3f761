"""One HTTP/2 field as a FieldLine (RFC 9113 8.2, 8.3): its kind says what a reader of heads must do with it.

The kinds are those of `fields`, which mean the same here, and more. A field is judged once; the decoder keeps the line in its table, so
what a client repeats costs a look at a number. Whoever reads a head decides what a malformed field leads to.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.http.fields import GRPC, TOKEN, FieldLine, is_grpc, kind_of
from gateway.http.request import VALUE_LIMIT, VISIBLE

METHOD: Final = 20
SCHEME: Final = 21
PATH: Final = 22
AUTHORITY: Final = 23
PROTOCOL: Final = 24
STATUS: Final = 25
"""The last of the pseudo-header fields, whose kinds have no gap."""

COOKIE: Final = 30
CONNECTION_SPECIFIC: Final = 31
"""Malformed in HTTP/2 (RFC 9113 8.2.2)."""
MALFORMED: Final = 32
OVERSIZED: Final = 33
"""An ordinary field whose value is longer than a request's may be; in a response it is an ordinary one."""

CONNECTION_FIELDS: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_NAMES: Final[dict[bytes, int]] = {
    b":method": METHOD,
    b":scheme": SCHEME,
    b":path": PATH,
    b":authority": AUTHORITY,
    b":protocol": PROTOCOL,
    b":status": STATUS,
    b"cookie": COOKIE,
    **dict.fromkeys(CONNECTION_FIELDS, CONNECTION_SPECIFIC),
}
"""Kinds by name; grows by the names that are seen."""
_MOST_NAMES: Final = 4096
_LONGEST_NAME: Final = 64

_IN_VALUE: Final = bytes((0x09, *range(0x20, 0x7F), *range(0x80, 0x100)))
_is_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_is_token = re.compile(TOKEN).fullmatch
_is_status = re.compile(rb"[1-5][0-9][0-9]").fullmatch


def field_line(name: bytes, value: bytes) -> FieldLine:
    """Kind, name, value, and `name: value` with its line end, empty for a pseudo-header field, which is never written so.

    A field that may not be sent has the kind MALFORMED.
    """
    kind = _NAMES.get(name)
    if kind is None:
        kind = _kind_of(name)
    if kind == PATH:
        if value and not value.translate(None, VISIBLE):
            return PATH, name, value, b""
        kind = MALFORMED
    elif METHOD <= kind <= STATUS:
        if _is_pseudo_value(kind, value):
            return kind, name, value, b""
        kind = MALFORMED
    elif value.translate(None, _IN_VALUE) or value.strip(b" \t") != value:
        kind = MALFORMED
    elif len(value) > VALUE_LIMIT and kind in (0, COOKIE):
        kind = OVERSIZED
    elif name == b"content-type" and is_grpc(value):
        kind = GRPC
    return kind, name, value, b"%b: %b\r\n" % (name, value)


def _kind_of(name: bytes) -> int:
    """Kind of a name not seen before."""
    kind = kind_of(name) if _is_name(name) else MALFORMED
    if len(_NAMES) < _MOST_NAMES and len(name) <= _LONGEST_NAME:
        _NAMES[name] = kind
    return kind


def _is_pseudo_value(kind: int, value: bytes) -> bool:
    """RFC 9113 8.3.1 and 8.3.2, as far as one field tells."""
    if kind == AUTHORITY:
        return bool(value) and not value.translate(None, VISIBLE) and value.find(b"@") < 0
    if kind == SCHEME:
        return value in (b"http", b"https")
    if kind == STATUS:
        return bool(_is_status(value))
    return bool(_is_token(value))


def fault(line: FieldLine) -> str:
    """Why a field makes its message malformed."""
    kind, name, value, _ = line
    shown = repr(name[:_LONGEST_NAME])[1:]
    if kind == CONNECTION_SPECIFIC:
        return f"connection-specific field {shown}"
    if name.startswith(b":"):
        return f"bad value of {shown}" if name in _NAMES and _NAMES[name] <= STATUS else f"unknown pseudo-header field {shown}"
    if name != name.lower():
        return f"upper case in the field name {shown}"
    if not _is_name(name):
        return f"the field name {shown} is not a token"
    return f"white space around the value of {shown}" if value.strip(b" \t") != value else f"control byte in the value of {shown}"
