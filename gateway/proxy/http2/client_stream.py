"""A request in HTTP/2 and its response: a ClientStream for one exchange.

What would complete a request by its content-length waits for the end of the stream that must follow: only then it is known to be well
formed, and a backend of HTTP/1.1 could not be told any more that it is not (RFC 9113 8.1.1).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.http import frames
from gateway.http.head import Fields, LocalReply, RequestHead, ResponseHead
from gateway.http.refused import Refused
from gateway.net.deadlines import NEVER
from gateway.net.tcp_information import acknowledged
from gateway.proxy import calls
from gateway.proxy.admission import admit
from gateway.proxy.exchange import Exchange
from gateway.proxy.http2.stream import Http2Stream
from gateway.proxy.pace import Pace, Waits
from gateway.proxy.watch import look, watch

if TYPE_CHECKING:
    import asyncio

    from gateway.proxy.http2.client_connection import Http2ClientConnection

BODILESS: Final = frozenset({204, 304})


class Http2ClientStream(Http2Stream):
    """Its deadline belongs to the Pace that watches the client, while somebody waits for it."""

    __slots__ = (
        "_acknowledged", "_bodiless", "_expected", "_final", "_received", "_unadmitted", "address", "core", "deadline", "exchange",
        "forwarded", "fragment", "head_size", "link", "listener", "origin", "pace", "port", "slot", "writable",
    )  # fmt: skip

    def __init__(self, connection: Http2ClientConnection, number: int) -> None:
        super().__init__(connection, number)
        self.link = connection
        self.core, self.port, self.listener = connection.core, connection.port, connection.listener
        self.address, self.origin = connection.address, connection.origin
        self.fragment, self.forwarded = connection.fragment, connection.forwarded
        self.exchange: Exchange | None = None
        self.writable = not connection.blocked
        self.deadline, self.slot = NEVER, 0
        self.pace: Pace | None = None
        self.head_size = 0
        """What its connection has counted for it."""
        self._bodiless = False
        self._expected: int | None = None
        self._received = 0
        self._final = b""
        """The piece that completes the body, while the end of the stream has not come."""
        self._unadmitted = False
        """Whether the same is true of a head that says that no body follows."""
        self._acknowledged = 0

    def begin(self, head: RequestHead) -> None:
        """The head has come."""
        self._bodiless = head.method == b"HEAD"
        self._expected = head.length
        if head.upgrade is not None:  # HTTP/1.1 has a key for it, HTTP/2 has none (RFC 8441 5)
            head.fields.append((b"sec-websocket-key", b64encode(self.core.random.randbytes(16))))
            head.changed()
        exchange = self.exchange = Exchange(self, head)
        if head.length == 0 and head.upgrade is None and not self.received_all:
            self._unadmitted = True
            self.connection.received[self] = None
        else:
            self._admit(exchange)

    def _admit(self, exchange: Exchange) -> None:
        restraint = self.port.restraint
        if restraint is None or not restraint.sheds(exchange, self):
            admit(exchange, self)
        if self.exchange is not None:
            if not self.received_all:
                self.connection.received[self] = None
            if not self.writable:
                watch(self)

    def refuse(self, refused: Refused) -> None:
        """Answers, counts and logs what nobody may be asked."""
        exchange = self.exchange = self._unreadable()
        exchange.reply(LocalReply(refused.status, refused.reason, flag="DPE"))

    def note(self, reason: str) -> None:
        """Counts and logs what ends the stream, or the connection, before there is a request."""
        self.core.count_refusal(reason)
        exchange = self._unreadable()
        exchange.flag, exchange.reason = "DPE", reason
        exchange.finish()

    def _unreadable(self) -> Exchange:
        head = RequestHead(b"-", b"-", None, b"", b"")
        head.version = b"2"
        return Exchange(self, head)

    @property
    def connecting(self) -> bool:
        """Whether a request that has come so far has no backend yet."""
        exchange = self.exchange
        return exchange is not None and exchange.backend is None

    @property
    def transport(self) -> asyncio.Transport:
        return self.connection.transport

    # what the connection calls

    def leave(self) -> None:
        super().leave()
        self.link.head_bytes -= self.head_size
        self.head_size = 0

    def data(self, data: bytes) -> None:
        self._received += len(data)
        exchange = self.exchange
        if exchange is None:
            return
        self.connection.received[self] = None
        if self._expected is not None and self._received >= self._expected and not self.is_tunnel:
            if self._received > self._expected:
                raise frames.StreamFault(frames.PROTOCOL_ERROR, "more data than content-length says")
            self._final = data
        else:
            exchange.request_data(data)
            if exchange.backend is None:
                self.pause()  # until there is one to take it

    def data_end(self, trailers: Fields) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        if self._expected is not None and self._received != self._expected and not self.is_tunnel:
            self.received_all = False
            raise frames.StreamFault(frames.PROTOCOL_ERROR, "less data than content-length says")
        if self._unadmitted:
            self._unadmitted = False
            self._admit(exchange)
            return
        if self._final:
            exchange.request_data(self._final)
            self._final = b""
        if self.exchange is exchange:  # else that was more than may come, and is answered
            exchange.request_end(trailers)

    def flush_received(self) -> None:
        exchange = self.exchange
        if exchange is not None:
            if not self.received_all and self.deadline == NEVER:
                watch(self)
            exchange.flush_request()

    def hold_sender(self) -> None:
        was, self.writable = self.writable, False
        exchange = self.exchange
        if was and exchange is not None:
            exchange.hold_response()
            watch(self)

    def release_sender(self) -> None:
        self.writable = True
        if self.exchange is not None:
            self.exchange.release_response()

    def reset_by_peer(self, code: int) -> None:
        self._leave("client reset the stream")

    def failed(self, code: int, reason: str) -> None:
        exchange = self.exchange
        if exchange is not None and code != frames.CANCEL:
            exchange.flag = exchange.flag or "DPE"
            self.core.count_refusal(reason)
        self._leave(reason)

    def _leave(self, reason: str) -> None:
        exchange, self.exchange = self.exchange, None
        if self.slot:
            self.core.deadlines.forget(self)
        if exchange is not None:
            exchange.reason = exchange.reason or reason
            exchange.client_gone()

    # what the exchange calls

    def send_interim(self, head: ResponseHead) -> None:
        self.connection.put_block(self.number, self.connection.encoder.interim(head), ended=False)
        self.connection.flush_soon()

    def send_continue(self) -> None:
        if not self.received_all:
            self.send_interim(ResponseHead(100, b"Continue", [], None))

    def send_whole(self, head: ResponseHead, body: bytes) -> None:
        connection = self.connection
        if not body or self._bodiless or head.status in BODILESS:
            connection.put_block(self.number, connection.encoder.response(head), ended=True)
            self.sent()
        else:
            connection.put_block(self.number, connection.encoder.response(head), ended=False)
            self.put(body, last=True)
        self._end_exchange()

    def send_head(self, head: ResponseHead) -> None:
        connection = self.connection
        if head.status == 101:
            self.is_tunnel = True
            head = ResponseHead(200, b"OK", [pair for pair in head.fields if pair[0].lower() != b"sec-websocket-accept"], None)
        elif head.status in BODILESS:
            self._bodiless = True
        connection.put_block(self.number, connection.encoder.response(head), ended=False)
        connection.flush_soon()

    def send_data(self, data: bytes) -> None:
        if not self._bodiless:
            self.put(data)

    def send_end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        if not self.sent_all:
            self.put_end(trailers)
        self._end_exchange()

    def _end_exchange(self) -> None:
        """The response is whole, though some of it may still wait for the client."""
        self.exchange = None
        self.connection.budgets.answered += 1
        if self.sent_all:
            self._finish()
        self.connection.flush_soon()

    def sent(self) -> None:
        super().sent()
        if self.exchange is None:
            self._finish()

    def _finish(self) -> None:
        """Nothing is left to send. A client that is still sending its request is told that nobody reads it (RFC 9113 8.1)."""
        if self.slot:
            self.core.deadlines.forget(self)
        if not self.received_all:
            self.connection.reset_stream(self, frames.NO_ERROR)

    def flush(self) -> None:
        self.connection.flush_soon()

    def close_after(self) -> None:
        """A stream serves one request; the connection serves others."""

    def open_tunnel(self) -> None:
        watch(self)
        if self.received_all and self.exchange is not None:
            self.exchange.request_end([])  # before the tunnel was there it was only the end of the handshake

    def send_half_close(self) -> None:
        self.put_end()
        self.connection.flush_soon()

    def abort(self) -> None:
        self.exchange = None
        if self.slot:
            self.core.deadlines.forget(self)
        self.connection.reset_stream(self, frames.INTERNAL_ERROR)

    def drop(self) -> None:
        """The client does not take the response: what waits for it is thrown away."""
        self.connection.reset_stream(self, frames.CANCEL)

    # whether the client keeps up

    def waits(self) -> Waits:
        exchange = self.exchange
        body = exchange is not None and not self.received_all
        held = self.paused or self.link.reading_paused or (exchange is not None and not exchange.continued)
        call = body and not held and exchange is not None and calls.lasts(exchange)
        return Waits(not self.writable, False, body and not call, held, self.is_tunnel or call, False)

    def came(self, received: int) -> int:
        """Bytes of the body that have come, `received` of them passed on."""
        return received + self.connection.incomplete

    def taken(self, sent: int) -> int:
        """A number that grows as the client takes what is sent: it gives room on the stream, and reads the connection."""
        connection = self.connection
        if connection.blocked:
            self._acknowledged = acknowledged(connection.transport, sent)
        return self.passed + self._acknowledged

    def expire(self, now: float) -> None:
        """The time of a look has come."""
        look(self, now)
