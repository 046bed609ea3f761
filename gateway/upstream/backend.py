"""A backend as it is live: how to speak to it, where it is now, who of its endpoints takes part, and whom to ask next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isqrt
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import ref

from gateway.ir.backend import NO_POLICY, BackendOptions, Balancing, Ejection, EndpointSet
from gateway.ir.backend import Backend as BackendResource
from gateway.ir.backend import Endpoint as PlacedEndpoint
from gateway.net.proxy_protocol import write_header
from gateway.policies.persistence import Sessions
from gateway.policies.retry_budget import RetryBudget
from gateway.upstream.balancing import Balancer, LeastRequest, RoundRobin, WeightedRoundRobin
from gateway.upstream.checks import Checks
from gateway.upstream.connections import Connections
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.hash_balancing import LARGE_TABLE, SMALLEST_TABLE, HashBalancer, build_maglev, build_ring
from gateway.upstream.health import candidates_of, members_of
from gateway.upstream.original_destination import Destinations
from gateway.upstream.protection import Protection
from gateway.upstream.request_hash import RequestHash

if TYPE_CHECKING:
    import asyncio

    from gateway.http.head import RequestHead
    from gateway.net.backend_context import BackendTlsSettings
    from gateway.net.mesh_tls import MeshTlsSettings
    from gateway.net.peer import Origin
    from gateway.proxy.core import Core
    from gateway.proxy.port import LiveListener
    from gateway.proxy.stream import ClientStream
    from gateway.upstream.endpoint import Pool

SettingsFor = Callable[[str | None, bool], "BackendTlsSettings"]
"""TLS settings by the key of the client certificate that the Gateway presents, if any, and whether bytes are relayed as they are."""

_UNPROTECTED: Final = Ejection(consecutive_errors=0, connect_failures=False)


class Backend:
    """Changed in place by `runtime`, between two callbacks; rules hold it and need not be rebuilt when it changes.

    Of thousands of backends few are asked at one time, so one of which nothing special is said is asleep until somebody looks at what only
    a backend with traffic has (1.7 KiB each, beside 0.3).

    error     says why every request to it is answered 500
    guarded   whether the way of a request to it is more than to take the next in turn: its attempts then hold a lease
    by_version  whether connections are of the version of HTTP that the client speaks
    prefaced  whether each connection begins with who the client is, so that it is for one request alone
    active    exchanges, of those with a lease
    hashing   what of a request chooses the endpoint, None unless balancing goes by hash
    budget    of its retries, None for no limit
    sessions  of requests through rules without sessions of their own
    usable    endpoints that a session may stay with
    destinations  of one that is wherever a captured connection was going, None for one that has a set of endpoints
    """

    __slots__ = (
        "__weakref__",
        "_certificate",
        "_checks",
        "_core",
        "_placed",
        "_settings",
        "active",
        "balancer",
        "budget",
        "by_version",
        "connect_timeout",
        "connections",
        "destinations",
        "endpoints",
        "error",
        "guarded",
        "hashing",
        "key",
        "options",
        "prefaced",
        "protection",
        "resource",
        "sessions",
        "settings_for",
        "usable",
    )

    def __init__(self, key: str, core: Core) -> None:
        self.key, self._core = key, core
        self.resource: BackendResource | None = None
        self.error: str | None = f"backend {key} is not known to the proxy"
        self.settings_for: SettingsFor | None = None
        self._placed: EndpointSet | None = None
        """What was placed while it was asleep."""
        self.__class__ = _Asleep  # noqa: PLE0237  # every object has it

    @property
    def asleep(self) -> bool:
        """Whether nobody has looked yet at what only a backend with traffic has."""
        return self.__class__ is _Asleep

    def _wake(self) -> None:
        self.__class__ = Backend
        self._begin()
        self.describe(self.resource, self.settings_for)
        if self._placed is not None:
            self.place(self._placed)
            self._placed = None

    def _begin(self) -> None:
        key, core = self.key, self._core
        self.options = NO_POLICY
        self.endpoints: dict[tuple[str, int], Endpoint] = {}
        self.usable: tuple[Endpoint, ...] = ()
        self.balancer: Balancer[Endpoint] = RoundRobin()
        self.hashing: RequestHash | None = None
        self.connect_timeout: float | None = 5.0
        """Seconds, None for no limit."""
        self.guarded = self.by_version = self.prefaced = False
        self.active = 0
        self.connections = Connections(self.endpoints.values, NO_POLICY.limits.connections, NO_POLICY.limits.pending_requests)
        told = ref(self)  # nobody but rules and the live tables may hold a backend
        self.protection = Protection(core, key, told)
        self.budget: RetryBudget | None = None
        self.sessions: Sessions[Endpoint] | None = None
        self.destinations: Destinations | None = None
        self._settings: dict[tuple[str | None, bool], BackendTlsSettings] = {}
        self._certificate: str | None = None
        """The client certificate that a request presented last."""
        self._checks = Checks(core, key, told)

    # what it is told

    def describe(self, resource: BackendResource | None, settings_for: SettingsFor | None) -> None:
        """Takes a new description, or None when the backend is gone; connections under other TLS settings are not used again."""
        renewed = settings_for is not None and self.settings_for is None
        moved = resource is not None and self.resource is not None and _way(resource) != _way(self.resource)
        self.resource, self.settings_for = resource, settings_for
        self.error = f"backend {self.key} is not known to the proxy" if resource is None else resource.error
        if self.asleep:
            if resource is not None and (resource.options is not NO_POLICY or resource.original_destination):
                self._wake()
            return
        self._settings = {}
        if resource is not None:
            if resource.protocol != self.connections.protocol:
                self.connections.protocol = resource.protocol
                renewed = True
            self._follow(resource.options)
        self._go_where(resource.original_destination if resource is not None else "")
        for endpoint in self.endpoints.values():
            if moved:
                endpoint.reach_by(self._settings_of_mesh((endpoint.address, endpoint.port)))
            if renewed:
                endpoint.renew()
            else:
                endpoint.close_secure()
        self._check()
        self.arrange()

    def _go_where(self, kind: Literal["", "Elsewhere", "OwnPod"]) -> None:
        """Whether it has endpoints of its own, or is where its clients were going: health is no matter then, since there is no choice."""
        if kind != ("" if self.destinations is None else self.destinations.kind):
            self.place(None)
            self.destinations = Destinations(kind, self.key, self.endpoints, self._endpoint) if kind else None
        if kind:
            self.protection.options = _UNPROTECTED

    def _follow(self, options: BackendOptions) -> None:
        """What has not changed keeps its state."""
        before, self.options = self.options, options
        self.connect_timeout = options.connect_timeout / 1000 or None
        self.connections.limit, self.connections.pending = options.limits.connections, options.limits.pending_requests
        self.protection.options = options.ejection
        if options.balancing != before.balancing:
            by_hash = options.balancing.type in ("RingHash", "Maglev")
            self.hashing = RequestHash(options.balancing.hash_on) if by_hash else None
            self.balancer = self._make_balancer(options.balancing)
        if options.retry_budget != before.retry_budget:
            self.budget = RetryBudget(options.retry_budget) if options.retry_budget is not None else None
        if options.persistence != before.persistence:
            self.seal_sessions()

    def seal_sessions(self) -> None:
        """Makes its sessions, if it has any, of the options and the secret that are current."""
        persistence = self.options.persistence
        self.sessions = Sessions.compile(persistence, self.key, self._core.session_secret) if persistence is not None else None

    def _make_balancer(self, balancing: Balancing) -> Balancer[Endpoint]:
        draw = self._core.random.random
        match balancing.type:
            case "RoundRobin":
                return RoundRobin()
            case "LeastRequest":
                return LeastRequest(draw)
            case "RingHash":
                return HashBalancer(build_ring, balancing.table_size, draw, self._core.slices.add)
            case "Maglev":
                return HashBalancer(build_maglev, balancing.table_size, draw, self._core.slices.add)

    def place(self, resource: EndpointSet | None) -> None:
        """Takes a new set of endpoints; those that stay keep their connections, those that go keep only what is in flight. One that
        is where its clients were going has none."""
        if self.asleep:
            self._placed = resource
            return
        if self.destinations is not None and resource is not None:
            return
        wanted = {} if resource is None else {(endpoint.address, endpoint.port): endpoint for endpoint in resource.endpoints}
        for place in [place for place in self.endpoints if place not in wanted]:
            endpoint = self.endpoints.pop(place)
            self.protection.forget(endpoint)
            endpoint.retire()
        before = dict(self.endpoints)
        self.endpoints.clear()
        for place, described in wanted.items():
            endpoint = self.endpoints[place] = before.get(place) or self._endpoint(place)
            endpoint.ready, endpoint.terminating, endpoint.weight = described.ready, described.terminating, described.weight
            if self.connections.waiting:
                endpoint.let_rest(False)
        self.usable = tuple(endpoint for endpoint in self.endpoints.values() if endpoint.ready or endpoint.terminating)
        self._check()
        self.arrange()

    @property
    def placed(self) -> Iterable[Endpoint | PlacedEndpoint]:
        """Its endpoints, without a look at more than that."""
        if self.asleep:
            return () if self._placed is None else self._placed.endpoints
        return self.endpoints.values()

    def _endpoint(self, place: tuple[str, int]) -> Endpoint:
        return Endpoint(*place, self.connections, self.protection, self._settings_of_mesh(place))

    def _settings_of_mesh(self, place: tuple[str, int]) -> MeshTlsSettings | None:
        """What goes to the application itself is plain, whoever its Pod is to others, and so is what is outside the mesh."""
        resource = self.resource
        if resource is None:
            return self._core.mesh.settings(*place)
        plain = resource.external or resource.original_destination == "OwnPod"
        return None if plain else self._core.mesh.settings(*place, resource.identities)

    def close(self) -> None:
        """The end of it: nothing is checked or probed any more, and what is in flight ends with its exchange."""
        if self.asleep:
            return
        self.protection.close()
        self._checks.close()
        for endpoint in self.endpoints.values():
            endpoint.retire()

    # who takes part

    def arrange(self) -> None:
        """After any change of endpoints, options or health."""
        members = members_of(tuple(self.endpoints.values())) if self.destinations is None else ()
        candidates = candidates_of(members, self.options.panic_threshold)
        if self.options.balancing.type == "RoundRobin":
            even = all(endpoint.weight == candidates[0].weight for endpoint in candidates)
            if even is not isinstance(self.balancer, RoundRobin):
                self.balancer = RoundRobin() if even else WeightedRoundRobin()
        self.balancer.update(members, candidates)
        self.guard()
        out = sum(not endpoint.health.healthy for endpoint in members)
        self._core.incidents.show("tidegate_endpoints_ejected", self.key, out)

    def guard(self) -> None:
        """After any change of what a request costs: options, and whether there are suspects."""
        counted = self.balancer.counted or self.options.limits.requests or self.budget is not None
        self.by_version = self.connections.protocol == "client"
        self.prefaced = bool(self.options.proxy_protocol)
        special = self.sessions is not None or self.prefaced or self.destinations is not None
        self.guarded = bool(self.balancer.keyed or counted or special or self.protection.suspects)

    def _check(self) -> None:
        """An endpoint of UDP has nothing to connect to."""
        usable = self.resource is not None and self.error is None and self.resource.protocol != "udp" and self.destinations is None
        version = self.options.proxy_protocol
        preface = write_header(version, None) if version else b""
        self._checks.follow(self.options.health_check if usable else None, self.endpoints.values(), self.connections.protocol, preface)

    def pick(self, head: RequestHead, client_address: bytes) -> Endpoint | None:
        """Whom to ask a request that is no exchange of its own, such as a copy."""
        key = self.hashing.key(head, client_address) if self.hashing is not None else None
        return self.balancer.pick(key=key)

    def is_settled(self) -> bool:
        """Whether the endpoint of a key stays the same as long as no endpoint comes or goes: no table is being built. In a process that
        serves nobody it is built now."""
        balancer = self.balancer
        if isinstance(balancer, HashBalancer) and not balancer.is_built and not self._core.loop.is_running():
            balancer.build_now()
        return not isinstance(balancer, HashBalancer) or balancer.is_built

    # connections

    def age(self, turns: int) -> None:
        """Called at regular intervals: closes what has been idle for more than so many of them."""
        if self.asleep:
            return
        follows = self.resource is not None and self.resource.follows_names
        for endpoint in self.endpoints.values():
            if follows:
                self._follow_name(endpoint)
            endpoint.age(turns)
        if self.destinations is not None:
            self.destinations.forget_unused()

    def _follow_name(self, endpoint: Endpoint) -> None:
        """Has connections end when the endpoint's name has lost an address that some of them lead to, each with what it carries: requests
        that follow one another without a pause would never ask DNS again."""
        if not endpoint.resolved or not self.connections.count:
            return
        current = self._core.resolver.current(endpoint.address)
        if current and not endpoint.resolved.issubset(current):
            endpoint.resolved = frozenset()
            endpoint.renew()

    def preface(self, origin: Origin, transport: asyncio.BaseTransport) -> bytes:
        """What a connection for the client at the other end of a transport begins with (BackendPolicy.proxyProtocol); b'' for nothing."""
        version = self.options.proxy_protocol
        return write_header(version, origin.ends(transport)) if version else b""

    def pool(self, endpoint: Endpoint, listener: LiveListener, client: ClientStream, version: bytes) -> Pool:
        """Of connections to one of its endpoints, for requests of this client through this listener, and of this version of HTTP: with the
        certificate that the listener's Gateway presents. Raises ValueError when it cannot be presented."""
        settings, preface = self.settings(listener.client_certificate), self.preface(client.origin, client.transport)
        return endpoint.pool(settings, preface, multiplexed=version == b"2" and self.connections.protocol == "client")

    def settings(self, client_certificate: str | None, relayed: bool = False) -> BackendTlsSettings | None:
        """How to do TLS with it for a Gateway with that client certificate; None where it has none of its own. What is relayed has no
        protocol that could be offered. Made once a description."""
        if self.settings_for is None:
            return None
        key = client_certificate, relayed
        settings = self._settings.get(key)
        if settings is None:
            settings = self._settings[key] = self.settings_for(client_certificate, relayed)
            self._certificate = client_certificate
        return settings

    def settings_of_checks(self) -> BackendTlsSettings | None:
        """As a request has them that shows the client certificate of a Gateway which came here, if there is one."""
        return self.settings(self._certificate)


