"""Reads the head of an HTTP/2 request (RFC 9113 8, RFC 8441) into the same RequestHead as that of an HTTP/1.1 request.

A message is malformed that would mean two things, or another thing, once it is written as HTTP/1.1: a StreamFault. What is only more than
we take, or nothing we offer, is Refused with a status. As in `request` the target and the authority are returned as sent, and the kinds
are numbers in the loop that runs for every field.
"""

from __future__ import annotations

from typing import Final

from gateway.http import fields as kinds
from gateway.http.chunked import TRAILER_COUNT, TRAILER_LIMIT
from gateway.http.fields import LENGTH_DIGITS, FieldLine, is_of_head
from gateway.http.frames import ENHANCE_YOUR_CALM, PROTOCOL_ERROR, StreamFault
from gateway.http.head import Fields, RequestHead
from gateway.http.http2_fields import (
    AUTHORITY,
    CONNECTION_SPECIFIC,
    MALFORMED,
    METHOD,
    OVERSIZED,
    PATH,
    PROTOCOL,
    SCHEME,
    STATUS,
    fault,
)
from gateway.http.refused import Refused
from gateway.http.request import FIELD_LIMIT, TARGET_LIMIT, VALUE_LIMIT, SpecialFields, sort_special
from gateway.http.target import parse_authority

_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}


Block = list[FieldLine] | StreamFault | None
"""The fields of a block; None when there were too many, or what is wrong with the frames that it came in."""


def read_request(entries: Block, ended: bool) -> RequestHead:
    """The head of which `entries` are the fields; `ended` when no body follows.

    `path` holds :path as sent, `authority` :authority or else Host. Raises Refused, or StreamFault for a malformed request.
    """
    if not isinstance(entries, list):
        raise entries or Refused(431, "head too large")
    head = RequestHead(b"", b"", None, b"", b"")
    head.version = b"2"
    passed = head.lines
    pseudo: dict[int, bytes] = {}
    special: SpecialFields | None = None
    cookies: list[bytes] | None = None
    for line in entries:
        kind, name, value, written = line
        if kind == 0:
            passed.append(written)
        elif 20 <= kind <= 25:  # METHOD to STATUS
            if kind in pseudo or passed or special or cookies:
                raise StreamFault(PROTOCOL_ERROR, "repeated or misplaced pseudo-header field")
            pseudo[kind] = value
        elif kind == 30:  # COOKIE
            cookies = [*(cookies or ()), value]
        elif kind < 20:
            special = [*(special or ()), (kind, name, value)]
        else:
            raise _judged(line)
    if cookies:
        passed.append(_cookie(cookies))
    if len(entries) > FIELD_LIMIT and len(entries) - len(pseudo) > FIELD_LIMIT:
        raise Refused(431, "too many fields")
    _read_pseudo(head, pseudo)
    head.length = 0 if ended else None
    if special:
        _read_special(head, special, pseudo.get(SCHEME, b""), ended)
    if not head.authority:
        raise Refused(400, "neither :authority nor Host")
    if PROTOCOL in pseudo:
        _connect(head, pseudo[PROTOCOL])
    return head


def _cookie(crumbs: list[bytes]) -> bytes:
    """One field, whose crumbs were fields of their own to compress better (RFC 9113 8.2.3). Raises Refused."""
    value = crumbs[0] if len(crumbs) == 1 else b"; ".join(crumbs)
    if len(value) > VALUE_LIMIT:
        raise Refused(431, "field too large")
    return b"cookie: %b\r\n" % value


def _judged(line: FieldLine) -> Exception:
    """The fault of a field whose kind says that it has one."""
    return Refused(431, "field too large") if line[0] == OVERSIZED else StreamFault(PROTOCOL_ERROR, fault(line))


