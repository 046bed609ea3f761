"""Final statuses: what translation says, joined with what is live in the proxies; their JSON and their line."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from controller.api.references import GATEWAY_GROUP
from controller.status import LONGEST_MESSAGE, BindFailure, Live, faults, notes, programmed, programmed_apart, summary, to_json
from controller.translate.classes import CONTROLLER_NAME
from controller.translate.conditions import Condition, Problem, met, warned
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
    RouteKind,
    RouteStatus,
    Status,
)

GOOD = (met("Accepted", 3), met("ResolvedRefs", 3))
HTTP = ListenerStatus("http", GOOD, (RouteKind(GATEWAY_GROUP, "HTTPRoute"),), 1, "default/web/http")
HTTPS = ListenerStatus(
    "https", GOOD, key="default/web/https", certificates=("default/one", "default/two"), trust_bundles=("default/ca",)
)
MISSING = Problem("InvalidCertificateRef", "Secret default/x does not exist")
CLOSED = ListenerStatus("closed", (met("Accepted", 3), met("ResolvedRefs", 3, MISSING)))
PARENT = ObjectRef(GATEWAY_GROUP, "Gateway", "web", section_name="http")
ROUTE = RouteStatus(
    ("HTTPRoute", "default", "shop"), 3, (ParentStatus(PARENT, GOOD),), ("HTTPRoute/default/shop/0", "HTTPRoute/default/shop/2")
)
ANCESTOR = ObjectRef(GATEWAY_GROUP, "Gateway", "web", "default")
POLICY = PolicyStatus(("BackendTLSPolicy", "default", "tls"), 3, (AncestorStatus(ANCESTOR, GOOD),))
EXTRA = ListenerStatus("extra", GOOD, (), 2, "default/web/default/more/extra")
GATEWAY_CLASS = GatewayClassStatus(("GatewayClass", "", "tidegate"), 3, (met("Accepted", 3),), ("Gateway", "HTTPRoute"))
LIVE = Live(revision=5, applied=5)


def gateway(*listeners: ListenerStatus, client_certificate: str | None = None) -> GatewayStatus:
    return GatewayStatus(("Gateway", "default", "web"), 3, GOOD, listeners, (GatewayAddress("IPAddress", "127.0.0.1"),), client_certificate)


def listener_set(*listeners: ListenerStatus, accepted: Problem | None = None) -> ListenerSetStatus:
    return ListenerSetStatus(("ListenerSet", "default", "more"), 3, (met("Accepted", 3, accepted),), listeners, "default/web")


def told(status: Status, listener: str | None = None) -> dict[str, str]:
    """The conditions of a Gateway or a ListenerSet, or one of its listeners, each as "status reason"."""
    assert isinstance(status, GatewayStatus | ListenerSetStatus)
    found = status.conditions if listener is None else next(each.conditions for each in status.listeners if each.name == listener)
    assert len({condition.type for condition in found}) == len(found)
    return {condition.type: f"{condition.status} {condition.reason}" for condition in found}


def parent_of(status: Status) -> dict[str, Condition]:
    assert isinstance(status, RouteStatus)
    return {condition.type: condition for condition in status.parents[0].conditions}


def rejecting(kind: str, *keys: str) -> Live:
    return Live(5, 5, rejected={(kind, key): ("no good",) for key in keys})


def test_what_is_applied_and_bound_is_programmed() -> None:
    """Programmed means bound and applied by all workers, with the generation of the Gateway."""
    status = programmed(gateway(HTTP), LIVE)
    assert told(status) == {"Accepted": "True Accepted", "ResolvedRefs": "True ResolvedRefs", "Programmed": "True Programmed"}
    assert told(status, "http")["Programmed"] == "True Programmed"
    assert isinstance(status, GatewayStatus)
    assert status.conditions[-1].generation == 3


def test_what_is_not_applied_yet_is_pending() -> None:
    """Until all proxies have swapped to the last revision nothing new is programmed."""
    status = programmed(gateway(HTTP), Live(revision=6, applied=5))
    assert told(status)["Programmed"] == told(status, "http")["Programmed"] == "False Pending"


def test_a_listener_that_is_not_served_is_invalid_and_harms_no_other() -> None:
    """A closed listener is not programmed; its Gateway is, as long as another serves."""
    status = programmed(gateway(HTTP, CLOSED), LIVE)
    assert (told(status, "closed")["Programmed"], told(status, "http")["Programmed"]) == ("False Invalid", "True Programmed")
    assert told(status)["Programmed"] == "True Programmed"


def test_an_accepted_gateway_without_a_served_listener_is_programmed() -> None:
    """A Gateway whose only listener waits for its Secret is accepted and programmed: the listener says what is wrong."""
    assert told(programmed(gateway(CLOSED), LIVE))["Programmed"] == "True Programmed"


def test_a_port_in_use_is_not_available() -> None:
    """A listener whose port cannot be bound is not accepted (PortUnavailable), and the Gateway sums it up."""
    taken = Live(5, 5, {"default/web/http": BindFailure("port 80 is in use")})
    status = programmed(gateway(HTTP, HTTPS), taken)
    assert told(status, "http") == {"Accepted": "False PortUnavailable", "ResolvedRefs": "True ResolvedRefs", "Programmed": "False Invalid"}
    assert (told(status)["Accepted"], told(status)["Programmed"]) == ("True ListenersNotValid", "True Programmed")
    alone = programmed(gateway(HTTP), taken)
    assert (told(alone)["Accepted"], told(alone)["Programmed"]) == ("False ListenersNotValid", "False Invalid")


def test_an_address_that_is_not_ours_is_not_usable() -> None:
    """An address that no listener can be bound to is the Gateway's fault, not the listeners' (AddressNotUsable)."""
    status = programmed(gateway(HTTP), Live(5, 5, {"default/web/http": BindFailure("192.0.2.1 is no address of this machine", True)}))
    assert (told(status)["Accepted"], told(status)["Programmed"]) == ("True Accepted", "False AddressNotUsable")
    assert (told(status, "http")["Accepted"], told(status, "http")["Programmed"]) == ("True Accepted", "False Invalid")


def test_a_gateway_that_is_not_accepted_is_not_programmed() -> None:
    """What is wrong with the whole Gateway stays as translation says it, and nothing of it is programmed."""
    refused = GatewayStatus(("Gateway", "default", "web"), 3, (met("Accepted", 3, Problem("UnsupportedAddress", "no")), GOOD[1]), (CLOSED,))
    status = programmed(refused, LIVE)
    assert (told(status)["Accepted"], told(status)["Programmed"]) == ("False UnsupportedAddress", "False Invalid")


def test_a_refused_certificate_is_a_bad_reference() -> None:
    """The proxy's word counts like translation's; with another certificate the listener serves all the same."""
    found = told(programmed(gateway(HTTPS), rejecting("Certificate", "default/one")), "https")
    assert (found["ResolvedRefs"], found["Programmed"]) == ("False InvalidCertificateRef", "True Programmed")
    status = programmed(gateway(HTTPS), rejecting("Certificate", "default/one", "default/two"))
    assert told(status, "https")["Programmed"] == told(status)["Programmed"] == "False Invalid"


def test_refused_ca_certificates_are_a_bad_reference() -> None:
    """A listener never serves without the client validation that it asks for."""
    found = told(programmed(gateway(HTTPS), rejecting("TrustBundle", "default/ca")), "https")
    assert (found["ResolvedRefs"], found["Programmed"]) == ("False InvalidCACertificateRef", "False Invalid")


def test_a_refused_client_certificate_is_told_on_the_gateway() -> None:
    """The certificate for backends belongs to the Gateway as a whole, which stays programmed."""
    status = programmed(gateway(HTTP, client_certificate="default/client"), rejecting("Certificate", "default/client"))
    assert (told(status)["ResolvedRefs"], told(status)["Programmed"]) == ("False InvalidClientCertificateRef", "True Programmed")


@pytest.mark.parametrize(("kind", "key"), [("Listener", "default/web/http"), ("Gateway", "default/web")])
def test_a_refused_listener_or_gateway_is_not_programmed(kind: str, key: str) -> None:
    """What the proxies refuse is not live in the version that the user wrote."""
    assert told(programmed(gateway(HTTP), rejecting(kind, key)))["Programmed"] == "False Invalid"


def test_a_listener_set_is_programmed_by_its_own_listeners() -> None:
    """ListenerSetStatus.conditions: Accepted and Programmed, with the reason ListenersNotValid for what is not served."""
    assert told(programmed(listener_set(EXTRA), LIVE)) == {"Accepted": "True Accepted", "Programmed": "True Programmed"}
    status = programmed(listener_set(EXTRA, CLOSED), LIVE)
    assert told(status) == {"Accepted": "True ListenersNotValid", "Programmed": "True Programmed"}
    assert told(status, "extra")["Programmed"] == "True Programmed"
    assert told(programmed(listener_set(EXTRA), Live(revision=6, applied=5)))["Programmed"] == "False Pending"
    assert told(programmed(listener_set(EXTRA), rejecting("Listener", EXTRA.key)))["Programmed"] == "False ListenersNotValid"
    assert told(programmed(listener_set(EXTRA), rejecting("Gateway", "default/web")))["Programmed"] == "False ParentNotProgrammed"


@pytest.mark.parametrize(("accepted", "programmed_reason"), [
    ("NotAllowed", "NotAllowed"), ("ParentNotAccepted", "ParentNotProgrammed"),
])  # fmt: skip
def test_a_listener_set_that_is_not_accepted_is_not_programmed(accepted: str, programmed_reason: str) -> None:
    """Programmed says the same as Accepted, which stays as translation has it."""
    status = programmed(listener_set(CLOSED, accepted=Problem(accepted, "no")), LIVE)
    assert told(status) == {"Accepted": f"False {accepted}", "Programmed": f"False {programmed_reason}"}


def test_a_listener_set_without_a_listener_that_is_served_is_not_valid() -> None:
    """A set whose listeners are all closed is not accepted, and so is one whose ports cannot be bound; its Gateway does not count it."""
    taken = Live(5, 5, {EXTRA.key: BindFailure("port 81 is in use")})
    for status in (programmed(listener_set(CLOSED), LIVE), programmed(listener_set(EXTRA), taken)):
        assert told(status) == {"Accepted": "False ListenersNotValid", "Programmed": "False ListenersNotValid"}
    counting = replace(gateway(HTTP), listener_sets=((EXTRA.key,), ("default/web/team/a/b", "default/web/team/a/c")))
    assert to_json(programmed(counting, LIVE))["attachedListenerSets"] == 2
    assert to_json(programmed(counting, taken))["attachedListenerSets"] == 1


def test_a_conflict_is_why_a_listener_is_not_programmed() -> None:
    """Conflicted, Accepted and Programmed of a listener that conflicts have one reason."""
    conflict = Problem("HostnameConflict", "taken")
    lost = ListenerStatus("lost", (met("Accepted", 3, conflict), met("ResolvedRefs", 3), warned("Conflicted", 3, conflict)))
    found = told(programmed(listener_set(EXTRA, lost), LIVE), "lost")
    assert (found["Accepted"], found["Conflicted"], found["Programmed"]) == (
        "False HostnameConflict", "True HostnameConflict", "False HostnameConflict"
    )  # fmt: skip


def test_translation_knows_the_cause_better() -> None:
    """Where translation has a reason already, the proxy's refusal does not replace it."""
    mixed = ListenerStatus(
        "https", (GOOD[0], met("ResolvedRefs", 3, Problem("InvalidCertificateRef", "the key does not match"))),
        key="default/web/https", certificates=("default/one",),
    )  # fmt: skip
    status = programmed(gateway(mixed), rejecting("Certificate", "default/one"))
    assert isinstance(status, GatewayStatus)
    assert status.listeners[0].conditions[1].message == "the key does not match"


