"""Who may answer a request that its rule lets through: sessions, shares, their filters, endpoints (proxy.attempts).

What serving draws at random is given as its possible outcomes with their shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import time

import msgspec

from gateway.explain.authorization import permit, question_of, refusal_of
from gateway.explain.captured import whither
from gateway.explain.endpoints import balancing_of, reachable
from gateway.explain.explanation import Forwarded, Portion
from gateway.explain.replies import filtered, finished, shown, shown_fields
from gateway.explain.words import PROTOCOLS, filters_in_words
from gateway.filters.passage import Passage
from gateway.http.grpc_web import call_head
from gateway.http.head import LocalReply, RequestHead
from gateway.policies.persistence import Sessions
from gateway.proxy.port import LiveListener
from gateway.proxy.rule import Rule, Share
from gateway.proxy.web_stream import translates
from gateway.upstream.backend import Backend
from gateway.upstream.endpoint import Endpoint


def session_of(rule: Rule, head: RequestHead) -> tuple[Endpoint | None, str]:
    """The endpoint that the request's session leads to, if any, and what is to be said; takes the session's token out of the head."""
    if rule.sessions is not None:
        return _session(rule.sessions, rule.endpoints(), head)
    backends = [share.backend for share in rule.shares if share.backend is not None and share.backend.error is None]
    found: tuple[Endpoint | None, str] = (None, "")
    for backend in backends:
        if backend.sessions is not None and found[0] is None:
            found = _session(backend.sessions, backend.usable, head)
    return found


def _session(sessions: Sessions[Endpoint], endpoints: tuple[Endpoint, ...], head: RequestHead) -> tuple[Endpoint | None, str]:
    tokens = sessions.read(head)
    if not tokens:
        return None, "the request has none: the answer begins one"
    sessions.strip(head)
    endpoint = sessions.choose(tokens, endpoints, int(time()))
    if endpoint is None:
        return None, "over, or its endpoint is gone: the answer begins a new one"
    return endpoint, f"leads to {shown(endpoint.label)}, whatever the weights"


@dataclass(frozen=True, slots=True)
class Matched:
    """A request's passage through its rule, without a prefix where the rule rewrote the path, and its path and authority before that."""

    passage: Passage
    path: bytes
    authority: bytes


@dataclass(frozen=True, slots=True)
class Way:
    """A request as its rule left it; `pinned` is where its session leads."""

    rule: Rule
    head: RequestHead
    listener: LiveListener
    matched: Matched
    pinned: Endpoint | None
    destination: tuple[str, int] | None = None
    """Where a captured connection was going."""


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
    before = way.matched.passage
    passage = Passage(before.scheme, before.location_port, before.prefix)
    passage.edits = list(before.edits)
    reply = filtered(share.filters.request, head, passage) if share.filters is not None else None
    if reply is None and share.authorization is not None and share.filters is not None:
        reply = refusal_of(share.authorization, head, way.listener)
        if reply is None:
            question = question_of(share.authorization, head, way.matched.path, way.matched.authority)
            said = msgspec.structs.replace(said, authorization=question)
            permit(share.authorization, head)
            reply = filtered(share.filters.authorized, head, passage)
    if reply is None:
        backend = _backend(way, share)
        if not isinstance(backend, LocalReply):
            forbidden = way.rule.core.forbidden
            endpoints = whither(backend, way.destination, forbidden) or reachable(backend, head, way.pinned, forbidden)
            tls = backend.resource.tls if backend.resource is not None else None
            if translates(head, way.rule):
                head = call_head(head)
            request = Forwarded(shown(head.method), shown(head.authority), shown(head.target), shown_fields(head.fields))
            spoken = PROTOCOLS.get(backend.resource.protocol, "") if backend.resource is not None else ""
            said = msgspec.structs.replace(said, balancing=balancing_of(backend), protocol=spoken, tls="" if tls is None else tls.hostname)
            return msgspec.structs.replace(said, forwarded=request, endpoints=endpoints)
        reply = backend
    return msgspec.structs.replace(said, reply=finished(reply, way.listener, passage, head.grpc))


def _backend(way: Way, share: Share) -> Backend | LocalReply:
    """The backend, one of whose endpoints would be asked, or why none can be."""
    backend = share.backend
    if backend is None:
        return LocalReply(500, share.error or "invalid backend", flag="NC")
    if backend.error is not None:
        return LocalReply(500, backend.error, flag="NC")
    if backend.destinations is not None and (way.destination is None or way.listener.resource.capture is None):
        return LocalReply(503, f"backend {backend.key} is where a captured connection was going: name its destination", flag="UH")
    if way.pinned is None and not backend.balancer.candidates and backend.destinations is None:
        return LocalReply(503, f"backend {backend.key} has no ready endpoint", flag="UH")
    try:
        backend.settings(way.listener.client_certificate)
    except ValueError as refusal:
        return LocalReply(500, str(refusal), flag="NC")
    return backend
