"""The client's side of an exchange in HTTP/1.1: reads requests strictly, in order, writes responses anew (RFC 9112).

One exchange runs at a time; pipelined requests wait in the buffer and are read when the exchange before them has ended.
Whatever is refused ends the connection: after ambiguity nobody knows where the next request begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from gateway.http.chunked import ChunkedReader, MalformedChunk
from gateway.http.frames import PREFACE
from gateway.http.head import LocalReply, RequestHead, ResponseHead
from gateway.http.refused import Refused
from gateway.http.request import LONG_HEAD, is_broken_preface, parse_request, refuse_early
from gateway.net.deadlines import NEVER
from gateway.net.peer import NOBODY
from gateway.net.reset import reset
from gateway.net.tcp_information import acknowledged
from gateway.proxy.admission import admit
from gateway.proxy.client import arrive, depart, hand_over
from gateway.proxy.exchange import Exchange
from gateway.proxy.http2.client_connection import Http2ClientConnection
from gateway.proxy.pace import Pace, Waits
from gateway.proxy.response_writer import ResponseWriter
from gateway.proxy.watch import look, watch

if TYPE_CHECKING:
    from gateway.net.accept import Seat
    from gateway.proxy.core import Core
    from gateway.proxy.port import LiveListener, Port

HELD_LIMIT: Final = 64 * 1024
"""Pipelined bytes held while an exchange runs; beyond it the connection is not read."""
DISCARD_LIMIT: Final = 256 * 1024
"""Bytes of a request body that are read and thrown away after its response has ended, to keep the connection; beyond it it is closed."""
_OTHER_WEBSOCKET: Final = [(b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
"""With a 426: what we do speak (RFC 6455 4.4, RFC 9110 15.5.22)."""
LINGER: Final = 2.0
"""Seconds that a closing connection goes on reading, so that the client sees the last response and not a reset (RFC 9112 9.6)."""


class ClientConnection(ResponseWriter):
    """A ClientStream for one exchange after another, and the protocol of its connection.

    Its deadline belongs to the head (from the start, or the first byte of one), while an exchange runs to nobody or to the Pace that
    watches the client, then to the Pace as long as the client has not taken the response, else to idleness; at last to lingering.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_discarded",
        "_half_closed",
        "_head_due",
        "_left",
        "_lingering",
        "_reading_paused",
        "_resting",
        "_running",
        "_server_name",
        "_skipped",
        "_undecided",
        "address",
        "core",
        "deadline",
        "exchange",
        "forwarded",
        "fragment",
        "listener",
        "origin",
        "pace",
        "port",
        "requests",
        "seat",
        "slot",
        "writable",
    )

    def __init__(self, core: Core, port: Port, listener: LiveListener | None = None, server_name: bytes = b"") -> None:
        super().__init__()
        self.core, self.port, self._server_name = core, port, server_name
        # per connection
        self.listener = listener
        """The listener chosen by the server name; None on a plain port, where each request chooses."""
        self.seat: Seat | None = None
        """Counts the connection where more than its number is counted."""
        self.address = self.fragment = self.forwarded = b""
        self.origin = NOBODY
        self.requests = 0
        """Those begun while a Restraint counted them."""
        self.deadline, self.slot = NEVER, 0
        self.pace: Pace | None = None
        self.writable = True
        self._buffer = b""
        self._head_due = 0.0
        """When the head that has begun must be complete; 0.0 before its first byte."""
        self._half_closed = False
        """Whether the client has ended its side and waits for what it asked for before."""
        self._undecided = listener is None
        """Whether HTTP/2 may begin here: before the first request, where no handshake has settled it."""
        self._skipped = False
        """Whether the empty line that may stand before a request was there."""
        self._resting = True
        """Whether the next bytes begin a request."""
        self._running = self._lingering = self._reading_paused = False
        # per exchange
        self.exchange: Exchange | None = None
        self._left = 0
        self._chunks: ChunkedReader | None = None
        self._discarded = 0

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses of it
        self._write = self.transport.write
        arrive(self, transport, self._server_name)

    def connection_lost(self, exc: Exception | None) -> None:
        depart(self)
        exchange = self.exchange
        if exchange is not None:
            exchange.client_gone()

    def pause_writing(self) -> None:
        self.writable = self._resting = False
        if self.exchange is not None:
            self.exchange.hold_response()
            watch(self)

    def resume_writing(self) -> None:
        self.writable = True
        if self.exchange is not None:
            self.exchange.release_response()
        elif self._buffer:
            self._next()
        elif not (self._lingering or self._left or self._chunks is not None):
            self._rest(monotonic())

    def eof_received(self) -> bool:
        """A client may end its side and still wait for the answer; without one there is nothing left to do."""
        exchange = self.exchange
        if exchange is None:
            if not self._lingering and (self.listener is not None or self.transport.get_write_buffer_size()):
                self._leave()  # it may have sent all and taken nothing
            return False
        if self._tunnel:
            self._half_closed = True
            exchange.request_end([])
            return self.transport.can_write_eof()
        if self._left or self._chunks is not None:
            return False
        self._half_closed = True
        watch(self)
        return True

    def data_received(self, data: bytes) -> None:
        if self._resting:
            # the usual case, without the machinery for the others: one whole head, nothing before it and nothing after it
            size = len(data)
            end = data.find(b"\r\n\r\n", 0 if size < LONG_HEAD else data.find(b"\n") - 1)
            if 0 < end == size - 4 and data[0] > 32:
                try:
                    head = parse_request(data, end)
                except Refused as refused:
                    self._turn_away(refused, data)
                    return
                self._begin(head)
                if head.length != 0 and self.exchange is not None:
                    watch(self)
                    self.exchange.flush_request()
                return
        if self._lingering:
            return
        if self._tunnel:
            exchange = self.exchange
            if exchange is not None:
                exchange.request_data(self._buffer + data)
                self._buffer = b""
                exchange.flush_request()
            return
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self._process(data)

    def _process(self, data: bytes) -> None:
        """Reads bodies and heads in turn until nothing more can be read now."""
        self._running = True
        while data:
            if self._left:
                data = self._read_length(data)
            elif self._chunks is not None:
                data = self._read_chunks(self._chunks, data)
            elif self._tunnel and self.exchange is not None:
                self.exchange.request_data(data)
                data = b""
            elif self._lingering or self.transport.is_closing():
                break
            elif self.exchange is not None or not self.writable:
                self._hold(data)
                break
            else:
                data = self._read_head(data)
        self._running = False
        if self._half_closed and not self._tunnel and (self._left or self._chunks is not None):
            self.transport.close()  # the rest of this body will never come
            return
        exchange = self.exchange
        if exchange is not None:
            if self.deadline == NEVER and (self._left or self._chunks is not None):
                watch(self)
            exchange.flush_request()

    def _hold(self, data: bytes) -> None:
        self._buffer = data
        if len(data) > HELD_LIMIT:
            self.pause()

    def _next(self) -> None:
        """Goes on with what was held."""
        if not self._running:
            data, self._buffer = self._buffer, b""
            self._process(data)

    # reading

    def _read_head(self, data: bytes) -> bytes:
        """Begins an exchange when the head is complete; returns what follows it."""
        if data.startswith(b"\r\n") and not self._skipped:
            self._skipped = True
            self._undecided = False
            data = data[2:]  # one empty line before a request is skipped (RFC 9112 2.2)
            if not data:
                if self.deadline == NEVER or self._half_closed:
                    self._rest(monotonic())  # it stood behind a request and begins none
                return b""
        end = data.find(b"\r\n\r\n")
        try:
            if end < 0:
                if data != b"\r":
                    refuse_early(data)
                self._await_head(data)
                self._resting = False
                if self._half_closed:
                    self.transport.close()  # the rest of it will never come
                return b""
            head = parse_request(data, end)
        except Refused as refused:
            self._turn_away(refused, data)
            return b""
        self._begin(head)
        return data[end + 4 :] if len(data) > end + 4 else b""

    def _end_broken_preface(self) -> None:
        """It is a connection error, and GOAWAY is left out for who does not speak HTTP/2 (RFC 9113 3.4)."""
        exchange = Exchange(self, _unreadable_head())
        exchange.flag, exchange.reason = "DPE", "broken preface of HTTP/2"
        self.core.count_refusal(exchange.reason)
        exchange.finish()
        self._linger()

    def _await_head(self, data: bytes) -> None:
        """The rest of it has as long as the whole of it."""
        if not self._head_due:
            self._head_due = monotonic() + self.port.header_timeout
            self.core.deadlines.set(self, self._head_due)
        self._buffer = data

    def _begin(self, head: RequestHead) -> None:
        self.deadline = NEVER
        self._head_due = 0.0
        self._resting = self._skipped = self._undecided = False
        self._bodiless = head.method == b"HEAD"
        self._old = head.version == b"1.0"
        self._chunked = self._until_close = False
        restraint = self.port.restraint
        self._close_after = not head.keep_alive or (restraint is not None and restraint.closes(self))
        if head.length is None:
            self._chunks = ChunkedReader()
        else:
            self._left = head.length
        exchange = self.exchange = Exchange(self, head)
        if restraint is None or not restraint.sheds(exchange, self):
            admit(exchange, self)

    def _turn_away(self, refused: Refused, data: bytes) -> None:
        """What is not a request of HTTP/1.1, unless it is the preface of HTTP/2 (RFC 9113 3.3)."""
        if self._undecided and refused.status == 400 and is_broken_preface(data):
            self._end_broken_preface()
            return
        if refused.status != 505 or not self._undecided or not PREFACE.startswith(data[: len(PREFACE)]):
            self._refuse(refused)
            return
        self._resting = False
        if len(data) < len(PREFACE):
            self._await_head(data)
            return
        self._undecided = False
        self._lingering = True
        successor = Http2ClientConnection(self.core, self.port)
        hand_over(self, successor)
        successor.take_over(self.transport)
        successor.data_received(data)

    def _refuse(self, refused: Refused) -> None:
        """Answers, counts and logs what is not a request; nothing of it went anywhere."""
        head = _unreadable_head()
        self._bodiless = self._old = self._chunked = self._until_close = False
        self._close_after = True
        self._resting = False
        exchange = self.exchange = Exchange(self, head)
        fields = _OTHER_WEBSOCKET if refused.status == 426 else None
        exchange.reply(LocalReply(refused.status, refused.reason, fields, flag="DPE"))

    def _read_length(self, data: bytes) -> bytes:
        exchange = self.exchange
        rest = b""
        if len(data) > self._left:
            data, rest = data[: self._left], data[self._left :]
        self._left -= len(data)
        if exchange is None:
            self._discard(len(data))
        else:
            exchange.request_data(data)
            if not self._left:
                exchange.request_end([])
        return rest

    def _read_chunks(self, chunks: ChunkedReader, data: bytes) -> bytes:
        exchange = self.exchange
        try:
            pieces = chunks.feed(data)
        except MalformedChunk as malformed:
            self._chunks = None
            self._close_after = True
            if exchange is None:
                self._linger()
            else:
                exchange.request_broken(str(malformed))
            return b""
        if exchange is None:
            self._discard(len(data))
        else:
            for piece in pieces:
                exchange.request_data(piece)
        if chunks.ended:
            self._chunks = None
            if exchange is not None:
                exchange.request_end(chunks.trailers)
        return chunks.surplus

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > DISCARD_LIMIT or self._close_after:
            self._left, self._chunks = 0, None
            self._linger()
        elif not self._left and self._chunks is None:
            self._rest(monotonic())

    # what the exchange calls

    def send_continue(self) -> None:
        if self._left or self._chunks is not None:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def send_whole(self, head: ResponseHead, body: bytes) -> None:
        length = head.length
        if length is None or self._bodiless or self._old or self._close_after or head.status in (204, 304):
            self.send_head(head)
            if body:
                self.send_data(body)
            self.send_end()
            return
        lines = head.lines if head.edited is None else head.written()
        self._write(b"".join((head.line, *lines, b"content-length: %d\r\n\r\n" % length, body)))
        self._end_exchange()

    def send_end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._finish_response(trailers)
        self._end_exchange()

    def _end_exchange(self) -> None:
        exchange, self.exchange = self.exchange, None
        self._discarded = 0
        if self._reading_paused:
            self.resume()
        if self._left or self._chunks is not None:
            # the answer came before the whole request: what is still under way is thrown away, or the connection is given up
            if self._close_after or self._left > DISCARD_LIMIT:
                self._left, self._chunks = 0, None
                self._linger()
            else:
                self.core.deadlines.set(self, monotonic() + LINGER)
        elif self._close_after:
            self._tunnel = False
            self._linger()
        else:
            self._rest(exchange.ended if exchange is not None else monotonic())

    def open_tunnel(self) -> None:
        watch(self)
        if self._buffer:
            self.core.loop.call_soon(self._next)  # what the client sent too early, held until the backend agreed

    def abort(self) -> None:
        self.exchange = None
        self._lingering = True
        self.core.deadlines.set(self, monotonic() + LINGER)
        self._cut()

    def pause(self) -> None:
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def drop(self) -> None:
        """The client does not take the response: what waits for it is thrown away."""
        reset(self.transport)

    def came(self, received: int) -> int:
        """Bytes of the body that have come, `received` of them passed on."""
        return received

    def taken(self, sent: int) -> int:
        """A number that grows as the client takes what is sent, `sent` bytes so far."""
        return acknowledged(self.transport, sent)

    # between exchanges

    def _rest(self, now: float) -> None:
        """Waits for the next request, or takes the one that is here already."""
        if self._buffer:
            self._next()
        elif self._half_closed:
            self._linger()
        elif self.writable:
            self._resting = True
            self.core.deadlines.set(self, now + self.port.idle_timeout)

    def _linger(self) -> None:
        """Ends our side and reads on for a moment: closing with unread bytes would reset the connection under the last response."""
        self._buffer = b""
        self._lingering = True
        self._resting = False
        transport = self.transport
        if transport.is_closing():
            return
        self.resume()
        if transport.can_write_eof() and not self._half_closed:
            transport.write_eof()
        elif self._half_closed or not transport.get_write_buffer_size():
            transport.close()  # TLS waits with it until all is taken: once it closes it has only seconds
        self.core.deadlines.set(self, monotonic() + LINGER)

    def _leave(self) -> None:
        """Closes; what was sent before may still be taken."""
        self._lingering, self._resting = True, False
        self.transport.close()
        self.core.deadlines.set(self, monotonic() + LINGER)

    def drain(self) -> None:
        """Closes now when idle, otherwise after the exchange that runs."""
        self._close_after = True
        if self.exchange is None and not self._lingering:
            self._leave()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing has begun."""
        return self._resting

    def waits(self) -> Waits:
        """What the client is waited for with."""
        exchange = self.exchange
        if exchange is None:
            return Waits(not self.writable or (self._lingering and self.transport.get_write_buffer_size() > 0), self._lingering)
        body = self._left > 0 or self._chunks is not None
        held = self._reading_paused or not exchange.continued
        return Waits(not self.writable, False, body, held, self._tunnel, self._half_closed)

    def expire(self, now: float) -> None:
        """Whose deadline it is says the class."""
        if self.exchange is not None or self._lingering:
            look(self, now)
        elif self._left or self._chunks is not None:  # of a body that nobody wants
            self._left, self._chunks = 0, None
            self._linger()
        elif not self.writable:
            look(self, now)
        elif self._buffer:
            self._buffer = b""
            self._refuse(Refused(408, "request head did not arrive in time"))
        else:
            self._leave()


def _unreadable_head() -> RequestHead:
    """Stands in the log for what was no request."""
    head = RequestHead(b"-", b"-", None, b"", b"")
    head.keep_alive = False
    return head
