"""What the status of a policy for Services says, beyond what goldens show."""

from __future__ import annotations

from controller.api.metadata import Object
from controller.translate.options import Options
from controller.translate.statuses import PolicyStatus
from controller.translator import Translator
from tests.controller.translate.golden import parse

POLICY = ("BackendTLSPolicy", "default", "tls")


def gateway(number: int) -> Object:
    """Gateways whose age is the other way round than their names."""
    metadata = {"name": f"gateway-{number:02}", "creationTimestamp": f"2026-01-{28 - number:02}T00:00:00Z"}
    listeners = [{"name": "http", "port": 8000 + number, "protocol": "HTTP"}]
    return parse({"kind": "Gateway", "metadata": metadata, "spec": {"gatewayClassName": "tidegate", "listeners": listeners}})


def route(number: int) -> Object:
    parents, rules = [{"name": f"gateway-{number:02}"}], [{"backendRefs": [{"name": "shop", "port": 80}]}]
    return parse({"kind": "HTTPRoute", "metadata": {"name": f"route-{number}"}, "spec": {"parentRefs": parents, "rules": rules}})


def service() -> Object:
    return parse({"kind": "Service", "metadata": {"name": "shop"}, "spec": {"ports": [{"name": "http", "port": 80}]}})


def policy(generation: int = 1, target: str = "shop") -> Object:
    targets = [{"group": "", "kind": "Service", "name": target}]
    validation = {"hostname": "shop.internal", "wellKnownCACertificates": "System"}
    metadata = {"name": "tls", "generation": generation}
    return parse({"kind": "BackendTLSPolicy", "metadata": metadata, "spec": {"targetRefs": targets, "validation": validation}})


def status(translator: Translator) -> PolicyStatus:
    found = translator.statuses()[POLICY]
    assert isinstance(found, PolicyStatus)
    return found


def test_a_status_names_sixteen_ancestors_the_oldest() -> None:
    """PolicyStatus.ancestors has 16 entries at most: a younger Gateway drives out none, and that it is not named is said."""
    translator = Translator(Options())
    translator.apply([service(), policy(), *(each for number in range(18) for each in (gateway(number), route(number)))])
    named = [entry.ancestor.name for entry in status(translator).ancestors]
    assert named == [f"gateway-{number:02}" for number in range(17, 1, -1)]
    ((key, message),) = translator.ignored()
    assert key == POLICY
    assert "does not name Gateway default/gateway-01, Gateway default/gateway-00, where the policy holds too" in message
    translator.apply(removes=[("HTTPRoute", "default", "route-17"), ("HTTPRoute", "default", "route-16")])
    assert {entry.ancestor.name for entry in status(translator).ancestors} == {f"gateway-{number:02}" for number in range(16)}
    assert translator.ignored() == ()


def test_all_conditions_are_of_the_generation_of_the_policy() -> None:
    """Condition.observedGeneration is that of the policy on every ancestor, whatever the generation of the Gateway."""
    translator = Translator(Options())
    translator.apply([service(), gateway(1), gateway(2), route(1), route(2), policy()])
    translator.apply([policy(generation=7)])
    conditions = [condition for entry in status(translator).ancestors for condition in entry.conditions]
    assert [(condition.type, condition.generation) for condition in conditions] == [("Accepted", 7), ("ResolvedRefs", 7)] * 2


def test_an_ancestor_goes_with_the_last_route() -> None:
    """Where no route of a Gateway refers to the Service any more, its entry goes (PolicyStatus.ancestors)."""
    translator = Translator(Options())
    translator.apply([service(), gateway(1), route(1), policy()])
    assert [entry.ancestor.kind for entry in status(translator).ancestors] == ["Gateway"]
    translator.apply(removes=[("HTTPRoute", "default", "route-1")])
    assert [entry.ancestor.kind for entry in status(translator).ancestors] == ["Service"]
