"""Objects of the API server to models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controller.api.core import Namespace
from controller.api.metadata import Object
from controller.api.pod import Pod
from controller.sources.kube.reading import read, reduced
from controller.sources.kube.resources import RESOURCES
from tests.controller.sources.kube.cluster import ROUTE, SERVICE, config_map, gateway_class, namespace, route, secret, service

CONFIG_MAP = RESOURCES["ConfigMap"]


def read_whole(kind: str, raw: dict[str, Any]) -> Object | str:
    found = reduced(RESOURCES[kind], raw)
    assert found is not None
    return read(RESOURCES[kind], found)


def test_what_changes_without_meaning_is_left_out() -> None:
    """Neither status, resourceVersion, managedFields nor the copy of kubectl is in what an object is judged by."""
    raw = route("cart", annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"})
    noisy = raw | {"status": {"parents": []}, "metadata": raw["metadata"] | {"resourceVersion": "7", "managedFields": [{}]}}
    plain = raw | {"metadata": raw["metadata"] | {"annotations": {"a": "b"}}}
    assert reduced(ROUTE, noisy) == reduced(ROUTE, plain) == plain


def test_an_object_without_managed_fields_and_kind_is_read() -> None:
    """Items of lists name no kind, and old or cut-down servers write no managedFields, labels or annotations."""
    bare = {"metadata": {"name": "cart", "namespace": "shop", "annotations": None}, "spec": {"ports": [{"port": 80}]}}
    found = read_whole("Service", bare)
    assert isinstance(found, Object)
    assert found.key == ("Service", "shop", "cart")


def test_of_a_namespace_stays_since_when_it_asks_for_sidecars() -> None:
    """Of managedFields the entries that own such a label, whatever else is in them and whoever else wrote."""
    asking: dict[str, Any] = {"f:metadata": {"f:labels": {"f:tidegate.dev/inject": {}, "f:team": {}}}}
    owners = [
        {"manager": "kubectl-create", "time": "2026-11-30T17:00:00Z", "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}}},
        {"manager": "kubectl-label", "time": "2026-11-30T18:00:00Z", "fieldsV1": asking},
        {"manager": "old"},
    ]
    raw = namespace("shop")
    raw["metadata"] |= {"managedFields": owners}
    found = read_whole("Namespace", raw)
    assert isinstance(found, Namespace)
    assert found.metadata.label_written("tidegate.dev/inject") == datetime(2026, 11, 30, 18, tzinfo=UTC)
    assert found.metadata.label_written("istio-injection") is None
    assert "team" not in str(found)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("Service", service("a") | {"spec": {"ports": [{"port": 80, "newer": 1}], "newer": {"a": 1}}, "newer": 1}),
        ("Secret", secret("a") | {"newer": 1}),
        ("ConfigMap", config_map("a", ca_crt="x") | {"newer": 1}),
        ("Namespace", namespace("a") | {"spec": {"newer": 1}, "newer": 1}),
        (
            "EndpointSlice",
            {
                "metadata": {"name": "a", "namespace": "b"},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["192.0.2.1"], "newer": 1}],
                "newer": 1,
            },
        ),
    ],
)
def test_unknown_fields_of_kubernetes_are_ignored(kind: str, raw: dict[str, Any]) -> None:
    """A newer Kubernetes adds fields to its kinds at any depth: they are no error."""
    assert isinstance(read_whole(kind, raw), Object)


def test_unknown_fields_of_the_gateway_api_are_refused_by_name() -> None:
    """A field of a newer CRD may restrict what the rest allows: the object is refused, with the field and what is known there."""
    raw = route("cart")
    raw["spec"]["rules"][0]["onlyOnFridays"] = True
    problem = read_whole("HTTPRoute", raw)
    assert isinstance(problem, str)
    assert problem.startswith("spec.rules[0].onlyOnFridays: the field is not known here. ")


def test_refusals_are_one_line_and_hold_no_secrets() -> None:
    """Several faults stand in one line; of a Secret no value is repeated."""
    raw = route("cart")
    raw["spec"]["rules"] = [{"matches": [{"path": {"value": "no\nslash"}, "method": "get"}]} for _ in range(3)]
    problem = read_whole("HTTPRoute", raw)
    assert isinstance(problem, str)
    assert "\n" not in problem
    assert problem.endswith("more")
    told = read_whole("Secret", secret("a") | {"data": {"tls.key": "not base64: hidden"}})
    assert isinstance(told, str)
    assert "hidden" not in told


def test_of_a_config_map_the_certificates_stay() -> None:
    """Only ca.crt is read (translate/tls.py); a ConfigMap without it is of no interest."""
    assert reduced(CONFIG_MAP, config_map("a", other="x")) is None
    assert reduced(CONFIG_MAP, {"metadata": {"name": "a", "namespace": "b"}, "data": None}) is None
    found = reduced(CONFIG_MAP, config_map("a", ca_crt="x", other="y"))
    assert found is not None
    assert found["data"] == {"ca.crt": "x"}
    binary = {"metadata": {"name": "a", "namespace": "b"}, "binaryData": {"ca.crt": "eA==", "b": "eQ=="}}
    assert (reduced(CONFIG_MAP, binary) or {})["binaryData"] == {"ca.crt": "eA=="}


def test_of_a_pod_stays_what_a_mesh_must_know() -> None:
    """Who it is, where it is and which of its ports have names: its conditions and restarts, which change all the time, are no change."""
    pod: dict[str, Any] = {
        "metadata": {"name": "shop-1", "namespace": "shop", "labels": {"app": "shop"}, "annotations": {"a": "b"}, "generateName": "shop-"},
        "spec": {
            "serviceAccountName": "seller",
            "nodeName": "one",
            "containers": [{"name": "app", "image": "app:1", "ports": [{"name": "web", "containerPort": 8080}]}],
            "initContainers": [{"name": "beside", "restartPolicy": "Always", "ports": [{"name": "more", "containerPort": 9090}]}],
        },
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "Ready"}]},
    }
    later = pod | {"status": pod["status"] | {"conditions": [], "containerStatuses": [{"restartCount": 2}]}}
    assert reduced(RESOURCES["Pod"], pod) == reduced(RESOURCES["Pod"], later)
    found = read_whole("Pod", pod)
    assert isinstance(found, Pod)
    assert (found.addresses, found.spec.service_account_name) == (("10.0.0.1",), "seller")
    assert (found.port_named("web"), found.port_named("more"), found.port_named("none")) == (8080, 9090, None)


def test_a_fault_of_ours_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a model raises harms the one object, and says whose fault it is."""

    def fail(*_: Any, **__: Any) -> None:
        raise RecursionError

    monkeypatch.setattr("controller.api.gateway_class.GatewayClass.model_validate", fail)
    assert read_whole("GatewayClass", gateway_class("a")) == "it cannot be read: RecursionError. Report this as a fault of Tidegate"


def test_objects_are_validated_without_their_version() -> None:
    """A resourceVersion never reaches a model, so equal objects stay equal."""
    raw = service("cart", resourceVersion="7", uid="u", generation=3)
    found = read(SERVICE, reduced(SERVICE, raw) or {})
    assert isinstance(found, Object)
    assert (found.metadata.resource_version, found.metadata.uid, found.metadata.generation) == ("", "u", 3)
