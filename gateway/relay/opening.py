"""How a relay gets its backend: a share by weight, an endpoint as the backend's policy says, a connection, and another endpoint where
none comes about. Nothing was passed on by then, so that another try harms nobody.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.net.deadlines import NEVER
from gateway.policies.authorization import FLAG
from gateway.proxy.guard import forbids
from gateway.proxy.guarded import OVERFLOW
from gateway.proxy.port import passes_tls
from gateway.relay.rule import NO_ROUTE, NO_WEIGHT
from gateway.relay.side import BackendSide
from gateway.upstream.connect import ConnectFailed, reach
from gateway.upstream.lease import Lease
from gateway.upstream.original_destination import NoDestination
from gateway.upstream.request_hash import client_key

if TYPE_CHECKING:
    from gateway.net.backend_context import TlsSettings
    from gateway.relay.relay import Relay
    from gateway.upstream.backend import Backend
    from gateway.upstream.connections import Speaking
    from gateway.upstream.endpoint import Endpoint

MOST_TRIES: Final = 3
"""Endpoints that are tried for one client; each has the backend's connect timeout."""


def begin(relay: Relay) -> None:
    """The client's connection is there."""
    core, restraint = relay.core, relay.port.restraint
    if relay.listener is None:
        relay.listener = relay.port.hosts.choose(b"")
        if relay.listener is None:
            relay.refuse("NR", "the port is closed")
            return
        relay.rule = relay.listener.streams.choose(b"")
    rule, guard = relay.rule, relay.listener.guard
    if relay.listener.observer is not None:
        relay.listener.observer.meet(relay.origin, relay.client.transport)
    if restraint is not None and restraint.shortage:
        core.clients.count_shed(restraint.shortage)
        relay.refuse("OM", f"overloaded: {restraint.shortage}")
    elif guard is not None and (reason := forbids(relay, relay.listener, guard)):
        relay.refuse(FLAG, reason)
    elif rule is None:
        relay.refuse("NR", NO_ROUTE)
    else:
        share = relay.share = rule.choose(core)
        backend = share.backend if share is not None else None
        if share is None:
            relay.refuse("NC", NO_WEIGHT)
        elif backend is None or backend.error is not None:
            relay.refuse("NC", (share.error if backend is None else backend.error) or "invalid backend")
        else:
            _attempt(relay, backend)


def _attempt(relay: Relay, backend: Backend, failure: str = "") -> None:
    """One try; `failure` is what became of the one before."""
    most = backend.options.limits.requests
    if most and backend.active >= most:
        _overflow(relay, backend, "requests", f"backend {backend.key} has {most} requests under way, which is its limit")
        return
    reason = f"backend {backend.key} has no ready endpoint"
    try:
        endpoint = _endpoint(relay, backend)
    except NoDestination as nowhere:
        endpoint, reason = None, str(nowhere)
    if endpoint is None:
        relay.refuse(*(("UF", failure) if failure else ("UH", reason)))
        return
    relay.endpoint = endpoint
    try:
        settings = _settings(relay, backend, endpoint)
    except ValueError as refusal:
        relay.refuse("NC", str(refusal))
        return
    lease = relay.lease = Lease(backend, endpoint)
    if backend.connections.reserve():
        _connect(relay, backend, endpoint, settings)
        return
    waiting = InLine(relay, backend, endpoint, settings)
    if backend.connections.wait(waiting):
        lease.waiting = waiting
        if backend.connect_timeout is not None:
            relay.core.deadlines.set(waiting, monotonic() + backend.connect_timeout)
    else:
        most = backend.connections.limit
        reason = f"all {most} connections of backend {backend.key} are in use, and {backend.connections.waiting} wait for one"
        _overflow(relay, backend, "pendingRequests", reason)


def _endpoint(relay: Relay, backend: Backend) -> Endpoint | None:
    """One that was not tried; None when there is none, or enough were. Raises NoDestination."""
    if backend.destinations is not None:
        return None if relay.tried else backend.destinations.of(relay.listener, relay.origin)
    key = client_key(relay.address) if backend.hashing is not None else None
    return backend.balancer.pick(relay.tried, key) if len(relay.tried) < MOST_TRIES else None


