"""Who may answer a request that its rule lets through: sessions, shares, their filters, endpoints (proxy.attempts).

What serving draws at random is given as its possible outcomes with their shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import time

import msgspec

from gateway.explain.explanation import Forwarded, Portion, Reachable
from gateway.explain.replies import filtered, finished, shown, shown_fields
from gateway.explain.words import filters_in_words
from gateway.filters.passage import Passage
from gateway.http.head import LocalReply, RequestHead
from gateway.proxy.port import LiveListener
from gateway.proxy.rule import Rule, Share
from gateway.upstream.endpoint import Endpoint


def session_of(rule: Rule, head: RequestHead) -> tuple[Endpoint | None, str]:
    """The endpoint that the request's session leads to, if any, and what is to be said; takes the session's token out of the head."""
    if rule.sessions is None:
        return None, ""
    tokens = rule.sessions.read(head)
    if not tokens:
        return None, "the request has none: the answer begins one"
    rule.sessions.strip(head)
    endpoint = rule.sessions.choose(tokens, rule.endpoints(), int(time()))
    if endpoint is None:
        return None, "over, or its endpoint is gone: the answer begins a new one"
    return endpoint, f"leads to {shown(endpoint.label)}, whatever the weights"


@dataclass(frozen=True, slots=True)
class Way:
    """A request as its rule left it: `passage` without a prefix where the rule rewrote the path; `pinned` is where its session leads."""

    rule: Rule
    head: RequestHead
    listener: LiveListener
    passage: Passage
    pinned: Endpoint | None


def portions_of(way: Way) -> tuple[Portion, ...]:
    """Each share of the rule; the only one that counts where a session leads to an endpoint."""
    if way.pinned is not None:
        return (_portion(way, way.rule.share_of(way.pinned), 100.0),)
    total = way.rule.choice.total
    return tuple(_portion(way, share, 100 * share.reference.weight / total) for share in way.rule.shares)


def _portion(way: Way, share: Share, percent: float) -> Portion:
    said = Portion(share.reference.backend, percent, filters_in_words(share.reference.filters))
    if not percent:
        return said
    head = way.head.copy()
    passage = Passage(way.passage.scheme, way.passage.location_port, way.passage.prefix)
    passage.edits = list(way.passage.edits)
    reply = filtered(share.filters.request, head, passage) if share.filters is not None else None
    if reply is None:
        candidates = _candidates(way, share)
        if not isinstance(candidates, LocalReply):
            endpoints = tuple(_reachable(each, 100 / len(candidates), way.rule.core.forbidden) for each in candidates)
            tls = share.backend.resource.tls if share.backend is not None and share.backend.resource is not None else None
            request = Forwarded(shown(head.method), shown(head.authority), shown(head.target), shown_fields(head.fields))
            return msgspec.structs.replace(said, forwarded=request, endpoints=endpoints, tls="" if tls is None else tls.hostname)
        reply = candidates
    return msgspec.structs.replace(said, reply=finished(reply, way.listener, passage))


def _candidates(way: Way, share: Share) -> tuple[Endpoint, ...] | LocalReply:
    """The endpoints that may be asked, or why none can be."""
    backend = share.backend
    if backend is None:
        return LocalReply(500, share.error or "invalid backend", flag="NC")
    if backend.error is not None:
        return LocalReply(500, backend.error, flag="NC")
    if way.pinned is None and not backend.balancer.candidates:
        return LocalReply(503, f"backend {backend.key} has no ready endpoint", flag="UH")
    try:
        backend.settings(way.listener.client_certificate)
    except ValueError as refusal:
        return LocalReply(500, str(refusal), flag="NC")
    return backend.balancer.candidates if way.pinned is None else (way.pinned,)


def _reachable(endpoint: Endpoint, percent: float, forbidden: frozenset[tuple[str, int]]) -> Reachable:
    fault = "an address of this proxy itself: never asked, 503" if (endpoint.address, endpoint.port) in forbidden else ""
    return Reachable(shown(endpoint.label), percent, fault)
