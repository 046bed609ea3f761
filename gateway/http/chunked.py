"""Chunked transfer coding (RFC 9112 7.1): an incremental reader, strict in every byte, and what a writer needs."""

from __future__ import annotations

import re
from typing import Final

from gateway.http.fields import TOKEN, find_fields, only_in_head
from gateway.http.head import Fields

LAST_CHUNK: Final = b"0\r\n\r\n"
EXTENSION_LIMIT: Final = 4 * 1024
"""Bytes of chunk extensions in a whole message, and of digits beyond eight in its sizes: what comes beside the data costs time."""
TRAILER_LIMIT: Final = 8 * 1024
TRAILER_COUNT: Final = 100

_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_size_line = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + _QUOTED + rb"))?)*)\r\n"
).fullmatch
_plain_size_line = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n").match
"""What nearly every size is: no extensions, below 4 GiB."""
_crumbs = re.compile(
    rb"(?:" + b"|".join([rb"[%x%X]\r\n.{%d}\r\n" % (size, size, size) for size in range(1, 16)]) + rb")++", re.DOTALL
).match
"""A run of chunks whose sizes have one digit. Each digit has an alternative of its own length, so there is one way to read it."""
_crumb_data = re.compile(
    rb"[1-9A-Fa-f]\r\n(" + b"|".join([rb"(?<=[%x%X]\r\n).{%d}" % (size, size, size) for size in range(1, 16)]) + rb")\r\n", re.DOTALL
).findall
"""What the chunks of such a run hold, one after another."""
_size_start = re.compile(rb"[0-9A-Fa-f]{1,16}([ \t]*+(?:;[^\x00-\x08\x0a-\x1f\x7f]*+)?)\r?").fullmatch


class MalformedChunk(Exception):
    """The argument says what is wrong."""


_MANY: Final = 32
"""Pieces of one read that are cheaper passed on as one: whoever sends a body in crumbs must not have each of them handled. From then on
crumbs are read together, too."""
_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)
"""What comes next."""


class ChunkedReader:
    """Takes bytes as they come, gives body bytes; after the end `surplus` holds what followed and `trailers` the permitted ones.

    `feed` returns the list of pieces of body found; raises MalformedChunk. `ended` tells whether the whole body was read.
    """

    __slots__ = ("_extensions", "_held", "_left", "_stage", "ended", "surplus", "trailers")

    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        self._extensions = 0
        self._stage = _SIZE
        self.ended = False
        self.surplus = b""
        self.trailers: Fields = []

    def feed(self, data: bytes) -> list[bytes]:
        pieces = self._read(data)
        return pieces if len(pieces) < _MANY else [b"".join(pieces)]

    def _read(self, data: bytes) -> list[bytes]:
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        at = 0
        while not self.ended:
            if self._stage == _SIZE and (plain := _plain_size_line(data, at)) is not None:
                begin = plain.end()
                beyond = begin + int(plain[1], 16)
                if beyond > begin and data[beyond : beyond + 2] == b"\r\n":  # all of the chunk is here: no stage to remember
                    pieces.append(data[begin:beyond])
                    at = beyond + 2
                    if len(pieces) >= _MANY and (crumbs := _crumbs(data, at)) is not None:
                        pieces += _crumb_data(data, at, crumbs.end())
                        at = crumbs.end()
                    continue
            if self._stage == _DATA:
                piece = data[at : at + self._left]
                if not piece:
                    return pieces
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._stage = _DATA_END
            elif self._stage == _DATA_END:
                end = data[at : at + 2]
                if end != b"\r\n":
                    if end not in (b"", b"\r"):
                        raise MalformedChunk("chunk is not ended by CRLF")
                    self._held = end
                    return pieces
                at += 2
                self._stage = _SIZE
            else:
                taken = self._read_size(data, at) if self._stage == _SIZE else self._read_trailers(data, at)
                if taken is None:
                    self._held = data[at:]
                    return pieces
                at = taken
        self.surplus = data[at:]
        return pieces

    def _read_size(self, data: bytes, at: int) -> int | None:
        end = data.find(b"\n", at)
        if end < 0:
            rest = data[at:]
            if rest:
                begun = _size_start(rest)
                if begun is None:
                    raise MalformedChunk("malformed chunk size")
                if self._extensions + len(begun[1]) > EXTENSION_LIMIT:
                    raise MalformedChunk("chunk extensions too long")
            return None
        line = _size_line(data, at, end + 1)
        if line is None:
            raise MalformedChunk("malformed chunk size")
        self._extensions += len(line[2]) + max(len(line[1]) - 8, 0)
        if self._extensions > EXTENSION_LIMIT:
            raise MalformedChunk("chunk extensions too long")
        self._left = int(line[1], 16)
        if self._left >= 1 << 63:
            raise MalformedChunk("chunk too large")
        self._stage = _DATA if self._left else _TRAILERS
        return end + 1

    def _read_trailers(self, data: bytes, at: int) -> int | None:
        if data.startswith(b"\r\n", at):
            self.ended = True
            return at + 2
        end = data.find(b"\r\n\r\n", at)
        section = data[at : end + 2 if end >= 0 else len(data)]
        if len(section.removesuffix(b"\r")) > TRAILER_LIMIT:
            raise MalformedChunk("trailers too large")
        line_ends = section.count(b"\r\n")
        bare = section.count(b"\n") != line_ends or section.removesuffix(b"\r").count(b"\r") != line_ends
        if bare or section.startswith((b" ", b"\t")):
            raise MalformedChunk("malformed trailer")
        if end < 0:
            return None
        pairs = find_fields(b"\n" + section, 0)
        if len(pairs) != section.count(b"\n") or len(pairs) > TRAILER_COUNT:
            raise MalformedChunk("malformed trailer")
        self.trailers = [(name, value.rstrip(b" \t")) for name, value in pairs if not only_in_head(name)]
        self.ended = True
        return end + 4


def last_chunk(trailers: Fields) -> bytes:
    """The end of a chunked body (RFC 9112 7.1.2)."""
    if not trailers:
        return LAST_CHUNK
    return b"0\r\n" + b"".join([b"%b: %b\r\n" % pair for pair in trailers]) + b"\r\n"