def _settings(relay: Relay, backend: Backend, endpoint: Endpoint) -> TlsSettings | None:
    """The backend's TLS, unless client and backend end it themselves since it is passed through; that of the mesh, of which they know
    nothing, where the backend has none. Raises ValueError."""
    listener = relay.listener
    assert listener is not None
    if backend.settings_for is None:
        return endpoint.plain.settings
    return None if passes_tls(listener.resource) else backend.settings(listener.client_certificate, relayed=True)


def _overflow(relay: Relay, backend: Backend, limit: str, reason: str) -> None:
    """A limit of the backend is reached; `limit` is its name in the policy."""
    relay.core.incidents.count(OVERFLOW, backend.key, "limit", limit)
    relay.refuse("UO", reason)


def _connect(relay: Relay, backend: Backend, endpoint: Endpoint, settings: TlsSettings | None) -> None:
    side = BackendSide(relay, backend.connections, settings, backend.preface(relay.origin, relay.client.transport))
    relay.task = relay.core.start(_reach(relay, backend, endpoint, side))


async def _reach(relay: Relay, backend: Backend, endpoint: Endpoint, side: BackendSide) -> None:
    """With a place among the backend's connections that is reserved."""
    pool = endpoint.plain
    try:
        await reach(relay.core, endpoint, side.settings, side, backend.connect_timeout, side.preface)
    except ConnectFailed as failure:
        side.give_up()
        relay.task = None
        _leave_attempt(relay)
        relay.tried = (*relay.tried, endpoint)
        _attempt(relay, backend, str(failure))
        return
    except BaseException:  # the client has left
        side.give_up()
        raise
    if not pool.most and backend.resource is not None:  # it went meanwhile, or is to be reached otherwise, and nothing was passed on
        side.give_up()
        _leave_attempt(relay)
        _attempt(relay, backend)
        return
    if relay.lease is not None:
        relay.lease.answered_well()
    relay.connected(side)


def _leave_attempt(relay: Relay) -> None:
    lease, relay.lease = relay.lease, None
    if lease is not None:
        lease.release()


class InLine:
    """A relay that waits for a place among the backend's connections: in its line, and an item of the worker's deadlines."""

    __slots__ = ("_backend", "_endpoint", "_pool", "_relay", "_settings", "deadline", "slot")

    def __init__(self, relay: Relay, backend: Backend, endpoint: Endpoint, settings: TlsSettings | None) -> None:
        self._relay, self._backend, self._endpoint, self._settings = relay, backend, endpoint, settings
        self._pool = endpoint.plain
        """Retired once the endpoint is gone, or to be reached otherwise."""
        self.deadline, self.slot = NEVER, 0

    def takes(self, connection: Speaking) -> bool:
        """A connection that others have used is of no use."""
        return False

    def given(self, connection: Speaking) -> None:
        """Never called, since none is taken."""
        connection.close()

    def go(self) -> None:
        """There is room; it counts from now on."""
        self._leave_deadlines()
        if not self._pool.most:
            _leave_attempt(self._relay)
            _attempt(self._relay, self._backend)
        elif self._backend.connections.reserve():
            _connect(self._relay, self._backend, self._endpoint, self._settings)
        else:
            self.expire(monotonic())

    def leave(self) -> None:
        """The relay waits no longer."""
        self._leave_deadlines()
        self._backend.connections.leave(self)

    def _leave_deadlines(self) -> None:
        if self.slot:
            self._relay.core.deadlines.forget(self)

    def expire(self, now: float) -> None:
        """No place was free in time."""
        backend = self._backend
        backend.connections.leave(self)
        most = backend.connections.limit
        reason = f"none of the {most} connections of backend {backend.key} was free within {backend.connect_timeout:g} s"
        _overflow(self._relay, backend, "connections", reason)
