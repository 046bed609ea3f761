"""From a request's head to its rule: listener, target, forwarded fields, route, filters. Then the first attempt, or a local reply.

The order of these decisions is what `gateway.explain` retraces; both call the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.filters.passage import Passage
from gateway.http.head import LocalReply, RequestHead
from gateway.http.refused import Refused
from gateway.http.target import AUTHORITIES, LONGEST_CACHED, PathRules, parse_authority, parse_target
from gateway.proxy import attempts, calls
from gateway.proxy.authorization import authorize
from gateway.proxy.forwarded import believed_lines, forwarded_lines, told_lines
from gateway.proxy.guard import admit as admit_guarded
from gateway.proxy.request_limits import refuses

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.port import LiveListener
    from gateway.proxy.rule import Rule
    from gateway.proxy.stream import ClientStream

MISDIRECTED: Final = LocalReply(421, "another listener serves this host", flag="NR")
NO_HOST: Final = LocalReply(404, "no listener for this host", flag="NR")
NO_ROUTE: Final = LocalReply(404, "no route matches", flag="NR")


def admit(exchange: Exchange, client: ClientStream) -> None:
    """Begins an exchange whose head has been read."""
    head = exchange.head
    try:
        if not head.authority:
            _take_authority(head)
        if head.authority:
            head.host, head.authority = AUTHORITIES.get(head.authority) or parse_authority(head.authority)
        listener = client.port.hosts.choose(head.host)
        shown = client.listener
        if listener is None:
            exchange.listener = shown
            exchange.reply(NO_HOST)
            return
        exchange.listener = listener
        if shown is not None and listener is not shown and not shown.replaced_by(listener):
            # the certificate that the client saw is another listener's (RFC 9110 7.4)
            exchange.reply(MISDIRECTED)
            return
        path = head.path
        target = listener.path_rules.cache.get(path) if len(path) <= LONGEST_CACHED else None
        if target is None or head.method == b"CONNECT":
            target = parse_target(head.method, path, listener.path_rules, head.plain_target)
            if len(path) > LONGEST_CACHED:
                exchange.core.take_long(len(path))
        if target.authority is not None:
            check_absolute(head, target.authority, target.scheme, listener.scheme)
    except Refused as refused:
        head.keep_alive = False
        exchange.reply(LocalReply(refused.status, refused.reason, flag="DPE"))
        return
    head.path, head.query = target.path, target.query
    exchange.matched_path = target.path
    exchange.request_id = request_id = exchange.core.request_id()
    if listener.trust is None and listener.observer is None:
        head.forwarded = forwarded_lines(client.forwarded, head, exchange.client_address, request_id)
    else:
        _present(exchange, client, listener)
    if target.redirect:
        location = b"%b://%b%b" % (listener.scheme, head.authority, head.target)
        exchange.reply(LocalReply(307, "path normalised", [(b"location", location)]))
    elif listener.guard is not None:
        admit_guarded(exchange, client, listener, _route)
    else:
        _route(exchange, client, listener)


def _route(exchange: Exchange, client: ClientStream, listener: LiveListener) -> None:
    """From a request that no policy turns away to its rule."""
    head = exchange.head
    entry = listener.routes.match(head)
    limits = listener.request_limits
    if entry is None:
        if limits is None or not refuses(exchange, listener, limits, None):
            exchange.reply(NO_ROUTE)
        return
    rule = entry.payload
    if not rule.awake:
        rule.wake()
    if limits is not None and refuses(exchange, listener, limits, rule):
        return
    exchange.rule = rule
    exchange.route = entry.path
    if head.grpc:
        calls.begin(exchange)
    if rule.plain:
        exchange.share = rule.shares[0]
        attempts.begin(exchange)
    else:
        _apply_rule(exchange, rule, entry.prefix, listener)


def _take_authority(head: RequestHead) -> None:
    """HTTP/1.0 may come without Host; an absolute target then names it (RFC 9112 3.2.2)."""
    if not head.path.startswith(b"/"):
        head.authority = parse_target(head.method, head.path, PathRules()).authority or b""


def check_absolute(head: RequestHead, authority: bytes, scheme: bytes | None, expected: bytes) -> None:
    """An absolute target that disagrees with Host, or with the listener's scheme, is ambiguous (RFC 9112 3.2.2). Raises Refused."""
    host, forwarded = parse_authority(authority)
    if host != head.host or forwarded.lower() != head.authority.lower():
        raise Refused(400, "absolute target disagrees with Host")
    if scheme != expected:
        raise Refused(400, "scheme of the target does not fit the listener")


def _present(exchange: Exchange, client: ClientStream, listener: LiveListener) -> None:
    """Request id and forwarded fields, where a listener believes some of its peers, or is observed."""
    head, address, drawn, trust = exchange.head, exchange.client_address, exchange.request_id, listener.trust
    if trust is not None and trust.believes(client.origin.peer):
        exchange.client_address = trust.client(address, head.forwarded_for)
        if trust.silent:
            head.forwarded, exchange.request_id = told_lines(head, drawn, trust.kept)
        else:
            head.forwarded, exchange.request_id = believed_lines(client.forwarded, head, address, drawn, trust.kept)
    else:
        head.forwarded = forwarded_lines(client.forwarded, head, address, drawn)
    if listener.observer is not None:
        listener.observer.begin(exchange, client)


def _apply_rule(exchange: Exchange, rule: Rule, prefix: bytes | None, listener: LiveListener) -> None:
    """Deadline and filters of a rule that has any."""
    if rule.request_timeout:
        exchange.request_deadline = min(exchange.request_deadline, exchange.began + rule.request_timeout)
        exchange.core.deadlines.set(exchange, exchange.request_deadline)
    head = exchange.head
    exchange.asked = (head.target, head.authority)
    announced = exchange.passage
    passage = exchange.passage = Passage(listener.scheme, listener.location_port, prefix)
    if announced is not None:
        passage.edits = announced.edits
    if rule.filters.edits_request:
        head.unfold()
    for request_filter in rule.filters.request:
        reply = request_filter(head, passage)
        if reply is not None:
            exchange.reply(reply)
            return
    if rule.authorization is not None:
        authorize(exchange, rule.authorization, _go_on)
    else:
        attempts.choose_share(exchange, rule)


def _go_on(exchange: Exchange) -> None:
    """The authorization server allowed the request: the filters listed after it, then the backends."""
    rule, passage = exchange.rule, exchange.passage
    assert rule is not None
    assert passage is not None
    for request_filter in rule.filters.authorized:
        reply = request_filter(exchange.head, passage)
        if reply is not None:
            exchange.reply(reply)
            return
    attempts.choose_share(exchange, rule)
