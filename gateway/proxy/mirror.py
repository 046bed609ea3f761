"""A second backend that gets the same bytes; its answer is thrown away and it is never waited for.

A mirror that cannot follow is dropped: what waits for a connection or for a slow backend is bounded, and so are the time that a mirror
may stand still and how many run at once, so that a backend that hangs takes no more than its part.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.http.head import Fields, RequestHead, ResponseHead
from gateway.net.deadlines import NEVER
from gateway.proxy.web_stream import WebStream, translates
from gateway.upstream.connect import ConnectFailed, connect

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.upstream.backend import Backend
    from gateway.upstream.connections import Speaking
    from gateway.upstream.endpoint import Endpoint, Pool

BEHIND_LIMIT: Final = 1024 * 1024
"""Bytes of body held for a mirror that is being connected or takes no more for now; beyond it the mirror is dropped. Large enough for what
comes of a fast client while a connection is made."""
PATIENCE: Final = 30.0
"""Seconds that a mirror may stand still: without a piece of the request, and after its end without the end of the answer."""
MOST_AT_ONCE: Final = 1024
"""Mirrored requests under way in one worker."""


class Mirror:
    """Implements BackendEvents by throwing away what comes. Holds the stream only while it runs."""

    __slots__ = ("_backend", "_behind", "_core", "_ended", "_head", "_over", "_stream", "_trailers", "_waiting", "_web", "deadline", "slot")

    def __init__(self, exchange: Exchange, backend: Backend, head: RequestHead) -> None:
        """`head` is the request to copy; of its body there may be a part already, if the exchange had to wait for an authorization."""
        head = self._head = head.copy()
        head.upgrade, head.expects = None, False
        self._core, self._backend = exchange.core, backend
        self._stream: Speaking | WebStream | None = None
        self._web = translates(head, exchange.rule)
        self._ended, self._over = exchange.request_ended, False
        self._waiting = exchange.body.copy()
        self._behind = exchange.body_size
        """Bytes of body that wait for a connection."""
        self._trailers = exchange.trailers
        self.deadline, self.slot = NEVER, 0
        if len(self._core.mirrors) >= MOST_AT_ONCE:
            self._drop("crowded")
            return
        endpoint = backend.pick(head, exchange.client_address)
        listener, client = exchange.listener, exchange.client
        if endpoint is None or backend.error is not None or listener is None or client is None:
            self._drop("unavailable")
            return
        try:
            pool = backend.pool(endpoint, listener, client, head.version)
        except ValueError:
            self._drop("unavailable")
            return
        self._core.mirrors.add(self)
        self._core.deadlines.set(self, monotonic() + PATIENCE)
        stream = pool.take()
        if stream is not None:
            self._begin(stream)
        else:
            self._core.start(self._connect(endpoint, pool))

    def _finish(self) -> None:
        self._over = True
        self._core.mirrors.discard(self)
        self._core.deadlines.forget(self)

    def _drop(self, why: str) -> None:
        self._finish()
        self._waiting.clear()
        counts = self._core.mirrors_dropped
        counts[why] = counts.get(why, 0) + 1
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

    async def _connect(self, endpoint: Endpoint, pool: Pool) -> None:
        try:
            stream = await connect(self._core, endpoint, pool, self._backend.connect_timeout)
        except ConnectFailed:
            if not self._over:
                self._drop("connect")
            return
        if self._over:
            stream.close()
        elif not pool.most:
            stream.close()  # the endpoint was taken away meanwhile
            self._drop("connect")
        else:
            self._begin(stream)
            stream.flush()

    def _begin(self, speaking: Speaking) -> None:
        stream: Speaking | WebStream = speaking
        if self._web:
            stream = WebStream(speaking, self._head, self._core.loop, lambda _: self._drop("client"))
        self._stream = stream
        stream.exchange = self
        stream.send_head(self._head)
        for piece in self._waiting:
            stream.send_data(piece)
        self._waiting.clear()
        if self._ended:
            stream.send_end(self._trailers)
        else:
            stream.flush()

    # what the exchange calls

    def send_data(self, data: bytes) -> None:
        stream = self._stream
        if self._over:
            return
        if stream is None:
            self._behind += len(data)
        if (self._behind if stream is None else stream.blocked and stream.unsent) > BEHIND_LIMIT:
            self._drop("slow")
        elif stream is None:
            self._waiting.append(data)
        else:
            stream.send_data(data)
            stream.flush()
            self.deadline = monotonic() + PATIENCE

    def send_end(self, trailers: Fields) -> None:
        self._ended = True
        self._trailers = trailers
        self.deadline = monotonic() + PATIENCE
        if self._stream is not None:
            self._stream.send_end(trailers)

    def abandon(self) -> None:
        """The request will never be complete; a mirror that has all of it goes on by itself."""
        if not self._ended and not self._over:
            self._drop("client")

    def expire(self, now: float) -> None:
        """It stood still too long."""
        if not self._over:
            self._drop("slow")

    # what the stream reports

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        self.response_end([])

    def response_interim(self, head: ResponseHead) -> None:
        pass

    def response_head(self, head: ResponseHead) -> None:
        pass

    def response_data(self, data: bytes) -> None:
        pass

    def flush_response(self) -> None:
        pass

    def response_half_closed(self) -> None:
        pass

    def response_end(self, trailers: Fields) -> None:
        self._finish()
        self._stream = None

    def response_failed(self, failure: str, reason: str) -> None:
        self._stream = None
        if not self._over:
            self._drop(failure)

    def hold_request(self) -> None:
        """A slow mirror is never awaited: it may lag behind for a while."""

    def release_request(self) -> None:
        """Nobody was held."""
