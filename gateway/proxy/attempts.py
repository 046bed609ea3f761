"""Which endpoint an exchange asks, how it gets a stream to it, and when it asks again.

An attempt ends with an answer that is taken, or it fails: no connection, a pooled connection that the backend had closed
meanwhile, a reset, a timeout, an answer that is not HTTP, or a status the rule wants retried. `gateway.policies.retry`
decides; this module acts. Nothing is tried again once a byte of a response went to the client.
"""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Final

from gateway.filters.passage import Passage
from gateway.http.head import LocalReply, ResponseHead
from gateway.net.deadlines import NEVER
from gateway.policies.retry import Attempt, Failure
from gateway.proxy.mirror import Mirror
from gateway.upstream.connect import ConnectFailed, connect

if TYPE_CHECKING:
    from gateway.proxy.backend_connection import BackendConnection
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.rule import Rule, Share
    from gateway.upstream.backend import Backend
    from gateway.upstream.endpoint import Endpoint, Pool

_REPLIES: Final = {
    "connect": (503, "UF"),
    "identity": (503, "UF"),
    "stale": (503, "UC"),
    "reset": (503, "UC"),
    "timeout": (504, "UT"),
    "malformed": (502, "UPE"),
    "truncated": (502, "UPE"),
}
"""Status and flag of the reply when there is no other attempt, by failure."""
_RETRIED: Final = {"connect": Failure.CONNECT, "stale": Failure.STALE, "reset": Failure.RESET, "timeout": Failure.TIMEOUT}


def choose_share(exchange: Exchange, rule: Rule) -> None:
    """By session, else by weight; then the share's own filters and the mirrors, then the first attempt."""
    if rule.sessions is not None:
        _follow_session(exchange, rule)
    if exchange.share is None:
        choice = rule.choice
        if not choice.total:
            exchange.reply(LocalReply(500, "no backend with a weight above zero", flag="NC"))
            return
        exchange.share = choice.only if choice.only is not None else choice.choose(exchange.core.random.random())
    share = exchange.share
    for mirror, backend in rule.mirrors:
        if mirror.always or mirror.chosen(exchange.core.random.randrange(mirror.denominator)):
            exchange.mirrors = (*exchange.mirrors, Mirror(exchange, backend))
    if share.filters is None or _apply_share_filters(exchange, share):
        begin(exchange)


def _follow_session(exchange: Exchange, rule: Rule) -> None:
    """A genuine token leads to its endpoint whatever the weights; without one, or when the endpoint is gone, a new session begins."""
    sessions = rule.sessions
    assert sessions is not None
    tokens = sessions.read(exchange.head)
    if not tokens:
        return
    sessions.strip(exchange.head)
    endpoint = sessions.choose(tokens, rule.endpoints(), int(time()))
    if endpoint is not None:
        exchange.share = rule.share_of(endpoint)
        exchange.pinned = endpoint


def _apply_share_filters(exchange: Exchange, share: Share) -> bool:
    """False when a filter answered. The share's filters see the request as matched: a path that the rule rewrote has no prefix."""
    filters, passage = share.filters, exchange.passage
    assert filters is not None
    assert passage is not None
    head = exchange.head
    own = Passage(passage.scheme, passage.location_port, passage.prefix if head.path == exchange.matched_path else None)
    own.edits = passage.edits
    if filters.edits_request:
        head.unfold()
    for request_filter in filters.request:
        reply = request_filter(head, own)
        if reply is not None:
            exchange.reply(reply)
            return False
    return True


def begin(exchange: Exchange) -> None:
    """One attempt at an endpoint of the share's backend."""
    share = exchange.share
    assert share is not None
    backend = share.backend
    if backend is None or backend.error is not None:
        error = share.error if backend is None else backend.error
        exchange.reply(LocalReply(500, error or "invalid backend", flag="NC"))
        return
    endpoint = backend.balancer.pick() if exchange.pinned is None and not exchange.tried else _endpoint(exchange, backend)
    if endpoint is None:
        exchange.reply(LocalReply(503, f"backend {backend.key} has no ready endpoint", flag="UH"))
        return
    exchange.endpoint = endpoint
    rule = exchange.rule
    assert rule is not None
    exchange.backend_began = exchange.began if rule.plain and not exchange.attempt else monotonic()
    if rule.backend_timeout:
        exchange.core.deadlines.set(exchange, min(exchange.request_deadline, exchange.backend_began + rule.backend_timeout))
    pool = endpoint.plain
    if backend.settings_for is not None:
        try:
            pool = _secure_pool(exchange, backend, endpoint)
        except ValueError as reason:
            exchange.reply(LocalReply(500, str(reason), flag="NC"))
            return
    if pool.idle and not exchange.fresh:
        send(exchange, pool.idle.pop())
    else:
        exchange.core.start(_connect(exchange, backend, endpoint, pool))


