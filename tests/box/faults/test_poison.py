"""Objects with one wrong field each harm themselves alone, and say so."""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from tests.box.cluster import PATIENCE, Box, Object
from tests.box.faults.poisons import poisons
from tests.box.faults.standing import SYSTEM, Shop, controllers, name_of, said
from tests.endurance.standing import Sizes

Figure = Callable[[str], None]
SAMPLE = 24
"""Objects of a kind in the short form."""
SPACE = "poison"
PARENT = {"name": "web", "namespace": "shop"}
OTHERS = {"name": "few"}
BASES: dict[str, dict[str, Any]] = {
    "GatewayClass": {"controllerName": "tidegate.dev/gateway-controller"},
    "Gateway": {"gatewayClassName": "poison", "listeners": [{"name": "a", "port": 80, "protocol": "HTTP"}]},
    "ListenerSet": {"parentRef": PARENT, "listeners": [{"name": "a", "port": 8080, "protocol": "HTTP"}]},
    "HTTPRoute": {"parentRefs": [PARENT], "hostnames": ["poison.example"]},
    "GRPCRoute": {"parentRefs": [PARENT], "hostnames": ["poison.example"]},
    "TLSRoute": {"parentRefs": [OTHERS], "hostnames": ["poison.example"], "rules": [{"backendRefs": [{"name": "odd", "port": 80}]}]},
    "TCPRoute": {"parentRefs": [OTHERS], "rules": [{"backendRefs": [{"name": "odd", "port": 80}]}]},
    "UDPRoute": {"parentRefs": [OTHERS], "rules": [{"backendRefs": [{"name": "odd", "port": 80}]}]},
    "BackendTLSPolicy": {
        "targetRefs": [{"group": "", "kind": "Service", "name": "odd"}],
        "validation": {"hostname": "a.example", "wellKnownCACertificates": "System"},
    },
    "XBackendTrafficPolicy": {"targetRefs": [{"group": "", "kind": "Service", "name": "odd"}]},
    "BackendPolicy": {"targetRefs": [{"group": "", "kind": "Service", "name": "odd"}]},
    "ListenerPolicy": {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "few"}]},
    "ReferenceGrant": {},
    "GatewayParameters": {},
}
"""A spec of each kind that is served, into which the wrong field is put."""
SILENT = {"ReferenceGrant", "GatewayParameters"}
"""Kinds without a status."""
ELSEWHERE = (".parentRef", ".targetRef", ".gatewayClassName", ".controllerName", ".defaultScope", ".useDefaultGateways")
"""Fields by which an object may come to be none of ours: it need not say anything then."""
SURROUNDINGS = """
apiVersion: tidegate.dev/v1alpha1
kind: GatewayParameters
metadata: {name: none}
spec: {replicas: 0, service: {type: ClusterIP}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: poison}
spec:
  controllerName: tidegate.dev/gateway-controller
  parametersRef: {group: tidegate.dev, kind: GatewayParameters, name: none, namespace: poison}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: few}
spec:
  gatewayClassName: poison
  listeners:
  - {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}
  - {name: tcp, port: 9000, protocol: TCP}
  - {name: udp, port: 9000, protocol: UDP}
---
apiVersion: v1
kind: Service
metadata: {name: odd}
spec: {ports: [{port: 80}]}
"""


@pytest.fixture
def space(shop: Shop) -> Iterator[Box]:
    """A namespace for poison, in which Gateways have no Pods, and a Gateway for routes that are none for the shop."""
    box = shop.box
    box.kubectl("create", "namespace", SPACE)
    box.apply(SURROUNDINGS, SPACE)
    yield box
    box.kubectl("delete", "gatewayclass", "--selector", "poison=yes")
    box.kubectl("delete", "gatewayclass", "poison", "--wait=false")
    box.kubectl("delete", "namespace", SPACE, "--wait")


def test_a_wrong_field_harms_its_own_object_alone(shop: Shop, space: Box, sizes: Sizes, figure: Figure) -> None:
    """Each field of each kind, wrong in each way that the API server lets through: every object says something of its generation, no
    request to others fails, a change of theirs is served, and no program of ours meets a fault of its own."""
    before = [*controllers(space), *shop.proxies()]
    since = time.time()
    with shop.asked(rate=50) as load:
        taken = 0
        for kind, wrong in specs(space, sizes.of(SAMPLE, 10**6)).items():
            manifest = [dressed(kind, number, *each) for number, each in enumerate(wrong)]
            created = create(space, manifest)
            mute = awaited_statuses(space, kind, created) if kind not in SILENT else []
            assert not mute, [(one["metadata"]["annotations"]["path"], one["spec"], one.get("status")) for one in mute[:5]]
            taken += len(created)
        shop.set("green", "green-1")
        load.until("200 green green-1")
        figure(f"{taken} wrong objects were let through by the API server")
    unharmed(space, before, since)


