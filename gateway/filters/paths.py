"""Path modifiers of redirects and rewrites (HTTPPathModifier), and the escaping that a URI demands (RFC 3986)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gateway.http.target import normal_match_value
from gateway.ir.filters import PathModifier

PathEdit = Callable[[bytes, bytes | None], bytes | None]
"""(path, matched prefix) to the new path; None if there is no such prefix to replace."""

NO_PREFIX: Final = "ReplacePrefixMatch, but no path prefix matched"

_not_in_path = re.compile(rb"[^!$%&'()*+,\-./0-9:;=@A-Z_a-z~]|%(?![0-9A-Fa-f]{2})").sub
_not_in_query = re.compile(rb"[^!$%&'()*+,\-./0-9:;=?@A-Z_a-z~]|%(?![0-9A-Fa-f]{2})").sub


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def escape_path(path: bytes) -> bytes:
    """Percent-encodes whatever may not stand in a URI's path (RFC 3986 3.3), a stray '%' included; escapes stay."""
    return _not_in_path(_percent, path)


def escape_query(query: bytes) -> bytes:
    """The same for a query (RFC 3986 3.4)."""
    return _not_in_query(_percent, query)


def compile_path(modifier: PathModifier) -> PathEdit:
    """Raises ValueError if the value is no absolute path."""
    value = _absolute(modifier.value)
    match modifier.type:
        case "ReplaceFullPath":
            full = value or b"/"
            return lambda path, prefix: full
        case "ReplacePrefixMatch":
            replacement = value.rstrip(b"/")
            return lambda path, prefix: None if prefix is None else replace_prefix(path, prefix, replacement)


def replace_prefix(path: bytes, prefix: bytes, replacement: bytes) -> bytes | None:
    """`path` with whole segments of `prefix` replaced (HTTPPathModifier.replacePrefixMatch); `replacement` has no trailing slash.

    None if the path does not begin with the prefix, as after another rewrite.
    """
    if prefix[-1:] == b"/":
        prefix = prefix[:-1]
    rest = path[len(prefix) :]
    if not path.startswith(prefix) or (rest and rest[0] != 0x2F):
        return None
    return replacement + rest or b"/"


def _absolute(value: str) -> bytes:
    """In the normal form in which paths are matched and forwarded."""
    if value and value[0] != "/":
        raise ValueError(f"path {value!r} is not absolute: begin it with '/'")
    for wrong, name in (("?", "a query"), ("#", "a fragment")):
        if wrong in value:
            raise ValueError(f"path {value!r} holds {name}: write the path alone, the query of the request is kept")
    if any(character < " " or character == "\x7f" for character in value):
        raise ValueError(f"path {value!r} holds a control character: remove it")
    try:
        path = normal_match_value(value)
    except ValueError as error:
        raise ValueError(f"path {value!r} {error}") from None
    if any(segment in (b".", b"..") for segment in path.split(b"/")):
        raise ValueError(f"path {value!r} holds a dot segment: write the path that it leads to")
    return path
