"""The longer way to an endpoint: for another attempt, for a session, and for backends that are counted, watched or chosen by hash.

An attempt at a guarded backend holds a lease (upstream.lease) in `exchange.lease`; the exchange releases it when the attempt ends.
What answers say of their endpoint's health is told here too.
"""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.http.head import LocalReply, ResponseHead
from gateway.net.deadlines import NEVER
from gateway.upstream.lease import Lease
from gateway.upstream.original_destination import NoDestination

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.policies.persistence import Sessions
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.rule import Rule
    from gateway.upstream.backend import Backend
    from gateway.upstream.connections import Speaking
    from gateway.upstream.endpoint import Endpoint, Pool

BAD_STATUSES: Final = frozenset({502, 503, 504})
"""Answers that speak against an endpoint: it is not there, or cannot do its work now. A 500 speaks against one request."""
OVERFLOW: Final = "tidegate_backend_overflow_total"


def choose(exchange: Exchange, rule: Rule, backend: Backend) -> Endpoint | None:
    """Whom to ask; None when the exchange got its reply instead."""
    if backend.guarded:
        most = backend.options.limits.requests
        if most and backend.active >= most:
            overflow(exchange, backend, "requests", f"backend {backend.key} has {most} requests under way, which is its limit")
            return None
        if backend.sessions is not None and rule.sessions is None and not exchange.attempt and exchange.pinned is None:
            exchange.pinned = _session(exchange, backend.sessions, backend.usable)
    reason = f"backend {backend.key} has no ready endpoint"
    try:
        endpoint = _endpoint(exchange, backend)
    except NoDestination as nowhere:
        endpoint, reason = None, str(nowhere)
    if endpoint is None:
        exchange.reply(LocalReply(503, reason, flag="UH"))
        return None
    if backend.guarded:
        lease(exchange, backend, endpoint)
        if backend.budget is not None:
            backend.budget.request(monotonic())
    return endpoint


def lease(exchange: Exchange, backend: Backend, endpoint: Endpoint) -> None:
    """Takes the place of what the exchange held before."""
    if exchange.lease is not None:
        exchange.lease.release()
    exchange.lease = Lease(backend, endpoint)


def _endpoint(exchange: Exchange, backend: Backend) -> Endpoint | None:
    """Where the session leads while that endpoint is healthy, else one not tried yet, else one of those again. Raises NoDestination."""
    if backend.destinations is not None:
        assert exchange.client is not None
        return backend.destinations.of(exchange.listener, exchange.client.origin)
    pinned, tried, balancer = exchange.pinned, exchange.tried, backend.balancer
    if pinned is not None and pinned not in tried and (pinned.health.healthy or pinned in balancer.candidates):
        return pinned
    key = backend.hashing.key(exchange.head, exchange.client_address) if backend.hashing is not None else None
    if not tried:
        return balancer.pick(key=key) or pinned
    return balancer.pick(tried, key) or balancer.pick(key=key) or pinned


# sessions


def follow_session(exchange: Exchange, rule: Rule) -> None:
    """A genuine token leads to its endpoint whatever the weights; without one, or when the endpoint is gone, a new session begins."""
    if rule.sessions is not None:
        endpoint = _session(exchange, rule.sessions, rule.endpoints())
        if endpoint is not None:
            exchange.share = rule.share_of(endpoint)
            exchange.pinned = endpoint
        return
    for share in rule.shares:
        backend = share.backend
        if backend is not None and backend.sessions is not None and backend.error is None:
            endpoint = _session(exchange, backend.sessions, backend.usable)
            if endpoint is not None and exchange.pinned is None:
                exchange.share, exchange.pinned = share, endpoint


def _session(exchange: Exchange, sessions: Sessions[Endpoint], endpoints: tuple[Endpoint, ...]) -> Endpoint | None:
    tokens = sessions.read(exchange.head)
    if not tokens:
        return None
    sessions.strip(exchange.head)
    return sessions.choose(tokens, endpoints, int(time()))


def pin(exchange: Exchange, sessions: Sessions[Endpoint], head: ResponseHead) -> None:
    """Begins a session with the endpoint that answered, unless the client came with one that led here."""
    endpoint, listener = exchange.endpoint, exchange.listener
    if endpoint is not None and listener is not None and endpoint is not exchange.pinned:
        sessions.edit(head, endpoint, int(time()), listener.scheme == b"https")


# what answers say


def answered(exchange: Exchange, held: Lease, head: ResponseHead) -> None:
    """An answer that the client gets, of an attempt with a lease. That to a call is judged at its end."""
    if head.status not in BAD_STATUSES and exchange.grpc_status is None:
        held.answered_well()
    if held.backend.sessions is not None and exchange.passage is None:
        pin(exchange, held.backend.sessions, head)  # otherwise when the filters are through


