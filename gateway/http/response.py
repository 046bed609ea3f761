"""Reads the head of an HTTP/1.1 response from a backend, which is not trusted either (RFC 9112 4 and 6.3)."""

from __future__ import annotations

import re
from typing import Final

from gateway.http import fields as kinds
from gateway.http.fields import LENGTH_DIGITS, LINES, FieldLine, MalformedLine, named_by_connection, read_line, split_list
from gateway.http.head import ResponseHead

HEAD_LIMIT: Final = 60 * 1024
FIELD_LIMIT: Final = 200
INTERIM_LIMIT: Final = 10
"""1xx responses before the final one."""
UNTIL_CLOSE: Final = -1
CHUNKED: Final = -2

_status_line = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?").fullmatch
_STATUS_LINES: Final[dict[bytes, tuple[bool, int, bytes, bytes]]] = {}
"""Status lines seen before, as `read_status_line` read them: servers send few."""
_MOST_STATUS_LINES: Final = 256
_HEADS: Final[dict[bytes, tuple[int, bytes, bytes, list[bytes], int | None, Framing]]] = {}
"""Whole heads seen before, without their last line feed, as they are read for a method whose answers have bodies: status, reason, status
line, lines, length, framing. Servers repeat them until their clock moves on. Only those are kept of which each line was in LINES already:
neither secrets nor what no second answer says are among them."""
_MOST_HEADS: Final = 512
_LONGEST_HEAD: Final = 1024


class MalformedResponse(Exception):
    """The backend's answer is not HTTP we pass on; the argument is the reason in the access log."""


class Framing:
    """How the body of a response is read: `size` in bytes, or CHUNKED, or UNTIL_CLOSE; whether the connection may serve again."""

    __slots__ = ("keep_alive", "size", "upgrade")

    def __init__(self, size: int, keep_alive: bool, upgrade: bytes | None) -> None:
        self.size, self.keep_alive, self.upgrade = size, keep_alive, upgrade


_SIMPLE: Final = tuple(Framing(size, True, None) for size in range(256))
"""Framing has no state, so the ones of small kept-alive responses are shared."""


def parse_response(data: bytes, end: int, method: bytes) -> tuple[ResponseHead, Framing]:
    """Head in data[:end + 4] of the answer to a request with `method`. Raises MalformedResponse."""
    whole = data[: end + 1]
    if end >= _LONGEST_HEAD:
        return _parse(whole, method)
    seen = _HEADS.get(whole)
    if seen is None or method == b"HEAD":
        return _parse(whole, method)
    status, reason, line, lines, length, framing = seen
    head = ResponseHead(status, reason, None, length, line)
    head.lines = lines
    return head, framing


def _parse(whole: bytes, method: bytes) -> tuple[ResponseHead, Framing]:
    """`whole` ends with the carriage return of the last line. As in `request`, the kinds are numbers because the loop runs for every field
    of every response."""
    lines = whole.split(b"\n")
    first = lines[0]
    old, status, reason, line = _STATUS_LINES.get(first) or read_status_line(first)
    if len(whole) > HEAD_LIMIT + 1 or len(lines) > FIELD_LIMIT:
        raise MalformedResponse("head too large")
    del lines[0]
    head = ResponseHead(status, reason, None, None, line)
    passed, known = head.lines, LINES.get
    repeated = True
    special: list[tuple[int, bytes]] | None = None
    for field_line in lines:
        read = known(field_line)
        if read is None:
            read = _read_line(field_line)
            repeated = False
        kind, _, value, written = read
        if kind == 0:
            passed.append(written)
        elif kind == 2:  # CONTENT_LENGTH
            if head.length is not None or not value.isdigit() or len(value) > LENGTH_DIGITS:
                raise MalformedResponse("bad or repeated Content-Length")
            head.length = int(value)
        elif kind == 11:  # KEEP_ALIVE
            if old:
                special = [*(special or ()), (kind, value)]
        elif kind in (1, 10, 12):  # HOST, IDENTITY and GRPC mean nothing in a response
            passed.append(written)
        elif kind in (3, 4, 8):  # TRANSFER_ENCODING, CONNECTION, UPGRADE; the rest is dropped
            special = [*(special or ()), (kind, value)]
    bodiless = status < 200 or status in (204, 304) or method == b"HEAD"
    if head.length and status < 200:
        raise MalformedResponse("interim response with a body")
    if special is None and not old:
        return head, _frame_simple(whole if repeated else b"", head, bodiless)
    return head, _frame(head, special or [], old, bodiless)


def _frame_simple(whole: bytes, head: ResponseHead, bodiless: bool) -> Framing:
    """Of HTTP/1.1 with nothing special. `whole` is the head if it may be kept."""
    length = head.length
    if bodiless:
        return _SIMPLE[0]
    if length is None:
        return Framing(UNTIL_CLOSE, False, None)
    framing = _SIMPLE[length] if length < len(_SIMPLE) else Framing(length, True, None)
    if 0 < len(whole) <= _LONGEST_HEAD:
        if len(_HEADS) >= _MOST_HEADS:
            _HEADS.clear()
        _HEADS[whole] = head.status, head.reason, head.line, head.lines, length, framing
    return framing


def _read_line(line: bytes) -> FieldLine:
    try:
        return read_line(line)
    except MalformedLine:
        raise MalformedResponse("malformed field line") from None


def read_status_line(line: bytes) -> tuple[bool, int, bytes, bytes]:
    """Whether it is HTTP/1.0, status, reason, and the line that we write for it."""
    matched = _status_line(line, 0, len(line) - 1) if line.endswith(b"\r") else None
    if matched is None:
        raise MalformedResponse("malformed status line")
    minor, status, reason = matched.groups()
    reason = reason or b""
    read = minor == b"0", int(status), reason, b"HTTP/1.1 %b %b\r\n" % (status, reason)
    if len(_STATUS_LINES) < _MOST_STATUS_LINES and len(line) <= 64:
        _STATUS_LINES[line] = read
    return read


def _frame(head: ResponseHead, special: list[tuple[int, bytes]], old: bool, bodiless: bool) -> Framing:
    coding: bytes | None = None
    options: list[bytes] = []
    upgrade: bytes | None = None
    for kind, value in special:
        if kind == kinds.TRANSFER_ENCODING:
            if coding is not None:
                raise MalformedResponse("repeated Transfer-Encoding")
            coding = value.lower()
        elif kind in (kinds.CONNECTION, kinds.KEEP_ALIVE):
            options += split_list(value)
        elif kind == kinds.UPGRADE:
            upgrade = value.lower()
    if coding is not None and (head.length is not None or old or coding != b"chunked" or head.status < 200 or head.status == 204):
        raise MalformedResponse("ambiguous framing")
    if options:
        try:
            named = named_by_connection(options)
        except ValueError as refusal:
            raise MalformedResponse(str(refusal)) from None
        if named:
            head.fields = [pair for pair in head.fields if pair[0].lower() not in named]
    keep_alive = b"keep-alive" in options if old else b"close" not in options
    if bodiless:
        size = 0
    elif coding is not None:
        size = CHUNKED
    else:
        size = UNTIL_CLOSE if head.length is None else head.length
    return Framing(size, keep_alive and size != UNTIL_CLOSE, upgrade if b"upgrade" in options else None)
