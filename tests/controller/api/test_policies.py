"""ListenerPolicy and BackendPolicy of tidegate.dev/v1alpha1."""

from typing import Any

import pytest

from controller.api.backend_policy import BackendPolicy, BackendPolicySpec
from controller.api.listener_policy import ListenerPolicy, ListenerPolicySpec, ListenerTimeouts, PathRules
from tests.controller.api.objects import object_of, read, refused, refused_fields

TIDEGATE = "tidegate.dev/v1alpha1"


def listener_policy(**spec: Any) -> dict[str, Any]:
    """A ListenerPolicy of Gateway g."""
    return object_of("ListenerPolicy", TIDEGATE, spec={"targetRefs": [{"name": "g"}], **spec})


def backend_policy(**spec: Any) -> dict[str, Any]:
    """A BackendPolicy of Service s."""
    return object_of("BackendPolicy", TIDEGATE, spec={"targetRefs": [{"name": "s"}], **spec})


def test_listener_policy_defaults() -> None:
    """Trust in nobody, 10 s for a head, 60 s idle, escaped slashes kept, none merged, no reason header, an access log."""
    found = read(listener_policy())
    assert isinstance(found, ListenerPolicy)
    spec = found.spec
    assert (spec.trusted_hops, spec.trusted_addresses, spec.reason_header, spec.access_log) == (None, (), False, True)
    assert (spec.timeouts.header, spec.timeouts.idle) == (10_000, 60_000)
    assert (spec.paths.escaped_slashes, spec.paths.merge_slashes) == ("Keep", False)
    assert (spec.target_refs[0].group, spec.target_refs[0].kind) == ("gateway.networking.k8s.io", "Gateway")


def test_backend_policy_defaults() -> None:
    """Round robin, and 5 s to connect."""
    found = read(backend_policy())
    assert isinstance(found, BackendPolicy)
    assert (found.spec.balancing.type, found.spec.connect_timeout) == ("RoundRobin", 5_000)
    assert (found.spec.target_refs[0].group, found.spec.target_refs[0].kind) == ("", "Service")


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"trustedHops": 2, "trustedAddresses": ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]}, []),
        ({"trustedHops": -1}, ["trustedHops"]),
        ({"trustedHops": "1"}, ["trustedHops"]),
        ({"trustedAddresses": ["10.0.0.1/8"]}, ["trustedAddresses[0]"]),
        ({"trustedAddresses": ["a"]}, ["trustedAddresses[0]"]),
        ({"timeouts": {"header": "0s", "idle": "1m"}}, []),
        ({"timeouts": {"header": 10}}, ["timeouts.header"]),
        ({"paths": {"escapedSlashes": "Unescape", "mergeSlashes": True}}, []),
        ({"paths": {"escapedSlashes": "keep"}}, ["paths.escapedSlashes"]),
        ({"reasonHeader": "yes"}, ["reasonHeader"]),
        ({"accessLog": False}, []),
        ({"acessLog": False}, ["acessLog"]),
        ({"targetRefs": []}, ["targetRefs"]),
        ({"targetRefs": [{"name": "g", "kind": "Service"}]}, ["targetRefs[0].kind"]),
        ({"targetRefs": [{"name": "g"}, {"name": "g", "sectionName": "a"}]}, ["targetRefs[1].sectionName"]),
        ({"targetRefs": [{"name": "g", "sectionName": "b"}, {"name": "g", "sectionName": "a"}]}, []),
    ],
)
def test_listener_policies(spec: dict[str, Any], fields: list[str]) -> None:
    """Values outside their range, misspelt fields and other targets are refused by field."""
    assert refused_fields(listener_policy(**spec)) == [f"spec.{field}" for field in fields]


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"balancing": {"type": "RoundRobin"}, "connectTimeout": "250ms"}, []),
        ({"balancing": {"type": "Magic"}}, ["balancing.type"]),
        ({"connectTimeout": "1"}, ["connectTimeout"]),
        ({"targetRefs": [{"name": "s", "group": "example.com"}]}, ["targetRefs[0].group"]),
    ],
)
def test_backend_policies(spec: dict[str, Any], fields: list[str]) -> None:
    """Values outside their range and other targets are refused by field."""
    assert refused_fields(backend_policy(**spec)) == [f"spec.{field}" for field in fields]


def test_an_address_alone_is_a_block() -> None:
    """192.0.2.1 stands for 192.0.2.1/32."""
    found = read(listener_policy(trustedAddresses=["192.0.2.1", "::1"]))
    assert isinstance(found, ListenerPolicy)
    assert found.spec.trusted_addresses == ("192.0.2.1/32", "::1/128")
    assert refused(listener_policy(trustedAddresses=[])) == []


@pytest.mark.parametrize("model", [ListenerPolicySpec, BackendPolicySpec, ListenerTimeouts, PathRules])
def test_each_field_of_ours_is_described(model: type[ListenerPolicySpec]) -> None:
    """Options that no other project documents carry their description."""
    assert all(field.description for field in model.model_fields.values())
