"""The differences that one change makes: what is set, removed, told and gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from controller.api.metadata import Object
from controller.translate.options import IN_CLUSTER, Options
from controller.translate.statuses import GatewayStatus, RouteStatus
from controller.translator import Translation, Translator
from gateway.ir.batch import in_order
from gateway.ir.rule import HttpRule
from gateway.ir.value import Source
from tests.controller.translate.golden import BASE, parse, read

BASE_OBJECTS = read(BASE.read_text(encoding="utf-8"))[1]


def route(*paths: str, name: str = "shop", generation: int = 1, service: str = "shop") -> Object:
    rules = [{"matches": [{"path": {"value": path}}], "backendRefs": [{"name": service, "port": 80}]} for path in paths]
    metadata = {"name": name, "namespace": "default", "generation": generation}
    return parse({"kind": "HTTPRoute", "metadata": metadata, "spec": {"parentRefs": [{"name": "web"}], "rules": rules}})


@pytest.fixture
def translator() -> Translator:
    translator = Translator(Options())
    translator.apply([*BASE_OBJECTS, route("/a", "/b", "/c")])
    return translator


def keys(translation: Translation) -> list[str]:
    return [resource.key for resource in translation.set]


def test_one_changed_rule_is_one_resource(translator: Translator) -> None:
    """Of a route with three rules only the changed one is set, although the generation is that of the whole route."""
    translation = translator.apply([route("/a", "/new", "/c", generation=2)])
    assert keys(translation) == ["HTTPRoute/default/shop/1"]
    assert translation.remove == ()
    assert [(status.object[2], status.generation) for status in translation.statuses] == [("shop", 2)]


def test_a_removed_rule_is_removed(translator: Translator) -> None:
    """A rule that is no longer there is named by kind and key."""
    assert translator.apply([route("/a", "/b")]).remove == (("HttpRule", "HTTPRoute/default/shop/2"),)


def test_a_removed_route_takes_its_backend_along(translator: Translator) -> None:
    """What nothing attached refers to any more goes, and the status of the Gateway counts one less."""
    translation = translator.apply(removes=[("HTTPRoute", "default", "shop")])
    assert [kind for kind, _ in translation.remove] == ["Backend", "EndpointSet", "HttpRule", "HttpRule", "HttpRule"]
    assert translation.gone == (("HTTPRoute", "default", "shop"),)
    (status,) = translation.statuses
    assert isinstance(status, GatewayStatus)
    assert status.listeners[0].attached_routes == 0


def test_an_equal_object_changes_nothing(translator: Translator) -> None:
    """Putting what is there already makes no difference at all."""
    assert translator.apply([route("/a", "/b", "/c")]) == Translation()


def test_what_is_set_stands_in_the_order_of_a_batch() -> None:
    """What is named comes before what names it (gateway.ir.batch.ORDER)."""
    translation = Translator(Options()).apply([*BASE_OBJECTS, route("/")])
    assert translation.set == in_order(translation.set)
    assert [type(resource).__name__ for resource in translation.set] == ["Gateway", "EndpointSet", "Backend", "Listener", "HttpRule"]


def test_rules_name_their_source_and_place(translator: Translator) -> None:
    """An HttpRule says which object a user wrote, the route and the index, none of which the key must be parsed for."""
    rule = translator.resources()["HttpRule", "HTTPRoute/default/shop/1"]
    assert isinstance(rule, HttpRule)
    assert (rule.source, rule.route, rule.index) == (Source("HTTPRoute", "default", "shop"), "default/shop", 1)


def test_a_service_may_become_an_external_name_in_one_change(translator: Translator) -> None:
    """The Backend of one key moves from one unit to another: it is set once, and not removed."""
    spec = {"type": "ExternalName", "externalName": "shop.example.com"}
    external = parse({"kind": "Service", "metadata": {"name": "shop", "namespace": "default"}, "spec": spec})
    translation = translator.apply([external])
    assert (keys(translation), translation.remove) == (["default/shop:80"], ())
    assert translator.apply([obj for obj in BASE_OBJECTS if obj.key == external.key]).remove == ()
    assert ("Backend", "default/shop:80") in translator.resources()


class Unreadable:
    """An HTTPRoute whose spec cannot be read: a fault that no real object can cause."""

    kind, namespace, name = "HTTPRoute", "default", "shop"
    key = ("HTTPRoute", "default", "shop")

    @property
    def spec(self) -> Any:
        raise RuntimeError("out of order")


def labelled(label: str, hostname: str = "a.test", generation: int = 1, kind: str = "HTTPRoute") -> Object:
    """The Gateway of the route, for namespaces with this label alone, or without one for its own."""
    chosen = {"from": "Selector", "selector": {"matchLabels": {"edge": label}}} if label else {"from": "Same"}
    allowed = {"namespaces": chosen, "kinds": [{"kind": kind}]}
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "hostname": hostname, "allowedRoutes": allowed}
    spec = {"gatewayClassName": "tidegate", "listeners": [listener]}
    return parse({"kind": "Gateway", "metadata": {"name": "web", "namespace": "default", "generation": generation}, "spec": spec})


def namespace(label: str) -> Object:
    return parse({"kind": "Namespace", "metadata": {"name": "default", "labels": {"edge": label}}})


@pytest.fixture
def barred(translator: Translator) -> Translator:
    """Whose Gateway does not take the route."""
    translator.apply([labelled("yes"), namespace("no")])
    return translator


@pytest.mark.parametrize(("change", "namespaces"), [
    (namespace("yes"), ("default",)),
    (labelled("no", generation=2), ("default",)),
])
def test_the_namespaces_that_listeners_take_are_told_first(barred: Translator, change: Object, namespaces: tuple[str, ...]) -> None:
    """A changed label or selector is the Listener; the rules stay as they are, and what becomes of statuses comes after."""
    first = barred.begin([change])
    assert first is not None
    assert [(resource.key, getattr(resource, "namespaces", None)) for resource in first.set] == [("default/web/http", namespaces)]
    assert (first.remove, first.statuses) == ((), ())
    rest = barred.finish()
    assert (rest.set, rest.remove) == ((), ())
    assert {status.object[0] for status in rest.statuses} == {"Gateway", "HTTPRoute"}


@pytest.mark.parametrize("change", [
    [namespace("yes"), route("/new")],
    [labelled("no", hostname="b.test")],
    [labelled("")],
    [labelled("no", kind="GRPCRoute")],
    [labelled("yes", generation=2)],
    [namespace("other")],
    [route("/new")],
])  # fmt: skip
def test_whatever_else_differs_is_told_at_once(barred: Translator, change: list[Object]) -> None:
    """Rules may depend on it, or nothing differs at all: `finish` gives the whole of the change, as `apply` does."""
    other = Translator(Options())
    other.apply([*BASE_OBJECTS, route("/a", "/b", "/c"), labelled("yes"), namespace("no")])
    assert barred.begin(change) is None or change == [labelled("yes", generation=2)]
    found, expected = barred.finish(), other.apply(change)
    assert {resource.identity for resource in found.set} <= {resource.identity for resource in expected.set}
    assert (found.remove, found.statuses, found.gone) == (expected.remove, expected.statuses, expected.gone)
    assert barred.resources() == other.resources()


def test_a_change_between_the_two_is_not_lost(barred: Translator) -> None:
    """Whoever applies a change before `finish` came is given what was left, and `finish` nothing more."""
    assert barred.begin([namespace("yes")]) is not None
    found = barred.apply([route("/new")])
    assert {status.object[0] for status in found.statuses} == {"Gateway", "HTTPRoute"}
    assert [resource.key for resource in found.set] == ["HTTPRoute/default/shop/0"]
    assert barred.finish() == Translation()


def test_a_fault_leaves_in_place_what_was_there(translator: Translator) -> None:
    """A unit that raises is named; its object keeps what it had, others go on, and the next version of the object heals it."""
    before = dict(translator.resources())
    translation = translator.apply([Unreadable(), route("/other", name="other")])
    assert [failure.partition(" (")[0] for failure in translation.failures] == [
        "attachments HTTPRoute/default/shop: RuntimeError: out of order"
    ]
    assert keys(translation) == ["HTTPRoute/default/other/0"]
    assert before.items() <= translator.resources().items()
    assert keys(translator.apply([route("/a", "/b", "/healed")])) == ["HTTPRoute/default/shop/2"]


def test_a_fault_ends_with_its_object(translator: Translator) -> None:
    """Removing an object whose translation failed removes what it had, and nothing stays behind."""
    translator.apply([Unreadable()])
    assert ("HttpRule", "HTTPRoute/default/shop/0") in translator.apply(removes=[Unreadable.key]).remove
    translator.apply(removes=[obj.key for obj in BASE_OBJECTS])
    assert set(translator.sizes().values()) == {0}


def test_statuses_carry_the_generation_of_their_object(translator: Translator) -> None:
    """Every condition has the generation of the object judged (reference 4.1)."""
    translator.apply([route("/a", generation=7)])
    status = translator.statuses()["HTTPRoute", "default", "shop"]
    assert isinstance(status, RouteStatus)
    assert {condition.generation for parent in status.parents for condition in parent.conditions} == {7}


def test_ignored_objects_are_listed_until_they_matter() -> None:
    """A Gateway of no class of ours is listed with the reason, and no longer once its class is ours."""
    translator = Translator(Options())
    spec = {"gatewayClassName": "edge", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}
    translator.apply([parse({"kind": "Gateway", "metadata": {"name": "web"}, "spec": spec})])
    reason = "there is no GatewayClass edge, and the classes served without one are tidegate"
    assert translator.ignored() == ((("Gateway", "default", "web"), reason),)
    own = {"kind": "GatewayClass", "metadata": {"name": "edge"}, "spec": {"controllerName": "tidegate.dev/gateway-controller"}}
    assert ("Listener", "default/web/http") in [resource.identity for resource in translator.apply([parse(own)]).set]
    assert translator.ignored() == ()


CLASS = parse({"kind": "GatewayClass", "metadata": {"name": "tidegate"}, "spec": {"controllerName": "tidegate.dev/gateway-controller"}})
FOREIGN = parse({"kind": "GatewayClass", "metadata": {"name": "other"}, "spec": {"controllerName": "example.com/other"}})
WEB = ("Gateway", "default", "web")


def gateway(class_name: str = "tidegate", ports: Iterable[int] = (80,), **spec: Any) -> Object:
    listeners = [{"name": f"p{port}", "port": port, "protocol": "HTTP"} for port in ports]
    fields = {"gatewayClassName": class_name, "listeners": listeners, **spec}
    return parse({"kind": "Gateway", "metadata": {"name": "web", "namespace": "default"}, "spec": fields})


@pytest.fixture
def cluster() -> Translator:
    translator = Translator(IN_CLUSTER)
    assert [wanted.gateway for wanted in translator.apply([CLASS, FOREIGN, gateway(), route("/")]).infrastructure] == [WEB]
    return translator


def test_what_is_deployed_is_told_when_it_differs(cluster: Translator) -> None:
    """A change of the routes is none of the infrastructure; one of the ports is."""
    assert cluster.apply([route("/a")]).infrastructure == ()
    translation = cluster.apply([gateway(ports=(80, 81))])
    assert [[port.name for port in wanted.ports] for wanted in translation.infrastructure] == [["p80-tcp", "p81-tcp"]]
    assert translation.unwanted == ()


@pytest.mark.parametrize(
    ("puts", "removes"),
    [
        ([], [("GatewayClass", "", "tidegate")]),
        ([], [WEB]),
        ([gateway("other")], []),
        ([gateway(addresses=[{"type": "NamedAddress", "value": "x"}])], []),
        ([gateway(infrastructure={"parametersRef": {"group": "tidegate.dev", "kind": "GatewayParameters", "name": "none"}})], []),
    ],
    ids=["its class is deleted", "it is deleted", "it moves to a foreign class", "its address cannot be", "its parameters do not exist"],
)
def test_what_is_not_to_be_deployed_any_more_is_named(cluster: Translator, puts: list[Object], removes: list[Any]) -> None:
    """A Gateway that is not ours or not accepted is to have nothing, and its resources vanish; healed it has all again."""
    translation = cluster.apply(puts, removes)
    assert (translation.infrastructure, translation.unwanted) == ((), (WEB,))
    assert {("Gateway", "default/web"), ("Listener", "default/web/p80")} <= set(translation.remove)
    assert cluster.infrastructure() == {}
    assert cluster.apply([CLASS, gateway()]).infrastructure == tuple(cluster.infrastructure().values())
    assert list(cluster.infrastructure()) == [WEB]


def test_a_gateway_may_have_a_thousand_listeners() -> None:
    """64 of its own and those of 15 ListenerSets, each with a port; one more ListenerSet changes one status and one Gateway's ports."""
    ports = [range(1000 + 64 * number, 1064 + 64 * number) for number in range(17)]
    translator = Translator(IN_CLUSTER)
    spec = {"allowedListeners": {"namespaces": {"from": "Same"}}}
    translator.apply([CLASS, gateway(ports=ports[0], **spec), *(more_listeners(number, ports[number]) for number in range(1, 16))])
    assert len([kind for kind, _ in translator.resources() if kind == "Listener"]) == 1024
    translation = translator.apply([more_listeners(16, ports[16])])
    assert [status.object for status in translation.statuses] == [WEB, ("ListenerSet", "default", "set-16")]
    assert [len(wanted.ports) for wanted in translation.infrastructure] == [1088]
    assert translation.failures == ()


def more_listeners(number: int, ports: Iterable[int]) -> Object:
    listeners = [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in ports]
    spec = {"parentRef": {"name": "web"}, "listeners": listeners}
    return parse({"kind": "ListenerSet", "metadata": {"name": f"set-{number}", "namespace": "default"}, "spec": spec})
