"""The one form in which the gateway writes requests, read by something that knows no other: whatever deviates is a fault.

This is no HTTP parser. It accepts what `design.md` section 7 promises to emit: one SP, one Host, at most one framing field, lengths
and chunk sizes in plain digits, no extensions, no white space around values.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE: Final = rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?"
_FIELDS: Final = rb"((?:" + _TOKEN + rb": " + _VALUE + rb"\r\n)*)\r\n"
_head = re.compile(_TOKEN + rb" [!-~\x80-\xff]+ HTTP/1\.1\r\n" + _FIELDS).match
_trailers = re.compile(_FIELDS).match
_size = re.compile(rb"(0|[1-9a-f][0-9a-f]*)\r\n").match
_length = re.compile(rb"0|[1-9][0-9]*").fullmatch


class NotCanonical(AssertionError):
    """The argument says what is not, and shows the bytes."""


def check_requests(data: bytes) -> int:
    """How many whole requests the bytes hold, one after another and nothing else. Raises NotCanonical."""
    at = count = 0
    while at < len(data):
        at = _check_request(data, at)
        count += 1
    return count


def _check_request(data: bytes, at: int) -> int:
    head = _head(data, at)
    if head is None:
        raise NotCanonical(f"head: {data[at : at + 400]!r}")
    pairs = [line.split(b": ", 1) for line in head[1].split(b"\r\n")[:-1]]
    named = [name.lower() for name, _ in pairs]
    if named.count(b"host") != 1:
        raise NotCanonical(f"Host: {head[0]!r}")
    framing = [(name.lower(), value) for name, value in pairs if name.lower() in (b"content-length", b"transfer-encoding")]
    match framing:
        case []:
            return head.end()
        case [(b"content-length", value)] if _length(value) and head.end() + int(value) <= len(data):
            return head.end() + int(value)
        case [(b"transfer-encoding", b"chunked")]:
            return _check_chunks(data, head.end())
        case _:
            raise NotCanonical(f"framing: {head[0]!r} and {len(data) - head.end()} bytes")


def _check_chunks(data: bytes, at: int) -> int:
    while True:
        line = _size(data, at)
        if line is None:
            raise NotCanonical(f"chunk size: {data[at : at + 40]!r}")
        at = line.end()
        size = int(line[1], 16)
        if not size:
            break
        at += size + 2
        if data[at - 2 : at] != b"\r\n":
            raise NotCanonical(f"end of a chunk: {data[at - 10 : at + 10]!r}")
    section = _trailers(data, at)
    if section is None:
        raise NotCanonical(f"trailers: {data[at : at + 400]!r}")
    return section.end()
