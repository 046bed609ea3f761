"""The kinds of routes, and what is asked of a route of any kind."""

from controller.api.grpc_route import GRPCRoute
from controller.api.http_route import HTTPRoute
from controller.api.stream_routes import TCPRoute, TLSRoute, UDPRoute

AnyRoute = HTTPRoute | GRPCRoute | TLSRoute | TCPRoute | UDPRoute

ROUTES: tuple[type[AnyRoute], ...] = (HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, UDPRoute)


def hostnames_of(route: AnyRoute) -> tuple[str, ...] | None:
    """The hosts, or server names, that a route asks for, none for all; None of a kind whose traffic carries no name."""
    return None if isinstance(route, TCPRoute | UDPRoute) else route.spec.hostnames
