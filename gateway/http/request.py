"""Reads the head of an HTTP/1.1 request (RFC 9112 2 to 6), strictly: what is ambiguous is refused, never repaired.

The target and the authority are returned as sent; `target.py` reads them once the listener, whose rules hold, is known.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.http import fields as kinds
from gateway.http.fields import (
    LENGTH_DIGITS,
    LINES,
    TOKEN,
    MalformedLine,
    named_by_connection,
    read_line,
    split_list,
)
from gateway.http.head import RequestHead
from gateway.http.refused import Refused
from gateway.http.target import PATH_BYTES

HEAD_LIMIT: Final = 60 * 1024
"""Bytes of a whole head; beyond it 431 (RFC 6585 5)."""
FIELD_LIMIT: Final = 100
VALUE_LIMIT: Final = 16 * 1024
TARGET_LIMIT: Final = 8 * 1024
"""Bytes of a request target; beyond it 414."""
LINE_LIMIT: Final = TARGET_LIMIT + 64
"""Bytes of a request line without its line feed: a target, and what else a line needs."""

LONG_HEAD: Final = 2_048
"""Bytes from which on the end of the request line is looked for first: one byte is found thirty times as fast in a long line as four are,
or as the line is split."""
RequestLine = tuple[bytes, bytes, bool, bool]
"""Method, target, whether it is HTTP/1.0, and whether the target is plain (see RequestHead)."""
_REQUEST_LINES: Final[dict[bytes, RequestLine]] = {}
"""Request lines seen before, as `_read_request_line` read them: most repeat."""
_MOST_REQUEST_LINES: Final = 4096
_LONGEST_REQUEST_LINE: Final = 256
_SECTIONS: Final[dict[bytes, tuple[list[bytes], bytes]]] = {}
"""Fields of HTTP/1.1 heads seen before, with nothing special among them: their lines, and Host. A client says the same with most of its
requests. Only those are kept of which each line was in LINES already: neither secrets nor what no second request says are among them."""
_MOST_SECTIONS: Final = 512
_LONGEST_SECTION: Final = 1024

HANDSHAKE: Final = b"\x16\x03"
"""What TLS begins with (RFC 8446 5.1), and no method."""
TLS_ON_PLAIN: Final = "a TLS handshake, and plain HTTP is spoken here"

VISIBLE: Final = bytes((*range(0x21, 0x7F), *range(0x80, 0x100)))
"""Bytes that may stand in a target before its form is known."""
_version = re.compile(rb"HTTP/1\.[0-9]").fullmatch
_other_version = re.compile(TOKEN + rb" [!-~\x80-\xff]+ HTTP/[0-9]\.[0-9]\r\n").match
_is_token = re.compile(TOKEN).fullmatch
_websocket_key = re.compile(rb"[A-Za-z0-9+/]{22}==").fullmatch


def refuse_early(data: bytes) -> None:
    """Judges a head that is not complete yet, so that nobody waits for the end of what is wrong already. Raises Refused."""
    first = data.find(b"\n")
    if data.startswith(HANDSHAKE):
        raise Refused(400, TLS_ON_PLAIN)
    if first >= 0:
        if not data.endswith(b"\r", 0, first) or not _parts(data, first - 1):
            raise _bad_request_line(data[: first + 1])
        if data.count(b"\n") != data.count(b"\r\n"):
            raise Refused(400, "bare line feed in head")
    elif len(data) > LINE_LIMIT:
        raise Refused(414, "request target too long")
    if len(data) > HEAD_LIMIT + 3:  # three bytes of the end may be there already
        raise Refused(431, "head too large")


def is_broken_preface(data: bytes) -> bool:
    """Whether the first line of what came has the form of a request line, as the preface of HTTP/2 has, and is no attempt at a request of
    HTTP/1: its second word is no target, and its third names no version of HTTP."""
    words = data.partition(b"\n")[0].rstrip(b"\r").split(b" ")
    if len(words) != 3 or not all(map(_is_token, words)):
        return False
    return not words[1].startswith(b"*") and b"http" not in words[2].lower()


def _parts(line: bytes, end: int) -> RequestLine | None:
    """Reads a request line, which ends there (RFC 9112 3), None for what is none. Taking the allowed bytes out of a target is three
    times as fast as an expression, which counts for long ones; so does it that one look gives two answers."""
    begin, last = line.find(b" ", 0, end), line.rfind(b" ", 0, end)
    if begin == last:
        return None  # compiled, a slice must not end before it begins
    method, target, version = line[:begin], line[begin + 1 : last], line[last + 1 : end]
    path, _, query = target.partition(b"?")
    others = path.translate(None, PATH_BYTES)
    if not target or (others + query).translate(None, VISIBLE) or not _is_token(method) or not _version(version):
        return None
    return method, target, version == b"HTTP/1.0", not others


def _bad_request_line(line: bytes) -> Refused:
    if line.startswith(HANDSHAKE):
        return Refused(400, TLS_ON_PLAIN)
    if not line.endswith(b"\r\n"):
        return Refused(400, "bare line feed in head")
    if line.startswith(b"PRI * HTTP/2.0") or _other_version(line):
        return Refused(505, "HTTP version not supported")
    return Refused(400, "malformed request line")


SpecialFields = list[tuple[int, bytes, bytes]]
"""Kind, name and value of the fields of a head that are not just passed on."""


def parse_request(data: bytes, end: int) -> RequestHead:
    """The head in data[:end + 4], which ends in an empty line; `path` holds the target and `authority` the Host, both as sent.

    Raises Refused with the status to answer; the connection must then be closed (RFC 9112 9.6).
    """
    feed = data.find(b"\n")
    first, section = data[:feed], data[feed + 1 : end + 1] if feed < end else b""
    line = _REQUEST_LINES.get(first) if feed <= _LONGEST_REQUEST_LINE else None
    method, target, old, plain = line or _read_request_line(first)
    head = RequestHead(method, target, None, b"", b"")
    head.plain_target = plain
    seen = _SECTIONS.get(section) if len(section) <= _LONGEST_SECTION else None
    if seen is not None and not old and end <= TARGET_LIMIT:
        head.lines, head.authority = seen
        return head
    lines = section.split(b"\n") if section else []
    if end > TARGET_LIMIT or len(lines) > FIELD_LIMIT:
        _check_sizes(end, first, target, lines)
    if _read_fields(head, lines, old) and len(section) <= _LONGEST_SECTION:
        if len(_SECTIONS) >= _MOST_SECTIONS:
            _SECTIONS.clear()
        _SECTIONS[section] = head.lines, head.authority
    return head


def _read_fields(head: RequestHead, lines: list[bytes], old: bool) -> bool:
    """Whether every line was known, and nothing special among them. Raises Refused. The kinds that the loop compares with are numbers: a
    global costs a look-up."""
    passed, known = head.lines, LINES.get
    repeated = True
    special: SpecialFields | None = None
    for field_line in lines:
        read = known(field_line)
        if read is None:
            try:
                read = read_line(field_line)
            except MalformedLine:
                raise Refused(400, "malformed field line") from None
            repeated = False
        kind, name, value, written = read
        if kind == 0:
            passed.append(written)
        elif kind == 1 and not head.authority:  # HOST
            if not value:
                raise Refused(400, "empty Host")
            head.authority = value
        elif kind != 11 or old:  # KEEP_ALIVE
            if special is None:
                special = [(kind, name, value)]
            else:
                special.append((kind, name, value))
    if old:
        head.version = b"1.0"
        head.keep_alive = False
    elif not head.authority:
        raise Refused(400, "no Host")
    if special:
        _read_special(head, special)
    return repeated and not old and special is None


def _read_request_line(line: bytes) -> RequestLine:
    """As `_parts`, of a line that still has its carriage return. Raises Refused."""
    read = _parts(line, len(line) - 1) if line.endswith(b"\r") else None
    if read is None:
        raise _bad_request_line(line + b"\n")
    if len(line) <= _LONGEST_REQUEST_LINE:
        if len(_REQUEST_LINES) >= _MOST_REQUEST_LINES:
            _REQUEST_LINES.clear()
        _REQUEST_LINES[line] = read
    return read


def _check_sizes(end: int, line: bytes, target: bytes, lines: list[bytes]) -> None:
    if end > HEAD_LIMIT:
        raise Refused(431, "head too large")
    if len(target) > TARGET_LIMIT or len(line) > LINE_LIMIT:
        raise Refused(414, "request target too long")
    if len(lines) > FIELD_LIMIT:
        raise Refused(431, "too many fields")
    if any(len(field.partition(b":")[2].strip(b" \t\r")) > VALUE_LIMIT for field in lines):
        raise Refused(431, "field too large")


def _read_special(head: RequestHead, special: SpecialFields) -> None:
    """Framing, connection options, expectations and identity. Raises Refused."""
    found = sort_special(head, special)
    if kinds.HOST in found:
        raise Refused(400, "more than one Host")
    if kinds.CONTENT_LENGTH in found or kinds.TRANSFER_ENCODING in found:
        _frame(head, found.get(kinds.CONTENT_LENGTH, []), found.get(kinds.TRANSFER_ENCODING, []))
    if kinds.TE in found:
        head.trailers = any(b"trailers" in split_list(value) for value in found[kinds.TE])
    options = found.get(kinds.CONNECTION, []) + found.get(kinds.KEEP_ALIVE, [])
    if options:
        _read_connection(head, options, found.get(kinds.UPGRADE, []))


def sort_special(head: RequestHead, special: SpecialFields) -> dict[int, list[bytes]]:
    """Puts into a head what means the same in every version: identity, the chain of clients, the expectation, the type of a call. Returns
    the values of each kind. Raises Refused."""
    found: dict[int, list[bytes]] = {}
    identity: list[tuple[bytes, bytes]] = []
    for kind, name, value in special:
        if kind == 10:  # IDENTITY
            identity.append((name, value))
        else:
            found.setdefault(kind, []).append(value)
    if identity:
        head.identity = identity
    if kinds.FORWARDED_FOR in found:
        head.forwarded_for = b", ".join(found[kinds.FORWARDED_FOR])
    if kinds.GRPC in found:
        head.grpc = found[kinds.GRPC][0].lower().partition(b";")[0].rstrip(b" \t")
        head.lines += [b"content-type: %b\r\n" % value for value in found[kinds.GRPC]]
    if kinds.EXPECT in found:
        if any(value.lower() != b"100-continue" for value in found[kinds.EXPECT]):
            raise Refused(417, "unknown expectation")
        head.expects = head.version != b"1.0"
    return found


def _frame(head: RequestHead, lengths: list[bytes], codings: list[bytes]) -> None:
    """RFC 9112 6.3, without its leniency."""
    if len(lengths) > 1 or not all(length.isdigit() and len(length) <= LENGTH_DIGITS for length in lengths):
        raise Refused(400, "bad or repeated Content-Length")
    if not codings:
        head.length = int(lengths[0])
        return
    if len(codings) > 1:
        raise Refused(400, "repeated Transfer-Encoding")
    if lengths:
        raise Refused(400, "both Content-Length and Transfer-Encoding")
    if head.version == b"1.0":
        raise Refused(400, "Transfer-Encoding in HTTP/1.0")
    coding = codings[0].lower()
    if coding != b"chunked":
        raise Refused(*_coding_refusal(coding))
    head.length = None


def _coding_refusal(coding: bytes) -> tuple[int, str]:
    """501 for a list of codings with one we do not know, 400 for what is malformed or has chunked anywhere but once at its end
    (RFC 9112 6.1)."""
    listed = [member.strip(b" \t") for member in coding.split(b",")]
    if b"chunked" in listed[:-1] or not all(_is_token(member) for member in listed):
        return 400, "malformed Transfer-Encoding"
    return 501, "unknown transfer coding"


def _read_connection(head: RequestHead, values: list[bytes], upgrades: list[bytes]) -> None:
    """Connection options (RFC 9110 7.6.1), and the upgrade that they may ask for."""
    options = [option for value in values for option in split_list(value)]
    try:
        named = named_by_connection(options)
    except ValueError as refusal:
        raise Refused(400, str(refusal)) from None
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True
    if named:
        head.fields = [pair for pair in head.fields if pair[0].lower() not in named]
    if b"upgrade" in options and head.version != b"1.0" and any(b"websocket" in split_list(value) for value in upgrades):
        _upgrade(head)


def _upgrade(head: RequestHead) -> None:
    """RFC 6455 4.2.1. A request that is not a proper WebSocket handshake is refused rather than passed on half upgraded."""
    if head.method != b"GET":
        return
    if head.length != 0:
        raise Refused(400, "WebSocket handshake with a body")
    if head.get(b"sec-websocket-version") != b"13":
        raise Refused(426, "WebSocket version is not 13")
    if not _websocket_key(head.get(b"sec-websocket-key") or b""):
        raise Refused(400, "bad Sec-WebSocket-Key")
    head.upgrade = b"websocket"
