"""GRPCRoute: defaults of its CRD, and the CEL rules and limits over routes, rules and matches."""

from typing import Any

import pytest

from controller.api.grpc_route import GRPCRoute
from tests.controller.api.objects import object_of, read, refused, refused_fields

BACKEND = {"name": "s", "port": 80}


def route(**spec: Any) -> dict[str, Any]:
    return object_of("GRPCRoute", spec=spec)


def rule(**fields: Any) -> dict[str, Any]:
    return route(rules=[fields])


def matched(**method: Any) -> dict[str, Any]:
    return rule(matches=[{"method": method}])


def filtered(**fields: Any) -> dict[str, Any]:
    return rule(filters=[fields])


def test_defaults() -> None:
    """The CRD's defaults: no rules, no matches, Exact, weight 1, core Service."""
    assert read(route()).model_dump()["spec"] == {"parent_refs": (), "use_default_gateways": None, "hostnames": (), "rules": ()}
    found = read(rule(matches=[{"method": {"method": "Get"}, "headers": [{"name": "a", "value": "b c"}]}], backendRefs=[BACKEND]))
    assert isinstance(found, GRPCRoute)
    (only,) = found.spec.rules
    (match,) = only.matches
    assert match.method is not None
    assert (match.method.type, match.method.service, match.headers[0].type) == ("Exact", None, "Exact")
    (backend,) = only.backend_refs
    assert (backend.group, backend.kind, backend.weight, backend.filters) == ("", "Service", 1, ())
    assert (only.name, only.filters, only.session_persistence) == (None, (), None)


@pytest.mark.parametrize("method", [
    {"service": "shop.v1.Orders", "method": "Get_1"},
    {"service": ".shop.v1.Orders"},
    {"service": "_a.B9"},
    {"method": "_get"},
    {"type": "RegularExpression", "service": "a/b(", "method": ""},
    {"type": "RegularExpression", "service": ""},
])  # fmt: skip
def test_names_and_expressions_are_read(method: dict[str, str]) -> None:
    """GRPCMethodMatch (CEL): exact names have the form of protobuf's, expressions any."""
    assert refused(matched(**method)) == []


@pytest.mark.parametrize(("method", "field"), [
    ({}, ""),
    ({"type": "RegularExpression"}, ""),
    ({"service": "shop/v1"}, ".service"),
    ({"service": "shop..v1"}, ".service"),
    ({"service": "1shop"}, ".service"),
    ({"service": "shop."}, ".service"),
    ({"service": ""}, ".service"),
    ({"service": "a\n"}, ".service"),
    ({"service": "a", "method": "a.b"}, ".method"),
    ({"service": "a", "method": "1a"}, ".method"),
    ({"method": ""}, ".method"),
    ({"method": "Gét"}, ".method"),
    ({"type": "Prefix", "service": "a"}, ".type"),
    ({"type": "RegularExpression", "service": "a" * 1025}, ".service"),
])  # fmt: skip
def test_what_names_nothing_is_refused(method: dict[str, str], field: str) -> None:
    """GRPCMethodMatch (CEL): one of service and method is given, and exact ones are names."""
    assert refused_fields(matched(**method)) == [f"spec.rules[0].matches[0].method{field}"]


@pytest.mark.parametrize("fields", [
    {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}},
    {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["a"]}},
    {"type": "RequestMirror", "requestMirror": {"backendRef": BACKEND, "percent": 5}},
    {"type": "ExtensionRef", "extensionRef": {"group": "g.test", "kind": "K", "name": "n"}},
])  # fmt: skip
def test_filters_are_read_on_rules_and_backends(fields: dict[str, Any]) -> None:
    """GRPCRouteFilter has these four types."""
    assert refused(filtered(**fields)) == []
    assert refused(rule(backendRefs=[BACKEND | {"filters": [fields]}])) == []


@pytest.mark.parametrize(("fields", "expected"), [
    ({"type": "URLRewrite"}, ["spec.rules[0].filters[0].type"]),
    ({"type": "RequestMirror"}, ["spec.rules[0].filters[0].requestMirror"]),
    ({"type": "RequestMirror", "requestMirror": {"backendRef": BACKEND}, "cors": {}}, ["spec.rules[0].filters[0].cors"]),
    (
        {"type": "RequestMirror", "requestMirror": {"backendRef": BACKEND}, "requestHeaderModifier": {}},
        ["spec.rules[0].filters[0].requestHeaderModifier"],
    ),
])  # fmt: skip
def test_other_filters_are_refused(fields: dict[str, Any], expected: list[str]) -> None:
    """GRPCRouteFilter (CEL): the field of its type is given, the others are not, and those of HTTPRoutes are not known."""
    assert refused_fields(filtered(**fields)) == expected


def test_a_filter_that_may_not_repeat_is_refused_twice() -> None:
    """GRPCRouteRule.filters (CEL): header modifiers once, mirrors as often as one likes."""
    edit = {"type": "RequestHeaderModifier", "requestHeaderModifier": {}}
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": BACKEND}}
    assert refused_fields(rule(filters=[edit, mirror, mirror])) == []
    assert refused_fields(rule(filters=[edit, edit])) == ["spec.rules[0].filters[1].type"]


@pytest.mark.parametrize(("spec", "field"), [
    ({"rules": [{}] * 17}, "spec.rules"),
    ({"rules": [{"matches": [{}] * 65}]}, "spec.rules[0].matches"),
    ({"rules": [{"matches": [{}] * 64}] * 3}, "spec.rules"),
    ({"rules": [{"name": "a"}, {"name": "a"}]}, "spec.rules[1].name"),
    ({"hostnames": ["10.0.0.1"]}, "spec.hostnames[0]"),
    ({"hostnames": ["a.b"] * 17}, "spec.hostnames"),
    ({"rules": [{"backendRefs": [{"name": "s"}]}]}, "spec.rules[0].backendRefs[0].port"),
    ({"rules": [{"matches": [{"headers": [{"name": "a", "value": "b"}] * 2}]}]}, "spec.rules[0].matches[0].headers[1].name"),
    ({"rules": [{"timeouts": {}}]}, "spec.rules[0].timeouts"),
    ({"parentRefs": [{"name": "g"}, {"name": "g"}]}, "spec.parentRefs[1]"),
])  # fmt: skip
def test_limits(spec: dict[str, Any], field: str) -> None:
    """GRPCRouteSpec: 16 hostnames and rules, 64 matches a rule, 128 in all; names of rules and headers are unique."""
    assert refused_fields(route(**spec)) == [field]


def test_only_v1_is_read() -> None:
    """GRPCRoute is served as v1 alone (v1alpha2 is gone since 1.2)."""
    assert read(route()).key == ("GRPCRoute", "default", "x")
    with pytest.raises(KeyError):
        read(object_of("GRPCRoute", "gateway.networking.k8s.io/v1alpha2", spec={}))
