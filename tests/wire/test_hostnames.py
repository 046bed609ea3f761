"""Which hosts a route serves on a listener, and which listener serves a host (Listener.hostname, HTTPRouteSpec.hostnames)."""

from __future__ import annotations

import pytest

from tests.wire.conftest import Serve
from tests.wire.pairings import any_client
from tests.wire.serving import Site

pytestmark = any_client


def gateway(*hostnames: str, port: int = 80) -> str:
    """The Gateway `web` with a listener for each hostname, '' for all hosts."""
    listeners = [
        f"  - {{name: l{index}, port: {port}, protocol: HTTP{f', hostname: {hostname!r}' if hostname else ''}}}"
        for index, hostname in enumerate(hostnames)
    ]
    return "\n".join(["kind: Gateway", "metadata: {name: web}", "spec:", "  gatewayClassName: tidegate", "  listeners:", *listeners])


def route(name: str, backend: str, *hostnames: str, section: str = "") -> str:
    parent = f"{{name: web{f', sectionName: {section}' if section else ''}}}"
    return f"""
---
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{parent}]
  hostnames: [{", ".join(repr(hostname) for hostname in hostnames)}]
  rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]
"""


def served(site: Site, *hosts: str) -> list[str]:
    """Those of the hosts that get an answer of a backend; the others must get 404."""
    answers = {host: site.ask(host=host) for host in hosts}
    assert {answer.status for answer in answers.values() if answer.backend is None} <= {404}
    return [host for host, answer in answers.items() if answer.backend is not None]


HOSTS = ("a.x.org", "b.x.org", "n.a.x.org", "x.org", "y.org")


@pytest.mark.parametrize(
    ("listener", "hostnames", "expected"),
    [
        ("", ["a.x.org"], ["a.x.org"]),
        ("", [], list(HOSTS)),
        ("", ["*.x.org"], ["a.x.org", "b.x.org", "n.a.x.org"]),
        ("a.x.org", [], ["a.x.org"]),
        ("a.x.org", ["a.x.org"], ["a.x.org"]),
        ("a.x.org", ["*.x.org"], ["a.x.org"]),
        ("a.x.org", ["a.x.org", "b.x.org"], ["a.x.org"]),
        ("*.x.org", ["a.x.org", "y.org"], ["a.x.org"]),
        ("*.x.org", ["n.a.x.org"], ["n.a.x.org"]),
        ("*.x.org", ["*.a.x.org"], ["n.a.x.org"]),
        ("*.a.x.org", ["*.x.org"], ["n.a.x.org"]),
        ("*.x.org", ["*.x.org"], ["a.x.org", "b.x.org", "n.a.x.org"]),
        ("*.x.org", ["x.org"], []),
        ("a.x.org", ["b.x.org"], []),
        ("*.x.org", ["y.org"], []),
    ],
)
def test_intersection_of_listener_and_route(serve: Serve, listener: str, hostnames: list[str], expected: list[str]) -> None:
    """A route serves what both its hostnames and its listener's cover, and nothing else (HTTPRouteHostnameIntersection)."""
    assert served(serve(gateway(listener), route("r", "blue", *hostnames)), *HOSTS) == expected


def test_a_wildcard_stands_for_one_or_more_labels(serve: Serve) -> None:
    """`*.x.org` covers a.x.org and n.a.x.org, not x.org, and no label that merely ends alike (Hostname)."""
    site = serve(gateway("*.x.org"), route("r", "blue"))
    assert served(site, "a.x.org", "n.a.x.org", "x.org", "ax.org") == ["a.x.org", "n.a.x.org"]


@pytest.mark.parametrize("host", ["a.x.org:80", "a.x.org:8080", "A.X.Org", "a.x.org.", "A.x.org.:8443"])
def test_port_case_and_final_dot_of_host_do_not_matter(serve: Serve, host: str) -> None:
    """A Host is matched without its port, in lower case, without the root's dot; it is forwarded as sent
    (HTTPRouteListenerHostnameMatching)."""
    assert serve(gateway("a.x.org"), route("r", "blue", "a.x.org")).ask(host=host).request.value("host") == host


def test_the_most_specific_listener_gets_the_request(serve: Serve) -> None:
    """Exact hostname, then the longest wildcard, then the listener for all hosts (HTTPRouteListenerHostnameMatching)."""
    site = serve(
        gateway("", "*.x.org", "*.a.x.org", "n.a.x.org"),
        *(route(f"r{index}", backend, section=f"l{index}") for index, backend in enumerate(("blue", "green", "red", "blue"))),
    )
    chosen = {host: site.ask(host=host).counted.listener for host in ("n.a.x.org", "m.a.x.org", "o.m.a.x.org", "a.x.org", "x.org", "y.org")}
    assert chosen == {"n.a.x.org": "l3", "m.a.x.org": "l2", "o.m.a.x.org": "l2", "a.x.org": "l1", "x.org": "l0", "y.org": "l0"}


