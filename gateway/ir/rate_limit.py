"""How many requests a listener takes (ListenerPolicy.rateLimits)."""

from __future__ import annotations

from typing import Literal

from gateway.ir.value import Value

Counted = Literal["ClientAddress", "Header", "Route", "Listener"]


class RateLimit(Value, frozen=True):
    """`requests` each `period`, evenly, and up to `burst` at once; what is over it is answered 429."""

    name: str
    requests: int
    period: int
    """Milliseconds."""
    burst: int
    by: Counted = "ClientAddress"
    """What has a count of its own: each client, each value of a header field, each route, or only the listener as a whole."""
    header: str = ""
    """Lower-case name of the field, for Header."""
    ipv6_prefix_length: int = 64
    """How much of an IPv6 address stands for one client, for ClientAddress."""
    routes: tuple[str, ...] = ()
    """namespace/name of the routes whose requests count; empty for all requests, also those that no route matches."""
    announce: bool = False
    """Whether responses to requests that are let through say what is left."""
