"""Listeners of a Gateway and its ListenerSets: held to a slow reading of ListenerSetSpec.listeners and of "Distinct Listeners"."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.api.metadata import Object
from controller.translate.facing import ENCRYPTED, conflict
from controller.translate.options import Options
from controller.translate.statuses import GatewayStatus, ListenerSetStatus
from controller.translator import Translator
from gateway.ir.hostnames import overlaps
from tests.controller.translate.golden import parse

Fields = dict[str, Any]

GATEWAY = {"gatewayClassName": "tidegate", "allowedListeners": {"namespaces": {"from": "Same"}}}


def listener(protocol: str, port: int, hostname: str) -> Fields:
    fields: Fields = {"protocol": protocol, "port": port}
    if hostname and protocol not in ("TCP", "UDP"):
        fields["hostname"] = hostname
    if protocol in ENCRYPTED:
        fields["tls"] = {"options": {"example.test/a": "b"}}
    return fields


fields = st.builds(
    listener,
    st.sampled_from(["HTTP", "HTTP", "HTTPS", "HTTPS", "TLS", "TCP", "UDP", "QUIC"]),
    st.sampled_from([80, 80, 81]),
    st.sampled_from(["", "a.b", "*.b", "c"]),
)
several = st.lists(fields, min_size=1, max_size=4, unique_by=lambda one: (one["protocol"], one["port"], one.get("hostname")))


def named(listeners: list[Fields]) -> list[Fields]:
    return [{"name": f"l{index}", **each} for index, each in enumerate(listeners)]


def listener_set(name: str, namespace: str, month: int, listeners: list[Fields]) -> Object:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": f"2026-0{month}-01T00:00:00Z"}
    spec = {"parentRef": {"name": "g", "namespace": "a"}, "listeners": named(listeners)}
    return parse({"kind": "ListenerSet", "metadata": metadata, "spec": spec})


sets = st.builds(listener_set, st.sampled_from(["r", "s", "t"]), st.sampled_from(["a", "a", "a", "b"]), st.sampled_from([1, 2]), several)


def meet(one: Any, other: Any) -> str | None:
    """Why two listeners cannot be told apart."""
    if one.port != other.port or "QUIC" in (one.protocol, other.protocol):
        return None
    return conflict((one.protocol, one.hostname or ""), (other.protocol, other.hostname or ""))


def slowly_conflicted(owners: list[Any]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """The conflicts, and the overlaps: all listeners in order, each compared with all that stand, then with those of its own object."""
    standing: list[Any] = []
    conflicts: set[tuple[str, str]] = set()
    for owner in owners:
        left = [each for each in owner.spec.listeners if not any(meet(each, other) for other in standing)]
        stand = [each for each in left if not any(meet(each, other) for other in left if other is not each)]
        conflicts |= {(owner.name, each.name) for each in owner.spec.listeners if not any(each is other for other in stand)}
        standing += stand
    every = [(owner.name, each) for owner in owners for each in owner.spec.listeners if each.protocol in ENCRYPTED]
    overlapping = {
        (name, each.name)
        for name, each in every
        for _, other in every
        if each is not other and each.port == other.port and "HTTPS" in (each.protocol, other.protocol)
        and overlaps(each.hostname or "", other.hostname or "")
    }  # fmt: skip
    return conflicts, overlapping


@given(several, st.lists(sets, max_size=4, unique_by=lambda found: found.key))
def test_what_comes_first_stays_and_inside_an_object_neither(listeners: list[Fields], found: list[Any]) -> None:
    """ListenerSetSpec.listeners: the Gateway, then its ListenerSets by age, then by namespace and name; those not allowed do not count."""
    spec = GATEWAY | {"listeners": named(listeners)}
    gateway: Any = parse({"kind": "Gateway", "metadata": {"name": "g", "namespace": "a"}, "spec": spec})
    translator = Translator(Options())
    assert translator.apply([gateway, *found]).failures == ()
    allowed = sorted((each for each in found if each.namespace == "a"), key=lambda one: (one.metadata.creation_timestamp, one.name))
    said: dict[str, set[tuple[str, str]]] = {"Conflicted": set(), "OverlappingTLSConfig": set()}
    for status in translator.statuses().values():
        assert isinstance(status, GatewayStatus | ListenerSetStatus)
        for each in status.listeners:
            for condition in each.conditions:
                said.get(condition.type, set()).add((status.object[2], each.name))
    conflicts, overlapping = slowly_conflicted([gateway, *allowed])
    assert said == {"Conflicted": conflicts, "OverlappingTLSConfig": overlapping}
