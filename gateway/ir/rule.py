"""One rule of a route: where it listens, what it matches, what it does."""

from __future__ import annotations

from typing import Final, Literal

from gateway.ir.filters import AnyFilter
from gateway.ir.value import Resource, Value


class PathMatch(Value, frozen=True):
    """HTTPPathMatch, or GRPCMethodMatch as the path /service/method. The value of a PathPrefix has no trailing slash except '/' itself."""

    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: str = "/"
    weights: tuple[int, int] | None = None
    """Of a GRPCMethodMatch that is a RegularExpression here: how much it says of the service and of the method, 0 for nothing; more goes
    first. Such an expression comes after the exact paths and the prefixes of services, and before the prefix '/'."""


class HeaderMatch(Value, frozen=True):
    """HTTPHeaderMatch; the name is lower case."""

    name: str
    value: str
    type: Literal["Exact", "RegularExpression"] = "Exact"


class QueryMatch(Value, frozen=True):
    """HTTPQueryParamMatch; the name is case-sensitive."""

    name: str
    value: str
    type: Literal["Exact", "RegularExpression"] = "Exact"


class Match(Value, frozen=True):
    """HTTPRouteMatch: all of it must hold."""

    path: PathMatch = PathMatch()
    method: str | None = None
    headers: tuple[HeaderMatch, ...] = ()
    queries: tuple[QueryMatch, ...] = ()


class Binding(Value, frozen=True):
    """A listener that the rule's route is attached to, and hostnames: never empty, lower case, '' for every host.

    Those of an HttpRule are its route's own, as written. At least one has hosts in common with the listener's; the proxy serves what the
    listener's covers of them, so that a listener may change its hostname without its rules. Those of a StreamRule are the intersection
    of both sides.
    """

    listener: str
    hostnames: tuple[str, ...]


class BackendRef(Value, frozen=True):
    """A share of a rule's traffic. With an error the share is answered 500 and the error is the reason."""

    backend: str = ""
    """Key of the Backend; '' with an error."""
    weight: int = 1
    filters: tuple[AnyFilter, ...] = ()
    error: str | None = None


class Timeouts(Value, frozen=True):
    """Milliseconds; None and 0 mean no limit (HTTPRouteTimeouts)."""

    request: int | None = None
    backend_request: int | None = None


NO_TIMEOUTS: Final = Timeouts()
"""One value for all rules without, and nothing on the wire (defaults are told by being the same object)."""


class Retry(Value, frozen=True):
    """HTTPRouteRetry: attempts is the number of retries after the first try; backoff the least wait in milliseconds."""

    attempts: int = 1
    codes: tuple[int, ...] = ()
    backoff: int | None = None


class Persistence(Value, frozen=True):
    """SessionPersistence. Without absolute_timeout (seconds) a session lasts as long as its client keeps it."""

    type: Literal["Cookie", "Header"]
    session_name: str
    absolute_timeout: int | None = None
    permanent: bool = False
    """Whether the cookie carries Max-Age."""
    path: str = "/"


class HttpRule(Resource, frozen=True, tag="HttpRule"):
    """Key route kind/namespace/route/index, of an HTTPRoute or a GRPCRoute. Matches are alternatives, as written; without backends it
    answers 500 unless a filter does."""

    route: str
    """namespace/name"""
    index: int
    bindings: tuple[Binding, ...]
    matches: tuple[Match, ...] = (Match(),)
    created: str = ""
    """The route's creation time, RFC 3339 in UTC, '' where unknown: older wins, then `route`, then `index`, then the match's place."""
    name: str = ""
    filters: tuple[AnyFilter, ...] = ()
    backends: tuple[BackendRef, ...] = ()
    timeouts: Timeouts = NO_TIMEOUTS
    retry: Retry | None = None
    persistence: Persistence | None = None


class StreamRule(Resource, frozen=True):
    """Base of the rules that choose backends for a connection, or a UDP flow, as a whole. Key route kind/namespace/route/index.

    Without a backend that can be reached the connection is closed, and a datagram dropped.
    """

    route: str
    """namespace/name"""
    index: int
    bindings: tuple[Binding, ...]
    """Hostnames of a TlsRule are server names; those of the others are always ('',)."""
    created: str = ""
    """The route's creation time, RFC 3339 in UTC, '' where unknown: the oldest rule of a listener serves, then `route`, then `index`."""
    name: str = ""
    backends: tuple[BackendRef, ...] = ()


class TcpRule(StreamRule, frozen=True, tag="TcpRule"):
    """One rule of a TCPRoute."""


class TlsRule(StreamRule, frozen=True, tag="TlsRule"):
    """One rule of a TLSRoute, or of a ServiceEntry; whether TLS is terminated is the listener's to say."""


class UdpRule(StreamRule, frozen=True, tag="UdpRule"):
    """One rule of a UDPRoute."""


AnyRule = HttpRule | TlsRule | TcpRule | UdpRule
