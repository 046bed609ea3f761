"""Statuses of objects that our models refuse: whom they concern, what they say, and that nothing the server holds harms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.references import GATEWAY_GROUP
from controller.refusals import refused_status
from controller.status import placed, to_json
from controller.store import Key
from controller.translate.classes import CONTROLLER_NAME, MESH_CONTROLLER_NAME
from controller.translate.conditions import met
from controller.translate.statuses import (
    AncestorStatus,
    GatewayAddress,
    GatewayClassStatus,
    GatewayStatus,
    ListenerSetStatus,
    ListenerStatus,
    ObjectRef,
    ParentStatus,
    PolicyStatus,
    RouteStatus,
    Status,
)

PROBLEM = "spec.x: is not right. Set it right."
OURS = {("GatewayClass", "", "tidegate"), ("Gateway", "default", "web"), ("ListenerSet", "team", "more")}
WEB = ObjectRef(GATEWAY_GROUP, "Gateway", "web")
KINDS = (
    "GatewayClass", "Gateway", "ListenerSet", "HTTPRoute", "UDPRoute", "ListenerPolicy", "BackendPolicy", "BackendTLSPolicy",
    "XBackendTrafficPolicy", "Service", "GatewayParameters",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refused:
    """A version of an object that cannot be read."""

    key: Key
    raw: Any
    generation: int = 4
    problem: str = PROBLEM


def ours(key: Key) -> bool:
    return key in OURS


def status_of(kind: str, spec: Any, last: Status | None = None, namespace: str = "default") -> Status | None:
    key = (kind, "" if kind == "GatewayClass" else namespace, "x")
    return refused_status(Refused(key, {"kind": kind, "metadata": {"name": "x"}, "spec": spec}), ours, last)


def told(status: Status | None) -> list[tuple[str, str, str, int]]:
    assert status is not None
    found = [condition for _, condition in placed(status)]
    assert all(condition.message.startswith(PROBLEM) for condition in found)
    return [(condition.type, condition.status, condition.reason, condition.generation) for condition in found]


def test_a_class_of_ours_is_not_supported() -> None:
    """GatewayClass: Accepted False Unsupported (GatewayClassConditionStatus); a class of another controller is none of ours."""
    assert told(status_of("GatewayClass", {"controllerName": CONTROLLER_NAME})) == [("Accepted", "False", "Unsupported", 4)]
    assert status_of("GatewayClass", {"controllerName": "example.com/other"}) is None
    last = GatewayClassStatus(("GatewayClass", "", "x"), 3, (met("Accepted", 3),), ("Gateway",))
    status = status_of("GatewayClass", {"controllerName": CONTROLLER_NAME}, last)
    assert isinstance(status, GatewayClassStatus)
    assert status.supported_features == ("Gateway",)


def test_a_gateway_is_invalid_and_keeps_its_addresses() -> None:
    """Both conditions that the API server fills in are overwritten, at the refused generation; what is served keeps its address."""
    expected = [("Accepted", "False", "Invalid", 4), ("Programmed", "False", "Invalid", 4)]
    assert told(status_of("Gateway", {"gatewayClassName": "tidegate"})) == expected
    assert status_of("Gateway", {"gatewayClassName": "other"}) is None
    address = GatewayAddress("IPAddress", "192.0.2.1")
    last = GatewayStatus(("Gateway", "default", "x"), 3, (met("Accepted", 3),), (ListenerStatus("http", ()),), (address,))
    status = status_of("Gateway", {"gatewayClassName": ["garbage"]}, last)
    assert told(status) == expected
    assert isinstance(status, GatewayStatus)
    assert status.addresses == (address,)
    assert "generation 3, the last that could be read, goes on being served" in status.conditions[0].message


def test_a_listener_set_is_invalid_on_a_gateway_of_ours() -> None:
    """ListenerSet: as a Gateway, if its parent is ours."""
    status = status_of("ListenerSet", {"parentRef": {"name": "web"}})
    assert told(status) == [("Accepted", "False", "Invalid", 4), ("Programmed", "False", "Invalid", 4)]
    assert isinstance(status, ListenerSetStatus)
    assert status.gateway == "default/web"
    assert status_of("ListenerSet", {"parentRef": {"name": "other"}}) is None
    assert status_of("ListenerSet", {"parentRef": {"name": "web", "kind": "Service"}}) is None


def test_a_route_says_it_on_each_parent_of_ours() -> None:
    """Route: an entry for each parentRef that names a Gateway or ListenerSet of ours, as it is written, group and kind filled in."""
    parents = [
        {"name": "web", "sectionName": "http", "port": 80},
        {"name": "other"},
        {"name": "more", "kind": "ListenerSet", "namespace": "team"},
        {"name": "web", "group": "", "kind": "Service"},
        {"name": "web", "port": True},
        "nonsense",
        {},
    ]
    status = status_of("HTTPRoute", {"parentRefs": parents, "rules": "nonsense"})
    assert told(status) == [("Accepted", "False", "UnsupportedValue", 4)] * 3
    assert isinstance(status, RouteStatus)
    assert [parent.parent for parent in status.parents] == [
        ObjectRef(GATEWAY_GROUP, "Gateway", "web", None, "http", 80),
        ObjectRef(GATEWAY_GROUP, "ListenerSet", "more", "team"),
        WEB,
    ]
    assert status_of("HTTPRoute", {"parentRefs": [{"name": "other"}]}) is None


def test_a_route_says_it_on_a_service_in_a_mesh() -> None:
    """A Service is a parent where there is a mesh, and it is the mesh's controller that says so."""
    raw = {"spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "shop"}]}}
    refusal = Refused(("HTTPRoute", "default", "shop"), raw)
    status = refused_status(refusal, lambda key: key == ("Service", "default", "shop"), None)
    assert status is not None
    (parent,) = to_json(status)["parents"]
    assert (parent["controllerName"], parent["parentRef"]["kind"]) == (MESH_CONTROLLER_NAME, "Service")
    assert refused_status(refusal, lambda _: False, None) is None


def test_a_policy_says_it_on_its_ancestors() -> None:
    """Policy: on its targets as far as they can be read, or on the ancestors that are known of it."""
    services = [{"name": "shop", "sectionName": "http"}, {"group": 7, "name": "cart"}, None]
    status = status_of("BackendPolicy", {"targetRefs": services})
    assert told(status) == [("Accepted", "False", "Invalid", 4)] * 2
    assert isinstance(status, PolicyStatus)
    assert [each.ancestor.name for each in status.ancestors] == ["shop", "cart"]
    assert told(status_of("ListenerPolicy", {"targetRefs": [{"name": "web"}, {"name": "other"}]})) == [("Accepted", "False", "Invalid", 4)]
    last = PolicyStatus(("BackendTLSPolicy", "default", "x"), 3, (AncestorStatus(WEB, (met("Accepted", 3),)),))
    status = status_of("BackendTLSPolicy", {"targetRefs": services}, last)
    assert isinstance(status, PolicyStatus)
    assert [each.ancestor for each in status.ancestors] == [WEB]


@pytest.mark.parametrize("kind", ["Service", "Secret", "GatewayParameters", "ReferenceGrant"])
def test_a_kind_without_a_status_of_ours_has_none(kind: str) -> None:
    """Nothing is written to objects whose status is not ours."""
    assert status_of(kind, {}) is None


NAMES = st.sampled_from(("web", "more", "tidegate", "x", CONTROLLER_NAME, "Gateway", "ListenerSet", "team", GATEWAY_GROUP, ""))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | NAMES
FIELDS = st.sampled_from(
    ("spec", "controllerName", "gatewayClassName", "parentRef", "parentRefs", "targetRefs", "name", "kind", "group", "namespace", "port",
     "sectionName")
)  # fmt: skip
GARBAGE = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=40) | st.dictionaries(FIELDS, inner, max_size=6), max_leaves=30)
LASTS = st.sampled_from((None, RouteStatus(("HTTPRoute", "default", "x"), 3, (ParentStatus(WEB, ()),))))


@given(st.sampled_from(KINDS), GARBAGE | st.fixed_dictionaries({"spec": GARBAGE}), LASTS)
def test_whatever_the_server_holds_does_no_harm(kind: str, raw: Any, last: Status | None) -> None:
    """A status or none comes of any shape, and it can be written: of this generation, in lists as long as the API takes them."""
    status = refused_status(Refused((kind, "default", "x"), raw), ours, last)
    if status is None:
        return
    assert {condition.generation for _, condition in placed(status)} == {4}
    written = to_json(status)
    assert len(written.get("parents", ())) <= 32
    assert len(written.get("ancestors", ())) <= 16
