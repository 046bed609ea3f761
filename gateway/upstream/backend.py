"""A backend as it is live: how to speak to it, where it is now, and whom to ask next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.ir.backend import Backend as BackendResource
from gateway.ir.backend import EndpointSet
from gateway.upstream.balancing import RoundRobin
from gateway.upstream.endpoint import Endpoint

if TYPE_CHECKING:
    from gateway.net.backend_context import BackendTlsSettings

SettingsFor = Callable[[str | None], "BackendTlsSettings"]
"""TLS settings by the key of the client certificate that the Gateway presents, if any."""


class Backend:
    """Changed in place by `runtime`, between two callbacks; rules hold it and need not be rebuilt when it changes.

    `error` says why every request to it is answered 500; `settings` is None for a backend without TLS.
    """

    __slots__ = ("__weakref__", "_settings", "balancer", "connect_timeout", "endpoints", "error", "key", "resource", "settings_for")

    def __init__(self, key: str) -> None:
        self.key = key
        self.resource: BackendResource | None = None
        self.error: str | None = f"backend {key} is not known to the proxy"
        self.endpoints: dict[tuple[str, int], Endpoint] = {}
        self.balancer: RoundRobin[Endpoint] = RoundRobin(())
        self.connect_timeout: float | None = 5.0
        """Seconds, None for no limit."""
        self.settings_for: SettingsFor | None = None
        self._settings: dict[str | None, BackendTlsSettings] = {}

    def describe(self, resource: BackendResource | None, settings_for: SettingsFor | None) -> None:
        """Takes a new description, or None when the backend is gone; connections under other TLS settings are not used again."""
        self.resource, self.settings_for = resource, settings_for
        self._settings = {}
        if resource is None:
            self.error = f"backend {self.key} is not known to the proxy"
        else:
            self.error = resource.error
            self.connect_timeout = resource.options.connect_timeout / 1000 or None
        for endpoint in self.endpoints.values():
            endpoint.close_secure()
            if settings_for is not None:
                endpoint.close_idle()  # from now on TLS is asked for

    def settings(self, client_certificate: str | None) -> BackendTlsSettings | None:
        """How to do TLS with it for a Gateway with that client certificate; None for plain text. Made once a description."""
        if self.settings_for is None:
            return None
        settings = self._settings.get(client_certificate)
        if settings is None:
            settings = self._settings[client_certificate] = self.settings_for(client_certificate)
        return settings

    def place(self, resource: EndpointSet | None) -> None:
        """Takes a new set of endpoints; those that stay keep their connections, those that go keep only what is in flight."""
        wanted = {} if resource is None else {(endpoint.address, endpoint.port): endpoint for endpoint in resource.endpoints}
        for place in [place for place in self.endpoints if place not in wanted]:
            self.endpoints.pop(place).retire()
        for place, described in wanted.items():
            endpoint = self.endpoints.get(place)
            if endpoint is None:
                endpoint = self.endpoints[place] = Endpoint(*place)
            endpoint.ready, endpoint.terminating, endpoint.weight = described.ready, described.terminating, described.weight
        self.balancer.update(tuple(self.endpoints[place] for place in wanted))

    def usable(self) -> list[Endpoint]:
        """Endpoints a session may stay with."""
        return [endpoint for endpoint in self.endpoints.values() if endpoint.ready or endpoint.terminating]

    def close(self) -> None:
        for endpoint in self.endpoints.values():
            endpoint.retire()