def _endpoint(exchange: Exchange, backend: Backend) -> Endpoint | None:
    """Where the session leads, else the next one not tried yet, else one of those again."""
    pinned, tried = exchange.pinned, exchange.tried
    if pinned is not None and pinned not in tried:
        return pinned
    if not tried:
        return backend.balancer.pick()
    return backend.balancer.pick(tried) or backend.balancer.pick()


def _secure_pool(exchange: Exchange, backend: Backend, endpoint: Endpoint) -> Pool:
    """Of connections with the certificate that the listener's Gateway presents. Raises ValueError when it cannot be presented."""
    assert exchange.listener is not None
    return endpoint.pool(backend.settings(exchange.listener.client_certificate))


async def _connect(exchange: Exchange, backend: Backend, endpoint: Endpoint, pool: Pool) -> None:
    attempt = exchange.attempt
    try:
        stream = await connect(exchange.core, endpoint, pool, backend.connect_timeout)
    except ConnectFailed as failure:
        if exchange.client is not None and exchange.attempt == attempt and not exchange.responded:
            failed(exchange, "identity" if failure.hopeless else "connect", str(failure))
        return
    if exchange.client is None or exchange.attempt != attempt or exchange.responded:
        stream.rest()  # the exchange ended, or went on without us; the next one may use it
    else:
        send(exchange, stream)
        stream.flush()


def send(exchange: Exchange, stream: BackendConnection) -> None:
    """Head, and as much of the body as there is; the rest follows as it comes."""
    exchange.backend = exchange.last_stream = stream
    stream.exchange = exchange
    stream.send_head(exchange.head)
    if exchange.body:
        for piece in exchange.body:
            stream.send_data(piece)
        if not exchange.replayable_size():
            exchange.replayable = False
            exchange.body.clear()
    if exchange.request_ended:
        stream.send_end(exchange.trailers)
        return
    client = exchange.client
    assert client is not None
    if not exchange.continued:
        exchange.continued = True
        client.send_continue()
    if not stream.blocked:
        client.resume()


def retry_status(exchange: Exchange, rule: Rule, status: int) -> bool:
    """Whether this answer is turned away and the request tried again."""
    if status not in rule.retry.codes:
        return False
    wait = _wait(exchange, rule, status)
    if wait is None:
        return False
    _again(exchange, wait)
    return True


def failed(exchange: Exchange, failure: str, reason: str) -> None:
    """The attempt came to nothing: another one, or the reply that says why."""
    rule, stream = exchange.rule, exchange.last_stream
    assert rule is not None
    if failure == "reset" and stream is not None and stream.used:
        failure = "stale"
    outcome = _RETRIED.get(failure)
    wait = _wait(exchange, rule, outcome) if outcome is not None else None
    if wait is None:
        status, flag = _REPLIES[failure]
        exchange.reply(LocalReply(status, reason, flag=flag))
        return
    exchange.fresh = failure == "stale"
    if failure == "connect" and exchange.endpoint is not None:
        exchange.tried = (*exchange.tried, exchange.endpoint)
    _again(exchange, wait)


def _wait(exchange: Exchange, rule: Rule, outcome: int | Failure) -> float | None:
    head = exchange.head
    sent = 0 if outcome is Failure.CONNECT else 1 + exchange.received
    attempt = Attempt(outcome, exchange.attempt, head.method, sent, exchange.replayable)
    wait = rule.retry.decide(attempt, exchange.core.random.random())
    if wait is not None and monotonic() + wait >= exchange.request_deadline:
        return None  # the whole request would be out of time before the answer
    return wait


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


def pin(exchange: Exchange, rule: Rule, head: ResponseHead) -> None:
    """Begins a session with the endpoint that answered, unless the client came with one that led here."""
    endpoint, listener = exchange.endpoint, exchange.listener
    if rule.sessions is not None and endpoint is not None and listener is not None and endpoint is not exchange.pinned:
        rule.sessions.edit(head, endpoint, int(time()), listener.scheme == b"https")
