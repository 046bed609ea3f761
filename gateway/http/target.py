"""Request target and authority: checked and brought to one normal form, once, for matching, policy, logs and forwarding.

RFC 9112 3.2 gives the forms of a target, RFC 3986 6.2.2 the normal form of a path: escapes of unreserved characters are
decoded, other escapes are upper case, bytes that a path may not hold raw are escaped, dot segments are resolved. What two
parties could read differently is refused. Nothing is decoded twice, and every step is linear in the length of the target.
What repeats is answered from bounded caches.
"""

from __future__ import annotations

import binascii
import codecs
import ipaddress
import re
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.http.refused import Refused
from gateway.ir.listener import EscapedSlashes

CACHE_ENTRIES: Final = 4096
LONGEST_CACHED: Final = 512
LONGEST_HOST: Final = 255
"""RFC 3986 3.2.2 and RFC 1035 2.3.4: no name that can be resolved is longer."""
LARGEST_PORT: Final = 65535
LONGEST_SHOWN: Final = 80

_UNRESERVED: Final = b"-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
PATH_BYTES: Final = _UNRESERVED + b"!$&'()*+,;=:@/"
_ESCAPED_OR_PLAIN: Final = re.compile(rb"[-.0-9A-Z_a-z~!$&'()*+,;=:@/%]*").fullmatch
_FORBIDDEN: Final = re.compile(rb"[\x00-\x20\x7f#\\]").search
_OVERLONG: Final = re.compile(rb"%C[01]|%E0%[89]|%F0%8|%F8%8[0-7]|%FC%8[0-3]").search
_QUOTED_PRINTABLE: Final = bytes.maketrans(b"%=", b"=.")
_UTF8_KINDS: Final = bytes(
    b"!"[0] if byte in b"\xc0\xc1" else b"<"[0] if byte in b"\xe0\xf0\xf8\xfc" else b">"[0] if 0x80 <= byte < 0xA0 else b"."[0]
    for byte in range(256)
)
"""Bytes that begin nothing but an overlong sequence '!', that may begin one '<', that then follow '>'."""
_DOTS_WITH_PARAMETERS: Final = re.compile(rb"/\.\.?(?:;|%3B)").search
_SLASHES: Final = re.compile(rb"//+").sub
_ABSOLUTE: Final = re.compile(rb"(https?)://([^/#]+)(.*)", re.IGNORECASE | re.DOTALL).fullmatch
_AUTHORITY: Final = re.compile(rb"([-.0-9A-Z_a-z~]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?").fullmatch

_WRITTEN: Final = {byte: bytes((byte,)) if byte in PATH_BYTES + b"%" else b"%%%02X" % byte for byte in range(256)}
"""How each byte stands in a path: as itself or escaped."""
_WRITTEN_IN_QUERY: Final = {byte: bytes((byte,)) if byte < 128 else b"%%%02X" % byte for byte in range(256)}


def _escapes() -> dict[bytes, bytes]:
    digits = "0123456789abcdefABCDEF"
    escapes = {}
    for digit_pair in (high + low for high in digits for low in digits):
        byte = int(digit_pair, 16)
        escapes[digit_pair.encode()] = bytes((byte,)) if byte in _UNRESERVED else b"%%%02X" % byte
    return escapes


_ESCAPES: Final = _escapes()
"""From the two digits after '%', in either case, to the normal form of the escape."""


class Target(msgspec.Struct, frozen=True, gc=False):
    """A request target in normal form.

    path       starts with '/', or is '*' (OPTIONS only); ASCII
    query      what follows the first '?', as sent but for bytes above 127, which are escaped; None without one
    authority  of an absolute-form target, as sent: still to go through `parse_authority`; None otherwise
    redirect   whether the client should be sent to this path (escaped slashes, PathRules 'Redirect'). A path may begin with
               '//', so such a Location must be absolute
    scheme     b'http' or b'https' of an absolute-form target, None otherwise
    """

    path: bytes
    query: bytes | None = None
    authority: bytes | None = None
    redirect: bool = False
    scheme: bytes | None = None


_TARGETS: Final[dict[tuple[EscapedSlashes, bool], dict[bytes, Target]]] = {}


class PathRules:
    """How a listener treats escaped slashes (`%2F`, `%5C`) and runs of slashes (ListenerPolicy). Equal rules share one cache.

    Keep      they stay escaped, as ordinary characters
    Reject    400
    Redirect  as Unescape, and the target says that the client is to be redirected there
    Unescape  both become '/', before dot segments are resolved
    """

    __slots__ = ("cache", "escaped_slashes", "merge_slashes")

    def __init__(self, escaped_slashes: EscapedSlashes = "Keep", merge_slashes: bool = False) -> None:
        self.escaped_slashes: Final = escaped_slashes
        self.merge_slashes: Final = merge_slashes
        self.cache: Final = _TARGETS.setdefault((escaped_slashes, merge_slashes), {})