def answered_badly(exchange: Exchange, reason: str) -> None:
    """A bad status, a reset, a timeout, or something that is no HTTP."""
    endpoint, held = exchange.endpoint, exchange.lease
    if endpoint is not None and (held is None or held.waiting is None):
        endpoint.protection.answered_badly(endpoint, reason, exchange.backend_began if held is None else held.began)


def timed_out(exchange: Exchange) -> None:
    """The attempt took too long, unless it is the client that has not sent all of its request."""
    if exchange.request_ended and not exchange.responded:
        answered_badly(exchange, "no answer in time")


# limits


def overflow(exchange: Exchange, backend: Backend, limit: str, reason: str) -> None:
    """A limit of the backend is reached; `limit` is its name in the policy."""
    exchange.core.incidents.count(OVERFLOW, backend.key, "limit", limit)
    exchange.reply(LocalReply(503, reason, flag="UO"))


def over_budget(exchange: Exchange, reason: str) -> bool:
    """Whether the backend's retries are used up; the exchange has its reply then (XBackendTrafficPolicy: 503)."""
    backend = exchange.share.backend if exchange.share is not None else None
    if backend is None or backend.budget is None or backend.budget.take(monotonic()):
        return False
    exchange.core.incidents.count("tidegate_retry_budget_exceeded_total", backend.key)
    exchange.reply(LocalReply(503, f"{reason}; the retry budget of backend {backend.key} is used up", flag="URX"))
    return True


class Ways(NamedTuple):
    """How an exchange goes on when its wait is over."""

    begin: Callable[[Exchange], None]
    """Another choice of endpoint and connection."""
    send: Callable[[Exchange, Speaking], None]
    """Over this connection."""


def wait_in_line(exchange: Exchange, backend: Backend, endpoint: Endpoint, pool: Pool, ways: Ways) -> None:
    """There may be no more connections: the exchange waits until one is free, or gets its reply."""
    if exchange.lease is None:
        lease(exchange, backend, endpoint)
    held = exchange.lease
    assert held is not None
    waiting = InLine(exchange, backend, pool, ways)
    if backend.connections.wait(waiting):
        held.waiting = waiting
        if backend.connect_timeout is not None:
            exchange.core.deadlines.set(waiting, monotonic() + backend.connect_timeout)
    else:
        most = backend.connections.limit
        reason = f"all {most} connections of backend {backend.key} are in use, and {backend.connections.waiting} requests wait for one"
        overflow(exchange, backend, "pendingRequests", reason)


class InLine:
    """An exchange that waits for a connection: in the backend's line, and an item of the worker's deadlines."""

    __slots__ = ("_attempt", "_backend", "_exchange", "_pool", "_ways", "deadline", "slot")

    def __init__(self, exchange: Exchange, backend: Backend, pool: Pool, ways: Ways) -> None:
        self._exchange, self._backend, self._pool, self._ways = exchange, backend, pool, ways
        self._attempt = exchange.attempt
        self.deadline, self.slot = NEVER, 0

    def takes(self, connection: Speaking) -> bool:
        """Any endpoint will do, unless a session, a hash or the client's own way leads to one; and no used connection in place of one that
        had ended."""
        pool = connection.pool
        if self._exchange.fresh and connection.used:
            return False
        if pool is self._pool:
            return True
        backend = self._backend
        if self._exchange.pinned is not None or backend.hashing is not None or backend.destinations is not None:
            return False
        wanted = self._pool
        return pool.settings is wanted.settings and pool.preface == wanted.preface and pool.protocol == wanted.protocol

    def given(self, connection: Speaking) -> None:
        """Used when whoever had it before is through with it."""
        self._leave_deadlines()
        self._exchange.core.loop.call_soon(self._use, connection)

    def go(self) -> None:
        self._leave_deadlines()
        self._again()

    def leave(self) -> None:
        """The exchange waits no longer."""
        self._leave_deadlines()
        self._backend.connections.leave(self)

    def _leave_deadlines(self) -> None:
        if self.slot:
            self._exchange.core.deadlines.forget(self)

    def _over(self) -> bool:
        exchange = self._exchange
        return exchange.client is None or exchange.attempt != self._attempt or exchange.responded

    def _use(self, connection: Speaking) -> None:
        exchange = self._exchange
        if connection.transport.is_closing():
            self._again()
        elif self._over():
            connection.rest()
        else:
            exchange.endpoint = connection.endpoint
            lease(exchange, self._backend, connection.endpoint)
            self._ways.send(exchange, connection)
            connection.flush()

    def _again(self) -> None:
        exchange = self._exchange
        if not self._over():
            exchange.leave_attempt()
            self._ways.begin(exchange)
            exchange.flush_request()

    def expire(self, now: float) -> None:
        """No connection was free in time."""
        backend = self._backend
        backend.connections.leave(self)
        if not self._over():
            most = backend.connections.limit
            reason = f"none of the {most} connections of backend {backend.key} was free within {backend.connect_timeout:g} s"
            overflow(self._exchange, backend, "connections", reason)
