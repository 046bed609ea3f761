"""What the proxy must know of a field by its name: framing, hop-by-hop, identity, or nothing.

Lines repeat, so what a line says is kept; lower-casing runs once a line. The same tables serve requests and responses: a kind that
means nothing in one direction is dropped there.
"""

from __future__ import annotations

import re
from typing import Final

HOST: Final = 1
CONTENT_LENGTH: Final = 2
TRANSFER_ENCODING: Final = 3
CONNECTION: Final = 4
FORWARDED_FOR: Final = 5
EXPECT: Final = 6
TE: Final = 7
UPGRADE: Final = 8
DROPPED: Final = 9
"""Hop-by-hop (RFC 9110 7.6.1), and names that only look like protected ones (x_forwarded_for)."""
IDENTITY: Final = 10
"""Set by us and stripped from whoever is not trusted (design.md section 7)."""
KEEP_ALIVE: Final = 11
"""Connection with the one option that HTTP/1.1 means anyway; many clients and servers send it each time."""
GRPC: Final = 12
"""Content-Type of gRPC or gRPC-Web: passed on like any other, and the sign of a call."""

KINDS: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"x-forwarded-for": FORWARDED_FOR,
    b"expect": EXPECT,
    b"te": TE,
    b"upgrade": UPGRADE,
    **dict.fromkeys(
        (b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"trailer", b"http2-settings"), DROPPED
    ),
    **dict.fromkeys(
        (
            b"x-forwarded-proto",
            b"x-forwarded-host",
            b"x-forwarded-port",
            b"x-forwarded-client-cert",
            b"forwarded",
            b"x-real-ip",
            b"x-request-id",
        ),
        IDENTITY,
    ),
}

_PROTECTED_FROM_CONNECTION: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie"}
) | {name for name, kind in KINDS.items() if kind == IDENTITY}
_ONLY_IN_HEAD: Final = frozenset(
    b"authorization cookie set-cookie cache-control pragma max-forwards range age expires date location retry-after vary "
    b"www-authenticate".split()
)

LENGTH_DIGITS: Final = 18
"""Of a Content-Length; more is no length of anything. `bytes.isdigit` takes ASCII digits only."""

_MOST_OPTIONS: Final = 100
"""Of Connection; each is looked at."""

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FieldLine = tuple[int, bytes, bytes, bytes]
"""Kind of a field, 0 for an ordinary one, its name, its value, and the line as it is written: `name: value` and its line end."""

LINES: Final[dict[bytes, FieldLine]] = {}
"""Field lines seen before, as `read_line` read them. Heads are cut at line feeds, which takes half as long as at both bytes of a line
end."""
_MOST_LINES: Final = 6144
_LONGEST_LINE: Final = 256
_SECRET: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})
"""Not kept in memory any longer than their request."""
_UNKEPT: Final = _SECRET | {b"x-request-id", b"traceparent"}
"""Nor are those that no second request has: between proxies of a mesh they come with each, and others would have to be read anew."""

_is_token = re.compile(TOKEN).fullmatch
_VALUE_BYTES: Final = bytes((9, *range(0x20, 0x7F), *range(0x80, 0x100)))
is_grpc = re.compile(rb"application/grpc(?:-web(?:-text)?)?(?:[ \t]*[+;].*)?", re.IGNORECASE).fullmatch
find_fields = re.compile(rb"(?<=\n)(" + TOKEN + rb"):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)\r\n").findall
"""(name, value) of each well-formed field line; a value may still end in white space. The count must equal that of the line feeds.

Nothing is given back once matched: with plain repeats 60 KiB of spaces before a bad byte would take seconds.
"""


class MalformedLine(ValueError):
    """Not `name: value`, or with a byte that no field may hold."""


def read_line(line: bytes) -> FieldLine:
    """Reads a field line without its line feed, but with the carriage return before it (RFC 9112 5). Raises MalformedLine.

    Whoever reads heads asks LINES first: the lines of clients and servers repeat, so most are read once.
    """
    name, colon, value = line[:-1].partition(b":")
    # taking the allowed bytes out of a value is ten times as fast as an expression, which counts for long ones
    if not colon or value.translate(None, _VALUE_BYTES) or not _is_token(name) or not line.endswith(b"\r"):
        raise MalformedLine
    value = value.strip(b" \t")
    kind = kind_of(name)
    if kind == CONNECTION and value.lower() == b"keep-alive":
        kind = KEEP_ALIVE
    elif not kind and len(name) == 12 and name.lower() == b"content-type" and is_grpc(value):
        kind = GRPC
    read = kind, name, value, b"%b: %b\r\n" % (name, value)
    if len(line) <= _LONGEST_LINE and name.lower() not in _UNKEPT:
        if len(LINES) >= _MOST_LINES:
            LINES.clear()
        LINES[line] = read
    return read


def kind_of(name: bytes) -> int:
    """Kind of a name in any spelling; 0 for an ordinary field."""
    lower = name.lower()
    kind = KINDS.get(lower, 0)
    if not kind and (b"_" in lower or b"." in lower) and KINDS.get(lower.replace(b"_", b"-").replace(b".", b"-"), 0):
        return DROPPED
    return kind


def only_in_head(name: bytes) -> bool:
    """Whether a field is not taken from a trailer section: framing, routing, conditions, authentication, what describes the content,
    and what is ours to set (RFC 9110 6.5.1)."""
    lower = name.lower()
    return bool(kind_of(lower)) or is_of_head(lower)


def is_of_head(name: bytes) -> bool:
    """The same of a field of kind 0, by its lower-case name."""
    return name in _ONLY_IN_HEAD or name.startswith((b"content-", b"if-"))


def split_list(value: bytes) -> list[bytes]:
    """Lower-case members of a comma-separated list, empty ones left out (RFC 9110 5.6.1)."""
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]


def named_by_connection(options: list[bytes]) -> set[bytes]:
    """Names of fields that Connection makes hop-by-hop. Raises ValueError for one that must not be taken away, for what is no token, and
    for more options than there can be fields."""
    if len(options) > _MOST_OPTIONS:
        raise ValueError(f"Connection has more than {_MOST_OPTIONS} options")
    named = set()
    for option in options:
        if option in _PROTECTED_FROM_CONNECTION or option.startswith(b"x-forwarded-"):
            raise ValueError(f"Connection names {option.decode('latin-1')}")
        if not _is_token(option):
            raise ValueError("Connection option is not a token")
        if option not in KINDS and option != b"close":
            named.add(option)
    return named