def test_a_refused_rule_is_dropped() -> None:
    """A route with some rules refused is partially invalid (reference 4.2), with the numbers of the rules."""
    conditions = parent_of(programmed(ROUTE, rejecting("HttpRule", "HTTPRoute/default/shop/2")))
    assert conditions["Accepted"].status == "True"
    assert conditions["PartiallyInvalid"] == warned(
        "PartiallyInvalid", 3, Problem("UnsupportedValue", "Dropped Rule 2: the proxy refused it: no good")
    )


@pytest.mark.parametrize(
    ("kind", "resource"), [("GRPCRoute", "HttpRule"), ("TLSRoute", "TlsRule"), ("TCPRoute", "TcpRule"), ("UDPRoute", "UdpRule")]
)
def test_a_refused_rule_is_found_by_the_kind_of_its_route(kind: str, resource: str) -> None:
    """Each kind of route has its kind of rule: what is refused of another kind is another thing."""
    route = RouteStatus((kind, "default", "shop"), 3, (ParentStatus(PARENT, GOOD),), (f"{kind}/default/shop/0",))
    assert parent_of(programmed(route, rejecting(resource, *route.rules)))["Accepted"].reason == "UnsupportedValue"
    assert programmed(route, rejecting("Backend", *route.rules)) == route


