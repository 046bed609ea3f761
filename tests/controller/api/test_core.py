"""Kinds of Kubernetes itself: real objects are read, secrets are not shown, misspelt fields are refused."""

import base64
from typing import Any

import pytest

from controller.api.core import ConfigMap, Secret, Service
from controller.api.endpoint_slice import EndpointSlice
from controller.api.selectors import LabelSelector
from tests.controller.api.objects import object_of, read, refused, refused_fields

REAL_SERVICE = {
    "type": "LoadBalancer",
    "clusterIP": "10.96.0.7",
    "clusterIPs": ["10.96.0.7"],
    "selector": {"app": "web"},
    "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP", "appProtocol": "kubernetes.io/h2c", "nodePort": 30080}],
    "sessionAffinity": "ClientIP",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
    "internalTrafficPolicy": "Cluster",
    "externalTrafficPolicy": "Local",
    "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack",
    "allocateLoadBalancerNodePorts": True,
    "externalIPs": ["192.0.2.1"],
    "loadBalancerIP": "192.0.2.2",
    "loadBalancerClass": "a/b",
    "loadBalancerSourceRanges": ["10.0.0.0/8"],
    "healthCheckNodePort": 30081,
    "publishNotReadyAddresses": False,
    "trafficDistribution": "PreferClose",
}


def service(**spec: Any) -> dict[str, Any]:
    """A Service with this spec."""
    return object_of("Service", "v1", spec=spec)


def test_a_real_service_is_read() -> None:
    """All fields of a Service as a cluster holds it are known."""
    found = read(service(**REAL_SERVICE) | {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}]}}})
    assert isinstance(found, Service)
    assert (found.spec.cluster_ip, found.spec.ports[0].target_port, found.spec.ports[0].app_protocol) == (
        "10.96.0.7",
        "web",
        "kubernetes.io/h2c",
    )


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"ports": [{"port": 80}]}, []),
        ({"ports": [{"port": 80, "targetPort": 8080}]}, []),
        ({"ports": [{"port": 80, "targetPort": "8080"}]}, ["ports[0].targetPort"]),
        ({"ports": [{"port": 80, "targetPort": 0}]}, ["ports[0].targetPort"]),
        ({"ports": [{"port": 80, "targetPort": True}]}, ["ports[0].targetPort"]),
        ({"ports": [{"port": 80}, {"port": 81}]}, ["ports[0].name"]),
        ({"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}, ["ports[1].name"]),
        ({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}, ["ports[1].port"]),
        ({"ports": [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]}, []),
        ({"ports": [{"name": "A", "port": 80}]}, ["ports[0].name"]),
        ({"ports": []}, ["ports"]),
        ({"clusterIP": "None"}, []),
        ({"type": "ExternalName", "externalName": "a.example.com"}, []),
        ({"type": "ExternalName", "externalName": "192.0.2.1", "ports": [{"port": 443}]}, []),
        ({"type": "ExternalName"}, ["externalName"]),
        ({"type": "Magic", "ports": [{"port": 80}]}, ["type"]),
        ({"ports": [{"port": 80}], "selectors": {}}, ["selectors"]),
        ({"ports": [{"port": 80}], "selector": {"a": 1}}, ["selector.a"]),
    ],
)
def test_services(spec: dict[str, Any], fields: list[str]) -> None:
    """Ports have names when there are several, ExternalName has a name or address, unknown fields are refused."""
    assert refused_fields(service(**spec)) == [f"spec.{field}" for field in fields]


def test_a_secret_gives_bytes_and_shows_none() -> None:
    """data is base64, stringData is laid over it as the API server does; repr and str hold no value."""
    data = {"tls.key": base64.b64encode(b"hidden").decode(), "a": "Zmly\nc3Q="}
    secret = object_of("Secret", "v1", type="kubernetes.io/tls", data=data, stringData={"a": "clear"})
    found = read(secret)
    assert isinstance(found, Secret)
    assert found.data == {"tls.key": b"hidden", "a": b"first"}
    assert found.entries == {"tls.key": b"hidden", "a": b"clear"}
    for shown in (repr(found), str(found), repr([found])):
        assert "hidden" not in shown
        assert "clear" not in shown


@pytest.mark.parametrize(
    ("value", "message"), [("a", "not valid base64"), ("a b=", "not valid base64"), (1, "text in base64"), ("ä", "not valid")]
)
def test_data_that_is_not_base64_is_refused(value: object, message: str) -> None:
    """The API server decodes data of a Secret and binaryData of a ConfigMap, and refuses what is no base64."""
    for kind, map_name in (("Secret", "data"), ("ConfigMap", "binaryData")):
        ((field, said),) = refused(object_of(kind, "v1", **{map_name: {"k": value}}))
        assert field == f"{map_name}.k"
        assert message in said


