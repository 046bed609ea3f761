"""A connection to an endpoint in HTTP/2: carries as many requests at once as the endpoint allows (RFC 9113 5.1.2, 6.8).

It counts as one among the connections of its backend. With room for another stream it stands in its pool's `shared`; a connection
that its endpoint leaves, or that nobody may use any more, ends with its last stream.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.http import frames
from gateway.http.frames import PREFACE, ConnectionFault
from gateway.http.hpack import HeaderDecoder
from gateway.http.response import FIELD_LIMIT, HEAD_LIMIT
from gateway.proxy.http2.backend_stream import Http2BackendStream
from gateway.proxy.http2.connection import LARGEST_WINDOW, Http2Connection, opening_settings

if TYPE_CHECKING:
    from gateway.http.http2_request import Block
    from gateway.proxy.http2.stream import Http2Stream
    from gateway.upstream.endpoint import Endpoint, Pool

MOST_STREAMS: Final = 100
"""Requests under way on one connection, where the endpoint allows as many: more share one window and one loss of a packet."""
AT_ONCE: Final = 1_500
"""Effort that is spent on what an endpoint sends before others have their turn: it answers many clients in one read."""
_SETTINGS: Final = ((frames.ENABLE_PUSH, 0), (frames.MAX_HEADER_LIST_SIZE, HEAD_LIMIT))


class Http2BackendConnection(Http2Connection):
    """The protocol of the connection; `open` gives a BackendStream."""

    __slots__ = ("_next", "_promised", "endpoint", "greeting", "idle_turns", "most_streams", "pool", "tunnels")

    def __init__(self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, pool: Pool) -> None:
        super().__init__(loop)
        self.decoder = HeaderDecoder(field_limit=FIELD_LIMIT)
        self.at_once = AT_ONCE
        self.endpoint, self.pool = endpoint, pool
        self.idle_turns = 0
        """How often the pool was aged since the last stream ended."""
        self.most_streams = MOST_STREAMS
        self.tunnels = False
        """Whether the endpoint takes WebSockets (RFC 8441 3)."""
        self.greeting: asyncio.Future[None] = loop.create_future()
        """Done when the endpoint's SETTINGS have come, or the connection has ended: before, nobody knows what it takes."""
        self._next = 1
        self._promised = 0
        """Streams that were opened and have not begun."""

    # streams

    @property
    def has_room(self) -> bool:
        """Whether it takes another stream."""
        return self.takes_streams and len(self.streams) + self._promised < self.most_streams

    @property
    def takes_streams(self) -> bool:
        """Whether a stream may begin, were there room."""
        return not self.ended and not self.peer_leaves and self._next < LARGEST_WINDOW and self.greeting.done()

    @property
    def carries_nothing(self) -> bool:
        """Whether nobody uses it, or is about to."""
        return not self.streams and not self._promised

    def open(self) -> Http2BackendStream:
        """A stream for one request, which begins with its head."""
        self._promised += 1
        self.idle_turns = 0
        self._tell_pool()
        return Http2BackendStream(self)

    def begin(self, stream: Http2BackendStream) -> None:
        """The head goes out: from now on the stream has a number."""
        self._promised -= 1
        stream.number, self._next = self._next, self._next + 2
        stream.send_window, stream.blocked = self.initial_send_window, self.blocked
        self.streams[stream.number] = stream
        self.budgets.work += 1
        self.budgets.answered += 1

    def give_back(self) -> None:
        """A stream was opened for nothing."""
        self._promised -= 1
        if not self.ended:
            self.freed()

    def _tell_pool(self) -> None:
        if self.pool.shared is not None:
            self.pool.shared.note(self, self.has_room)

    def freed(self) -> None:
        """There may be room: whoever waits for a connection of the backend takes it, else the pool has it. To a request that it is of no
        use to it makes room, once it carries nothing."""
        pool = self.pool
        unwanted = not pool.most or bool(pool.preface)
        while pool.most and pool.connections.waiting and self.has_room:
            self._promised += 1
            if not pool.connections.hand_on(Http2BackendStream(self)):
                self._promised -= 1
                unwanted = True
                break
        self._tell_pool()
        if self.carries_nothing and (unwanted or not self.takes_streams):
            self.close()

    def forget(self, stream: Http2BackendStream) -> None:  # type: ignore[override]  # it has no other streams
        super().forget(stream)
        if not self.ended:
            self.freed()

    def reset_stream(self, stream: Http2Stream, code: int) -> None:
        super().reset_stream(stream, code)
        if not self.ended:
            self.freed()

    def all_ended(self) -> None:
        """An idle connection waits in its pool."""

    # what comes

    def is_idle(self, number: int) -> bool:
        return number >= self._next or not number % 2

    def fields(self, number: int, entries: Block, ended: bool) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            assert isinstance(stream, Http2BackendStream)
            stream.fields(entries, ended)
            if stream.received_all and stream.sent_all:
                self.forget(stream)
        elif self.is_idle(number):
            raise ConnectionFault(frames.PROTOCOL_ERROR, "HEADERS on a stream that nobody has open")
        # else it came for one that we have reset

    def setting(self, setting: int, value: int) -> None:
        if setting == frames.MAX_CONCURRENT_STREAMS:
            self.most_streams = min(value, MOST_STREAMS)
        elif setting == frames.ENABLE_CONNECT_PROTOCOL:
            self.tunnels = value == 1

    def settled(self) -> None:
        """Only now somebody may use it, or more than before."""
        if not self.greeting.done():
            self.greeting.set_result(None)
        self.freed()

    def leaving(self, last: int, code: int) -> None:
        """What came after `last` was not looked at, and may be asked elsewhere (RFC 9113 8.7)."""
        self._tell_pool()
        for stream in [stream for number, stream in self.streams.items() if number > last]:
            if self.streams.pop(stream.number, None) is not None:
                stream.drop_queue()
                stream.reset_by_peer(frames.REFUSED_STREAM)
        if self.carries_nothing:
            self.close()

    # the end

    def faulted(self, fault: ConnectionFault) -> None:
        self.close()

    def close(self) -> None:
        """No stream begins any more; those there are end with it."""
        if not self.ended:
            self.out.append(frames.goaway(0, frames.NO_ERROR))
            self.end_streams(frames.CANCEL, "connection closed")
        self.flush()
        self.transport.close()

    def end_streams(self, code: int, reason: str) -> None:
        """The pool hears of it first: whoever is told to ask again asks at once."""
        self.ended = True
        self._tell_pool()
        if not self.greeting.done():
            self.greeting.set_result(None)
        super().end_streams(code, reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.out += (PREFACE, opening_settings(_SETTINGS))
        self.flush()

    def eof_received(self) -> bool | None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "backend closed the connection without an answer" if exc is None else f"backend reset the connection: {exc}"
        self.end_streams(frames.CANCEL, reason)
        self.pool.connections.release()