def test_a_refused_rule_joins_those_that_translation_dropped() -> None:
    """Both are told, translation's first."""
    dropped = warned("PartiallyInvalid", 3, Problem("IncompatibleFilters", "Dropped Rule 1: x"))
    route = RouteStatus(ROUTE.object, 3, (ParentStatus(PARENT, (*GOOD, dropped)),), ROUTE.rules)
    conditions = parent_of(programmed(route, rejecting("HttpRule", "HTTPRoute/default/shop/2")))
    assert conditions["PartiallyInvalid"].reason == "IncompatibleFilters"
    assert conditions["PartiallyInvalid"].message == "Dropped Rule 1: x; Dropped Rule 2: the proxy refused it: no good"


def test_a_route_with_all_rules_refused_is_not_accepted() -> None:
    """Nothing of the route is live, and no PartiallyInvalid says otherwise."""
    conditions = parent_of(programmed(ROUTE, rejecting("HttpRule", *ROUTE.rules)))
    assert (conditions["Accepted"].status, conditions["Accepted"].reason) == ("False", "UnsupportedValue")
    assert "PartiallyInvalid" not in conditions


def test_a_parent_that_does_not_accept_stays_as_it_is() -> None:
    """A refused rule says nothing about a parent to which the route is not attached."""
    elsewhere = ParentStatus(PARENT, (met("Accepted", 3, Problem("NoMatchingParent", "no listener")), GOOD[1]))
    route = RouteStatus(ROUTE.object, 3, (elsewhere,), ROUTE.rules)
    assert programmed(route, rejecting("HttpRule", *ROUTE.rules)) == route


