"""A bound port and the listeners that share it; a listener as it is live."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Final, Literal

from gateway.http.target import PathRules
from gateway.ir.listener import Listener
from gateway.ir.workload import IDENTITY
from gateway.proxy.forwarded import Trust
from gateway.proxy.greeting import Greeting
from gateway.proxy.limits import PaceLimits, loosest_connections, loosest_pace, seconds
from gateway.proxy.restraint import Restraint
from gateway.proxy.rule import Account
from gateway.routing.hosts import HostTable
from gateway.routing.streams import StreamTable
from gateway.routing.table import RouteTable
from gateway.telemetry.counters import CounterLabels

if TYPE_CHECKING:
    from gateway.net.contexts import ServerContexts
    from gateway.proxy.client import Client
    from gateway.proxy.core import Core
    from gateway.proxy.detecting import Detecting
    from gateway.proxy.greeting import Greeter
    from gateway.proxy.guard import Guard
    from gateway.proxy.observer import Observer
    from gateway.proxy.request_limits import RequestLimits
    from gateway.proxy.rule import Rule
    from gateway.relay.flow import Flow
    from gateway.relay.relay import Relay
    from gateway.relay.rule import LiveStreamRule

PortKind = Literal["http", "tls", "tcp", "udp"]
"""What comes first on a port's connections: a request, a ClientHello, or whatever the client and its backend agree on. One of UDP has
none."""

OpenKind = PortKind | Literal["captured"]
"""The same of what is bound: a capture port has a Port for each listener that serves."""

_KINDS: Final[dict[str, PortKind]] = {"HTTP": "http", "HTTPS": "tls", "TLS": "tls", "TCP": "tcp", "UDP": "udp"}


def kind_of(resource: Listener) -> OpenKind:
    """The kind of what a listener stands on."""
    return "captured" if resource.capture is not None else _KINDS[resource.protocol]


def by_hostname(listeners: Iterable[LiveListener]) -> dict[bytes, LiveListener]:
    """As `Port.listen` takes them."""
    return {listener.resource.hostname.encode("ascii"): listener for listener in listeners}


def terminates(resource: Listener) -> bool:
    """Whether a listener ends TLS, with certificates of its own."""
    if resource.capture is not None:
        return resource.capture.mutual_tls != "Disable"
    return resource.protocol == "HTTPS" or (resource.protocol == "TLS" and resource.tls_mode == "Terminate")


def passes_tls(resource: Listener) -> bool:
    """Whether a listener leaves TLS to its backends, which is never encrypted twice."""
    return resource.protocol == "TLS" and resource.tls_mode == "Passthrough"


def is_of_mesh(resource: Listener) -> bool:
    """Whether callers prove identities of the mesh there, and are shown ours."""
    return IDENTITY in resource.certificates


def admits(resource: Listener) -> bool:
    """Whether what was let in without an identity of the mesh may be served there."""
    return resource.capture is None or resource.capture.mutual_tls != "Strict"


class LiveListener:
    """Everything a request or a stream needs to know of its listener. `routes` and `streams` are replaced as a whole; the rest holds as
    long as the resource does."""

    __slots__ = (
        "_account",
        "_core",
        "client_certificate",
        "contexts",
        "demands",
        "flow_idle",
        "guard",
        "key",
        "location_port",
        "observer",
        "options",
        "pace",
        "path_rules",
        "request_limits",
        "resource",
        "routes",
        "scheme",
        "stream_idle",
        "streams",
        "trust",
    )

    def __init__(
        self,
        resource: Listener,
        routes: RouteTable[Rule],
        core: Core,
        contexts: ServerContexts | None,
        demands: tuple[str, ...] = (),
    ) -> None:
        options = resource.options
        self.key, self.resource, self.routes, self._core, self.contexts = resource.key, resource, routes, core, contexts
        self._account: Account | None = None
        self.demands = demands
        """What clients must show: the mode of validation and the authorities in PEM, those of the mesh one by one; nothing where no
        certificate is asked for."""
        self.options = options
        self.pace = PaceLimits.of(options)
        self.scheme = b"https" if resource.protocol == "HTTPS" else b"http"
        self.location_port = resource.location_port
        self.guard: Guard | None = None
        """What policies say of its requests and streams; None where none holds."""
        self.path_rules = PathRules(options.escaped_slashes, options.merge_slashes)
        capture = resource.capture
        silent = capture is not None and capture.entries  # whoever is not of the cluster gets what the application has sent
        self.trust = Trust.of(options, proven=capture is not None or is_of_mesh(resource), silent=silent)
        self.streams: StreamTable[LiveStreamRule] = StreamTable()
        self.stream_idle = seconds(options.stream_idle_timeout)
        """Seconds that may pass in a relay without a byte in either direction."""
        self.flow_idle = seconds(options.flow_idle_timeout)
        """Seconds without a datagram at which a UDP flow ends."""
        Greeting.of((options,))  # which may be refused
        self.request_limits: RequestLimits | None = None
        """How many requests it takes, and how long they may be; None where nothing is said of it."""
        self.observer: Observer | None = None
        """What is seen of its requests besides counters and log; None where that is nothing."""
        self.client_certificate: str | None = None
        """Key of the certificate that the Gateway presents to TLS backends."""

    @property
    def account(self) -> Account:
        """Of requests that no rule serves. Made for the first of them."""
        if self._account is None:
            labels = CounterLabels(self.resource.gateway, self.resource.name)
            self._account = Account(self._core.counters_for(labels), labels)
        return self._account

    def be_guarded(self, guard: Guard | None) -> None:
        """By policies, from the next request on. A backend may take several slashes for one, so policies that look at paths see
        them as one."""
        self.guard = guard
        merging = self.options.merge_slashes or (guard is not None and guard.merges_slashes)
        self.path_rules = PathRules(self.options.escaped_slashes, merging)

    def replaced_by(self, other: LiveListener) -> bool:
        """Whether a connection that this listener accepted may be served by its newer version: under the same demands on clients. Of the
        mesh it may as long as every root by which callers were judged still counts, and who came in plain still may."""
        if self.key != other.key:
            return False
        if other.resource.capture is not None or is_of_mesh(other.resource):
            kept = not other.demands or set(self.demands) <= set(other.demands)
            return kept and (admits(other.resource) or not admits(self.resource))
        return self.demands == other.demands


class Port:
    """One address and port. Ports of HTTP choose the listener for each request, TLS ports for each connection and check each request; a
    port of TCP has one listener."""

    __slots__ = (
        "_draining",
        "_idle_ceiling",
        "_idle_configured",
        "_pressing",
        "_trusts",
        "account",
        "address",
        "captured",
        "connections",
        "greeters",
        "greeting",
        "header_timeout",
        "hosts",
        "idle_timeout",
        "kind",
        "limits",
        "most_flows",
        "number",
        "pace",
        "public_number",
        "relays",
        "restraint",
        "seats",
        "tls",
    )

    def __init__(self, address: str, number: int, kind: PortKind, account: Account) -> None:
        self.address, self.number, self.kind, self.account = address, number, kind, account
        self.tls = kind == "tls"
        self.hosts: HostTable[LiveListener] = HostTable({})
        self.connections: set[Client] = set()
        """Those that speak HTTP."""
        self.most_flows = 0
        self.relays: set[Relay | Flow] = set()
        """The others."""
        self.greeting: Greeting | None = None
        """What connections begin with before anything else; None as a rule."""
        self.greeters: set[Greeter | Detecting] = set()
        """Those of which that is not read yet, or of which it is not known what they speak."""
        self.captured = False
        """Whether its connections were going somewhere else, of which Origin.named then tells."""
        self.header_timeout = 10.0
        self._idle_configured = self.idle_timeout = 60.0
        self._idle_ceiling = inf
        self.pace, self.limits = loosest_pace(()), loosest_connections(())
        self.seats: dict[bytes, int] = {}
        """Connections by client, where that is limited."""
        self.public_number = number
        """The port that the user wrote, which may not be the one that is bound."""
        self._trusts: tuple[Trust, ...] = ()
        self._draining = False
        self._pressing = Restraint()
        """What overload asks for."""
        self.restraint: Restraint | None = None
        """What connections are told; None as a rule."""

    def listen(self, listeners: dict[bytes, LiveListener]) -> None:
        """Takes the listeners by hostname; before a host is known the most patient of them sets the timeouts."""
        self.hosts = HostTable(listeners)
        if listeners:
            self.public_number = next(iter(listeners.values())).resource.port
            options = [listener.options for listener in listeners.values()]
            self.header_timeout = max(seconds(each.header_timeout) for each in options)
            self._idle_configured = max(seconds(each.idle_timeout) for each in options)
            self.pace, self.limits = loosest_pace(options), loosest_connections(options)
            self.greeting = Greeting.of(options)
            self.most_flows = max(each.most_flows for each in options)
            self._trusts = tuple([listener.trust for listener in listeners.values() if listener.trust is not None])
            self._restrain()

    @property
    def sole(self) -> LiveListener | None:
        """The listener of a port that has only one."""
        listeners = self.hosts.values()
        return listeners[0] if len(listeners) == 1 else None

    @property
    def occupancy(self) -> int:
        """How many connections there are."""
        return len(self.connections) + len(self.relays) + len(self.greeters)

    def press(self, idle_ceiling: float, pressing: Restraint) -> None:
        """Overload: how long a connection may be idle at most, and what is held back; inf and nothing when it is over."""
        self._idle_ceiling, self._pressing = idle_ceiling, pressing
        self._restrain()

    def _restrain(self) -> None:
        self.idle_timeout = min(self._idle_configured, self._idle_ceiling)
        pressing = self._pressing
        wanted = Restraint(self._draining or pressing.closing, self.limits.requests, pressing.shortage)
        self.restraint = None if wanted == Restraint() else wanted

    def believes(self, address: bytes) -> bool:
        """Whether it is a proxy of ours, behind which many clients are."""
        return any(trust.believes(address) for trust in self._trusts)

    def close_kept(self) -> None:
        """Every response ends its connection from now on."""
        self._draining = True
        self._restrain()

    def drain(self) -> None:
        """No more requests on the connections there are; exchanges that run go on."""
        self.close_kept()
        for connection in list(self.connections):
            connection.drain()
