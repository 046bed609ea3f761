"""A client's connection in HTTP/2: begins a stream for each request, tells the client when it is to go (RFC 9113 3.4, 5.1, 6.8).

Its deadline belongs to the preface and to a block of fields that has begun, else to nobody while there are streams, else to
idleness; at last to lingering. A draining connection says so twice: first that it will leave, a moment later which stream was the
last, so that no request in between is lost.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from gateway.http import frames
from gateway.http.frames import HEADERS, PREFACE, ConnectionFault, StreamFault
from gateway.http.http2_request import read_request, read_trailers
from gateway.http.refused import Refused
from gateway.http.request import HEAD_LIMIT
from gateway.net.deadlines import NEVER
from gateway.net.peer import NOBODY
from gateway.net.tcp_information import acknowledged
from gateway.proxy.client import arrive, depart
from gateway.proxy.http2.client_stream import Http2ClientStream
from gateway.proxy.http2.connection import LARGEST_WINDOW, LINGER, OF_A_CONNECTION, Http2Connection, opening_settings
from gateway.proxy.http2.floods import FREE_HEADS, MOST_LINGERING, MOST_OF_A_FLOOD, MOST_OF_HEADS, MOST_UNTAKEN, OVERSIZED
from gateway.proxy.pace import STALLED

if TYPE_CHECKING:
    from gateway.http.head import RequestHead
    from gateway.http.http2_request import Block
    from gateway.net.accept import Seat
    from gateway.proxy.core import Core
    from gateway.proxy.http2.stream import Http2Stream
    from gateway.proxy.port import LiveListener, Port

ENDED_AT_ONCE: Final = 4
"""Requests under way that end in one turn of the loop when their connection has ended: each may close a connection to a backend."""
LEAVING: Final = 1.0
"""Seconds between the two GOAWAY of a draining connection: more than the way there and back of nearly every client."""


class Http2ClientConnection(Http2Connection):
    """The protocol of the connection; its streams are the ClientStreams."""

    __slots__ = (
        "_block_after", "_greeted", "_leaving", "_lingering", "_patience", "_server_name", "_taken", "_told", "address", "core", "deadline",
        "forwarded", "fragment", "head_bytes", "listener", "most_streams", "origin", "port", "requests", "seat", "slot",
    )  # fmt: skip

    def __init__(self, core: Core, port: Port, listener: LiveListener | None = None, server_name: bytes = b"") -> None:
        super().__init__(core.loop)
        self.core, self.port, self.listener, self._server_name = core, port, listener, server_name
        self.seat: Seat | None = None
        self.head_bytes = 0
        """Of all streams that count theirs."""
        self.requests = 0
        """Those begun while a Restraint counted them."""
        self.deadline, self.slot = NEVER, 0
        self.address = self.fragment = self.forwarded = b""
        self.origin = NOBODY
        self.most_streams = port.limits.streams
        self._greeted = False
        """Whether the preface has come."""
        self._leaving = False
        """Whether the client was told to go."""
        self._told = LARGEST_WINDOW
        """The newest stream that is served."""
        self._lingering = False
        self._patience = MOST_LINGERING
        """Bytes that may still come behind the end."""
        self._block_after: int | None = None
        """The newest stream when the block of fields began whose end has not come; None while there is none."""
        self._taken = 0
        """What the client had taken when the wait for it began."""

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        arrive(self, transport, self._server_name)
        self._greet()

    def take_over(self, transport: asyncio.BaseTransport) -> None:
        """A connection that turned out to speak HTTP/2: whoever had it before has brought it here."""
        super().connection_made(transport)
        transport.set_protocol(cast(asyncio.Protocol, self))
        self.port.connections.add(self)
        self._greet()

    def _greet(self) -> None:
        self.core.deadlines.set(self, monotonic() + self.port.header_timeout)
        most = (frames.MAX_CONCURRENT_STREAMS, self.most_streams)
        self.out.append(opening_settings((most, (frames.MAX_HEADER_LIST_SIZE, HEAD_LIMIT), (frames.ENABLE_CONNECT_PROTOCOL, 1))))
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self.ended:
            self._throw_away(len(data))
            return
        if not self._greeted:
            data = self._read_preface(data)
            if not self._greeted:
                return
        super().data_received(data)
        if self.ended:
            return
        if self.mid_block:
            if self._block_after != self.last:
                self._block_after = self.last
                self.core.deadlines.set(self, monotonic() + self.port.header_timeout)
        elif self._block_after is not None:
            self._block_after = None
            if self.streams:
                self.deadline = NEVER
            else:
                self.all_ended()

    def _read_preface(self, data: bytes) -> bytes:
        """What follows the preface."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        if not PREFACE.startswith(data[: len(PREFACE)]):
            self.fail(ConnectionFault(frames.PROTOCOL_ERROR, "no preface of HTTP/2"))
        elif len(data) < len(PREFACE):
            self._buffer = data
        else:
            self._greeted = True
        return data[len(PREFACE) :]

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self.streams:
            self.all_ended()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.reading_paused:
            self.reading_paused = False
            self.read_again()
        if not self.streams:
            self.all_ended()

    def eof_received(self) -> bool:
        """A client that ends its side in HTTP/2 is gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        depart(self)
        self.end_streams(frames.CANCEL, "client closed the connection")

    # requests

    def is_idle(self, number: int) -> bool:
        return (number > self.last and number not in self.reset_streams) or not number % 2

    def fields(self, number: int, entries: Block, ended: bool) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            self._trailers(stream, entries, ended)
        elif self.reset_streams.fields(number):
            pass
        elif number <= self.last:
            raise ConnectionFault(frames.STREAM_CLOSED, "HEADERS on a closed stream")
        elif not number % 2:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "a client's stream has an odd number")
        elif number <= self._told:
            self._request(number, entries, ended)
        else:
            self.budgets.spend(HEADERS, "requests behind GOAWAY")
            self.reset_streams.add(number)  # the client asks elsewhere when it sees the GOAWAY (RFC 9113 6.8)

    def _trailers(self, stream: Http2Stream, entries: Block, ended: bool) -> None:
        if stream.received_all:
            raise StreamFault(frames.STREAM_CLOSED, "HEADERS after the end of the request")
        if not ended or stream.is_tunnel:
            raise StreamFault(frames.PROTOCOL_ERROR, "HEADERS inside a body")
        trailers = read_trailers(entries)
        stream.received_all = True
        stream.data_end(trailers)
        if stream.sent_all:
            self.forget(stream)

    def _request(self, number: int, entries: Block, ended: bool) -> None:
        self.last = number
        if len(self.streams) >= self.most_streams:
            raise StreamFault(frames.REFUSED_STREAM, "too many streams")
        if entries is None:
            self.budgets.spend(OVERSIZED, "heads too large")
        refused: Refused | None = None
        head: RequestHead | None = None
        try:
            head = read_request(entries, ended)
        except Refused as refusal:
            refused = refusal
        except StreamFault as fault:
            Http2ClientStream(self, number).note(fault.reason)
            raise
        stream = Http2ClientStream(self, number)
        if head is not None and len(self.streams) >= FREE_HEADS:
            self._count_head(stream, head)
        if not self.streams:
            self.deadline = NEVER
        if self.blocked:
            self._wait_for_reader()
        self.budgets.work += 1
        stream.received_all = ended
        self.streams[number] = stream
        restraint = self.port.restraint
        if restraint is not None and restraint.closes(self):
            self.drain()
        if head is None:
            assert refused is not None
            stream.refuse(refused)
        else:
            stream.begin(head)
            if stream.connecting or stream.send_window <= 0:  # an answer that may not be sent yet is work once more when it may
                self.effort += OF_A_CONNECTION

    def _count_head(self, stream: Http2ClientStream, head: RequestHead) -> None:
        """Raises StreamFault when those that are under way are large already; the client may ask again when some have ended."""
        size = sum(map(len, head.lines))
        if self.head_bytes + size > MOST_OF_HEADS:
            raise StreamFault(frames.REFUSED_STREAM, "heads too large together")
        stream.head_size = size
        self.head_bytes += size

    def _wait_for_reader(self) -> None:
        """Another request of a client that does not read the answers it has: what it asks is bounded as pipelined requests are."""
        self.untaken += 1
        if self.untaken > MOST_UNTAKEN and not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()

    def setting(self, setting: int, value: int) -> None:
        """None of the others concerns a server: we push nothing."""

    def settled(self) -> None:
        """Nobody waits for a client's settings."""

    def leaving(self, last: int, code: int) -> None:
        """A client that leaves asks no more; what it has asked is answered."""
        if not self.streams:
            self._end(frames.NO_ERROR)

    # the end

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing has begun."""
        return not self.streams and not self.ended and self._greeted

    def all_ended(self) -> None:
        if self.ended:
            return
        if self.peer_leaves or self._told != LARGEST_WINDOW:
            self._end(frames.NO_ERROR)
        elif self.blocked:
            self._await_reader()
        elif self._block_after is None:
            self.core.deadlines.set(self, monotonic() + (LEAVING if self._leaving else self.port.idle_timeout))

    def _await_reader(self) -> None:
        """The client has time to take something of what is left for it."""
        self._taken = acknowledged(self.transport, 0)
        self.core.deadlines.set(self, monotonic() + min(STALLED, self.port.pace.send_timeout))

    def drain(self) -> None:
        """No more requests: an idle client is told so at once, the others when they have been answered."""
        if self._leaving or self.ended:
            return
        self._leaving = True
        self.out.append(frames.goaway(LARGEST_WINDOW, frames.NO_ERROR))
        self.flush_soon()
        self.core.loop.call_later(LEAVING, self._tell_last)

    def _tell_last(self) -> None:
        if self.ended:
            return
        if not self.streams:
            self._end(frames.NO_ERROR)
            return
        self._told = self.last
        self.out.append(frames.goaway(self.last, frames.NO_ERROR))
        self.flush()

    def faulted(self, fault: ConnectionFault) -> None:
        if fault.code == frames.ENHANCE_YOUR_CALM:
            self._patience = MOST_OF_A_FLOOD
        Http2ClientStream(self, self.last).note(fault.reason)
        self._linger()

    def fail_streams(self, streams: list[Http2Stream], code: int, reason: str) -> None:
        """A few at a time, with turns of others between."""
        super().fail_streams(streams[:ENDED_AT_ONCE], code, reason)
        if len(streams) > ENDED_AT_ONCE:
            self.loop.call_soon(self.fail_streams, streams[ENDED_AT_ONCE:], code, reason)

    def _end(self, code: int) -> None:
        """GOAWAY and goodbye."""
        self.out.append(frames.goaway(min(self.last, self._told), code))
        self.end_streams(code, "connection ended")
        self._linger()

    def _linger(self) -> None:
        """Reads on for a moment: closing with unread bytes would reset the connection under the GOAWAY."""
        self.flush()
        self._lingering = True
        transport = self.transport
        if transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()
        self.core.deadlines.set(self, monotonic() + LINGER)

    def _throw_away(self, size: int) -> None:
        """So many bytes came behind the end."""
        self._patience -= size
        if self._patience < 0:
            self.transport.abort()

    def expire(self, now: float) -> None:
        """Whose deadline it is says the class."""
        if self._lingering:
            self.transport.abort()
        elif self.blocked and not self.streams:
            if acknowledged(self.transport, 0) > self._taken:
                self._await_reader()
            else:
                self.transport.abort()
        elif not self._greeted or self.mid_block:
            self.fail(ConnectionFault(frames.NO_ERROR, "request head did not arrive in time"))
        elif not self.streams:
            self._end(frames.NO_ERROR)