@pytest.mark.parametrize("status", [ROUTE, POLICY, GATEWAY_CLASS])
def test_other_statuses_are_final_already(status: Status) -> None:
    """Nothing that the proxies say concerns a class, a policy, or a route that they took."""
    assert programmed(status, rejecting("Listener", "default/web/http")) is status


def condition_json(name: str, **more: Any) -> dict[str, Any]:
    return {"type": name, "status": "True", "reason": name, "message": "", "observedGeneration": 3} | more


def test_json_of_a_gateway() -> None:
    """GatewayStatus: addresses with a type, attachedListenerSets, and an entry for each listener of the spec (reference 4.3)."""
    assert to_json(gateway(HTTP)) == {
        "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
        "attachedListenerSets": 0,
        "conditions": [condition_json("Accepted"), condition_json("ResolvedRefs")],
        "listeners": [{
            "name": "http",
            "supportedKinds": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}],
            "attachedRoutes": 1,
            "conditions": [condition_json("Accepted"), condition_json("ResolvedRefs")],
        }],
    }  # fmt: skip


def test_json_of_a_listener_set() -> None:
    """ListenerSetStatus: conditions, and an entry for each listener; addresses are the Gateway's."""
    assert to_json(listener_set(EXTRA)) == {
        "conditions": [condition_json("Accepted")],
        "listeners": [{
            "name": "extra", "supportedKinds": [], "attachedRoutes": 2,
            "conditions": [condition_json("Accepted"), condition_json("ResolvedRefs")],
        }],
    }  # fmt: skip


def test_json_of_a_route() -> None:
    """RouteParentStatus: the parentRef as written, group and kind explicit, and our controllerName (reference 2.4)."""
    assert to_json(ROUTE, now="2026-01-01T00:00:00Z") == {"parents": [{
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web", "sectionName": "http"},
        "controllerName": CONTROLLER_NAME,
        "conditions": [condition_json(name, lastTransitionTime="2026-01-01T00:00:00Z") for name in ("Accepted", "ResolvedRefs")],
    }]}  # fmt: skip


def test_json_of_a_policy() -> None:
    """PolicyAncestorStatus: the Gateway with its namespace, and our controllerName."""
    assert to_json(POLICY) == {"ancestors": [{
        "ancestorRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "default", "name": "web"},
        "controllerName": CONTROLLER_NAME,
        "conditions": [condition_json("Accepted"), condition_json("ResolvedRefs")],
    }]}  # fmt: skip


def test_json_of_a_class() -> None:
    """GatewayClassStatus: supportedFeatures as objects with a name."""
    assert to_json(GATEWAY_CLASS) == {
        "conditions": [condition_json("Accepted")], "supportedFeatures": [{"name": "Gateway"}, {"name": "HTTPRoute"}]
    }  # fmt: skip


