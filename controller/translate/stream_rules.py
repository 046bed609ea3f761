"""The one rule of a TLSRoute, TCPRoute or UDPRoute as one resource. An invalid reference costs its share of connections or flows only."""

from __future__ import annotations

from controller.api.stream_routes import StreamRouteRule, TCPRoute, TLSRoute, UDPRoute
from controller.graph import View
from controller.translate.conditions import Problem
from controller.translate.objects import created, source_of
from controller.translate.verdicts import References, RuleVerdict
from gateway.ir.rule import Binding, TcpRule, TlsRule, UdpRule

StreamRoute = TLSRoute | TCPRoute | UDPRoute

_RESOURCES: dict[str, type[TlsRule] | type[TcpRule] | type[UdpRule]] = {"TLSRoute": TlsRule, "TCPRoute": TcpRule, "UDPRoute": UdpRule}


def read_stream_rules(view: View, route: StreamRoute, bindings: tuple[Binding, ...], in_mesh: bool) -> tuple[RuleVerdict, ...]:
    """All rules of a route; `bindings` are where it is attached, `in_mesh` whether that is to Services alone."""
    return tuple(_read(References(view, route.key, in_mesh), route, rule, index, bindings) for index, rule in enumerate(route.spec.rules))


def _read(references: References, route: StreamRoute, rule: StreamRouteRule, index: int, bindings: tuple[Binding, ...]) -> RuleVerdict:
    unresolved = list[Problem]()
    resource = _RESOURCES[route.kind](
        "/".join((*route.key, str(index))),
        source_of(route),
        f"{route.namespace}/{route.name}",
        index,
        bindings,
        created(route),
        rule.name or "",
        tuple(references.share(reference, place, unresolved) for place, reference in enumerate(rule.backend_refs)),
    )
    return RuleVerdict(resource, None, None, tuple(unresolved), references.destinations, references.services)