def parse_target(method: bytes, target: bytes, rules: PathRules, plain: bool = False) -> Target:
    """The target of a request line, or of :path (RFC 9113 8.3.1).

    Of the query only bytes above 127 are touched, so whoever split the head must have refused control bytes and spaces. They are
    escaped because other proxies and servers refuse them raw; a decoded parameter is the same. `plain` is for who knows already that
    up to its query the target has nothing but bytes that a path may hold raw. Raises Refused: 405 for CONNECT, else 400.
    """
    path, mark, query = target.partition(b"?")
    if method == b"CONNECT":
        raise Refused(405, "CONNECT is not offered")
    known = rules.cache.get(path) if len(path) <= LONGEST_CACHED else None  # to look for a long one costs its hash
    if known is None:
        known = _parse(method, path, bool(mark), rules, plain)
    if not mark:
        return known
    if b"#"[0] in query:
        raise Refused(400, "the request target has a fragment")
    if not query.isascii():
        query = _rewritten(query, _WRITTEN_IN_QUERY)
    return Target(known.path, query, known.authority, known.redirect, known.scheme)


def _parse(method: bytes, raw: bytes, has_query: bool, rules: PathRules, plain: bool) -> Target:
    """`raw` is the target without its query."""
    if raw.startswith(b"/"):
        path, redirect = _normalise(raw, rules, plain)
        target = Target(path, redirect=redirect)
    elif raw == b"*" and method == b"OPTIONS" and not has_query:
        return Target(b"*")
    elif absolute := _ABSOLUTE(raw):
        scheme, authority, path = absolute.groups()
        if not path:  # the only form whose meaning depends on the method, hence not cached
            path = b"*" if method == b"OPTIONS" and not has_query else b"/"  # RFC 9112 3.2.4
            return Target(path, None, authority, False, scheme.lower())
        path, redirect = _normalise(path, rules, plain)
        target = Target(path, None, authority, redirect, scheme.lower())
    else:
        raise Refused(400, f"the request target {_shown(raw)} is neither a path nor an http or https URI")
    if len(raw) <= LONGEST_CACHED:
        if len(rules.cache) >= CACHE_ENTRIES:
            rules.cache.clear()
        rules.cache[raw] = target
    return target


def _normalise(path: bytes, rules: PathRules, plain: bool) -> tuple[bytes, bool]:
    """The normal form of a path that starts with '/', and whether to redirect there."""
    redirect = False
    if not plain and path.translate(None, PATH_BYTES):  # three times as fast on a long path as an expression
        path = _escaped(path)
        if rules.escaped_slashes != "Keep" and (path.find(b"%2F") >= 0 or path.find(b"%5C") >= 0):
            if rules.escaped_slashes == "Reject":
                raise Refused(400, "the path has an escaped slash")
            redirect = rules.escaped_slashes == "Redirect"
            path = path.replace(b"%2F", b"/").replace(b"%5C", b"/")
    if rules.merge_slashes and path.find(b"//") >= 0:
        path = _SLASHES(b"/", path)
    if path.find(b".") >= 0 and path.find(b"/.") >= 0:
        path = _without_dot_segments(path)
    return path, redirect


def _escaped(path: bytes) -> bytes:
    """Every escape in its normal form, every byte that may not stand raw escaped."""
    if forbidden := _FORBIDDEN(path):
        raise Refused(400, _FORBIDDEN_WORDS.get(forbidden[0], "the path has a control byte"))
    path = _with_normal_escapes(path, _refuse_escape)
    if path.find(b"%00") >= 0:
        raise Refused(400, "the path has an escaped NUL")
    if _may_be_overlong(path) and _OVERLONG(path):
        raise Refused(400, "the path has an overlong UTF-8 escape")
    return path


def _may_be_overlong(path: bytes) -> bool:
    """Whether it is worth to look with an expression, which takes seventy times as long. `path` has normal escapes only; the bytes that it
    stands for are had by a decoder that writes '=' where URIs write '%'."""
    kinds = binascii.a2b_qp(path.translate(_QUOTED_PRINTABLE)).translate(_UTF8_KINDS)
    return kinds.find(b"!") >= 0 or kinds.find(b"<>") >= 0


