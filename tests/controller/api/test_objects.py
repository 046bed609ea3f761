"""What all kinds share: metadata, status, null, unknown fields, frozen values, and the registry of kinds."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from controller.api.kinds import KINDS, MODELS, VERSIONS, kind_of
from tests.controller.api.objects import GATEWAY_API, object_of, read, refused, refused_fields, route


def test_metadata_is_tolerant() -> None:
    """Fields of metadata that we do not read are ignored; those we read are kept."""
    metadata = {
        "name": "a",
        "namespace": "n",
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "generation": 3,
        "creationTimestamp": "2026-01-31T12:00:00Z",
        "uid": "u",
        "resourceVersion": "9",
        "managedFields": [{"manager": "m"}],
        "finalizers": ["f"],
    }
    found = read(route() | {"metadata": metadata}).metadata
    assert (found.labels, found.annotations, found.generation, found.uid, found.resource_version) == ({"a": "b"}, {"c": "d"}, 3, "u", "9")
    assert found.creation_timestamp == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert found.deletion_timestamp is None


def test_what_metadata_lacks() -> None:
    """An object without namespace is in default, its generation is 1, it has no age."""
    found = read(route())
    assert found.key == ("HTTPRoute", "default", "x")
    assert (found.metadata.generation, found.metadata.creation_timestamp, found.metadata.labels) == (1, None, {})


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({}, "metadata.name"),
        ({"generateName": "a-"}, "metadata.name"),
        ({"name": "A"}, "metadata.name"),
        ({"name": "a_b"}, "metadata.name"),
        ({"name": "a" * 254}, "metadata.name"),
        ({"name": 1}, "metadata.name"),
        ({"name": "a", "namespace": "a.b"}, "metadata.namespace"),
        ({"name": "a", "labels": {"a": True}}, "metadata.labels.a"),
        ({"name": "a", "creationTimestamp": "yesterday"}, "metadata.creationTimestamp"),
        ({"name": "a", "creationTimestamp": "2026-01-31T12:00:00"}, "metadata.creationTimestamp"),
    ],
)
def test_metadata_that_is_refused(metadata: dict[str, object], field: str) -> None:
    """Names are DNS subdomains, namespaces DNS labels, labels texts, times have a zone."""
    assert refused_fields(route() | {"metadata": metadata}) == [field]


def test_status_is_not_read() -> None:
    """Status is an output: whatever it holds neither counts nor harms."""
    assert read(route() | {"status": {"parents": "nonsense"}}) == read(route())


def test_null_is_absent() -> None:
    """The API server prunes nulls before it applies defaults, at every level."""
    assert read(route(parentRefs=None, rules=[{"matches": None, "name": None}])) == read(route(rules=[{}]))
    assert refused_fields(object_of("HTTPRoute", spec=None)) == ["spec"]


def test_unknown_fields_are_refused_unless_tolerance_is_asked_for() -> None:
    """Files hold what people write, so a misspelt field is refused; a newer cluster's fields can be ignored."""
    newer = route(rules=[{"fromTheFuture": 1}], alsoNew={})
    assert refused(newer) == [
        ("spec.rules[0].fromTheFuture", "the field is not known here"),
        ("spec.alsoNew", "the field is not known here"),
    ]
    model = MODELS[GATEWAY_API, "HTTPRoute"]
    assert model.model_validate(newer, extra="ignore") == read(route(rules=[{}]))


def test_objects_are_values() -> None:
    """Objects cannot be changed, and are equal when what they say is."""
    found = read(route(hostnames=["a"]))
    assert found == read(route(hostnames=["a"]))
    assert found != read(route(hostnames=["b"]))
    with pytest.raises(ValidationError):
        found.kind = "Other"


def test_names_of_python_are_not_names_of_the_api() -> None:
    """A field is read by the name that the API gives it only."""
    assert refused_fields(route(parent_refs=[])) == ["spec.parent_refs"]


def test_every_kind_has_a_model_in_each_version() -> None:
    """The registry finds the model of every kind by apiVersion and kind."""
    assert {kind_of(model) for model in KINDS} == {
        "GatewayClass",
        "Gateway",
        "ListenerSet",
        "HTTPRoute",
        "GRPCRoute",
        "TLSRoute",
        "TCPRoute",
        "UDPRoute",
        "ReferenceGrant",
        "BackendTLSPolicy",
        "XBackendTrafficPolicy",
        "ListenerPolicy",
        "BackendPolicy",
        "GatewayParameters",
        "AuthorizationPolicy",
        "RequestAuthentication",
        "PeerAuthentication",
        "ServiceEntry",
        "XMesh",
        "Service",
        "EndpointSlice",
        "Secret",
        "ConfigMap",
        "Namespace",
        "Pod",
    }
    for kind, versions in VERSIONS.items():
        for version in versions:
            assert kind_of(MODELS[version, kind]) == kind