def test_a_config_map_holds_texts_and_bytes() -> None:
    """data is text, binaryData base64."""
    found = read(object_of("ConfigMap", "v1", data={"ca.crt": "x"}, binaryData={"b": "eA=="}))
    assert isinstance(found, ConfigMap)
    assert (found.data, found.binary_data) == ({"ca.crt": "x"}, {"b": b"x"})
    assert refused_fields(object_of("ConfigMap", "v1", data={"a": 1})) == ["data.a"]


def test_a_namespace_is_of_the_whole_cluster() -> None:
    """A Namespace belongs to no namespace; its labels are kept."""
    metadata = {"name": "n", "labels": {"a": "b"}}
    found = read({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "spec": {"finalizers": ["kubernetes"]}})
    assert found.key == ("Namespace", "", "n")
    assert found.metadata.labels == {"a": "b"}


def test_an_endpoint_slice_of_a_cluster_is_read() -> None:
    """Fields that we do not read are tolerated, null lists are empty (discovery/v1)."""
    slice_ = object_of(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        addressType="IPv4",
        endpoints=[
            {
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": "n",
                "zone": "z",
                "deprecatedTopology": {},
                "hints": {"forZones": [{"name": "z"}]},
                "targetRef": {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"},
            }
        ],
        ports=[{"name": "", "port": 8080, "protocol": "TCP"}, {"name": "all"}],
    )
    slice_["metadata"]["labels"] = {"kubernetes.io/service-name": "web"}
    found = read(slice_)
    assert isinstance(found, EndpointSlice)
    assert found.service_name == "web"
    assert (found.endpoints[0].addresses, found.endpoints[0].conditions.ready, found.ports[1].port) == (("10.0.0.1",), True, None)
    empty = read(object_of("EndpointSlice", "discovery.k8s.io/v1", addressType="IPv6", endpoints=None, ports=None))
    assert isinstance(empty, EndpointSlice)
    assert (empty.endpoints, empty.ports, empty.service_name) == ((), (), "")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"addressType": "IPv5"}, "addressType"),
        ({"addressType": "IPv4", "endpoints": [{"addresses": []}]}, "endpoints[0].addresses"),
        ({"addressType": "IPv4", "endpoints": [{}]}, "endpoints[0].addresses"),
        ({"addressType": "IPv4", "ports": [{"port": "80"}]}, "ports[0].port"),
    ],
)
def test_endpoint_slices_that_are_refused(fields: dict[str, Any], field: str) -> None:
    """An address family, at least one address an endpoint, ports as numbers."""
    assert refused_fields(object_of("EndpointSlice", "discovery.k8s.io/v1", **fields)) == [field]


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}, {"a": "b"}, False),
    ],
)
def test_label_selectors(selector: dict[str, Any], labels: dict[str, str], selected: bool) -> None:
    """All labels and all expressions must hold; NotIn also selects what lacks the label (meta/v1 LabelSelector)."""
    assert LabelSelector.model_validate(selector).selects(labels) is selected


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ({"key": "a", "operator": "In"}, "values"),
        ({"key": "a", "operator": "Exists", "values": ["b"]}, "values"),
        ({"key": "a", "operator": "Is"}, "operator"),
    ],
)
def test_selector_expressions_that_are_refused(expression: dict[str, Any], field: str) -> None:
    """In and NotIn need values, Exists and DoesNotExist have none."""
    namespaces = {"from": "Selector", "selector": {"matchExpressions": [expression]}}
    listener = {"name": "a", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": namespaces}}
    gateway = object_of("Gateway", spec={"gatewayClassName": "c", "listeners": [listener]})
    assert refused_fields(gateway) == [f"spec.listeners[0].allowedRoutes.namespaces.selector.matchExpressions[0].{field}"]


@pytest.mark.parametrize(
    ("spec", "status", "assigned"),
    [
        ({"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "192.0.2.2", "ipMode": "VIP"}]}}, [("192.0.2.2", None)]),
        ({"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"hostname": "lb.test"}]}}, [(None, "lb.test")]),
        ({"type": "LoadBalancer", "clusterIP": "10.96.0.7"}, {"loadBalancer": {}, "conditions": []}, []),
        ({"type": "NodePort", "clusterIPs": ["10.96.0.7", "fd00::7"]}, {}, [("10.96.0.7", None), ("fd00::7", None)]),
        ({"clusterIP": "10.96.0.7"}, {}, [("10.96.0.7", None)]),
        ({"clusterIP": "None"}, {}, []),
    ],
)  # fmt: skip
def test_where_a_service_takes_traffic(spec: dict[str, Any], status: dict[str, Any], assigned: list[Any]) -> None:
    """Of type LoadBalancer its status says it, which is all that is read of any status; else its addresses in the cluster."""
    found = read(service(ports=[{"port": 80}], **spec) | {"status": status})
    assert isinstance(found, Service)
    assert [(each.ip, each.hostname) for each in found.assigned] == assigned
