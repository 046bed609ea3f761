"""A call of gRPC-Web to a backend of gRPC: a BackendStream around another one, which speaks gRPC-Web to whoever asks and gRPC behind.

An exchange, or a mirror, knows nothing of it but that it takes a body in one form and gives it in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway.http.grpc_web import (
    TextDecoder,
    TextEncoder,
    answers_in_text,
    call_head,
    edit_answer,
    is_answer,
    is_text,
    is_web,
    trailer_frame,
)
from gateway.http.head import Fields, RequestHead, ResponseHead

if TYPE_CHECKING:
    import asyncio

    from gateway.proxy.rule import Rule
    from gateway.proxy.stream import BackendEvents
    from gateway.upstream.connections import Speaking
    from gateway.upstream.endpoint import Endpoint, Pool


def translates(head: RequestHead, rule: Rule | None) -> bool:
    """Whether a call comes as gRPC-Web and its backends speak gRPC: those of a GRPCRoute."""
    return is_web(head.grpc) and rule is not None and rule.resource.source.kind == "GRPCRoute"


class WebStream:
    """`exchange` is whom it reports to; `broken` is called, in a turn of its own, when the client's body is malformed."""

    __slots__ = ("_broken", "_decoder", "_encoder", "_loop", "_over", "_stream", "answering", "exchange")

    def __init__(self, stream: Speaking, head: RequestHead, loop: asyncio.AbstractEventLoop, broken: Callable[[str], None]) -> None:
        """`head` is that of the call as the client made it."""
        self._stream, self._loop, self._broken = stream, loop, broken
        self.exchange: BackendEvents | None = None
        self._decoder = TextDecoder() if is_text(head.grpc) else None
        self._encoder = TextEncoder() if answers_in_text(head) else None
        self.answering = False
        """Whether the head of a call's answer has come."""
        self._over = False
        stream.exchange = self

    @property
    def blocked(self) -> bool:
        return self._stream.blocked

    @property
    def unsent(self) -> int:
        return self._stream.unsent

    @property
    def used(self) -> bool:
        return self._stream.used

    @property
    def endpoint(self) -> Endpoint:
        return self._stream.endpoint

    @property
    def pool(self) -> Pool:
        return self._stream.pool

    # what the exchange calls

    def send_whole(self, head: RequestHead) -> None:
        self._stream.send_whole(call_head(head))

    def send_head(self, head: RequestHead) -> None:
        self._stream.send_head(call_head(head))

    def send_data(self, data: bytes) -> None:
        if self._over:
            return
        if self._decoder is not None:
            try:
                data = self._decoder.feed(data)
            except ValueError as fault:
                self._break(str(fault))
                return
        if data:
            self._stream.send_data(data)

    def send_end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """A browser sends no trailers, and a server of gRPC reads none."""
        if self._over:
            return
        if self._decoder is not None:
            try:
                self._decoder.end()
            except ValueError as fault:
                self._break(str(fault))
                return
        self._stream.send_end()

    def _break(self, reason: str) -> None:
        self._over = True
        self._stream.cancel()
        self._loop.call_soon(self._tell, reason)

    def _tell(self, reason: str) -> None:
        if self.exchange is not None:
            self._broken(reason)

    def flush(self) -> None:
        if not self._over:
            self._stream.flush()

    def taken(self, sent: int) -> int:
        return self._stream.taken(sent)

    def cancel(self) -> None:
        self.exchange = None
        if not self._over:
            self._over = True
            self._stream.cancel()

    def pause(self) -> None:
        self._stream.pause()

    def resume(self) -> None:
        self._stream.resume()

    # what the stream behind reports

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        exchange = self._leave()
        if exchange is None:
            return
        if is_answer(head):
            edit_answer(head, self._encoder is not None)
            if self._encoder is not None:
                body = self._encoder.feed(body) + self._encoder.pause()
            head.length = len(body)
        exchange.response_whole(head, body)

    def response_interim(self, head: ResponseHead) -> None:
        if self.exchange is not None:
            self.exchange.response_interim(head)

    def response_head(self, head: ResponseHead) -> None:
        self.answering = is_answer(head)
        if self.answering:
            edit_answer(head, self._encoder is not None)
        if self.exchange is not None:
            self.exchange.response_head(head)

    def response_data(self, data: bytes) -> None:
        if self.answering and self._encoder is not None:
            data = self._encoder.feed(data)
        self._pass(data)

    def flush_response(self) -> None:
        if self.answering and self._encoder is not None:
            self._pass(self._encoder.pause())
        if self.exchange is not None:
            self.exchange.flush_response()

    def _pass(self, data: bytes) -> None:
        if data and self.exchange is not None:
            self.exchange.response_data(data)

    def response_half_closed(self) -> None:
        """Of a tunnel, which a call is none of."""

    def response_end(self, trailers: Fields) -> None:
        if self.answering and trailers:
            self._pass(self.last_frame(trailers))
        elif self.answering and self._encoder is not None:
            self._pass(self._encoder.pause())
        exchange = self._leave()
        if exchange is not None:
            exchange.response_end(trailers)

    def last_frame(self, trailers: Fields) -> bytes:
        """The end of an answer, as it goes to the client."""
        frame = trailer_frame(trailers)
        return frame if self._encoder is None else self._encoder.feed(frame) + self._encoder.pause()

    def response_failed(self, failure: str, reason: str) -> None:
        exchange = self._leave()
        if exchange is not None:
            exchange.response_failed(failure, reason)

    def _leave(self) -> BackendEvents | None:
        """The stream behind is gone; whoever waits for it is told."""
        exchange, self.exchange = self.exchange, None
        self._over = True
        return exchange

    def hold_request(self) -> None:
        if self.exchange is not None:
            self.exchange.hold_request()

    def release_request(self) -> None:
        if self.exchange is not None:
            self.exchange.release_request()
