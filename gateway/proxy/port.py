"""A bound port and the listeners that share it; a listener as it is live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.http.target import PathRules
from gateway.ir.listener import Listener
from gateway.net.deadlines import NEVER
from gateway.proxy.forwarded import Trust
from gateway.routing.hosts import HostTable
from gateway.routing.table import RouteTable

if TYPE_CHECKING:
    from gateway.net.contexts import ServerContexts
    from gateway.proxy.client_connection import ClientConnection
    from gateway.proxy.rule import Account, Rule


class LiveListener:
    """Everything a request needs to know of its listener. `routes` is replaced as a whole; the rest holds as long as the resource does."""

    __slots__ = (
        "account",
        "client_certificate",
        "contexts",
        "demands",
        "key",
        "location_port",
        "options",
        "path_rules",
        "resource",
        "routes",
        "scheme",
        "trust",
    )

    def __init__(
        self,
        resource: Listener,
        routes: RouteTable[Rule],
        account: Account,
        contexts: ServerContexts | None,
        demands: tuple[str, ...] = (),
    ) -> None:
        options = resource.options
        self.key, self.resource, self.routes, self.account, self.contexts = resource.key, resource, routes, account, contexts
        self.demands = demands
        """What clients must show: the mode of validation and the authorities in PEM; nothing where no certificate is asked for."""
        self.options = options
        self.scheme = b"https" if resource.protocol == "HTTPS" else b"http"
        self.location_port = resource.location_port
        self.path_rules = PathRules(options.escaped_slashes, options.merge_slashes)
        self.trust = Trust.of(options)
        self.client_certificate: str | None = None
        """Key of the certificate that the Gateway presents to TLS backends."""

    def replaced_by(self, other: LiveListener) -> bool:
        """Whether a connection that this listener accepted may be served by its newer version: under the same demands on clients."""
        return self.key == other.key and self.demands == other.demands


class Port:
    """One address and port. Plain ports choose the listener for each request, TLS ports for each connection and check each request."""

    __slots__ = (
        "account",
        "address",
        "connections",
        "draining",
        "header_timeout",
        "hosts",
        "idle_timeout",
        "number",
        "public_number",
        "tls",
    )

    def __init__(self, address: str, number: int, tls: bool, account: Account) -> None:
        self.address, self.number, self.tls, self.account = address, number, tls, account
        self.hosts: HostTable[LiveListener] = HostTable({})
        self.connections: set[ClientConnection] = set()
        self.header_timeout, self.idle_timeout = 10.0, 60.0
        self.public_number = number
        """The port that the user wrote, which may not be the one that is bound."""
        self.draining = False

    def listen(self, listeners: dict[bytes, LiveListener]) -> None:
        """Takes the listeners by hostname; before a host is known the most patient of them sets the timeouts."""
        self.hosts = HostTable(listeners)
        if listeners:
            self.public_number = next(iter(listeners.values())).resource.port
            self.header_timeout = max(_seconds(listener.options.header_timeout) for listener in listeners.values())
            self.idle_timeout = max(_seconds(listener.options.idle_timeout) for listener in listeners.values())

    def drain(self) -> None:
        """No more requests on the connections there are; exchanges that run go on."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()


def _seconds(milliseconds: int) -> float:
    """Zero means no limit, as in HTTPRouteTimeouts."""
    return milliseconds / 1000 if milliseconds else NEVER
