"""An exchange asks an authorization server before it goes on (policies.authorization_policy).

Until there is an answer the question stands where the exchange's backend stream would: the request's body comes here, and whatever
ends the exchange (its client leaves, its time is over) ends the question. Every way out but an answer that allows it is a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.http.head import Fields, LocalReply, RequestHead, ResponseHead
from gateway.net.deadlines import NEVER
from gateway.policies.authorization_policy import FAILED, AuthorizationPolicy, Unusable
from gateway.policies.retry import REPLAY_LIMIT
from gateway.proxy.attributes import attributes_of
from gateway.proxy.guarded import BAD_STATUSES
from gateway.upstream.connect import ConnectFailed, connect
from gateway.upstream.lease import Lease

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.upstream.backend import Backend
    from gateway.upstream.connections import Speaking
    from gateway.upstream.endpoint import Endpoint, Pool

PATIENCE: Final = 10.0
"""Seconds from the question to the end of the answer, connecting included. The rule's request timeout holds besides."""
ANSWER_LIMIT: Final = 64 * 1024
"""Bytes of an answer that are looked at, or passed on to the client; a longer one is none."""

Server = tuple[AuthorizationPolicy, "Backend"]
"""What is asked, and whom."""


def authorize(exchange: Exchange, server: Server, allowed: Callable[[Exchange], None]) -> None:
    """Asks, and calls `allowed` when the request may go on; otherwise the exchange gets its reply."""
    authorization = exchange.backend = Authorization(exchange, server, allowed)
    authorization.send_head(exchange.head)


