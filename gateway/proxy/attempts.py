"""Which endpoint an exchange asks, how it gets a stream to it, and when it asks again.

An attempt ends with an answer that is taken, or it fails: no connection, a pooled connection that the backend had closed
meanwhile, a reset, a timeout, an answer that is not HTTP, or a status the rule wants retried. `gateway.policies.retry`
decides; this module acts. Nothing is tried again once a byte of a response went to the client.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.filters.passage import Passage, RequestFilter
from gateway.http.head import LocalReply, RequestHead, ResponseHead
from gateway.net.deadlines import NEVER
from gateway.policies.retry import DEFAULT, IN_MESH, Attempt, Failure
from gateway.proxy import unprocessed
from gateway.proxy.authorization import authorize
from gateway.proxy.guarded import BAD_STATUSES, Ways, answered_badly, choose, follow_session, over_budget, wait_in_line
from gateway.proxy.mirror import Mirror
from gateway.proxy.web_stream import WebStream, translates
from gateway.upstream.connect import ConnectFailed, announce, connect_reserved, join

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.rule import Rule, Share
    from gateway.upstream.backend import Backend
    from gateway.upstream.connections import Speaking
    from gateway.upstream.endpoint import Endpoint, Pool
    from gateway.upstream.shared import Opening

_REPLIES: Final = {
    "connect": (503, "UF"),
    "identity": (503, "UF"),
    "stale": (503, "UC"),
    "refused": (503, "UC"),
    "unprocessed": (503, "UF"),
    "reset": (503, "UC"),
    "timeout": (504, "UT"),
    "malformed": (502, "UPE"),
    "truncated": (502, "UPE"),
}
"""Status and flag of the reply when there is no other attempt, by failure."""
_SAID_ALREADY: Final = frozenset({"connect", "stale", "refused", "timeout"})
"""Failures that say nothing new of an endpoint's health: it was told when they came about, and a kept connection may end, or be full."""
_RETRIED: Final = {
    "connect": Failure.CONNECT,
    "stale": Failure.STALE,
    "refused": Failure.REFUSED,
    "unprocessed": Failure.REFUSED,
    "reset": Failure.RESET,
    "timeout": Failure.TIMEOUT,
}


def choose_share(exchange: Exchange, rule: Rule) -> None:
    """By session, else by weight; then the share's own filters and the mirrors, then the first attempt."""
    if rule.seeks:
        follow_session(exchange, rule)
    if exchange.share is None:
        choice = rule.choice
        if not choice.total:
            exchange.reply(LocalReply(500, "no backend with a weight above zero", flag="NC"))
            return
        exchange.share = choice.only if choice.only is not None else choice.choose(exchange.core.random.random())
    share = exchange.share
    if share.authorization is not None:
        _ask_for_share(exchange, rule, share)
        return
    _mirror(exchange, rule, exchange.head)
    if share.filters is None or _apply_share_filters(exchange, share):
        begin(exchange)


def _mirror(exchange: Exchange, rule: Rule, head: RequestHead) -> None:
    """Copies of the request as the rule's own filters left it."""
    for mirror, backend in rule.mirrors:
        if mirror.always or mirror.chosen(exchange.core.random.randrange(mirror.denominator)):
            exchange.mirrors = (*exchange.mirrors, Mirror(exchange, backend, head))


def _apply_share_filters(exchange: Exchange, share: Share) -> bool:
    """False when a filter answered."""
    filters = share.filters
    assert filters is not None
    if filters.edits_request:
        exchange.head.unfold()
    return _run(exchange, filters.request, _own_passage(exchange))


def _own_passage(exchange: Exchange) -> Passage:
    """The share's filters see the request as matched: a path that the rule rewrote has no prefix."""
    passage = exchange.passage
    assert passage is not None
    own = Passage(passage.scheme, passage.location_port, passage.prefix if exchange.head.path == exchange.matched_path else None)
    own.edits = passage.edits
    return own


def _run(exchange: Exchange, filters: tuple[RequestFilter, ...], passage: Passage) -> bool:
    for request_filter in filters:
        reply = request_filter(exchange.head, passage)
        if reply is not None:
            exchange.reply(reply)
            return False
    return True


