"""A request to a backend in HTTP/2 and its response: a BackendStream for one exchange.

A small response comes whole in one read, and is passed on whole: a head is held back until the end of the read that it came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.http import frames
from gateway.http.frames import StreamFault
from gateway.http.head import Fields, RequestHead, ResponseHead
from gateway.http.http2_request import read_trailers
from gateway.http.http2_response import read_response
from gateway.http.response import INTERIM_LIMIT, MalformedResponse
from gateway.http.websocket import acceptance
from gateway.net.tcp_information import acknowledged
from gateway.proxy.http2.stream import Http2Stream

if TYPE_CHECKING:
    import asyncio

    from gateway.http.http2_request import Block
    from gateway.proxy.http2.backend_connection import Http2BackendConnection
    from gateway.proxy.stream import BackendEvents


class Http2BackendStream(Http2Stream):
    """Opened for an exchange before its head goes out; until then it has no number."""

    __slots__ = (
        "_acknowledged", "_begun", "_expected", "_head", "_interims", "_key", "_method", "_pieces", "_promised", "_received", "blocked",
        "endpoint", "exchange", "link", "pool", "used",
    )  # fmt: skip

    def __init__(self, connection: Http2BackendConnection) -> None:
        super().__init__(connection, 0)
        self.link = connection
        self.endpoint, self.pool = connection.endpoint, connection.pool
        self.exchange: BackendEvents | None = None
        self.blocked = connection.blocked
        self.used = False
        """Never kept alive for another request: what ends without an answer was a reset, or refused."""
        self._promised = True
        """Whether its connection keeps a place for it."""
        self._method = b""
        self._key: bytes | None = None
        """The client's key of a WebSocket that was asked for."""
        self._head: ResponseHead | None = None
        """A head that is held back until the end of this read."""
        self._pieces: list[bytes] = []
        self._begun = False
        """Whether the final head was passed on."""
        self._expected: int | None = None
        self._received = self._interims = self._acknowledged = 0

    @property
    def transport(self) -> asyncio.Transport:
        return self.connection.transport

    # what the exchange calls

    def send_whole(self, head: RequestHead) -> None:
        self._ask(head, True)

    def send_head(self, head: RequestHead) -> None:
        self._ask(head, False)

    def _ask(self, head: RequestHead, whole: bool) -> None:
        link = self.link
        self._method = head.method
        if not link.takes_streams:
            self._refuse("refused", "backend has left the connection")
            return
        if head.upgrade is not None:
            if not link.tunnels:
                self._refuse("malformed", "backend takes no WebSockets over HTTP/2")
                return
            self._key, whole = head.get(b"sec-websocket-key") or b"", False
        self._promised = False
        link.begin(self)
        scheme = b"https" if self.pool.settings is not None else b"http"
        link.put_block(self.number, link.encoder.request(head, scheme, head.authority or self.endpoint.label), whole)
        if whole:
            self.sent()
        link.flush_soon()

    def _refuse(self, failure: str, reason: str) -> None:
        """Nothing is sent; the exchange is told of it when it knows that it has asked."""
        self._give_back()
        self.link.loop.call_soon(self._fail, failure, reason)

    def _give_back(self) -> None:
        if self._promised:
            self._promised = False
            self.link.give_back()

    def send_data(self, data: bytes) -> None:
        if self.number:
            self.put(data)

    def send_end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        if self._key is not None and not self.is_tunnel:
            return  # the end of the handshake, and not of the tunnel
        if self.number and not self.sent_all:
            self.put_end(trailers)
            self.connection.flush_soon()

    def sent(self) -> None:
        super().sent()
        if self.received_all and self.is_tunnel:
            exchange, self.exchange = self.exchange, None
            if exchange is not None:
                exchange.response_end([])

    def flush(self) -> None:
        self.connection.flush_soon()

    def cancel(self) -> None:
        self.exchange = None
        self._end(frames.CANCEL)

    def _end(self, code: int) -> None:
        if self.number:
            self.connection.reset_stream(self, code)
        else:
            self._give_back()

    def rest(self) -> None:
        """Opened for nothing."""
        self.exchange = None
        self._give_back()

    def close(self) -> None:
        self.rest()

    def taken(self, sent: int) -> int:
        """A number that grows as the backend takes what is sent: it gives room on the stream, and reads the connection."""
        if self.connection.blocked:
            self._acknowledged = acknowledged(self.connection.transport, sent)
        return self.passed + self._acknowledged

    # what the connection calls

    def hold_sender(self) -> None:
        if not self.blocked:
            self.blocked = True
            if self.exchange is not None:
                self.exchange.hold_request()

    def release_sender(self) -> None:
        self.blocked = False
        if self.exchange is not None:
            self.exchange.release_request()

    def fields(self, entries: Block, ended: bool) -> None:
        """A head, or trailers. Raises StreamFault."""
        if self._begun or self._head is not None:
            if not ended or self.is_tunnel:
                raise StreamFault(frames.PROTOCOL_ERROR, "HEADERS inside the body of a response")
            self.received_all = True
            self.data_end(read_trailers(entries))
            return
        try:
            head = read_response(entries, self._method, ended)
        except MalformedResponse as malformed:
            raise StreamFault(frames.PROTOCOL_ERROR, str(malformed)) from None
        if head.status < 200:
            self._interim(head, ended)
            return
        if self._key is not None and 200 <= head.status < 300:
            self._open_tunnel(head)
            return
        self._expected = 0 if self._method == b"HEAD" or head.status in (204, 304) else head.length
        self._head = head
        self.connection.received[self] = None
        if ended:
            self.received_all = True
            self._expected = 0
            self.data_end([])

    def _interim(self, head: ResponseHead, ended: bool) -> None:
        self._interims += 1
        if head.status == 101 or ended or self._interims > INTERIM_LIMIT:
            raise StreamFault(frames.PROTOCOL_ERROR, "an interim response that nobody may send")
        if head.status != 100 and self.exchange is not None:
            self.exchange.response_interim(head)

    def _open_tunnel(self, head: ResponseHead) -> None:
        """In the form of HTTP/1.1, which both sides of an exchange know."""
        self.is_tunnel = self._begun = True
        assert self._key is not None
        fields = [*head.fields, (b"sec-websocket-accept", acceptance(self._key))]
        if self.exchange is not None:
            self.exchange.response_head(ResponseHead(101, b"Switching Protocols", fields, None))
            self.connection.received[self] = None

    def data(self, data: bytes) -> None:
        self._received += len(data)
        if self._expected is not None and self._received > self._expected:
            raise StreamFault(frames.PROTOCOL_ERROR, "more data than content-length says")
        if self._head is not None:
            self._pieces.append(data)
        elif not self._begun:
            raise StreamFault(frames.PROTOCOL_ERROR, "DATA before the head of the response")
        elif self.exchange is not None:
            self.exchange.response_data(data)
            self.connection.received[self] = None

    def data_end(self, trailers: Fields) -> None:
        if not self._begun and self._head is None:
            raise StreamFault(frames.PROTOCOL_ERROR, "the response ended before its head")
        if self._expected is not None and self._received != self._expected:
            raise StreamFault(frames.PROTOCOL_ERROR, "less data than content-length says")
        exchange = self.exchange
        if self.is_tunnel and not self.sent_all:
            if exchange is not None:
                exchange.response_half_closed()
            return
        self.exchange = None
        head, self._head = self._head, None
        if not self.sent_all:
            self._end(frames.NO_ERROR)  # the answer came before the whole request
        if exchange is None:
            return
        if head is not None and not trailers:
            if head.length is None and self._expected is None:
                head.length = self._received
            exchange.response_whole(head, b"".join(self._pieces))
            return
        if head is not None:
            self.exchange = exchange
            self._pass_head(exchange, head)
            if self.exchange is None:
                return
            self.exchange = None
        exchange.response_end(trailers)

    def _pass_head(self, exchange: BackendEvents, head: ResponseHead) -> None:
        """The exchange may turn away from the answer (a retry): then it has cancelled this stream."""
        self._begun = True
        exchange.response_head(head)
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            if self.exchange is exchange:
                exchange.response_data(piece)

    def flush_received(self) -> None:
        exchange, head = self.exchange, self._head
        if head is not None:
            self._head = None
            if exchange is not None:
                self._pass_head(exchange, head)
        if self.exchange is not None:
            self.exchange.flush_response()

    def reset_by_peer(self, code: int) -> None:
        if code == frames.REFUSED_STREAM and not self._begun and self._head is None:
            self._fail("refused", "backend refused the stream")
        else:
            name = frames.ERROR_NAMES.get(code, str(code))
            self._fail("truncated" if self._begun else "reset", f"backend reset the stream: {name}")

    def failed(self, code: int, reason: str) -> None:
        if code != frames.CANCEL:
            self._fail("malformed", reason)
        elif self._begun:
            self._fail("truncated", reason)
        else:
            self._fail("stale" if self.number > 1 else "reset", reason)

    def _fail(self, failure: str, reason: str) -> None:
        exchange, self.exchange = self.exchange, None
        self._head = None
        if exchange is not None:
            exchange.response_failed(failure, reason)
