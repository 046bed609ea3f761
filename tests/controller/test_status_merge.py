"""Statuses against what the server holds: ours are written once, and nobody else's are lost."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.status_merge import merged, withdrawn
from controller.translate.classes import CONTROLLER_NAME, MESH_CONTROLLER_NAME
from controller.translate.conditions import Problem, met
from controller.translate.statuses import (
    GatewayClassStatus,
    GatewayStatus,
    ListenerStatus,
    ObjectRef,
    ParentStatus,
    PolicyStatus,
    RouteStatus,
    Status,
)

NOW = "2026-01-02T03:04:05Z"
THEN = "2025-01-01T00:00:00Z"
GROUP = "gateway.networking.k8s.io"


def route(*parents: str, problem: Problem | None = None, generation: int = 1) -> RouteStatus:
    found = tuple(ParentStatus(ObjectRef(GROUP, "Gateway", name), (met("Accepted", generation, problem),)) for name in parents)
    return RouteStatus(("HTTPRoute", "shop", "cart"), generation, found)


def foreign(name: str) -> dict[str, Any]:
    return {"controllerName": "example.com/other", "parentRef": {"group": GROUP, "kind": "Gateway", "name": name}, "conditions": []}


def test_what_the_server_holds_is_not_written_again() -> None:
    """Writing a status and comparing with the result finds nothing to write: for every sort of status."""
    gateway = GatewayStatus(("Gateway", "shop", "web"), 2, (met("Accepted", 2),), (ListenerStatus("http", (met("Accepted", 2),)),))
    gateway_class = GatewayClassStatus(("GatewayClass", "", "tidegate"), 1, (met("Accepted", 1),), ("HTTPRoute",))
    policy = PolicyStatus(("BackendPolicy", "shop", "cart"), 1, ())
    statuses: tuple[Status, ...] = (gateway, gateway_class, policy, route("web"))
    for status in statuses:
        written = merged(status, {}, NOW)
        assert written is not None
        assert merged(status, written, THEN) is None


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    """lastTransitionTime is when the status became what it is, whatever else of the condition changes (API conventions)."""
    held = merged(route("web"), {}, THEN)
    assert held is not None
    same = merged(route("web", generation=2), held, NOW)
    other = merged(route("web", problem=Problem("NoMatchingParent", "no")), held, NOW)
    assert same is not None
    assert other is not None
    (kept,), (changed,) = (found["parents"][0]["conditions"] for found in (same, other))
    assert (kept["observedGeneration"], kept["lastTransitionTime"]) == (2, THEN)
    assert (changed["status"], changed["lastTransitionTime"]) == ("False", NOW)


def test_listeners_keep_the_times_of_their_conditions_by_name() -> None:
    """A listener that is added before another does not make the other's conditions new."""
    key = ("Gateway", "shop", "web")
    before = merged(GatewayStatus(key, 1, (), (ListenerStatus("b", (met("Accepted", 1),)),)), {}, THEN)
    assert before is not None
    listeners = (ListenerStatus("a", (met("Accepted", 2),)), ListenerStatus("b", (met("Accepted", 2),)))
    after = merged(GatewayStatus(key, 2, (), listeners), before, NOW)
    assert after is not None
    assert [listener["conditions"][0]["lastTransitionTime"] for listener in after["listeners"]] == [NOW, THEN]


def test_parents_of_other_controllers_stay_where_they_are() -> None:
    """Entries of others keep their order, ours keep their place among them, and what is no longer a parent of ours goes."""
    ours = merged(route("a", "b"), {}, THEN)
    assert ours is not None
    held = {"parents": [foreign("x"), ours["parents"][0], foreign("y"), ours["parents"][1]]}
    written = merged(route("b", "c"), held, NOW)
    assert written is not None
    assert [entry["parentRef"]["name"] for entry in written["parents"]] == ["x", "y", "b", "c"]
    assert [entry["controllerName"] for entry in written["parents"][:2]] == ["example.com/other"] * 2


