"""Objects as large, as many and as long-named as the API server lets them be, classes that go or change, and a second installation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from tests.box.cluster import ROOT, Box, Object, available, condition
from tests.box.faults.standing import Shop, controllers, route, said
from tests.box.reaching import await_reached

Figure = Callable[[str], None]
API = "gateway.networking.k8s.io/v1"
SETS = 15
"""With the 64 listeners of a Gateway, 64 each make 1,024."""
LISTENERS = 64
numbers = count(1)
LARGE = 1_000_000
"""Bytes: what etcd takes is 1.5 MiB with the bookkeeping of fields, and a ConfigMap 1 MiB."""


@pytest.fixture
def space(shop: Shop) -> Iterator[str]:
    """A namespace, and a class of the same name whose Gateways have one Pod; routes of the namespace may use the shop's Services."""
    box, name = shop.box, f"extreme-{next(numbers)}"
    box.kubectl("create", "namespace", name)
    box.apply(PARAMETERS, name)
    box.apply(gateway_class(name), name)
    box.apply(GRANT.format(name=name), shop.namespace)
    box.wait("gatewayclass", name, accepted)
    yield name
    box.kubectl("delete", "namespace", name, "--wait=false")
    box.kubectl("delete", "gatewayclass", name, "--ignore-not-found", "--wait=false")


PARAMETERS = """
apiVersion: tidegate.dev/v1alpha1
kind: GatewayParameters
metadata: {name: one}
spec: {replicas: 1, accessLog: "off"}
"""


GRANT = """
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: {name}}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {name}}}]
  to: [{{group: "", kind: Service}}]
"""


def gateway_class(name: str, controller: str = "tidegate.dev/gateway-controller") -> str:
    return json.dumps(
        {
            "apiVersion": API,
            "kind": "GatewayClass",
            "metadata": {"name": name},
            "spec": {
                "controllerName": controller,
                "parametersRef": {"group": "tidegate.dev", "kind": "GatewayParameters", "name": "one", "namespace": name},
            },
        }
    )


def gateway(name: str, class_name: str, listeners: int = 1) -> dict[str, Any]:
    spec = {
        "gatewayClassName": class_name,
        "allowedListeners": {"namespaces": {"from": "Same"}},
        "listeners": [listener(f"own-{number}") for number in range(listeners)],
    }
    return {"apiVersion": API, "kind": "Gateway", "metadata": {"name": name}, "spec": spec}


def listener(name: str) -> dict[str, Any]:
    return {"name": name, "port": 80, "protocol": "HTTP", "hostname": f"{name}.example"}


def listener_set(number: int, parent: str) -> dict[str, Any]:
    listeners = [listener(f"set-{number}-{each}") for each in range(LISTENERS)]
    spec = {"parentRef": {"name": parent}, "listeners": listeners}
    return {"apiVersion": API, "kind": "ListenerSet", "metadata": {"name": f"set-{number}"}, "spec": spec}


def accepted(it: Object) -> bool:
    return condition(it, "Accepted") == "True"


def programmed(it: Object) -> bool:
    """At its generation."""
    found = [each for each in it.get("status", {}).get("conditions", ()) if each["type"] == "Programmed"]
    return any(each["status"] == "True" and each["observedGeneration"] == it["metadata"]["generation"] for each in found)


def faults(box: Box, since: float) -> list[str]:
    return [line for pod in controllers(box) for at, line in said(box, pod) if at > since and "fault of" in line]


def test_a_thousand_listeners_of_one_gateway(shop: Shop, space: str, figure: Figure) -> None:
    """A Gateway with 64 listeners and ListenerSets with 64 each, 1,024 together: all are programmed and served, at one address."""
    box, since = shop.box, time.time()
    with shop.asked(rate=50) as load:
        begun = time.monotonic()
        sets = [listener_set(number, "wide") for number in range(SETS)]
        box.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": [gateway("wide", space, LISTENERS), *sets]}), space)
        box.apply(elsewhere("wide", "wide", "name: set-14, kind: ListenerSet", "set-14-63.example"), space)
        for number in range(SETS):
            box.wait("listenerset", f"set-{number}", programmed, space)
        found = box.wait("gateway", "wide", programmed, space)
        figure(f"{LISTENERS * (SETS + 1)} listeners are programmed {time.monotonic() - begun:.1f} s after they were applied")
        assert found["status"]["attachedListenerSets"] == SETS
        box.wait("httproute", "wide", lambda it: bool(it.get("status", {}).get("parents")), space)
        address = found["status"]["addresses"][0]["value"]
        answer = box.curl("--include", "--header", "Host: set-14-63.example", f"http://{address}/")
        assert "mark: wide" in answer.lower(), answer
        load.more(50)
    assert not faults(box, since)


def elsewhere(mark: str, name: str, parent: str, host: str = "own-0.example") -> str:
    """A route of another Gateway to a backend of the shop."""
    return route("blue", mark, name, host).replace("name: web", parent).replace("name: blue", "name: blue, namespace: shop")


