"""How many messages pass one way in a gRPC call, by the length that each begins with (gRPC over HTTP/2, Length-Prefixed-Message)."""

from __future__ import annotations

from typing import Final

from gateway.http.grpc_web import TextDecoder

_PREFIX: Final = 5
_COMPRESSED: Final = 1
"""The largest flag that a message can have; the trailers of gRPC-Web have another, and what is no call at all nearly always."""


class MessageCount:
    """`count` are those that have begun; what comes need not be cut where they are."""

    __slots__ = ("_left", "_prefix", "count")

    def __init__(self) -> None:
        self.count = 0
        self._left = 0
        """Bytes of the message that passes."""
        self._prefix = b""
        """Of the next one, as far as it has come."""

    def _is_one(self, data: bytes, size: int) -> bool:
        """Whether a piece is a whole message and nothing else, as nearly every one is."""
        return size >= _PREFIX and data[0] <= _COMPRESSED and int.from_bytes(data[1:_PREFIX], "big") == size - _PREFIX

    def add(self, data: bytes) -> None:
        """The next piece."""
        at, end = 0, len(data)
        if not self._left and not self._prefix and self._is_one(data, end):
            self.count += 1
            return
        while True:
            if self._left:
                passed = min(self._left, end - at)
                self._left -= passed
                at += passed
            if at >= end:
                return
            wanted = _PREFIX - len(self._prefix)
            prefix = self._prefix + data[at : at + wanted]
            at += wanted
            if len(prefix) < _PREFIX:
                self._prefix = prefix
                return
            self._prefix = b""
            self._left = int.from_bytes(prefix[1:], "big")
            if prefix[0] <= _COMPRESSED:
                self.count += 1


class TextMessageCount(MessageCount):
    """Of a call in the text form of gRPC-Web. What is no base64 ends the count: no message can be told in it any more."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        super().__init__()
        self._decoder: TextDecoder | None = TextDecoder()

    def add(self, data: bytes) -> None:
        if self._decoder is None:
            return
        try:
            decoded = self._decoder.feed(data)
        except ValueError:
            self._decoder = None
        else:
            super().add(decoded)