_FORBIDDEN_WORDS: Final = {b" ": "the path has a space", b"#": "the request target has a fragment", b"\\": "the path has a backslash"}


def _with_normal_escapes(path: bytes, refuse: Callable[[bytes], Exception]) -> bytes:
    if path.find(b"%") >= 0:
        first, *rest = path.split(b"%")
        try:
            path = first + b"".join([_ESCAPES[part[:2]] + part[2:] for part in rest])
        except KeyError as bad:
            raise refuse(b"%" + bad.args[0]) from None
    return path if _ESCAPED_OR_PLAIN(path) else _rewritten(path, _WRITTEN)


def _rewritten(value: bytes, written: dict[int, bytes]) -> bytes:
    """Each byte as the table writes it; a third of what joining them would take, and clients choose how many there are."""
    return codecs.charmap_encode(value.decode("latin-1"), "strict", written)[0]


def _refuse_escape(escape: bytes) -> Exception:
    return Refused(400, f"the path has the bad escape {_shown(escape)}")


def _without_dot_segments(path: bytes) -> bytes:
    """RFC 3986 5.2.4, but a path that climbs above the root is refused: no client means it, and backends differ on it."""
    if _DOTS_WITH_PARAMETERS(path):
        raise Refused(400, "the path has a dot segment with parameters")
    segments = path.split(b"/")
    kept: list[bytes] = []
    for segment in segments[1:]:
        if segment == b"..":
            if not kept:
                raise Refused(400, "the path climbs above the root")
            kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def normal_match_value(value: str) -> bytes:
    """A route's path value (HTTPPathMatch.value) with its escapes as `parse_target` writes them, so that '/%7euser' matches '/~user'.

    Raises ValueError for a bad escape.
    """
    return _with_normal_escapes(value.encode(), _bad_match_escape)


def _bad_match_escape(escape: bytes) -> Exception:
    return ValueError(f"has the bad escape {_shown(escape)}; write two hexadecimal digits after '%', or '%25' for the sign itself")


AUTHORITIES: Final[dict[bytes, tuple[bytes, bytes]]] = {}
"""What `parse_authority` said before, for callers that would rather not call it."""


def parse_authority(value: bytes) -> tuple[bytes, bytes]:
    """Host and authority of a Host field, an :authority or an absolute-form target (RFC 9110 7.2, RFC 3986 3.2).

    The host is what is matched: lower case, without port and one trailing dot, an IPv6 address in its brackets. The authority is
    what is forwarded: as sent, without the ':' of an empty port. Raises Refused 400.
    """
    known = AUTHORITIES.get(value)
    if known is None:
        known = _parse_authority(value)
        if len(value) <= LONGEST_CACHED:
            if len(AUTHORITIES) >= CACHE_ENTRIES:
                AUTHORITIES.clear()
            AUTHORITIES[value] = known
    return known


def _parse_authority(value: bytes) -> tuple[bytes, bytes]:
    parts = _AUTHORITY(value)
    if parts is None:
        raise Refused(400, f"the host {_shown(value)} {_host_fault(value)}")
    host, port = parts.groups()
    if port and not 0 < int(port) <= LARGEST_PORT:
        raise Refused(400, f"the host {_shown(value)} has a port outside 1 to {LARGEST_PORT}")
    host = host.lower()
    if host.startswith(b"["):
        try:
            ipaddress.IPv6Address(host[1:-1].decode())
        except ValueError:
            raise Refused(400, f"the host {_shown(value)} is not an IPv6 address") from None
    else:
        host = host.removesuffix(b".")
        if len(host) > LONGEST_HOST:
            raise Refused(400, f"the host {_shown(value)} is longer than {LONGEST_HOST} bytes")
        if b"" in host.split(b"."):
            raise Refused(400, f"the host {_shown(value)} has an empty label")
    return host, value[:-1] if port == b"" else value


def _host_fault(value: bytes) -> str:
    if not value:
        return "is empty"
    for byte, words in ((b"@", "has user information"), (b"/", "has a path"), (b" ", "has a space"), (b",", "is a list")):
        if value.find(byte) >= 0:
            return words
    if not value.isascii():
        return "is not ASCII; international names are sent as xn-- labels"
    if _AUTHORITY(value.partition(b":")[0]):
        return "has a bad port"
    return "has a character that no host name or IPv6 address has"


def _shown(value: bytes) -> str:
    """For a reason: never more than a log line bears, and no control bytes."""
    text = repr(value[:LONGEST_SHOWN])[1:]
    return f"{text}..." if len(value) > LONGEST_SHOWN else text