def test_an_object_of_a_megabyte(shop: Shop, space: str) -> None:
    """Routes, Gateways and ConfigMaps that are as large as the API server takes them are read; they and all others say what became of
    them, and the shop is served as ever."""
    box, since = shop.box, time.time()
    heavy = {"heavy": "x" * 200_000}
    matches = [{"path": {"type": "PathPrefix", "value": "/" + f"{number}-{'y' * 1000}"}} for number in range(64)]
    rules = [{"matches": matches, "backendRefs": [{"name": "blue", "port": 80}]} for _ in range(2)]
    spec = {"parentRefs": [{"name": "web", "namespace": "shop"}], "hostnames": ["large.example"], "rules": rules}
    large = {"apiVersion": API, "kind": "HTTPRoute", "metadata": {"name": "large", "annotations": heavy}, "spec": spec}
    front = gateway("heavy", space)
    front["metadata"]["annotations"] = heavy
    authorities = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"ca.crt": "z" * LARGE}}
    with shop.asked(rate=50) as load:
        box.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": [large, front, authorities]}), space)
        box.wait("httproute", "large", lambda it: bool(it.get("status", {}).get("parents")), space)
        box.wait("gateway", "heavy", programmed, space)
        shop.set("green", "green-1")
        load.until("200 green green-1")
    assert not faults(box, since)


def test_names_of_every_length(shop: Shop, space: str) -> None:
    """A Gateway and a route whose names have 253 characters are served; what is deployed for it has names that fit (RFC 1123)."""
    box, since = shop.box, time.time()
    long = ".".join(["g" * 50] * 4 + ["h" * 49])
    assert len(long) == 253
    box.apply(json.dumps(gateway(long, space)), space)
    box.apply(elsewhere("long", long, f"name: {long}"), space)
    found = box.wait("gateway", long, programmed, space)
    box.wait("httproute", long, lambda it: bool(it.get("status", {}).get("parents")), space)
    url = f"http://{found['status']['addresses'][0]['value']}/"
    await_reached(box, url)
    answer = box.curl("--include", "--header", "Host: own-0.example", url)
    assert "mark: long" in answer.lower(), answer
    assert not faults(box, since)


def test_a_class_that_is_deleted_and_comes_back(shop: Shop, space: str) -> None:
    """While its class is gone a Gateway keeps what it has and goes on being served; when the class is back it is followed again."""
    box = shop.box
    box.apply(json.dumps(gateway("front", space)), space)
    text = elsewhere("first", "front", "name: front")
    box.apply(text, space)
    found = box.wait("gateway", "front", programmed, space)
    address = found["status"]["addresses"][0]["value"]
    box.wait("deployment", f"front-{space}", available, space)
    with shop.asked(rate=50) as load:
        box.kubectl("delete", "gatewayclass", space, "--wait")
        shop.set("green", "green-1")
        load.until("200 green green-1")
        assert "mark: first" in box.curl("--include", "--header", "Host: own-0.example", f"http://{address}/").lower()
        assert box.get("deployment", f"front-{space}", space)
        box.apply(gateway_class(space), space)
        box.wait("gatewayclass", space, accepted)
        box.apply(text.replace('"first"', '"second"'), space)
        served(box, address, "mark: second")


def served(box: Box, address: str, text: str) -> None:
    """Returns when an answer to own-0.example has a text in it; curl tries until then."""
    script = f'until curl -si --max-time 5 -H "Host: own-0.example" http://{address}/ | tr A-Z a-z | grep -q "{text}"; do sleep 0.05; done'
    box.run("timeout", "60", "sh", "-c", script)


def test_a_class_that_becomes_another_s(shop: Shop, space: str) -> None:
    """A Gateway that changes to another controller's class is let go of: what was deployed for it goes, what is written in its status
    stays; and when it comes back it is served anew."""
    box = shop.box
    box.apply(gateway_class("theirs", "example.com/other"), space)
    box.apply(json.dumps(gateway("front", space)), space)
    box.wait("gateway", "front", programmed, space)
    with shop.asked(rate=50) as load:
        box.apply(json.dumps(gateway("front", "theirs")), space)
        box.wait_gone("deployment", f"front-{space}", space)
        box.apply(json.dumps(gateway("front", space)), space)
        box.wait("gateway", "front", programmed, space)
        box.wait("deployment", f"front-{space}", available, space)
        load.more(50)
    box.kubectl("delete", "gatewayclass", "theirs", "--wait=false")


def test_two_installations_of_one_controller_name(shop: Shop, figure: Figure) -> None:
    """A second installation in another namespace has the same controller name: both find the same objects theirs. No request fails,
    statuses come to rest, and when the second one is gone the first serves on."""
    box = shop.box
    chart = str(ROOT / "charts" / "tidegate")
    options = ("--namespace", "second", "--create-namespace", "--set", "gatewayClass.create=false,controller.replicas=1", "--skip-crds")
    with shop.asked() as load:
        box.run("helm", "install", "second", chart, *options, "--wait", "--timeout", "90s")
        for number in range(3):
            shop.set("green", f"green-{number}")
            load.until(f"200 green green-{number}")
        load.more(1000)
        first = writes(box, shop)
        load.more(1000)
        figure(f"{writes(box, shop) - first} versions of the Gateway, its Deployment and its ConfigMap while 1000 requests were served")
        box.run("helm", "uninstall", "second", "--namespace", "second", "--wait")
        shop.set("blue", "blue-9")
        load.until("200 blue blue-9")
    box.kubectl("delete", "namespace", "second", "--wait=false")


def writes(box: Box, shop: Shop) -> int:
    """A number that grows with what is written to the shop's Gateway and what is deployed for it."""
    kinds = (("gateway", "web"), ("deployment", "web-tidegate"), ("configmap", "web-tidegate-ca"))
    return len({box.get(kind, name, shop.namespace)["metadata"]["resourceVersion"] for kind, name in kinds})
