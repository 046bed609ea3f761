"""Which endpoints of a backend may be asked, with which part of the requests, and which are left out and why (upstream, proxy.guarded)."""

from __future__ import annotations

import msgspec

from gateway.explain.explanation import Reachable
from gateway.explain.replies import shown
from gateway.http.head import RequestHead
from gateway.ir.backend import HashOn
from gateway.net.mesh_tls import MeshTlsSettings
from gateway.upstream.backend import Backend
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import State, members_of
from gateway.upstream.original_destination import OWN_SOURCES

_WAYS = {
    "RoundRobin": "each in turn",
    "LeastRequest": "of two drawn by weight the one with fewer requests under way",
    "RingHash": "by a ring of hashes of",
    "Maglev": "by a Maglev table of hashes of",
}
_STATES = {
    State.PROBED: "until a probe connects",
    State.EJECTED: "for a while",
    State.TRIAL: "until the answer to one request shows whether it is well",
}


def balancing_of(backend: Backend) -> str:
    """How one of several is chosen, in words; '' where there is no choice."""
    if backend.destinations is not None:
        own = f", from {' or '.join(OWN_SOURCES)}" if backend.destinations.kind == "OwnPod" else ""
        return f"where the connection was going{own}"
    if len(backend.endpoints) < 2:
        return ""
    balancing = backend.options.balancing
    way = _WAYS[balancing.type]
    if backend.hashing is None:
        return way if len({endpoint.weight for endpoint in backend.endpoints.values()}) == 1 else f"{way}, by weight"
    return f"{way} {', else '.join(_part(part) for part in balancing.hash_on) or 'the client address'}"


def _part(part: HashOn) -> str:
    words = {"ClientAddress": "the client address", "QueryParameter": "query parameter"}.get(part.type, part.type.lower())
    return f"{words} {part.name}" if part.name else words


def reachable(
    backend: Backend, head: RequestHead | None, pinned: Endpoint | None, forbidden: frozenset[tuple[str, int]]
) -> tuple[Reachable, ...]:
    """First those that may be asked, then those that would be if they were healthy. The client's address is not known here; there is no
    head where there is no request."""
    balancer = backend.balancer
    if pinned is not None and (pinned.health.healthy or pinned in balancer.candidates):
        return (_mutually(_reachable(pinned, 100.0, forbidden), pinned, backend),)
    candidates = balancer.candidates
    key = backend.hashing.key(head, b"") if backend.hashing is not None and head is not None else None
    if key is not None and backend.is_settled():
        chosen = balancer.pick(key=key)
        candidates = (chosen,) if chosen is not None else ()
    total = sum(endpoint.weight for endpoint in candidates)
    said = [_mutually(_reachable(endpoint, 100 * endpoint.weight / total, forbidden), endpoint, backend) for endpoint in candidates]
    members = members_of(tuple(backend.endpoints.values()))
    left_out = [endpoint for endpoint in members if endpoint not in balancer.candidates]
    for endpoint in left_out:
        said.append(_mutually(Reachable(shown(endpoint.label), 0.0, f"left out, {health_of(endpoint)}"), endpoint, backend))
    return tuple(said)


def health_of(endpoint: Endpoint) -> str:
    """What is held against it; '' for nothing."""
    health = endpoint.health
    words = [] if health.checked else [f"health checks fail: {health.check_reason}"]
    if health.state in _STATES:
        words.append(f"{_STATES[health.state]}: {health.reason}")
    return "; ".join(words)


def _mutually(said: Reachable, endpoint: Endpoint, backend: Backend) -> Reachable:
    """Whom it must prove to be, and whom we do; a backend with TLS of its own is reached by that, and one of UDP by none."""
    settings, spoken = endpoint.plain.settings, endpoint.connections.protocol
    if backend.settings_for is not None or spoken == "udp" or not isinstance(settings, MeshTlsSettings):
        return said
    return msgspec.structs.replace(said, identity=settings.spiffe_id, as_identity=str(settings.own))


def _reachable(endpoint: Endpoint, percent: float, forbidden: frozenset[tuple[str, int]]) -> Reachable:
    if (endpoint.address, endpoint.port) in forbidden:
        return Reachable(shown(endpoint.label), percent, "an address of this proxy itself: never asked")
    against = health_of(endpoint)
    return Reachable(shown(endpoint.label), percent, f"unhealthy, but too few others are healthy: {against}" if against else "")
