"""HTTPRoutes and GRPCRoutes with common hosts: held to a slow reading of GRPCRouteSpec.hostnames, and what a change costs."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.api.metadata import Object
from controller.translate.options import Options
from controller.translate.statuses import RouteStatus
from controller.translator import Translator
from tests.controller.translate.golden import parse

LISTENERS = {"any": "", "wide": "*.b", "one": "a.b"}
HOSTNAMES = ("b", "a.b", "c.b", "*.b", "*.a.b", "x.a.b", "c")

GATEWAY = parse({"kind": "Gateway", "metadata": {"name": "g"}, "spec": {"gatewayClassName": "tidegate", "listeners": [
    {"name": name, "port": 80 + place, "protocol": "HTTP"} | ({"hostname": hostname} if hostname else {})
    for place, (name, hostname) in enumerate(LISTENERS.items())
]}})  # fmt: skip


def route(kind: str, name: str, month: int | None, hostnames: list[str], section: str | None) -> Object:
    parent = {"name": "g"} | ({"sectionName": section} if section else {})
    age = {"creationTimestamp": f"2026-0{month}-01T00:00:00Z"} if month else {}
    spec: dict[str, Any] = {"parentRefs": [parent], "hostnames": hostnames, "rules": [{}]}
    return parse({"kind": kind, "metadata": {"name": name} | age, "spec": spec})


routes = st.builds(
    route,
    st.sampled_from(["HTTPRoute", "GRPCRoute"]),
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from([None, 1, 2]),
    st.lists(st.sampled_from(HOSTNAMES), max_size=2, unique=True),
    st.sampled_from([None, *LISTENERS]),
)


def hosts_of(hostname: str) -> frozenset[str]:
    """Of some hosts those that a hostname covers: enough to tell any two of these hostnames apart."""
    some = ("b", "c", "a.b", "c.b", "y.b", "a.a.b", "x.a.b", "y.a.b")
    covered = (host for host in some if not hostname or host == hostname or (hostname[0] == "*" and host.endswith(hostname[1:])))
    return frozenset(covered)


def slowly_accepted(found: list[Any]) -> dict[tuple[str, str], set[str]]:
    """From the oldest on, each has the listeners on which no route of the other kind that came before has one of its hosts."""
    taken: list[tuple[str, str, frozenset[str]]] = []
    accepted: dict[tuple[str, str], set[str]] = {}
    for each in sorted(found, key=lambda one: (str(one.metadata.creation_timestamp or ""), one.name, one.kind)):
        section = each.spec.parent_refs[0].section_name
        mine = []
        for listener, hostname in LISTENERS.items():
            hosts = frozenset().union(*(hosts_of(name) for name in each.spec.hostnames or ("",))) & hosts_of(hostname)
            rivals = [other for kind, where, other in taken if kind != each.kind and where == listener]
            if section in (None, listener) and hosts and not any(other & hosts for other in rivals):
                mine.append((each.kind, listener, hosts))
        taken += mine
        accepted[each.kind, each.name] = {listener for _, listener, _ in mine}
    return accepted


@given(st.lists(routes, max_size=6, unique_by=lambda found: found.key))
def test_the_oldest_of_two_kinds_has_a_host_of_a_listener(found: list[Object]) -> None:
    """GRPCRouteSpec.hostnames: exactly one of two such routes is accepted, the oldest, then the first by namespace and name."""
    translator = Translator(Options())
    assert translator.apply([GATEWAY, *found]).failures == ()
    attached: dict[tuple[str, str], set[str]] = {(each.kind, each.name): set() for each in found}
    for resource in translator.resources().values():
        for binding in getattr(resource, "bindings", ()):
            attached[resource.source.kind, resource.source.name].add(binding.listener.rpartition("/")[2])
    assert attached == slowly_accepted(found)
    for status in translator.statuses().values():
        if isinstance(status, RouteStatus):
            accepted = status.parents[0].conditions[0]
            assert (accepted.status == "True") == bool(attached[status.object[0], status.object[2]])
            assert accepted.reason in ("Accepted", "HostnameConflict", "NoMatchingListenerHostname")


def test_routes_that_a_label_keeps_out_are_bound_as_they_will_be_attached() -> None:
    """Of two kinds with one host in a namespace that the listener does not take, only the older is bound, so that the label that lets them
    in changes no rule; who waits at the door keeps nobody out who is in."""
    chosen = {"from": "Selector", "selector": {"matchLabels": {"edge": "yes"}}}
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": chosen}}
    door = parse({"kind": "Gateway", "metadata": {"name": "g"}, "spec": {"gatewayClassName": "tidegate", "listeners": [listener]}})
    inside = parse({"kind": "Namespace", "metadata": {"name": "inside", "labels": {"edge": "yes"}}})
    spec = {"parentRefs": [{"name": "g", "namespace": "default"}], "hostnames": ["a.b"], "rules": [{}]}
    metadata = {"name": "z", "namespace": "inside", "creationTimestamp": "2026-03-01T00:00:00Z"}
    young = parse({"kind": "GRPCRoute", "metadata": metadata, "spec": spec})
    translator = Translator(Options())
    translator.apply([door, inside, route("HTTPRoute", "old", 1, ["a.b"], None), route("GRPCRoute", "new", 2, ["a.b"], None), young])
    rules = {key for kind, key in translator.resources() if kind == "HttpRule"}
    assert rules == {"HTTPRoute/default/old/0", "GRPCRoute/inside/z/0"}
    let_in = parse({"kind": "Namespace", "metadata": {"name": "default", "labels": {"edge": "yes"}}})
    translation = translator.apply([let_in])
    assert translation.remove == (("HttpRule", "GRPCRoute/inside/z/0"),)
    assert [resource.key for resource in translation.set] == ["default/g/http"]
