"""Listeners of ListenerSets beside those of their Gateway: who serves which host (ListenerSetHTTPRouting and others of the suite)."""

from __future__ import annotations

from tests.certificates import Authority
from tests.wire.conftest import Serve
from tests.wire.secure import trusting
from tests.wire.serving import Site, certificate

GATEWAY = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  allowedListeners: {namespaces: {from: Same}}
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: gateway.test}
"""


def listener_set(name: str, *listeners: str) -> str:
    """A ListenerSet of the Gateway `web` with these listeners."""
    entries = "".join(f"\n  - {listener}" for listener in listeners)
    return f"kind: ListenerSet\nmetadata: {{name: {name}}}\nspec:\n  parentRef: {{name: web}}\n  listeners:{entries}"


def route(name: str, backend: str, *parents: str) -> str:
    return f"""
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{", ".join(parents)}]
  rules: [{{matches: [{{path: {{value: /{name}}}}}], backendRefs: [{{name: {backend}, port: 80}}]}}]
"""


def serving(site: Site, path: str) -> list[str]:
    """The hosts under which a path gets an answer of a backend."""
    hosts = ("gateway.test", "one.test", "two.test", "other.test")
    return [host for host in hosts if site.ask(f"/{path}", host=host).backend is not None]


def test_routes_are_served_where_they_are_attached(serve: Serve) -> None:
    """A route of the Gateway is not one of its sets, nor the other way round; sectionName picks one listener (ListenerSetHTTPRouting)."""
    site = serve(
        GATEWAY,
        listener_set(
            "more",
            "{name: http, port: 80, protocol: HTTP, hostname: one.test}",
            "{name: two, port: 80, protocol: HTTP, hostname: two.test}",
        ),
        route("all", "blue", "{name: web}", "{kind: ListenerSet, name: more}"),
        route("gateway", "green", "{name: web}"),
        route("set", "green", "{kind: ListenerSet, name: more}"),
        route("section", "red", "{kind: ListenerSet, name: more, sectionName: http}"),
    )
    assert serving(site, "all") == ["gateway.test", "one.test", "two.test"]
    assert serving(site, "gateway") == ["gateway.test"]
    assert serving(site, "set") == ["one.test", "two.test"]
    assert serving(site, "section") == ["one.test"]
    assert site.ask("/set", host="one.test").counted.listener == "default/more/http"


def test_what_comes_first_keeps_its_host(serve: Serve) -> None:
    """A set that asks for a host of the Gateway, or of an older set, serves its other hosts (ListenerSetHostnameConflict)."""
    old = listener_set("b-old", "{name: x, port: 80, protocol: HTTP, hostname: one.test}").replace(
        "name: b-old", "name: b-old, creationTimestamp: '2026-01-01T00:00:00Z'"
    )
    young = listener_set(
        "a-young",
        "{name: x, port: 80, protocol: HTTP, hostname: gateway.test}",
        "{name: y, port: 80, protocol: HTTP, hostname: one.test}",
        "{name: z, port: 80, protocol: HTTP, hostname: two.test}",
    ).replace("name: a-young", "name: a-young, creationTimestamp: '2026-02-01T00:00:00Z'")
    site = serve(
        GATEWAY,
        old,
        young,
        route("gateway", "blue", "{name: web}"),
        route("old", "green", "{kind: ListenerSet, name: b-old}"),
        route("young", "red", "{kind: ListenerSet, name: a-young}"),
    )
    assert serving(site, "gateway") == ["gateway.test"]
    assert serving(site, "old") == ["one.test"]
    assert serving(site, "young") == ["two.test"]


def test_a_set_that_is_not_allowed_serves_nothing(serve: Serve) -> None:
    """Without allowedListeners none is (ListenerSetDefaultNotAllowed)."""
    site = serve(
        GATEWAY.replace("from: Same", "from: None"),
        listener_set("more", "{name: http, port: 80, protocol: HTTP, hostname: one.test}"),
        route("set", "blue", "{kind: ListenerSet, name: more}"),
        route("gateway", "green", "{name: web}"),
    )
    assert serving(site, "set") == []
    assert serving(site, "gateway") == ["gateway.test"]


def test_a_set_shows_a_certificate_of_its_own(serve: Serve) -> None:
    """An HTTPS listener of a set terminates TLS with the Secret that the set names, for its own server name."""
    authority = Authority()
    site = serve(
        GATEWAY,
        certificate("one", authority.issue("one.test")),
        listener_set("more", "{name: https, port: 443, protocol: HTTPS, hostname: one.test, tls: {certificateRefs: [{name: one}]}}"),
        route("set", "blue", "{kind: ListenerSet, name: more}"),
    )
    assert site.ask("/set", host="one.test", port=443, tls=trusting(authority)).backend == "blue"