def _ask_for_share(exchange: Exchange, rule: Rule, share: Share) -> None:
    """The share's filters up to the authorization server, and once it allowed the request the mirrors and the rest of them."""
    own, server, filters = _own_passage(exchange), share.authorization, share.filters
    assert server is not None
    assert filters is not None
    mirrored = exchange.head.copy() if rule.mirrors else exchange.head

    def go_on(exchange: Exchange) -> None:
        _mirror(exchange, rule, mirrored)
        if _run(exchange, filters.authorized, own):
            begin(exchange)

    if filters.edits_request:
        exchange.head.unfold()
    if _run(exchange, filters.request, own):
        authorize(exchange, server, go_on)


def begin(exchange: Exchange) -> None:
    """One attempt at an endpoint of the share's backend."""
    share = exchange.share
    assert share is not None
    backend = share.backend
    if backend is None or backend.error is not None:
        error = share.error if backend is None else backend.error
        exchange.reply(LocalReply(500, error or "invalid backend", flag="NC"))
        return
    rule = exchange.rule
    assert rule is not None
    if rule.plain and not exchange.attempt and not backend.guarded:
        endpoint = backend.balancer.pick()
        exchange.backend_began = exchange.began
        if endpoint is None:
            exchange.reply(LocalReply(503, f"backend {backend.key} has no ready endpoint", flag="UH"))
            return
    else:
        endpoint = choose(exchange, rule, backend)
        exchange.backend_began = monotonic()
        if endpoint is None:
            return
    exchange.endpoint = endpoint
    if rule.backend_timeout:
        exchange.core.deadlines.set(exchange, min(exchange.request_deadline, exchange.backend_began + rule.backend_timeout))
    pool = endpoint.plain
    if backend.settings_for is not None or backend.prefaced or (backend.by_version and exchange.head.version == b"2"):
        try:
            assert exchange.listener is not None
            assert exchange.client is not None
            pool = backend.pool(endpoint, exchange.listener, exchange.client, exchange.head.version)
        except ValueError as reason:
            exchange.reply(LocalReply(500, str(reason), flag="NC"))
            return
    if pool.idle and not exchange.fresh:
        send(exchange, pool.idle.pop())
    elif pool.shared is not None and (stream := pool.shared.take()) is not None:
        send(exchange, stream)
    elif pool.shared is not None and pool.shared.opening is not None:
        exchange.core.start(_join(exchange, backend, endpoint, pool))
    else:
        _make_connection(exchange, backend, endpoint, pool)


def _make_connection(exchange: Exchange, backend: Backend, endpoint: Endpoint, pool: Pool) -> None:
    if pool.connections.reserve():
        exchange.core.start(_connect(exchange, backend, endpoint, pool, announce(exchange.core, pool)))
    else:
        wait_in_line(exchange, backend, endpoint, pool, _WAYS)


async def _connect(exchange: Exchange, backend: Backend, endpoint: Endpoint, pool: Pool, opening: Opening | None) -> None:
    attempt = exchange.attempt
    try:
        stream = await connect_reserved(exchange.core, endpoint, pool, backend.connect_timeout, opening)
    except ConnectFailed as failure:
        if not _is_over(exchange, attempt):
            failed(exchange, "identity" if failure.hopeless else "connect", str(failure))
        return
    _use(exchange, attempt, backend, endpoint, stream)


async def _join(exchange: Exchange, backend: Backend, endpoint: Endpoint, pool: Pool) -> None:
    """A connection is being made that can carry this exchange too."""
    attempt = exchange.attempt
    try:
        stream = await join(pool)
    except ConnectFailed as failure:
        if not _is_over(exchange, attempt):
            failed(exchange, "identity" if failure.hopeless else "connect", str(failure))
        return
    if stream is not None:
        _use(exchange, attempt, backend, endpoint, stream)
    elif not _is_over(exchange, attempt):
        _make_connection(exchange, backend, endpoint, pool)


def _is_over(exchange: Exchange, attempt: int) -> bool:
    """Whether the exchange ended, or went on without this attempt."""
    return exchange.client is None or exchange.attempt != attempt or exchange.responded


def _use(exchange: Exchange, attempt: int, backend: Backend, endpoint: Endpoint, stream: Speaking) -> None:
    if _is_over(exchange, attempt):
        stream.rest()  # the next one may use it
    elif not stream.pool.most and backend.resource is not None:  # an exchange may finish with a backend that is gone as a whole
        _elsewhere(exchange, endpoint, stream)
    else:
        send(exchange, stream)
        stream.flush()


def _elsewhere(exchange: Exchange, endpoint: Endpoint, stream: Speaking) -> None:
    """The endpoint, or the TLS settings it was asked for, went while the connection came about: nothing was sent, and nothing will be."""
    stream.close()
    if exchange.pinned is endpoint and not endpoint.plain.most:
        exchange.pinned = None
    exchange.leave_attempt()
    begin(exchange)
    exchange.flush_request()