def test_a_route_may_be_judged_on_gateways_and_on_services() -> None:
    """Each parent has one entry, under the name of the controller that answers for it, and both are ours to withdraw."""
    service = ParentStatus(ObjectRef("", "Service", "cart"), (met("Accepted", 1),), in_mesh=True)
    status = replace(route("web"), parents=(*route("web").parents, service))
    written = merged(status, {"parents": [foreign("other")]}, NOW)
    assert written is not None
    assert [each["controllerName"] for each in written["parents"]] == ["example.com/other", CONTROLLER_NAME, MESH_CONTROLLER_NAME]
    assert merged(status, written, NOW) is None
    assert withdrawn("HTTPRoute", written) == {"parents": [foreign("other")]}


def test_others_conditions_stay_and_ours_that_no_longer_hold_go() -> None:
    """A condition of a type that we never write is somebody else's."""
    held = {
        "conditions": [
            {"type": "example.com/Audited", "status": "True"},
            {"type": "InsecureFrontendValidationMode", "status": "True", "lastTransitionTime": THEN},
        ]
    }
    written = merged(GatewayStatus(("Gateway", "shop", "web"), 1, (met("Accepted", 1),)), held, NOW)
    assert written is not None
    assert [condition["type"] for condition in written["conditions"]] == ["Accepted", "example.com/Audited"]


def test_what_the_api_server_fills_in_is_replaced_whole() -> None:
    """A new Gateway has conditions of unknown status without a generation (the CRD's default): none of them is left."""
    filled = {"status": "Unknown", "reason": "Pending", "lastTransitionTime": THEN}
    held = {"conditions": [{"type": name} | filled for name in ("Accepted", "Programmed")]}
    written = merged(GatewayStatus(("Gateway", "shop", "web"), 1, (met("Accepted", 1), met("Programmed", 1))), held, NOW)
    assert written is not None
    fields = ("status", "observedGeneration", "lastTransitionTime")
    assert [tuple(condition[field] for field in fields) for condition in written["conditions"]] == [("True", 1, NOW)] * 2


def test_a_full_list_leaves_the_others_in() -> None:
    """A route has room for 32 parents; those that were there first stay, whoever they are of."""
    held = {"parents": [foreign(f"x{number}") for number in range(31)]}
    written = merged(route("a", "b"), held, NOW)
    assert written is not None
    assert [entry["parentRef"]["name"] for entry in written["parents"][30:]] == ["x30", "a"]


def test_withdrawing_takes_ours_and_nothing_else() -> None:
    """A route that leaves us keeps the entries of others; one that has none of ours is not written."""
    ours = merged(route("a"), {}, THEN)
    assert ours is not None
    assert withdrawn("HTTPRoute", {"parents": [foreign("x"), *ours["parents"]]}) == {"parents": [foreign("x")]}
    assert withdrawn("HTTPRoute", {"parents": [foreign("x")]}) is None
    assert withdrawn("Gateway", {"conditions": [{"type": "Accepted"}]}) is None


def test_conditions_of_istios_kinds_are_everybodys() -> None:
    """Ours go when we have nothing more to say, and those of others stay."""
    foreign = {"type": "WaypointAccepted", "status": "True"}
    held = {"conditions": [foreign, {"type": "Accepted", "status": "True"}]}
    assert withdrawn("AuthorizationPolicy", held) == {"conditions": [foreign]}
    assert withdrawn("AuthorizationPolicy", {"conditions": [foreign]}) is None


names = st.sampled_from(["conditions", "type", "parents", "listeners", "ancestors", "name"])
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner),
    max_leaves=8,
)


@given(held=st.dictionaries(names, json), controller=st.booleans())
def test_a_status_of_any_shape_can_be_written_over(held: dict[str, Any], controller: bool) -> None:
    """Whoever wrote a status wrote what they liked: ours is made all the same, and stands then."""
    if controller and isinstance(held.get("parents"), list):
        held["parents"].append({"controllerName": CONTROLLER_NAME, "parentRef": None})
    gateway = GatewayStatus(("Gateway", "a", "b"), 1, (met("Accepted", 1),), (ListenerStatus("l", (met("Accepted", 1),)),))
    for status in (route("a"), gateway):
        written = merged(status, held, NOW)
        assert written is not None
        assert merged(status, {**held, **written}, NOW) is None
