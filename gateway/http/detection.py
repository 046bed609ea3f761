"""Tells a client that begins to speak HTTP from one that speaks something else, by its first bytes.

A request line of HTTP/1.1 (RFC 9112 3), and the preface of HTTP/2, which is made to look like one (RFC 9113 3.4). Protocols of plain
words begin in nearly the same way (`get key` of memcached, `GET key` of Redis, `PUB subject 5` of NATS): methods are in capitals, and
unless a path follows the method the whole line decides.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST_METHOD: Final = 32
LONGEST_LINE: Final = 16_384
"""Bytes after which a line that has not ended is none of a request, unless a path follows the method."""

_METHOD: Final = re.compile(rb"[A-Z][A-Z0-9_-]{0,%d}" % (LONGEST_METHOD - 1)).match
_ENDS_AS_REQUEST: Final = re.compile(rb" HTTP/\d\.\d\r?\Z").search


def begins_http(data: bytes) -> bool | None:
    """Whether a connection that begins with these bytes speaks HTTP; None while more of them could tell."""
    if not data:
        return None
    method = _METHOD(data)
    if method is None:
        return False
    end = method.end()
    if end == len(data):
        return None  # the method may go on
    if data[end : end + 1] != b" ":
        return False
    target = data[end + 1 : end + 2]
    if target in (b"/", b"*"):
        return True
    line, ended, _ = data.partition(b"\n")
    if ended:
        return _ENDS_AS_REQUEST(line) is not None
    return None if len(data) < LONGEST_LINE else False
