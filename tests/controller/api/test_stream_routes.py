"""TLSRoute, TCPRoute and UDPRoute: what their CRDs demand."""

from typing import Any

import pytest

from controller.api.kinds import VERSIONS
from controller.api.stream_routes import StreamRouteSpec, TCPRoute, TLSRoute, UDPRoute
from tests.controller.api.objects import object_of, read, refused, refused_fields

BACKEND = {"name": "s", "port": 80}
RULE = {"backendRefs": [BACKEND]}
NAMES: dict[str, dict[str, Any]] = {"TLSRoute": {"hostnames": ["a.test"]}, "TCPRoute": {}, "UDPRoute": {}}


def route(kind: str, **spec: Any) -> dict[str, Any]:
    return object_of(kind, spec={"rules": [RULE]} | NAMES[kind] | spec)


@pytest.mark.parametrize("kind", NAMES)
def test_defaults(kind: str) -> None:
    """The CRD's defaults: core Service, weight 1, no parents."""
    found = read(route(kind))
    assert isinstance(found, TLSRoute | TCPRoute | UDPRoute)
    (backend,) = found.spec.rules[0].backend_refs
    assert (backend.group, backend.kind, backend.weight, backend.namespace) == ("", "Service", 1, None)
    assert (found.spec.parent_refs, found.spec.rules[0].name) == ((), None)


@pytest.mark.parametrize(("kind", "versions"), [("TLSRoute", 3), ("TCPRoute", 2), ("UDPRoute", 2)])
def test_experimental_versions_are_read_too(kind: str, versions: int) -> None:
    """v1 is the standard, v1alpha2 and for TLSRoutes v1alpha3 are served in the experimental channel."""
    assert len(VERSIONS[kind]) == versions
    for version in VERSIONS[kind]:
        assert read(route(kind) | {"apiVersion": version}).key == (kind, "default", "x")


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(("spec", "field"), [
    ({"rules": []}, "spec.rules"),
    ({"rules": [RULE, RULE]}, "spec.rules"),
    ({"rules": [{}]}, "spec.rules[0].backendRefs"),
    ({"rules": [{"backendRefs": []}]}, "spec.rules[0].backendRefs"),
    ({"rules": [{"backendRefs": [BACKEND] * 17}]}, "spec.rules[0].backendRefs"),
    ({"rules": [{"backendRefs": [{"name": "s"}]}]}, "spec.rules[0].backendRefs[0].port"),
    ({"rules": [{"backendRefs": [BACKEND | {"weight": -1}]}]}, "spec.rules[0].backendRefs[0].weight"),
    ({"rules": [{"backendRefs": [BACKEND | {"filters": []}]}]}, "spec.rules[0].backendRefs[0].filters"),
    ({"rules": [RULE | {"matches": []}]}, "spec.rules[0].matches"),
    ({"parentRefs": [{"name": "g"}, {"name": "g"}]}, "spec.parentRefs[1]"),
])  # fmt: skip
def test_one_rule_with_a_backend_at_least(kind: str, spec: dict[str, Any], field: str) -> None:
    """TLSRouteSpec.rules, TCPRouteSpec.rules, UDPRouteSpec.rules: exactly one, with 1 to 16 backends and nothing to match."""
    assert refused_fields(route(kind, **spec)) == [field]


@pytest.mark.parametrize(("hostnames", "field"), [
    ([], "spec.hostnames"),
    (["10.0.0.1"], "spec.hostnames[0]"),
    (["::1"], "spec.hostnames[0]"),
    (["*"], "spec.hostnames[0]"),
    (["a.*.test"], "spec.hostnames[0]"),
    (["A.test"], "spec.hostnames[0]"),
    (["a.test"] * 1025, "spec.hostnames"),
])  # fmt: skip
def test_a_tls_route_has_server_names(hostnames: list[str], field: str) -> None:
    """TLSRouteSpec.hostnames: 1 to 1024 names of hosts, a wildcard only as the first label, no addresses (RFC 6066 3)."""
    assert refused_fields(route("TLSRoute", hostnames=hostnames)) == [field]
    assert refused(route("TLSRoute", hostnames=["*.test", "a.b.test"] * 512)) == []


def test_server_names_are_required() -> None:
    """TLSRouteSpec.hostnames is required; the others have no such field, since their traffic carries no name."""
    assert refused_fields(object_of("TLSRoute", spec={"rules": [RULE]})) == ["spec.hostnames"]
    assert refused_fields(route("TCPRoute", hostnames=["a.test"])) == ["spec.hostnames"]
    assert "hostnames" not in StreamRouteSpec.model_fields