def test_garbage_in_what_is_referred_to_harms_its_users_alone(shop: Shop, space: Box) -> None:
    """Secrets, ConfigMaps, Services and EndpointSlices of every odd shape: whoever refers to them says so, and nobody else notices."""
    before = [*controllers(space), *shop.proxies()]
    since = time.time()
    with shop.asked(rate=50) as load:
        objects = [*secrets(), *authorities(), *services(), *slices()]
        created = create(space, objects)
        assert len(created) > 0.8 * len(objects)
        users = [user for one in objects for user in users_of(one)]
        for kind in ("Gateway", "HTTPRoute", "BackendTLSPolicy"):
            mine = create(space, [user for user in users if user["kind"] == kind])
            mute = awaited_statuses(space, kind, mine)
            assert not mute, mute[:3]
        shop.set("green", "green-1")
        load.until("200 green green-1")
    unharmed(space, before, since)


def specs(box: Box, most: int) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """By kind: the path of the wrong field, the apiVersion and the spec; at most so many of a kind, spread over all fields."""
    definitions = json.loads(box.kubectl("get", "customresourcedefinitions", "--output", "json"))["items"]
    found = {}
    for definition in definitions:
        kind, group = definition["spec"]["names"]["kind"], definition["spec"]["group"]
        if kind not in BASES:
            continue
        version = next(each for each in definition["spec"]["versions"] if each["storage"])
        schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        every = [(path, f"{group}/{version['name']}", around(BASES[kind], path, spec)) for path, spec in poisons(schema) if path != "{}"]
        found[kind] = Random(kind).sample(every, min(most, len(every)))
    return found


