"""Blocks of fields as they come: HEADERS, and the CONTINUATION frames that may follow (RFC 9113 4.3, 6.2, 6.10).

Between the first and the last frame of a block nothing else may come on the connection; whoever reads frames asks `expects`.
"""

from __future__ import annotations

from gateway.http import frames
from gateway.http.frames import CONTINUATION, END_HEADERS, END_STREAM, PADDED, PRIORITIZED, ConnectionFault, StreamFault
from gateway.proxy.http2.floods import BLOCK_LIMIT, MOST_CONTINUATIONS


class FieldBlocks:
    """Of one connection. `stream` and `ended` are of the block that came last: its stream, and whether it ends that.

    `fault` is what is wrong with its frames and ends the stream alone: the block is read all the same, since the tables of both ends
    follow it.
    """

    __slots__ = ("_continuations", "_pieces", "_size", "ended", "fault", "open", "stream")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._continuations = self._size = 0
        self.open = False
        """Whether a block has begun whose end has not come."""
        self.stream, self.ended = 0, False
        self.fault: StreamFault | None = None

    def expects(self, kind: int, number: int) -> bool:
        """Whether a frame of this kind and stream may come while a block is open."""
        return kind == CONTINUATION and number == self.stream

    def begin(self, flags: int, number: int, payload: bytes) -> bytes | None:
        """HEADERS: the block, if it is whole. Raises ConnectionFault."""
        if not number:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & PADDED:
            payload = frames.unpadded(payload)
        if flags & PRIORITIZED:
            payload, self.fault = frames.unprioritized(payload, number)
        self.stream, self.ended = number, bool(flags & END_STREAM)
        if flags & END_HEADERS:
            return payload
        self.open, self._pieces = True, [payload]
        self._continuations, self._size = 0, len(payload)
        return None

    def go_on(self, flags: int, payload: bytes) -> bytes | None:
        """CONTINUATION: the block, if it is whole now. Raises ConnectionFault."""
        pieces = self._pieces
        if not self.open:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        pieces.append(payload)
        self._continuations += 1
        self._size += len(payload)
        if self._continuations > MOST_CONTINUATIONS or self._size > BLOCK_LIMIT:
            raise ConnectionFault(frames.ENHANCE_YOUR_CALM, "block of fields too long")
        if not flags & END_HEADERS:
            return None
        self.open, self._pieces = False, []
        return b"".join(pieces)

    def take_fault(self) -> StreamFault | None:
        """Once."""
        fault, self.fault = self.fault, None
        return fault