def _read_pseudo(head: RequestHead, pseudo: dict[int, bytes]) -> None:
    """RFC 9113 8.3.1 and 8.5, RFC 8441 4. Raises StreamFault and Refused."""
    method = pseudo.get(METHOD)
    path = pseudo.get(PATH)
    if STATUS in pseudo:
        raise StreamFault(PROTOCOL_ERROR, ":status in a request")
    if method is None:
        raise StreamFault(PROTOCOL_ERROR, "no :method")
    head.method = method
    head.authority = pseudo.get(AUTHORITY, b"")
    if PROTOCOL in pseudo and method != b"CONNECT":
        raise StreamFault(PROTOCOL_ERROR, ":protocol without CONNECT")
    if method == b"CONNECT" and PROTOCOL not in pseudo:
        if path is not None or SCHEME in pseudo or not head.authority:
            raise StreamFault(PROTOCOL_ERROR, "CONNECT takes :authority alone")
        head.path = head.authority
        return
    if path is None or SCHEME not in pseudo:
        raise StreamFault(PROTOCOL_ERROR, "no :path" if path is None else "no :scheme")
    if not path.startswith(b"/") and (path != b"*" or method != b"OPTIONS"):
        raise StreamFault(PROTOCOL_ERROR, ":path is no path")
    if len(path) > TARGET_LIMIT:
        raise Refused(414, "request target too long")
    head.path = path


def _read_special(head: RequestHead, special: SpecialFields, scheme: bytes, ended: bool) -> None:
    """Host, length, expectations and identity. Raises StreamFault and Refused."""
    if any(len(value) > VALUE_LIMIT for _, _, value in special):
        raise Refused(431, "field too large")
    found = sort_special(head, special)
    if kinds.HOST in found:
        _read_host(head, found[kinds.HOST], scheme)
    if kinds.CONTENT_LENGTH in found:
        lengths = found[kinds.CONTENT_LENGTH]
        if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > LENGTH_DIGITS:
            raise StreamFault(PROTOCOL_ERROR, "bad or repeated content-length")
        head.length = int(lengths[0])
        if head.length and ended:
            raise StreamFault(PROTOCOL_ERROR, "content-length without a body")
    if head.length == 0:
        head.expects = False  # there is nothing to wait with (RFC 9110 10.1.1)
    if kinds.TE in found:
        if any(value.lower() != b"trailers" for value in found[kinds.TE]):
            raise StreamFault(PROTOCOL_ERROR, "TE is not trailers")
        head.trailers = True
    if kinds.GRPC in found:
        head.trailers = True  # no client of gRPC can do without them


def _read_host(head: RequestHead, hosts: list[bytes], scheme: bytes) -> None:
    """Host names the authority where :authority does not, and never another one."""
    if len(hosts) > 1:
        raise StreamFault(PROTOCOL_ERROR, "more than one Host")
    host = hosts[0]
    if not host:
        raise Refused(400, "empty Host")
    if not head.authority:
        head.authority = host
    elif host != head.authority and _normal(host, scheme) != _normal(head.authority, scheme):
        raise StreamFault(PROTOCOL_ERROR, "Host disagrees with :authority")


def _normal(authority: bytes, scheme: bytes) -> tuple[bytes, bytes]:
    """Host and port; the port of the scheme is none (RFC 3986 6.2.3)."""
    host, written = parse_authority(authority)
    port = written[written.rfind(b":") :] if not written.endswith(b"]") and b":" in written else b""
    return host, b"" if port == _DEFAULT_PORTS.get(scheme) else port


def _connect(head: RequestHead, protocol: bytes) -> None:
    """Extended CONNECT becomes the handshake that it stands for, still without a key. Raises Refused."""
    if protocol.lower() != b"websocket":
        raise Refused(501, "the protocol of extended CONNECT is not websocket")
    if head.length:
        raise Refused(400, "WebSocket handshake with a body")
    if head.get(b"sec-websocket-version") != b"13":
        raise Refused(426, "WebSocket version is not 13")
    head.fields = [pair for pair in head.fields if pair[0] != b"sec-websocket-key"]
    head.changed()
    head.method, head.upgrade, head.length = b"GET", b"websocket", 0


def read_trailers(entries: Block) -> Fields:
    """The fields of a trailer section that are passed on, as `chunked` permits them (RFC 9113 8.1). Raises StreamFault."""
    if isinstance(entries, StreamFault):
        raise entries
    if entries is None or len(entries) > TRAILER_COUNT or sum([len(line[3]) for line in entries]) > TRAILER_LIMIT:
        raise StreamFault(ENHANCE_YOUR_CALM, "trailers too large")
    for line in entries:
        if METHOD <= line[0] <= STATUS:
            raise StreamFault(PROTOCOL_ERROR, "pseudo-header field in trailers")
        if line[0] in (MALFORMED, CONNECTION_SPECIFIC):
            raise StreamFault(PROTOCOL_ERROR, fault(line))
    return [(name, value) for kind, name, value, _ in entries if not kind and not is_of_head(name)]