@pytest.mark.parametrize(("status", "line"), [
    (programmed(gateway(HTTP), LIVE), "Gateway default/web: programmed, http with 1 route"),
    (gateway(HTTP, HTTPS), "Gateway default/web: accepted, http with 1 route, https with 0 routes"),
    (programmed(listener_set(EXTRA), LIVE), "ListenerSet default/more: programmed, extra with 2 routes"),
    (ROUTE, "HTTPRoute default/shop: attached to Gateway web, http"),
    (POLICY, "BackendTLSPolicy default/tls: holds for Gateway default/web"),
    (GATEWAY_CLASS, "GatewayClass tidegate: accepted"),
])  # fmt: skip
def test_a_line_for_what_is_well(status: Status, line: str) -> None:
    """An object that is well says so on one line."""
    assert summary(status) == line
    assert faults(status) == ()


def test_a_line_for_what_is_wrong() -> None:
    """Faults stand with their place, reason and message; a Gateway that is not pending or closed has none."""
    status = programmed(gateway(HTTP, CLOSED), LIVE)
    assert summary(status) == (
        "Gateway default/web: "
        "listener closed: ResolvedRefs False (InvalidCertificateRef): Secret default/x does not exist; "
        "listener closed: Programmed False (Invalid): Secret default/x does not exist"
    )


def test_negative_conditions_are_faults_when_true() -> None:
    """PartiallyInvalid and Conflicted are faults when True; what only deserves attention is a note."""
    partial = warned("PartiallyInvalid", 3, Problem("UnsupportedValue", "Dropped Rule 1: x"))
    assert faults(RouteStatus(ROUTE.object, 3, (ParentStatus(PARENT, (*GOOD, partial)),))) == (
        "Gateway web, http: PartiallyInvalid True (UnsupportedValue): Dropped Rule 1: x",
    )
    overlapping = warned("OverlappingTLSConfig", 3, Problem("OverlappingHostnames", "with other"))
    noted = gateway(ListenerStatus("https", (*GOOD, overlapping)))
    assert faults(noted) == ()
    assert notes(noted) == ("listener https: OverlappingTLSConfig True (OverlappingHostnames): with other",)


def test_a_gateway_without_its_addresses_is_not_programmed() -> None:
    """What keeps it from its addresses is told at once, whether or not its proxies are there (GatewayConditionProgrammed)."""
    unusable = Problem("AddressNotUsable", "192.0.2.1 is not held")
    for live in (LIVE, Live(revision=6, applied=0)):
        assert told(programmed(replace(gateway(HTTP), unassigned=unusable), live))["Programmed"] == "False AddressNotUsable"
    refused = GatewayStatus(("Gateway", "default", "web"), 3, (met("Accepted", 3, MISSING), GOOD[1]), (), unassigned=unusable)
    assert told(programmed(refused, LIVE))["Programmed"] == "False Invalid"


def test_a_gateway_waits_for_its_own_proxies_alone() -> None:
    """In a cluster one Gateway without proxies keeps no other from being programmed, nor its ListenerSets."""
    lives = {"default/web": LIVE, "default/other": Live(revision=9, applied=0)}
    assert told(programmed_apart(gateway(HTTP), lives.__getitem__))["Programmed"] == "True Programmed"
    other = replace(gateway(HTTP), object=("Gateway", "default", "other"))
    assert told(programmed_apart(other, lives.__getitem__))["Programmed"] == "False Pending"
    theirs = replace(listener_set(EXTRA), gateway="default/other")
    assert told(programmed_apart(theirs, lives.__getitem__))["Programmed"] == "False Pending"
    assert told(programmed_apart(listener_set(EXTRA), lives.__getitem__))["Programmed"] == "True Programmed"


def test_a_refused_rule_is_told_on_the_gateway_whose_proxies_refused_it() -> None:
    """A parent whose own proxies took the rules is left as it is."""
    parents = tuple(ParentStatus(replace(PARENT, name=name), GOOD, f"default/{name}") for name in ("web", "other"))
    lives = {"default/web": LIVE, "default/other": rejecting("HttpRule", *ROUTE.rules)}
    status = programmed_apart(replace(ROUTE, parents=parents), lives.__getitem__)
    assert isinstance(status, RouteStatus)
    assert [parent.conditions[0].reason for parent in status.parents] == ["Accepted", "UnsupportedValue"]


def test_a_message_is_no_longer_than_the_api_server_takes() -> None:
    """A condition whose message were longer than 32,768 characters could not be written, and no other of its object (meta/v1)."""
    long = replace(GATEWAY_CLASS, conditions=(met("Accepted", 3, Problem("Unsupported", "x" * 40_000)),))
    (condition,) = to_json(long)["conditions"]
    assert len(condition["message"]) == LONGEST_MESSAGE
    assert condition["message"].endswith("x...")