def send(exchange: Exchange, stream: Speaking) -> None:
    """Head, and as much of the body as there is; the rest follows as it comes."""
    head = exchange.head
    taken: Speaking | WebStream = stream
    if exchange.grpc_status is not None and translates(head, exchange.rule):
        taken = WebStream(stream, head, exchange.core.loop, exchange.request_broken)
    exchange.backend = exchange.last_stream = taken
    taken.exchange = exchange
    if head.length == 0:
        taken.send_whole(head)
        return
    taken.send_head(head)
    if exchange.body:
        for piece in exchange.body:
            taken.send_data(piece)
        if not exchange.replayable_size():
            exchange.replayable = False
            exchange.body.clear()
    if exchange.request_ended:
        taken.send_end(exchange.trailers)
        return
    client = exchange.client
    assert client is not None
    if not exchange.continued:
        exchange.continued = True
        client.send_continue()
    if not taken.blocked:
        client.resume()


def turned_away(exchange: Exchange, rule: Rule, head: ResponseHead) -> bool:
    """Whether this answer is not for the client: the request is tried again, or got a reply since it may not be."""
    status = head.status
    if status == unprocessed.STATUS and unprocessed.unmark(exchange, head):
        assert exchange.endpoint is not None
        failed(exchange, "unprocessed", f"the workload at {exchange.endpoint.label.decode()} cannot be reached by its sidecar")
        return True
    if status in BAD_STATUSES:
        answered_badly(exchange, f"answered {status}")
    if status not in rule.retry.codes:
        return False
    wait = _wait(exchange, rule, status)
    if wait is None:
        return False
    if not over_budget(exchange, f"backend answered {status}"):
        _again(exchange, wait)
    return True


def failed(exchange: Exchange, failure: str, reason: str) -> None:
    """The attempt came to nothing: another one, or the reply that says why."""
    rule, stream = exchange.rule, exchange.last_stream
    assert rule is not None
    if failure == "reset" and stream is not None and stream.used:
        failure = "stale"
    if failure not in _SAID_ALREADY:
        answered_badly(exchange, reason)
    outcome = _RETRIED.get(failure)
    wait = _wait(exchange, rule, outcome) if outcome is not None else None
    if wait is None:
        status, flag = _REPLIES[failure]
        reply = LocalReply(status, reason, flag=flag)
        if failure == "connect":
            unprocessed.mark(exchange, reply)
        exchange.reply(reply)
        return
    if outcome is not Failure.STALE and over_budget(exchange, reason):
        return
    exchange.fresh = failure == "stale"
    if failure in ("connect", "refused", "unprocessed") and exchange.endpoint is not None:
        exchange.tried = (*exchange.tried, exchange.endpoint)
    _again(exchange, wait)


def _wait(exchange: Exchange, rule: Rule, outcome: int | Failure) -> float | None:
    head = exchange.head
    sent = 0 if outcome in (Failure.CONNECT, Failure.REFUSED) else 1 + exchange.received
    attempt = Attempt(outcome, exchange.attempt, head.method, sent, exchange.replayable)
    policy = IN_MESH if rule.retry is DEFAULT and _calls_in_mesh(exchange) else rule.retry
    wait = policy.decide(attempt, exchange.core.random.random())
    if wait is not None and monotonic() + wait >= exchange.request_deadline:
        return None  # the whole request would be out of time before the answer
    return wait


def _calls_in_mesh(exchange: Exchange) -> bool:
    """Whether it is what the workload beside us sends."""
    listener = exchange.listener
    capture = None if listener is None else listener.resource.capture
    return capture is not None and capture.direction == "Outbound"


def _again(exchange: Exchange, wait: float) -> None:
    exchange.leave_attempt()
    exchange.attempt += 1
    if exchange.request_deadline == NEVER:
        exchange.deadline = NEVER  # the next attempt sets its own
    else:
        exchange.core.deadlines.set(exchange, exchange.request_deadline)
    if wait:
        exchange.core.loop.call_later(wait, _begin_later, exchange, exchange.attempt)
    else:
        begin(exchange)


def _begin_later(exchange: Exchange, attempt: int) -> None:
    if exchange.client is not None and exchange.attempt == attempt and not exchange.responded:
        begin(exchange)
        exchange.flush_request()


_WAYS: Final = Ways(begin, send)