def _way(resource: BackendResource) -> tuple[bool, tuple[str, ...]]:
    """What says whether an endpoint is reached by mutual TLS of the mesh, besides who is there."""
    return resource.external, resource.identities


class _Asleep(Backend):
    """One that wakes when something is asked of it that is not there yet. A class of its own, since where there is a __getattr__ each
    attribute costs more (CPython specialises none of them)."""

    __slots__ = ()

    if not TYPE_CHECKING:  # or every attribute would seem to be there

        def __getattr__(self, name: str) -> Any:
            self._wake()
            return getattr(self, name)


def check_options(options: BackendOptions, secret: bytes) -> None:
    """Raises ValueError, with the field, for options that no backend can have. `secret` is that of session tokens."""
    balancing, limits = options.balancing, options.limits
    if balancing.table_size and not SMALLEST_TABLE <= balancing.table_size <= LARGE_TABLE:
        raise ValueError(f"balancing.tableSize {balancing.table_size} is not between {SMALLEST_TABLE} and {LARGE_TABLE}")
    if balancing.type == "Maglev" and any(balancing.table_size % divisor == 0 for divisor in range(2, isqrt(balancing.table_size) + 1)):
        raise ValueError(f"balancing.tableSize {balancing.table_size} is no prime, as Maglev needs it")
    if limits.connections < 1 or limits.pending_requests < 0 or limits.requests < 0:
        raise ValueError("limits must not be negative, and limits.connections is at least 1")
    if options.persistence is not None:
        Sessions.compile(options.persistence, "", secret)
