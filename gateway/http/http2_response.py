"""Reads the head of an HTTP/2 response from a backend (RFC 9113 8.3.2) into the same ResponseHead as that of an HTTP/1.1 response."""

from __future__ import annotations

from typing import Final

from gateway.http.fields import LENGTH_DIGITS
from gateway.http.head import ResponseHead
from gateway.http.http2_fields import fault
from gateway.http.http2_request import Block
from gateway.http.phrases import phrase
from gateway.http.response import MalformedResponse, read_status_line

_STATUSES: Final[dict[bytes, tuple[int, bytes, bytes]]] = {}
"""Status, phrase and status line of each status seen before."""


def read_response(entries: Block, method: bytes, ended: bool) -> ResponseHead:
    """The head, interim or final, of an answer to a request with `method`; `ended` when no body follows. `length` is None when unknown.

    Raises MalformedResponse. The kinds are numbers because the loop runs for every field of every response.
    """
    if not isinstance(entries, list):
        raise MalformedResponse("head too large" if entries is None else entries.reason)
    if not entries or entries[0][0] != 25:  # STATUS
        raise MalformedResponse("no :status at the beginning" if not entries or entries[0][0] != 32 else fault(entries[0]))
    value = entries[0][2]
    status, reason, line = _STATUSES.get(value) or _read_status(value)
    head = ResponseHead(status, reason, None, None, line)
    passed = head.lines
    length: int | None = None
    for entry in entries[1:]:
        kind = entry[0]
        if kind in (0, 1, 10, 12, 30, 33):  # HOST, IDENTITY, GRPC, COOKIE and OVERSIZED mean nothing in a response
            passed.append(entry[3])
        elif kind == 2:  # CONTENT_LENGTH
            value = entry[2]
            if length is not None or not value.isdigit() or len(value) > LENGTH_DIGITS:
                raise MalformedResponse("bad or repeated Content-Length")
            length = int(value)
        elif kind >= 20:
            raise MalformedResponse(fault(entry) if kind > 25 else "repeated, misplaced or unknown pseudo-header field")
        # the rest is dropped: hop-by-hop, or of requests only
    if ended or length is not None:
        _check_length(head, length, method, ended)
    return head


def _read_status(value: bytes) -> tuple[int, bytes, bytes]:
    """There are five hundred of them, without 101, which HTTP/2 does not have (RFC 9113 8.6)."""
    if value == b"101":
        raise MalformedResponse("101 that was not asked for")
    _, status, reason, line = read_status_line(b"HTTP/1.1 %b %b\r" % (value, phrase(int(value))))
    read = _STATUSES[value] = status, reason, line
    return read


def _check_length(head: ResponseHead, length: int | None, method: bytes, ended: bool) -> None:
    """RFC 9113 8.1.1: the length is that of the body, but for answers without one that say what another would have (RFC 9110 8.6)."""
    bodiless = head.status in (204, 304) or method == b"HEAD"
    if head.status < 200 and (length or ended):
        raise MalformedResponse("interim response with a body, or that ends the stream")
    if length and ended and not bodiless:
        raise MalformedResponse("Content-Length without a body")
    head.length = 0 if ended and length is None and not bodiless else length
