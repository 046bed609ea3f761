"""A request target: refused, or in one normal form that stays when it is read again, never climbs, and that a slow reader finds too."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from gateway.http.refused import Refused
from gateway.http.target import PathRules, parse_target
from gateway.ir.listener import EscapedSlashes

MODES: Final[tuple[EscapedSlashes, ...]] = ("Keep", "Reject", "Redirect", "Unescape")
RULES: Final = tuple(PathRules(mode, merge) for mode in MODES for merge in (False, True))
_UNRESERVED: Final = frozenset(b"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_RAW: Final = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/")
_NORMAL: Final = _RAW | {ord("%")}


class Bad(Exception):
    """What the slow reader refuses."""


def run(data: bytes) -> None:
    """The first byte says the rules (the low three bits) and whether the method is OPTIONS (the fourth), the rest is the target."""
    if not data or b" " in data[1:]:
        return
    rules, method, raw = RULES[data[0] & 7], b"OPTIONS" if data[0] & 8 else b"GET", data[1:]
    try:
        target = parse_target(method, raw, rules)
    except Refused as refused:
        assert refused.status == 400, refused.status
        assert refused.reason.isascii()
        assert refused.reason.isprintable()
        assert expected(raw, method, rules) is None
        return
    assert parse_target(method, raw, rules) == target, "another answer from the cache"
    assert target.path == expected(raw, method, rules)
    assert target.query == expected_query(raw)
    if target.path == b"*":
        return
    segments = target.path.split(b"/")
    assert target.path.startswith(b"/")
    assert set(target.path) <= _NORMAL
    assert b"." not in segments
    assert b".." not in segments
    if not target.redirect:
        again = parse_target(b"GET", target.path, rules)
        assert (again.path, again.redirect) == (target.path, False)


def expected_query(raw: bytes) -> bytes | None:
    """As sent, but for bytes above ASCII."""
    _, mark, query = raw.partition(b"?")
    return b"".join(bytes((byte,)) if byte < 0x80 else b"%%%02X" % byte for byte in query) if mark else None


def expected(raw: bytes, method: bytes, rules: PathRules) -> bytes | None:
    """The path that a slow reader finds, None for what it refuses."""
    before, mark, query = raw.partition(b"?")
    try:
        if b"#" in query:
            raise Bad
        if before.startswith(b"/"):
            return slow_path(before, rules)
        if before == b"*" and method == b"OPTIONS" and not mark:
            return before
        scheme, colon, rest = before.partition(b"://")
        if not colon or scheme.lower() not in (b"http", b"https"):
            raise Bad
        authority, slash, path = rest.partition(b"/")
        if not authority or b"#" in rest:
            raise Bad
        if slash:
            return slow_path(b"/" + path, rules)
        return b"*" if method == b"OPTIONS" and not mark else b"/"
    except Bad:
        return None


def slow_path(path: bytes, rules: PathRules) -> bytes:
    """Byte by byte, then RFC 3986 5.2.4 with its two buffers. Raises Bad."""
    path = resolve_escapes(path)
    if rules.escaped_slashes != "Keep":
        unescaped = path.replace(b"%2F", b"/").replace(b"%5C", b"/")
        if rules.escaped_slashes == "Reject" and unescaped != path:
            raise Bad
        path = unescaped
    while rules.merge_slashes and b"//" in path:
        path = path.replace(b"//", b"/")
    return remove_dot_segments(path)


def resolve_escapes(path: bytes) -> bytes:
    written, escaped, at = bytearray(), bytearray(), 0
    while at < len(path):
        byte = path[at]
        if byte == ord("%"):
            try:
                byte = bytes.fromhex(path[at + 1 : at + 3].decode("ascii"))[0]
            except (ValueError, IndexError):
                raise Bad from None
            if len(path[at + 1 : at + 3].strip()) != 2 or byte == 0:
                raise Bad
            at += 2
            escaped.append(byte)
            if byte in _UNRESERVED:
                written.append(byte)
            else:
                written += b"%%%02X" % byte
        elif byte <= 0x20 or byte == 0x7F or byte in b"#\\":
            raise Bad
        else:
            escaped.append(byte)
            written += bytes((byte,)) if byte in _RAW else b"%%%02X" % byte
        at += 1
    if has_overlong(bytes(escaped)):
        raise Bad
    return bytes(written)


def has_overlong(raw: bytes) -> bool:
    """RFC 3629 3: a sequence that says in more bytes what fits into fewer."""
    for first, second in pairwise(raw):
        if not 0x80 <= second <= 0xBF and first not in (0xC0, 0xC1):
            continue
        low = {0xE0: 0xA0, 0xF0: 0x90, 0xF8: 0x88, 0xFC: 0x84}.get(first, 0)
        if second < low:
            return True
    return bool({0xC0, 0xC1} & set(raw))


def remove_dot_segments(path: bytes) -> bytes:
    for segment in path.split(b"/"):
        name, mark, _ = segment.replace(b"%3B", b";").partition(b";")
        if mark and name in (b".", b".."):
            raise Bad
    rest, output = path, b""
    while rest:
        if rest.startswith(b"/./"):
            rest = rest[2:]
        elif rest == b"/.":
            rest = b"/"
        elif rest.startswith(b"/../") or rest == b"/..":
            if not output:
                raise Bad
            rest = rest[3:] or b"/"
            output = output[: output.rfind(b"/")]
        else:
            end = rest.find(b"/", 1)
            end = len(rest) if end < 0 else end
            output += rest[:end]
            rest = rest[end:]
    return output