class Authorization:
    """A BackendStream for the exchange, which takes it for the side that is asked, and BackendEvents of the server's connection."""

    __slots__ = (
        "_allowed",
        "_answer",
        "_asked",
        "_backend",
        "_began",
        "_endpoint",
        "_exchange",
        "_gathering",
        "_lease",
        "_over",
        "_pieces",
        "_policy",
        "_question",
        "_said",
        "_size",
        "_stream",
        "_tried",
        "blocked",
        "deadline",
        "slot",
    )

    def __init__(self, exchange: Exchange, server: Server, allowed: Callable[[Exchange], None]) -> None:
        self._policy, self._backend = server
        self._exchange, self._allowed = exchange, allowed
        self._pieces = exchange.body.copy()
        """The request's body as far as it has come."""
        self._size = exchange.body_size
        self._gathering = self._over = self.blocked = False
        self._asked: RequestHead | None = None
        self._question: tuple[RequestHead, list[bytes]] | None = None
        self._stream: Speaking | None = None
        self._endpoint: Endpoint | None = None
        self._lease: Lease | None = None
        self._began = 0.0
        self._tried: Endpoint | None = None
        """Whom the first attempt asked in vain."""
        self._answer: ResponseHead | None = None
        self._said: list[bytes] = []
        self.deadline, self.slot = NEVER, 0

    # what the exchange calls

    def send_head(self, head: RequestHead) -> None:
        """Asks at once, unless the server is to see a body that has not come yet."""
        exchange, most = self._exchange, self._policy.max_body
        authority = exchange.asked[1] if exchange.asked is not None else head.authority
        self._asked = self._policy.asked(head, exchange.matched_path, authority)
        if not most or head.length == 0:
            self._ask()
        elif self._size > most or (head.length is not None and head.length > most):
            self._refuse_body()
        elif exchange.request_ended:
            self._ask()
        else:
            self._gather()

    def send_whole(self, head: RequestHead) -> None:
        self.send_head(head)

    def _gather(self) -> None:
        self._gathering = True
        client = self._exchange.client
        assert client is not None
        client.resume()
        if not self._exchange.continued:
            self._exchange.continued = True
            client.send_continue()

    def send_data(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        client = self._exchange.client
        if not self._gathering and self._size > REPLAY_LIMIT and client is not None:
            client.pause()

    def send_end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        if self._gathering and self._size <= self._policy.max_body:
            self._gathering = False
            self._ask()

    def flush(self) -> None:
        """All that was read has been handed on: the place to refuse, since the client's side has no half-read body in its hands."""
        if self._gathering and self._size > self._policy.max_body:
            self._refuse_body()

    def taken(self, sent: int) -> int:
        """The body is bounded, and held here."""
        return sent

    def pause(self) -> None:
        """Nothing of an answer goes to the client before the end of it."""

    def resume(self) -> None:
        pass

    def cancel(self) -> None:
        """The exchange is over, or has its reply."""
        if not self._over:
            self._leave("abandoned")

    # asking

    def _ask(self) -> None:
        asked, exchange = self._asked, self._exchange
        assert asked is not None
        self._question = self._policy.question(asked, lambda: attributes_of(exchange, self._size), self._pieces)
        exchange.core.deadlines.set(self, monotonic() + PATIENCE)
        self._try()

    def _try(self) -> None:
        backend, listener = self._backend, self._exchange.listener
        assert listener is not None
        if backend.error is not None:
            self._fail(f"cannot be used: {backend.error}", 500)
            return
        most = backend.options.limits.requests
        if backend.guarded and most and backend.active >= most:
            self._fail(f"has {most} requests under way, which is its limit")
            return
        endpoint = self._endpoint = self._choose()
        if endpoint is None:
            self._fail("has no ready endpoint")
            return
        if backend.guarded:
            self._lease = Lease(backend, endpoint)
        self._began = monotonic()
        try:
            assert self._exchange.client is not None
            assert self._asked is not None
            pool = backend.pool(endpoint, listener, self._exchange.client, b"2" if self._asked.grpc else b"1.1")
        except ValueError as refusal:
            self._fail(f"cannot be used: {refusal}", 500)
            return
        stream = pool.take() if self._tried is None else None
        if stream is not None:
            self._begin(stream)
        else:
            self._exchange.core.start(self._connect(endpoint, pool))

    def _choose(self) -> Endpoint | None:
        backend, tried = self._backend, self._tried
        assert self._asked is not None
        key = backend.hashing.key(self._asked, self._exchange.client_address) if backend.hashing is not None else None
        if tried is None:
            return backend.balancer.pick(key=key)
        return backend.balancer.pick((tried,), key) or tried

    async def _connect(self, endpoint: Endpoint, pool: Pool) -> None:
        try:
            stream = await connect(self._exchange.core, endpoint, pool, self._backend.connect_timeout)
        except ConnectFailed as failure:
            if not self._over:
                self._again(endpoint, str(failure), hopeless=failure.hopeless)
            return
        if self._over:
            stream.rest()  # the exchange ended meanwhile; the next one may use it
        elif not pool.most:
            stream.close()  # the endpoint, or the TLS settings it was asked for, went while the connection came about
            self._release()
            self._try()
        else:
            self._begin(stream)

    def _begin(self, stream: Speaking) -> None:
        assert self._question is not None
        head, body = self._question
        self._stream = stream
        stream.exchange = self
        stream.send_head(head)
        for piece in body:
            stream.send_data(piece)
        stream.send_end()

    def _again(self, endpoint: Endpoint, reason: str, *, hopeless: bool = False) -> None:
        """Once more on a new connection, to another endpoint if there is one: a question may be put twice."""
        if self._tried is not None or hopeless:
            self._fail(f"did not answer: {reason}")
        else:
            self._tried = endpoint
            self._answer = None
            self._release()
            self._try()

    # what the stream to the server reports

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        self.response_head(head)
        self.response_data(body)
        self.response_end([])

    def response_interim(self, head: ResponseHead) -> None:
        pass

    def response_head(self, head: ResponseHead) -> None:
        self._answer = head

    def response_data(self, data: bytes) -> None:
        assert self._answer is not None
        if self._over or not self._policy.reads(self._answer):
            return
        self._said.append(data)
        if sum(map(len, self._said)) > ANSWER_LIMIT:
            self._fail(f"answered with more than {ANSWER_LIMIT} bytes")

    def flush_response(self) -> None:
        pass

    def response_half_closed(self) -> None:
        pass

    def response_end(self, trailers: Fields) -> None:
        exchange, answer = self._exchange, self._answer
        if self._over:
            return
        assert answer is not None
        self._stream = None
        fault = f"answered {answer.status}" if answer.status in BAD_STATUSES else self._policy.fault(answer, trailers)
        if fault:
            self._blame(fault)
        elif self._lease is not None:
            self._lease.answered_well()
        verdict = self._policy.verdict(answer, b"".join(self._said), trailers)
        if isinstance(verdict, Unusable):
            self._fail(verdict.reason)
            return
        if isinstance(verdict, LocalReply):
            self._leave("denied")
            exchange.reply(verdict)
            return
        self._leave("allowed")
        verdict.permit(exchange.head)
        if verdict.edit is not None and exchange.passage is not None:
            exchange.passage.edits.append(verdict.edit)
        exchange.body, exchange.body_size, exchange.replayable = self._pieces, self._size, True
        self._allowed(exchange)
        exchange.flush_request()

    def response_failed(self, failure: str, reason: str) -> None:
        stream, self._stream = self._stream, None
        if self._over:
            return
        assert stream is not None
        if failure == "reset" and stream.used:
            self._again(stream.endpoint, reason)  # it was kept alive for longer than the server meant
        else:
            self._blame(reason)
            self._fail(f"did not answer: {reason}")

    def hold_request(self) -> None:
        """The question is bounded by maxSize, and all of it is on its way."""

    def release_request(self) -> None:
        pass

    # ends

    def expire(self, now: float) -> None:
        """The server has not answered in time."""
        if self._stream is not None:
            self._blame("no answer in time")
        self._fail(f"did not answer within {PATIENCE:g} s")

    def _leave(self, outcome: str) -> None:
        """Once: the exchange has its backend's place back, and nothing of the question is left."""
        self._over = True
        core, counts = self._exchange.core, self._exchange.core.authorizations
        counts[outcome] = counts.get(outcome, 0) + 1
        core.deadlines.forget(self)
        self._release()
        if self._exchange.backend is self:
            self._exchange.backend = None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

    def _blame(self, reason: str) -> None:
        """The endpoint did not do its work (passive health)."""
        if self._endpoint is not None:
            self._endpoint.protection.answered_badly(self._endpoint, reason, self._began)

    def _release(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def _fail(self, reason: str, status: int = FAILED) -> None:
        self._leave("failed")
        self._exchange.reply(self._policy.failure(reason, status))

    def _refuse_body(self) -> None:
        self._leave("too large")
        self._exchange.reply(self._policy.too_large())
