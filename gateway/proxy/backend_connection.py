"""The backend's side of an exchange in HTTP/1.1: writes the request anew, reads the response strictly (RFC 9112).

One connection serves one exchange at a time and returns to its pool only when the response ended cleanly, the whole request
had been sent, and not a byte was left over. Framing is derived from the parsed head, never copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from gateway.http.chunked import ChunkedReader, MalformedChunk, last_chunk
from gateway.http.head import WITHOUT_BODY, Fields, RequestHead, ResponseHead
from gateway.http.response import CHUNKED, HEAD_LIMIT, INTERIM_LIMIT, UNTIL_CLOSE, Framing, MalformedResponse, parse_response
from gateway.net.tcp_information import acknowledged
from gateway.proxy.little_reader import LittleReader
from gateway.upstream.endpoint import Endpoint, Pool

if TYPE_CHECKING:
    from gateway.proxy.stream import BackendEvents

_IDLE, _HEAD, _LENGTH, _CHUNKS, _CLOSE, _TUNNEL = range(6)

NO_TRAILERS: Final[Fields] = []
"""Never written to."""


WRITE_LIMIT: Final = 32 * 1024
"""Bytes of a request that the system has not taken before its client has to wait: less than one window of a stream of HTTP/2, so that
no second one is opened."""
_BEGINNING: Final = b"HTTP/1."
"""Of every answer: what begins otherwise is another protocol, and would wait for an end that never comes."""


class BackendConnection:
    """A BackendStream, and the asyncio.Protocol of its connection (no subclass, which could not be compiled)."""

    __slots__ = (
        "_buffer",
        "_chunked",
        "_chunks",
        "_ended",
        "_interims",
        "_left",
        "_method",
        "_one_of_many",
        "_out",
        "_paused",
        "_read_buffer",
        "_reading",
        "_reusable",
        "_sent",
        "_upgrade",
        "_write",
        "blocked",
        "endpoint",
        "exchange",
        "idle_turns",
        "pool",
        "transport",
        "used",
    )

    transport: asyncio.Transport

    def __init__(self, endpoint: Endpoint, pool: Pool, read_buffer: memoryview) -> None:
        self.endpoint, self.pool = endpoint, pool
        self._read_buffer = read_buffer
        # per connection
        self.exchange: BackendEvents | None = None
        self.blocked = self._paused = False
        self.used = False
        self.idle_turns = 0
        """How often the pool was aged since this connection became idle."""
        self._buffer = b""
        self._out: list[bytes] = []
        # per exchange
        self._reading = _IDLE
        self._left = 0
        self._chunks: ChunkedReader | None = None
        self._method = b""
        self._chunked = self._sent = self._upgrade = False
        self._ended = False
        """Whether the backend has ended its side of the tunnel."""
        self._one_of_many = False
        """Whether the client's connection has other requests, for each of which as much may wait."""
        self._reusable = True
        self._interims = 0

    # what the exchange calls

    def send_whole(self, head: RequestHead) -> None:
        if head.upgrade is not None or head.trailers or head.length is None or head.method not in WITHOUT_BODY:
            self.send_head(head)
            self.send_end()
            return
        self._reading = _HEAD
        self._method = head.method
        if (head.version == b"2") is not self._one_of_many:
            self._read_otherwise()
        self._sent = True
        target = head.path if head.query is None else b"%b?%b" % (head.path, head.query)
        lines = head.lines if head.edited is None else head.written()
        host = head.authority or self.endpoint.label
        self._write(b"".join((head.method, b" ", target, b" HTTP/1.1\r\nhost: ", host, b"\r\n", *lines, head.forwarded, b"\r\n")))

    def send_head(self, head: RequestHead) -> None:
        self._reading = _HEAD
        self._method = head.method
        if (head.version == b"2") is not self._one_of_many:
            self._read_otherwise()
        self._sent = False
        self._chunked = head.length is None
        query = head.query
        out = self._out
        out += (head.method, b" ", head.path) if query is None else (head.method, b" ", head.path, b"?", query)
        out += (b" HTTP/1.1\r\nhost: ", head.authority or self.endpoint.label, b"\r\n")
        out += head.lines if head.edited is None else head.written()
        out.append(head.forwarded)
        if head.length is None:
            out.append(b"transfer-encoding: chunked\r\n")
        elif head.length or head.method not in WITHOUT_BODY:
            out.append(b"content-length: %d\r\n" % head.length)
        if head.upgrade is not None:
            self._upgrade, self._reusable = True, False
            out += (b"connection: upgrade\r\nupgrade: ", head.upgrade, b"\r\n\r\n")
        elif head.trailers:
            out.append(b"te: trailers\r\nconnection: te\r\n\r\n")
        else:
            out.append(b"\r\n")

    def _read_otherwise(self) -> None:
        """The client is of the other kind than the one before. Whoever reads is chosen anew when reading begins."""
        self._one_of_many = not self._one_of_many
        transport = self.transport
        if not transport.is_closing():
            transport.pause_reading()
            transport.set_protocol(LittleReader(self, self._read_buffer) if self._one_of_many else cast(asyncio.Protocol, self))
            transport.resume_reading()

    def send_data(self, data: bytes) -> None:
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def send_end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._sent = True
        out = self._out
        if self._chunked:
            out.append(last_chunk(list(trailers)))
        if out:
            self._write(b"".join(out))
            out.clear()
        if self._reading == _TUNNEL:
            if self.transport.can_write_eof() and not self._ended:
                self.transport.write_eof()
            else:
                self.transport.close()  # both sides have ended; or it is TLS, which has no half close here

    def flush(self) -> None:
        out = self._out
        if out:
            self._write(b"".join(out))
            out.clear()

    def cancel(self) -> None:
        self.exchange = None
        if self._reading == _TUNNEL:
            self.transport.close()  # what was sent through it still arrives
        else:
            self.transport.abort()

    def close(self) -> None:
        self.exchange = None
        self.transport.close()

    def pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    @property
    def unsent(self) -> int:
        """Bytes of the request that the backend has not taken, as far as we keep them."""
        return self.transport.get_write_buffer_size()

    def taken(self, sent: int) -> int:
        """A number that grows as the backend takes what is sent, `sent` bytes so far."""
        return acknowledged(self.transport, sent)

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses of it
        self._write = self.transport.write
        self.transport.set_write_buffer_limits(WRITE_LIMIT)

    def pause_writing(self) -> None:
        self.blocked = True
        if self.exchange is not None:
            self.exchange.hold_request()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.exchange is not None:
            self.exchange.release_request()

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            # nobody asked: what comes on an idle connection must not be taken for the next answer (response smuggling)
            self.pool.discard(self)
            self.transport.abort()
        elif self._reading == _HEAD:
            if self._buffer:
                data = self._buffer + data
                self._buffer = b""
            self._read_head(exchange, data)
        elif self._reading == _LENGTH:
            self._read_length(exchange, data)
        elif self._reading == _CHUNKS:
            self._read_chunks(exchange, data)
        else:
            exchange.response_data(data)
            exchange.flush_response()

    def _read_head(self, exchange: BackendEvents, data: bytes) -> None:
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                fault = _fault_so_far(data)
                if fault is None:
                    self._buffer = data
                else:
                    self._fail(exchange, "malformed", fault)
                return
            try:
                head, framing = parse_response(data, end, self._method)
                if head.status >= 200:
                    break
                switched = self._interim(exchange, head, framing)
            except MalformedResponse as malformed:
                self._fail(exchange, "malformed", str(malformed))
                return
            data = data[end + 4 :]
            if switched:
                self._tunnel(exchange, head, data)
                return
            if self.exchange is not exchange:
                return
        if not framing.keep_alive:
            self._reusable = False
        body = data[end + 4 :]
        if len(body) == framing.size:
            self._leave()
            exchange.response_whole(head, body)
            return
        if len(body) > framing.size >= 0:
            self._fail(exchange, "malformed", "surplus bytes after the response")
            return
        if framing.size == CHUNKED:
            self._begin_chunks(exchange, head, body)
            return
        exchange.response_head(head)
        if self.exchange is not exchange:
            return  # the exchange turned away from this answer (a retry)
        self._begin_body(exchange, framing.size, body)

    def _interim(self, exchange: BackendEvents, head: ResponseHead, framing: Framing) -> bool:
        """Takes a 1xx; True when it is the switch to the upgraded protocol."""
        if head.status == 101:
            if not self._upgrade or framing.upgrade != b"websocket":
                raise MalformedResponse("101 that was not asked for")
            return True
        self._interims += 1
        if self._interims > INTERIM_LIMIT:
            raise MalformedResponse("too many interim responses")
        if head.status != 100:
            exchange.response_interim(head)
        return False

    def _tunnel(self, exchange: BackendEvents, head: ResponseHead, rest: bytes) -> None:
        self._reading = _TUNNEL
        self._chunked = self._sent = False  # the handshake was sent; from now on it says whether the client has ended its side
        exchange.response_head(head)
        if self.exchange is exchange:
            if rest:
                exchange.response_data(rest)
            exchange.flush_response()

    def _begin_body(self, exchange: BackendEvents, size: int, rest: bytes) -> None:
        if size >= 0:
            self._left = size
            self._reading = _LENGTH
            if rest:
                self._read_length(exchange, rest)
            else:
                exchange.flush_response()
            return
        assert size == UNTIL_CLOSE
        self._reading = _CLOSE
        if rest:
            exchange.response_data(rest)
        exchange.flush_response()

    def _read_length(self, exchange: BackendEvents, data: bytes) -> None:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            exchange.response_data(data)
            exchange.flush_response()
            return
        if left < 0:
            data = data[:left]
            self._reusable = False
        self._left = 0
        if data:
            exchange.response_data(data)
        self._end(exchange, NO_TRAILERS)

    def _begin_chunks(self, exchange: BackendEvents, head: ResponseHead, data: bytes) -> None:
        """What came with the head is read before the head passes on: malformed so early, the answer is 502 and not one cut short."""
        chunks = self._chunks = ChunkedReader()
        self._reading = _CHUNKS
        pieces = self._feed(exchange, chunks, data)
        if pieces is None:
            return
        if chunks.surplus:
            self._fail(exchange, "malformed", "surplus bytes after the response")
            return
        exchange.response_head(head)
        if self.exchange is exchange:
            self._pass_chunks(exchange, chunks, pieces)

    def _read_chunks(self, exchange: BackendEvents, data: bytes) -> None:
        chunks = self._chunks
        assert chunks is not None
        pieces = self._feed(exchange, chunks, data)
        if pieces is not None:
            self._pass_chunks(exchange, chunks, pieces)

    def _feed(self, exchange: BackendEvents, chunks: ChunkedReader, data: bytes) -> list[bytes] | None:
        try:
            return chunks.feed(data)
        except MalformedChunk as malformed:
            self._fail(exchange, "malformed", str(malformed))
            return None

    def _pass_chunks(self, exchange: BackendEvents, chunks: ChunkedReader, pieces: list[bytes]) -> None:
        for piece in pieces:
            exchange.response_data(piece)
        if not chunks.ended:
            exchange.flush_response()
            return
        if chunks.surplus:
            self._reusable = False
        self._chunks = None
        self._end(exchange, chunks.trailers)

    def _end(self, exchange: BackendEvents, trailers: Fields) -> None:
        self._leave()
        exchange.response_end(trailers)

    def _leave(self) -> None:
        """The response is complete. A backend that answered before it had the whole request may take the rest for a new one."""
        self.exchange = None
        self._reading = _IDLE
        self._interims = 0
        if self._reusable and self._sent and not self.blocked and not self.transport.is_closing():
            self.rest()
        else:
            self.transport.close()

    def rest(self) -> None:
        """Waits in the pool for the next exchange."""
        if self._paused:
            self.resume()  # the client was slow; the next one need not be
        pool = self.pool
        if len(pool.idle) < pool.most:
            self.used = True
            self.idle_turns = 0
            pool.idle.append(self)
        else:
            pool.turn_away(self)

    def _fail(self, exchange: BackendEvents, failure: str, reason: str) -> None:
        self.exchange = None
        self.transport.abort()
        exchange.response_failed(failure, reason)

    def eof_received(self) -> bool | None:
        exchange = self.exchange
        if exchange is not None and self._reading == _TUNNEL and not self._sent:
            self._ended = True
            exchange.response_half_closed()
            return self.transport.can_write_eof()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self.exchange = self.exchange, None
        self.pool.connections.release()
        if exchange is None:
            self.pool.discard(self)
            return
        if self._reading == _TUNNEL or (self._reading == _CLOSE and exc is None):
            exchange.response_end(NO_TRAILERS)
        elif self._reading == _HEAD and not self._buffer:
            exchange.response_failed(
                "reset", "backend closed the connection without an answer" if exc is None else f"backend reset the connection: {exc}"
            )
        else:
            exchange.response_failed("truncated", "backend ended the connection inside its answer")


def _fault_so_far(data: bytes) -> str | None:
    """What is wrong already with a response head that is not complete yet."""
    if not _BEGINNING.startswith(data[: len(_BEGINNING)]):
        return "the answer is not HTTP/1"
    if len(data) > HEAD_LIMIT:
        return "response head too large"
    if b"\n" in data and data.count(b"\n") != data.count(b"\r\n"):
        return "bare line feed in the response head"
    return None
