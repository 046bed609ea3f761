"""The endpoints of a backend that is wherever a captured connection was going: each is made when somebody goes there, and forgotten when
nothing is left of it.

    Elsewhere  as the client would have gone
    OwnPod     to the application beside us, from an address by which the capture rules know that it has been through here
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from gateway.net.peer import Origin
    from gateway.proxy.port import LiveListener
    from gateway.upstream.endpoint import Endpoint

MOST_DESTINATIONS: Final = 4096
"""Of one backend in one worker. For one more, those to which nothing is under way are forgotten, with the connections that rest there."""
OWN_SOURCES: Final = ("127.0.0.6", "::6")
"""Where connections to the application beside us come from, of IPv4 and of IPv6."""


class NoDestination(Exception):
    """There is nowhere to go; the text says why."""


class Destinations:
    """Owner of what stands in `endpoints`, which are those of the backend."""

    __slots__ = ("_endpoints", "_key", "_make", "kind")

    def __init__(
        self,
        kind: Literal["Elsewhere", "OwnPod"],
        key: str,
        endpoints: dict[tuple[str, int], Endpoint],
        make: Callable[[tuple[str, int]], Endpoint],
    ) -> None:
        """All but the kind are the backend's; `make` gives an endpoint of it as others of the mesh reach it."""
        self.kind, self._key, self._endpoints, self._make = kind, key, endpoints, make

    def of(self, listener: LiveListener | None, origin: Origin) -> Endpoint:
        """Where a connection through this listener was going. Raises NoDestination."""
        captured, ends = listener is not None and listener.resource.capture is not None, origin.named
        if not captured or ends is None:
            raise NoDestination(f"backend {self._key} is where a captured connection was going, and this one was not captured")
        return self.endpoint(ends.destination.decode("ascii"), ends.destination_port)

    def endpoint(self, address: str, port: int) -> Endpoint:
        """Raises NoDestination when there are as many as there may be, all in use."""
        endpoint = self._endpoints.get((address, port))
        if endpoint is None:
            if len(self._endpoints) >= MOST_DESTINATIONS:
                self.forget_unused(resting=True)
            if len(self._endpoints) >= MOST_DESTINATIONS:
                raise NoDestination(f"backend {self._key} is in use with {MOST_DESTINATIONS} destinations, which is the limit")
            endpoint = self._endpoints[address, port] = self._make((address, port))
            endpoint.source = self.source_for(address)
        return endpoint

    def source_for(self, address: str) -> str:
        """Endpoint.source of one with this address."""
        return OWN_SOURCES[":" in address] if self.kind == "OwnPod" else ""

    def forget_unused(self, *, resting: bool = False) -> None:
        """Those of which nothing is left; with `resting` also those that have only idle connections, which end."""
        for place, endpoint in list(self._endpoints.items()):
            if endpoint.unused or (resting and not endpoint.active):
                del self._endpoints[place]
                endpoint.retire()
