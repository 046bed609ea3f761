"""A stream of an HTTP/2 connection, whichever side began it: what its peer may be sent, what the peer may send (RFC 9113 5, 6.9).

The peer is given room for more only when the far side of the exchange has taken what came: a slow far side holds back this
stream and no other. What the peer has given no room for waits here, and whoever sends is told to wait.

A stream begins with a small window, and has a large one once its far side has kept up: what 100 streams of a connection can bring that
nobody takes is bounded, and one upload is as fast as it can be.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.http.frames import END_STREAM, data_header, window_update
from gateway.proxy.http2.floods import WHOLE_WORK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.http.head import Fields
    from gateway.proxy.http2.connection import Http2Connection

STREAM_WINDOW: Final = 64 * 1024
"""Bytes that a peer may send on one stream before the far side has taken any."""
LARGE_WINDOW: Final = 256 * 1024
"""The same once it has: enough for 20 MB/s at 12 ms."""
GROWTH: Final = LARGE_WINDOW - STREAM_WINDOW
MOST_GROWTH: Final = 10 * GROWTH
"""Of all streams of a connection together."""


class Http2Stream:
    """State of flow control. Owned by its connection from the first frame until both sides have ended."""

    __slots__ = (
        "_ending", "_queue", "_trailers", "connection", "credit", "held", "is_tunnel", "number", "passed", "paused", "receive_window",
        "received_all", "send_window", "sent_all", "window",
    )  # fmt: skip

    def __init__(self, connection: Http2Connection, number: int) -> None:
        self.connection, self.number = connection, number
        self.send_window = connection.initial_send_window
        self.window = self.receive_window = STREAM_WINDOW
        """What the peer has room for, at most and now."""
        self.credit = 0
        """Bytes that the far side has taken, and the peer has not been told of."""
        self.held = 0
        """Bytes that were passed on while the far side asked to wait."""
        self.paused = False
        """Whether the far side takes no more."""
        self.passed = 0
        """Bytes of DATA that the peer gave room for."""
        self._queue: deque[memoryview] | None = None
        """What the peer has given no room for; None while nothing waits."""
        self._ending = False
        """Whether nothing follows what waits."""
        self._trailers: Sequence[tuple[bytes, bytes]] = ()
        self.sent_all = self.received_all = False
        self.is_tunnel = False
        """Whether it carries another protocol (RFC 8441)."""

    # sending

    def put(self, data: bytes, last: bool = False) -> None:
        """A piece of body, the last one if the stream ends with it; waits for room if it must."""
        connection = self.connection
        if self._queue is not None:
            self._queue.append(memoryview(data))
            self._ending = last
            return
        size = len(data)
        if size > self.send_window or size > connection.send_window:
            self._wait(memoryview(data), min(self.send_window, connection.send_window), last)
            return
        if size <= connection.frame_limit:
            self.send_window -= size
            connection.send_window -= size
            connection.budgets.work += 1
            self.passed += size
            connection.out += (data_header(size, END_STREAM if last else 0, self.number), data)
        else:
            self._put_frames(memoryview(data), last)
        if last:
            self.sent()

    def _wait(self, data: memoryview, room: int, last: bool) -> None:
        if room > 0:
            self._put_frames(data[:room], False)
            data = data[room:]
        self._queue = deque((data,))
        self._ending = last
        self.connection.waiting[self] = None
        self.queued()

    def _put_frames(self, data: memoryview, last: bool) -> None:
        """There is room for all of it."""
        connection = self.connection
        size, limit = len(data), connection.frame_limit
        self.send_window -= size
        connection.send_window -= size
        self.passed += size
        for at in range(0, size, limit):
            piece = data[at : at + limit]
            connection.budgets.work += min(len(piece) / WHOLE_WORK, 1.0)
            flags = END_STREAM if last and at + limit >= size else 0
            connection.out += (data_header(len(piece), flags, self.number), piece)

    def put_end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Nothing follows but trailers."""
        if self._queue is not None:
            self._ending, self._trailers = True, trailers
            return
        connection = self.connection
        if trailers:
            connection.put_block(self.number, connection.encoder.trailers(trailers), ended=True)
        else:
            connection.out.append(data_header(0, END_STREAM, self.number))
        self.sent()

    def pump(self) -> bool:
        """Sends one frame of what waits; whether there is room for another."""
        queue, connection = self._queue, self.connection
        assert queue is not None
        data = queue[0]
        size = min(len(data), self.send_window, connection.send_window, connection.frame_limit)
        if size <= 0 and len(data):
            return False
        if size < len(data):
            queue[0] = data[size:]
        else:
            queue.popleft()
        last = not queue and self._ending and not self._trailers
        self._put_frames(data[:size], last)
        if queue:
            return True
        self.drop_queue()
        if last:
            self.sent()
        elif self._ending:
            self.put_end(self._trailers)
        else:
            self.emptied()
        return False

    def sent(self) -> None:
        """Our side has ended."""
        self.sent_all = True
        if self.received_all:
            self.connection.forget(self)

    def drop_queue(self) -> None:
        """The stream is reset: what waits is not sent."""
        if self._queue is not None:
            self._queue = None
            self.connection.waiting.pop(self, None)

    @property
    def full(self) -> bool:
        """Whether something waits for room."""
        return self._queue is not None

    @property
    def unsent(self) -> int:
        """Bytes that wait for room."""
        return sum(map(len, self._queue)) if self._queue is not None else 0

    # receiving

    def took(self, size: int) -> None:
        """So many bytes came and were passed on, padding included."""
        if self.paused:
            self.held += size
            return
        self.credit += size
        if self.credit >= self.window // 2:
            self.connection.received[self] = None

    def give_room(self) -> bool:
        """At the end of a read, when it is known whether the far side asks to wait: tells the peer of what is worth a frame, and whether
        it did."""
        if self.paused or self.received_all or self.credit < self.window // 2:
            return False
        connection = self.connection
        if self.window == STREAM_WINDOW and connection.grown < MOST_GROWTH:
            connection.grown += GROWTH
            self.window = LARGE_WINDOW
            self.credit += GROWTH
        connection.out.append(window_update(self.number, self.credit))
        self.receive_window += self.credit
        self.credit = 0
        return True

    def leave(self) -> None:
        """The stream is gone: others may have its large window."""
        self.connection.grown -= self.window - STREAM_WINDOW
        self.window = STREAM_WINDOW

    def pause(self) -> None:
        """The far side takes no more for now; what the peer has room for may still come."""
        self.paused = True

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.credit += self.held
            self.held = 0
            if self.give_room():
                self.connection.flush_soon()

    # whether whoever sends must wait: for room, or for the connection

    def queued(self) -> None:
        """Something waits for room from now on."""
        self.hold_sender()

    def emptied(self) -> None:
        """Nothing waits any more."""
        if not self.connection.blocked:
            self.release_sender()

    def transport_full(self) -> None:
        """The connection takes no more."""
        self.hold_sender()

    def transport_ready(self) -> None:
        """The connection takes more again."""
        if not self.full:
            self.release_sender()

    # what each side does in its own way

    def hold_sender(self) -> None:
        """Whoever sends is to wait; it may be waiting already."""
        raise NotImplementedError

    def release_sender(self) -> None:
        """Whoever sends may go on."""
        raise NotImplementedError

    def flush_received(self) -> None:
        """Nothing more of it came in this turn."""
        raise NotImplementedError

    def data(self, data: bytes) -> None:
        """A piece of the peer's body."""
        raise NotImplementedError

    def data_end(self, trailers: Fields) -> None:
        """The peer has ended its side."""
        raise NotImplementedError

    def reset_by_peer(self, code: int) -> None:
        """The peer wants no more of it, or cannot go on; the stream is gone."""
        raise NotImplementedError

    def failed(self, code: int, reason: str) -> None:
        """What the peer sent on it is malformed, or the connection is gone; the stream is gone, and the peer was told."""
        raise NotImplementedError
