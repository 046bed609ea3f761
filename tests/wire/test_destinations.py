"""Where a backendRef leads: Services, their EndpointSlices, other namespaces, ExternalName (BackendObjectReference)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.wire.backends import Echo, closed_port
from tests.wire.conftest import Serve
from tests.wire.http2_backends import Http2Echo, Http2Received
from tests.wire.pairings import any_client
from tests.wire.serving import service

TO_SHOP = "- backendRefs: [{name: shop, port: 80}]"

BILLING = """
kind: HTTPRoute
metadata: {name: route}
spec:
  rules:
  - matches: [{path: {value: /local}}]
    backendRefs: [{name: blue, port: 80}]
  - backendRefs: [{name: billing, namespace: team, port: 80}]
---
{kind: Namespace, metadata: {name: team}}
"""


def grant(**to: str) -> str:
    """Routes of `default` may refer to Services of `team`."""
    target = ", ".join(f"{name}: {value}" for name, value in {"group": "''", "kind": "Service", **to}.items())
    return f"""
kind: ReferenceGrant
metadata: {{name: from-default, namespace: team}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}}]
  to: [{{{target}}}]
"""


def test_a_missing_service_is_500(serve: Serve) -> None:
    """A reference to a Service that does not exist: 500, and the reason says which (HTTPRouteInvalidNonExistentBackendRef)."""
    answer = serve("- backendRefs: [{name: missing, port: 80}]").ask()
    assert (answer.status, answer.counted.flags) == (500, "NC")
    assert "missing" in (answer.reason or "")


def test_a_port_that_the_service_does_not_have_is_500(serve: Serve) -> None:
    """A reference to a port that the Service lacks is invalid (BackendObjectReference.port)."""
    assert serve("- backendRefs: [{name: blue, port: 8080}]").ask().status == 500


def test_a_backend_of_an_unknown_kind_is_500(serve: Serve) -> None:
    """A reference to a kind that is no backend: 500 (HTTPRouteInvalidBackendRefUnknownKind)."""
    assert serve("- backendRefs: [{group: unknown.example.com, kind: Bucket, name: blue, port: 80}]").ask().status == 500


def test_an_invalid_rule_leaves_the_others(serve: Serve) -> None:
    """One bad reference harms its own rule only (HTTPRoutePartiallyInvalidViaInvalidReferenceGrant)."""
    site = serve(BILLING, service("billing", 1, namespace="team"))
    assert site.ask("/local").backend == "blue"
    assert site.ask("/").status == 500


def test_a_grant_opens_and_its_removal_closes(serve: Serve, green: Echo) -> None:
    """A Service of another namespace needs a ReferenceGrant there; the grant works at once, and so does its removal
    (HTTPRouteReferenceGrant)."""
    billing = service("billing", green.port, namespace="team")
    site = serve(BILLING, billing)
    assert site.ask().status == 500
    site.change(BILLING, billing, grant())
    assert site.ask().backend == "green"
    site.change(BILLING, billing)
    answer = site.ask()
    assert answer.status == 500
    assert "RefNotPermitted" in (answer.reason or "")
    site.change(BILLING, billing, grant(name="billing"))
    assert site.ask().backend == "green"


@pytest.mark.parametrize("to", [{"name": "another"}, {"kind": "Secret"}, {"group": "example.com"}])
def test_a_grant_that_nearly_fits_permits_nothing(serve: Serve, green: Echo, to: dict[str, str]) -> None:
    """Group, kind and name of the target must fit (HTTPRouteInvalidReferenceGrant, HTTPRouteInvalidCrossNamespaceBackendRef)."""
    assert serve(BILLING, service("billing", green.port, namespace="team"), grant(**to)).ask().status == 500


def test_a_service_without_selector_and_address_is_served(serve: Serve, blue: Echo) -> None:
    """Endpoints come from EndpointSlices, also for headless and selectorless Services (HTTPRouteServiceTypes)."""
    headless = service("shop", blue.port).replace('"spec": {', '"spec": {"clusterIP": "None", ')
    assert serve(TO_SHOP, headless).ask().backend == "blue"


@any_client
@pytest.mark.parametrize("said_by", ["Service", "EndpointSlice"])
def test_a_port_that_says_h2c_is_spoken_to_in_http2(serve: Serve, http2_echo: Callable[..., Http2Echo], said_by: str) -> None:
    """`appProtocol: kubernetes.io/h2c` is HTTP/2 with prior knowledge, whatever the client speaks (HTTPRouteBackendProtocolH2C)."""
    echo = http2_echo("shop")
    described, endpoints = [json.loads(text) for text in service("shop", echo.port).split("\n---\n")]
    port = described["spec"]["ports"][0] if said_by == "Service" else endpoints["ports"][0]
    port["appProtocol"] = "kubernetes.io/h2c"
    site = serve(TO_SHOP, json.dumps(described), json.dumps(endpoints))
    site.join(echo)
    received = site.ask("/a", method="POST", body=b"b").request
    assert isinstance(received, Http2Received)
    assert (received.target, received.body, received.scheme, received.value("host")) == ("/a", b"b", "http", "example.com")


def test_no_ready_endpoint_is_503(serve: Serve, blue: Echo) -> None:
    """A Service without endpoints, or with none that is ready: 503 (HTTPRouteRule.backendRefs)."""
    for text in (service("shop"), service("shop", blue.port, conditions={"ready": False})):
        answer = serve(TO_SHOP, text).ask()
        assert (answer.status, answer.counted.flags) == (503, "UH")
        assert answer.reason == "backend default/shop:80 has no ready endpoint"


def test_endpoints_that_are_not_ready_get_nothing(serve: Serve, blue: Echo, green: Echo) -> None:
    """Only ready endpoints take new requests (EndpointConditions.ready)."""
    both = (service("shop", blue.port), service("shop", green.port, conditions={"ready": False}))
    site = serve(TO_SHOP, *both)
    assert {site.ask().backend for _ in range(6)} == {"blue"}


def test_a_terminating_endpoint_drains(serve: Serve, blue: Echo, green: Echo) -> None:
    """An endpoint that terminates gets no new requests while another is ready (EndpointConditions.terminating)."""
    leaving = {"ready": False, "serving": True, "terminating": True}
    site = serve(TO_SHOP, service("shop", blue.port), service("shop", green.port))
    assert {site.ask().backend for _ in range(6)} == {"blue", "green"}
    site.change(TO_SHOP, service("shop", blue.port, conditions=leaving), service("shop", green.port))
    assert {site.ask().backend for _ in range(6)} == {"green"}


def test_only_terminating_endpoints_still_serve(serve: Serve, blue: Echo) -> None:
    """When nothing else is left, endpoints that terminate but still serve are asked (KEP-1669, EndpointConditions.serving)."""
    leaving = {"ready": False, "serving": True, "terminating": True}
    assert serve(TO_SHOP, service("shop", blue.port, conditions=leaving)).ask().backend == "blue"


def test_endpoints_come_and_go_while_it_runs(serve: Serve, blue: Echo, green: Echo) -> None:
    """A changed EndpointSlice is followed at once (EndpointSlice)."""
    site = serve(TO_SHOP, service("shop", blue.port))
    assert site.ask().backend == "blue"
    site.change(TO_SHOP, service("shop", green.port))
    assert site.ask().backend == "green"
    site.change(TO_SHOP, service("shop"))
    assert site.ask().status == 503
    site.change(TO_SHOP, service("shop", blue.port, green.port))
    assert {site.ask().backend for _ in range(4)} == {"blue", "green"}


def test_a_service_that_comes_later_serves(serve: Serve, blue: Echo) -> None:
    """A reference that was invalid becomes valid when its Service comes, and invalid again when it goes (HTTPRoute status ResolvedRefs)."""
    site = serve(TO_SHOP)
    assert site.ask().status == 500
    site.change(TO_SHOP, service("shop", blue.port))
    assert site.ask().backend == "blue"
    site.change(TO_SHOP)
    assert site.ask().status == 500


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_external_name(serve: Serve, blue: Echo, name: str) -> None:
    """An ExternalName Service leads to its name or address, at the port of the reference; Host stays the client's (issue 3)."""
    external = f"{{kind: Service, metadata: {{name: outside}}, spec: {{type: ExternalName, externalName: {name}}}}}"
    site = serve(f"- backendRefs: [{{name: outside, port: {blue.port}}}]", external)
    for _ in range(2):
        answer = site.ask()
        assert (answer.backend, answer.request.value("host")) == ("blue", "example.com")