def around(base: dict[str, Any], path: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The base with the one field of a spec that is wrong."""
    field = re.split(r"[.={\[]", path, maxsplit=2)[1]
    return {**spec, **base, field: spec[field]}


def dressed(kind: str, number: int, path: str, version: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": f"poison-{kind.lower()}-{number}", "labels": {"poison": "yes"}, "annotations": {"path": path}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def create(box: Box, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the objects that the API server takes."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    done = box.run("kubectl", "create", "--namespace", SPACE, "--validate=false", "-f", "-", given=listed, check=False).stdout
    names = {line.split(" ")[0].partition("/")[2] for line in done.splitlines() if line.endswith(" created")}
    return [each for each in objects if each["metadata"]["name"] in names]


def awaited_statuses(box: Box, kind: str, created: list[dict[str, Any]]) -> list[Object]:
    """Waits until every object says something of its own generation; returns those that do not."""
    paths = {one["metadata"]["name"]: one["metadata"].get("annotations", {}).get("path", "") for one in created}
    wanted = {name for name, path in paths.items() if not path.startswith(ELSEWHERE)}
    end = time.monotonic() + PATIENCE / 2
    while True:
        mute = [one for one in box.objects(kind.lower(), SPACE) if name_of(one) in wanted and not speaks(one)]
        if not mute or time.monotonic() > end:
            return mute


def speaks(one: Object) -> bool:
    """Whether all its conditions are of its generation, and there are some."""
    status = one.get("status", {})
    places = (status, *status.get("parents", ()), *status.get("ancestors", ()))
    seen = {each.get("observedGeneration") for place in places for each in place.get("conditions", ())}
    return seen == {one["metadata"]["generation"]}


def unharmed(box: Box, before: list[Object], since: float) -> None:
    """Every Pod runs on, and none has spoken of a fault of ours."""
    for pod in before:
        now = box.get("pod", name_of(pod), pod["metadata"]["namespace"])
        counts = Counter(each["restartCount"] for one in (pod, now) for each in one["status"]["containerStatuses"])
        assert len(counts) == 1, f"{name_of(pod)} has ended"
        faults = [line for at, line in said(box, pod) if at > since and "fault of" in line]
        assert not faults, faults[:3]
    assert {name_of(pod) for pod in before if pod["metadata"]["namespace"] == SYSTEM} == {name_of(pod) for pod in controllers(box)}


def encoded(text: bytes | str) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


GARBAGE = {
    "empty": b"",
    "zeros": bytes(64),
    "text": b"no PEM",
    "cut": b"-----BEGIN CERTIFICATE-----\nMIIB",
    "hollow": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    "wrong": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "binary": bytes(range(256)),
    "long": b"A" * 900_000,
    "many": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 1000,
}


def secrets() -> Iterator[dict[str, Any]]:
    for name, content in GARBAGE.items():
        data = {"tls.crt": encoded(content), "tls.key": encoded(content if len(content) < 500_000 else b"")}
        yield {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name}, "data": data}


def authorities() -> Iterator[dict[str, Any]]:
    for name, content in GARBAGE.items():
        data = {"binaryData": {"ca.crt": encoded(content)}}
        yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **data}


def services() -> Iterator[dict[str, Any]]:
    ports = [{"port": 80}]
    for name, spec in {
        "s-none": {"ports": ports},
        "s-headless": {"clusterIP": "None", "ports": ports},
        "s-portless": {"clusterIP": "None"},
        "s-outside": {"type": "ExternalName", "externalName": "localhost"},
        "s-number": {"type": "ExternalName", "externalName": "127.0.0.1"},
        "s-udp": {"ports": [{"port": 80, "protocol": "UDP"}]},
        "s-sctp": {"ports": [{"port": 80, "protocol": "SCTP"}]},
        "s-named": {"ports": [{"port": 80, "targetPort": "nowhere", "appProtocol": "example.com/none"}]},
        "s-grpc": {"ports": [{"port": 80, "appProtocol": "kubernetes.io/h2c"}]},
        "s-many": {"ports": [{"name": f"p{number}", "port": 80 + number} for number in range(900)]},
        "s-selects": {"selector": {"app": "nobody"}, "ports": ports},
    }.items():
        yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def slices() -> Iterator[dict[str, Any]]:
    """Each for a Service without a selector; what the API server refuses of them does not matter."""
    for name, fields in {
        "e-none": {"addressType": "IPv4", "endpoints": [], "ports": []},
        "e-portless": {"addressType": "IPv4", "endpoints": [{"addresses": ["198.18.1.250"]}], "ports": [{}]},
        "e-null": {"addressType": "IPv4", "endpoints": [{"addresses": ["198.18.1.250"]}]},
        "e-names": {"addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}], "ports": [{"port": 80}]},
        "e-six": {"addressType": "IPv6", "endpoints": [{"addresses": ["2001:db8::1"]}], "ports": [{"port": 80}]},
        "e-node": {"addressType": "IPv4", "endpoints": [{"addresses": ["198.18.0.1"]}], "ports": [{"port": 6443}]},
        "e-self": {"addressType": "IPv4", "endpoints": [{"addresses": ["0.0.0.0"]}], "ports": [{"port": 15000}]},
        "e-twice": {"addressType": "IPv4", "endpoints": [{"addresses": ["198.18.1.250"]}] * 2, "ports": [{"port": 80}]},
        "e-hundred": {"addressType": "IPv4", "endpoints": [{"addresses": [f"198.18.9.{n}" for n in range(100)]}], "ports": [{"port": 80}]},
        "e-thousand": {
            "addressType": "IPv4",
            "endpoints": [{"addresses": [f"198.18.{8 + n // 250}.{1 + n % 250}"]} for n in range(1000)],
            "ports": [{"port": 80}],
        },
        "e-gone": {
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["198.18.1.250"], "conditions": {"ready": False, "serving": False, "terminating": True}}],
            "ports": [{"port": 80}],
        },
    }.items():
        yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}
        metadata = {"name": name, "labels": {"kubernetes.io/service-name": name}}
        yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, **fields}


def users_of(one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Whoever refers to an object."""
    name = one["metadata"]["name"]
    group = "gateway.networking.k8s.io/v1"
    match one["kind"]:
        case "Secret":
            listener = {"name": "a", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": name}]}}
            spec: dict[str, Any] = {"gatewayClassName": "poison", "listeners": [listener]}
            yield {"apiVersion": group, "kind": "Gateway", "metadata": {"name": f"uses-{name}"}, "spec": spec}
        case "ConfigMap":
            validation = {"hostname": "a.example", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": name}]}
            spec = {"targetRefs": [{"group": "", "kind": "Service", "name": "s-selects"}], "validation": validation}
            yield {"apiVersion": group, "kind": "BackendTLSPolicy", "metadata": {"name": f"uses-{name}"}, "spec": spec}
        case "Service":
            spec = {"parentRefs": [PARENT], "hostnames": [f"{name}.example"], "rules": [{"backendRefs": [{"name": name, "port": 80}]}]}
            yield {"apiVersion": group, "kind": "HTTPRoute", "metadata": {"name": f"uses-{name}"}, "spec": spec}