def test_a_listener_keeps_what_its_routes_do_not_match(serve: Serve) -> None:
    """A request belongs to the most specific listener, and is 404 when that one's routes do not match: no other is tried
    (GatewayHTTPListenerIsolation)."""
    site = serve(gateway("", "*.x.org", "a.x.org"), route("wide", "blue", section="l0"), route("narrow", "green", "b.x.org", section="l1"))
    assert served(site, "y.org", "b.x.org", "c.x.org", "a.x.org") == ["y.org", "b.x.org"]
    assert site.ask(host="a.x.org").counted.listener == "l2"


def test_isolation_holds_for_routes_with_hostnames(serve: Serve) -> None:
    """A route attached to a wide listener does not serve hosts of a narrower one, even if it names them (GatewayHTTPListenerIsolation)."""
    site = serve(gateway("", "*.x.org"), route("wide", "blue", "a.x.org", "y.org", section="l0"))
    assert served(site, "y.org", "a.x.org") == ["y.org"]


def test_a_route_without_section_serves_on_every_listener(serve: Serve) -> None:
    """A parentRef without sectionName attaches to all listeners, each with its own intersection (ParentReference.sectionName)."""
    site = serve(gateway("*.x.org", "y.org"), route("r", "blue", "a.x.org", "y.org", "z.org"))
    assert served(site, "a.x.org", "b.x.org", "y.org", "z.org") == ["a.x.org", "y.org"]


def test_a_host_without_listener_is_404(serve: Serve) -> None:
    """A host that no listener covers is answered 404 (Listener.hostname)."""
    answer = serve(gateway("a.x.org"), route("r", "blue")).ask(host="b.x.org")
    assert (answer.status, answer.counted.flags, answer.counted.listener) == (404, "NR", "")


def test_parent_ref_port_picks_listeners(serve: Serve) -> None:
    """A parentRef with a port attaches to the listeners on it only (HTTPRouteListenerPortMatching, HTTPRouteParentRefPort)."""
    site = serve(
        """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners:
  - {name: one, port: 80, protocol: HTTP}
  - {name: two, port: 8080, protocol: HTTP}
""",
        """
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: web, port: 8080}]
  rules: [{backendRefs: [{name: blue, port: 80}]}]
""",
    )
    assert site.ask(port=8080).backend == "blue"
    assert site.ask(port=80).status == 404


def test_routes_of_another_namespace_are_served_where_the_listener_allows_them(serve: Serve) -> None:
    """allowedRoutes.namespaces Selector looks at the labels of the route's Namespace, and follows them (HTTPRouteCrossNamespace)."""
    parts = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners:
  - name: http
    port: 80
    protocol: HTTP
    allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {tier: edge}}}}
---
kind: Service
metadata: {name: shop, namespace: team}
spec: {ports: [{name: http, port: 80}]}
---
kind: EndpointSlice
metadata: {name: shop-1, namespace: team, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: @blue}]
endpoints: [{addresses: [127.0.0.1]}]
---
kind: HTTPRoute
metadata: {name: r, namespace: team}
spec:
  parentRefs: [{name: web, namespace: default}]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
"""
    site = serve(parts, "{kind: Namespace, metadata: {name: team, labels: {tier: edge}}}")
    assert site.ask().backend == "blue"
    site.change(parts, "{kind: Namespace, metadata: {name: team, labels: {tier: inner}}}")
    assert site.ask().status == 404
    site.change(parts, "{kind: Namespace, metadata: {name: team, labels: {tier: edge}}}")
    assert site.ask().backend == "blue"


def test_one_route_serves_on_two_gateways(serve: Serve) -> None:
    """A route with two parents serves on both (HTTPRouteMultipleGateways)."""
    site = serve(
        """
kind: Gateway
metadata: {name: second}
spec:
  gatewayClassName: tidegate
  listeners: [{name: http, port: 8080, protocol: HTTP}]
---
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: web}, {name: second}]
  rules: [{backendRefs: [{name: blue, port: 80}]}]
"""
    )
    assert [site.ask(port=port).counted.gateway for port in (80, 8080)] == ["default/web", "default/second"]