def test_an_external_name_that_does_not_resolve_is_503(serve: Serve) -> None:
    """A name without an address is a connection that does not come about (RFC 6761 6.4 keeps .invalid from existing)."""
    external = "{kind: Service, metadata: {name: outside}, spec: {type: ExternalName, externalName: no.such.name.invalid}}"
    answer = serve("- backendRefs: [{name: outside, port: 80}]", external).ask()
    assert (answer.status, answer.counted.flags) == (503, "UF")


def test_a_refused_connection_is_503(serve: Serve) -> None:
    """A backend that refuses connections: 503 and the flag UF, with the address in the reason (design.md section 8)."""
    port = closed_port()
    answer = serve(TO_SHOP, service("shop", port)).ask()
    assert (answer.status, answer.counted.flags) == (503, "UF")
    assert f"127.0.0.1:{port}" in (answer.reason or "")


def test_a_refused_connection_is_tried_elsewhere(serve: Serve, blue: Echo) -> None:
    """A connection that does not come about is tried once at another endpoint, also without a retry in the rule (issue 3, Serving)."""
    site = serve(TO_SHOP, service("shop", closed_port(), blue.port))
    assert {site.ask().status for _ in range(6)} == {200}


def test_a_backend_may_not_be_the_gateway_itself(serve: Serve) -> None:
    """A listener's own address is no backend (issue 3: it stays forbidden, files are trusted otherwise)."""
    answer = serve(TO_SHOP, service("shop", 80)).ask()
    assert (answer.status, answer.counted.flags) == (503, "UH")


def test_the_service_port_chooses_the_endpoints_port_by_name(serve: Serve, blue: Echo, green: Echo) -> None:
    """A slice's port belongs to the Service port of the same name, whatever the numbers (EndpointSlice.ports)."""
    text = f"""
kind: Service
metadata: {{name: shop}}
spec: {{ports: [{{name: main, port: 80}}, {{name: other, port: 81}}]}}
---
kind: EndpointSlice
metadata: {{name: shop-1, labels: {{kubernetes.io/service-name: shop}}}}
addressType: IPv4
ports: [{{name: other, port: {green.port}}}, {{name: main, port: {blue.port}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""
    site = serve(
        "- matches: [{path: {value: /81}}]\n  backendRefs: [{name: shop, port: 81}]\n" + TO_SHOP,
        text,
    )
    assert site.ask("/").backend == "blue"
    assert site.ask("/81").backend == "green"
