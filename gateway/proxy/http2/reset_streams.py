"""Streams that this end has reset and whose peer may not know it yet: what still comes for them means nothing (RFC 9113 5.1, 5.4.2)."""

from __future__ import annotations

from typing import Final

from gateway.http import frames
from gateway.http.frames import ConnectionFault
from gateway.proxy.http2.stream import STREAM_WINDOW

REMEMBERED: Final = 128
"""What comes for a stream that was forgotten since is a fault of that stream, as for any that is closed."""


class ResetStreams:
    """The last ones, each with the bytes of DATA that may still come for it: less than none once its end has come, or too much."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._left

    def add(self, number: int, window: int = STREAM_WINDOW) -> None:
        """Of what comes for it from now on nothing counts, and it can be no more than its end and the DATA that it had room for."""
        left = self._left
        left[number] = window
        if len(left) > REMEMBERED:
            del left[next(iter(left))]

    def data(self, number: int, size: int) -> bool:
        """Whether these bytes of DATA are for one of them. Raises ConnectionFault for more than it had room for."""
        left = self._left.get(number)
        if left is None:
            return False
        if left < size:
            raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "more data than a stream that was reset had room for")
        self._left[number] = left - size
        return True

    def fields(self, number: int) -> bool:
        """Whether fields are for one of them: its trailers, after which nothing comes. Raises ConnectionFault for those behind its end."""
        left = self._left.get(number)
        if left is None:
            return False
        if left < 0:
            raise ConnectionFault(frames.STREAM_CLOSED, "HEADERS behind the end of a stream that was reset")
        self._left[number] = -1
        return True
