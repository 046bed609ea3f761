"""Statuses joined with what is live: each judged when it must be, and no other."""

from __future__ import annotations

from controller.status import BindFailure
from controller.store import Key
from controller.translate.conditions import met
from controller.translate.statuses import GatewayStatus, ListenerStatus, ObjectRef, ParentStatus, RouteStatus, Status
from controller.translator import Translation
from tidegate.statuses import FinalStatuses


def gateway(name: str, generation: int = 1) -> GatewayStatus:
    conditions = (met("Accepted", generation), met("ResolvedRefs", generation))
    listener = ListenerStatus("http", conditions, key=f"default/{name}/http")
    return GatewayStatus(("Gateway", "default", name), generation, conditions, (listener,), "127.0.0.1")


def route(name: str, generation: int = 1) -> RouteStatus:
    parent = ParentStatus(ObjectRef("gateway.networking.k8s.io", "Gateway", "g"), (met("Accepted", generation),))
    return RouteStatus(("HTTPRoute", "default", name), generation, (parent,), (f"HTTPRoute/default/{name}/0",))


def is_programmed(status: Status) -> str:
    assert isinstance(status, GatewayStatus)
    condition = status.conditions[-1]
    assert condition.type == "Programmed"
    return condition.reason if condition.status == "False" else "True"


def keys(statuses: tuple[Status, ...]) -> list[Key]:
    return [status.object for status in statuses]


def test_programmed_waits_for_the_acknowledgement() -> None:
    """Design 4: False with Pending until all proxies have swapped to the revision of the change, then True."""
    statuses = FinalStatuses()
    statuses.note(Translation(statuses=(gateway("g"),)), 3)
    assert statuses.waiting == 3
    (pending,), _ = statuses.update(2, {}, {})
    assert is_programmed(pending) == "Pending"
    (done,), _ = statuses.update(3, {}, {})
    assert is_programmed(done) == "True"
    assert statuses.waiting == 0
    assert statuses.final == {done.object: done}


def test_a_change_leaves_other_statuses_alone() -> None:
    """An edit of one object judges one object, and what is programmed stays programmed meanwhile."""
    statuses = FinalStatuses()
    statuses.note(Translation(statuses=(gateway("a"), gateway("b"), route("r"))), 1)
    statuses.update(1, {}, {})
    statuses.note(Translation(statuses=(gateway("b", 2),)), 2)
    changed, _ = statuses.update(1, {}, {})
    assert keys(changed) == [("Gateway", "default", "b")]
    assert is_programmed(statuses.final["Gateway", "default", "a"]) == "True"


def test_what_is_the_same_is_not_told_again() -> None:
    """A status whose judgement did not change is no news."""
    statuses = FinalStatuses()
    statuses.note(Translation(statuses=(route("r"),)), 1)
    assert keys(statuses.update(0, {}, {})[0]) == [("HTTPRoute", "default", "r")]
    assert statuses.update(1, {}, {}) == ((), ())
    statuses.note(Translation(statuses=(route("r"),)), 2)
    assert statuses.update(2, {}, {}) == ((), ())


def test_a_rejection_or_a_port_changes_what_was_final() -> None:
    """Without any change of objects: a worker refuses a rule, a port is lost and comes back."""
    statuses = FinalStatuses()
    statuses.note(Translation(statuses=(gateway("g"), route("r"))), 1)
    statuses.update(1, {}, {})
    changed, _ = statuses.update(1, {}, {("HttpRule", "HTTPRoute/default/r/0"): ("bad regular expression",)})
    assert keys(changed) == [("HTTPRoute", "default", "r")]
    changed, _ = statuses.update(1, {"default/g/http": BindFailure("in use")}, {})
    assert keys(changed) == [("Gateway", "default", "g"), ("HTTPRoute", "default", "r")]
    changed, _ = statuses.update(1, {}, {})
    assert keys(changed) == [("Gateway", "default", "g")]
    assert is_programmed(changed[0]) == "True"


def test_an_object_that_goes_is_told_once() -> None:
    """Also one that was never shown is not told as gone, and one that came back meanwhile is there."""
    statuses = FinalStatuses()
    statuses.note(Translation(statuses=(route("a"), route("b"))), 1)
    statuses.update(1, {}, {})
    statuses.note(Translation(gone=(("HTTPRoute", "default", "a"), ("HTTPRoute", "default", "b"))), 2)
    statuses.note(Translation(statuses=(route("b"), route("c"))), 3)
    statuses.note(Translation(gone=(("HTTPRoute", "default", "c"),)), 4)
    changed, gone = statuses.update(4, {}, {})
    assert keys(changed) == [("HTTPRoute", "default", "b")]
    assert gone == (("HTTPRoute", "default", "a"),)
    assert statuses.update(4, {}, {}) == ((), ())
