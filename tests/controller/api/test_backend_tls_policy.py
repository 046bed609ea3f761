"""BackendTLSPolicy and ReferenceGrant: their CEL rules and limits."""

from typing import Any

import pytest

from tests.controller.api.objects import object_of, read, refused, refused_fields

TARGET = {"group": "", "kind": "Service", "name": "s"}
AUTHORITY = {"group": "", "kind": "ConfigMap", "name": "c"}
VALID: dict[str, Any] = {"hostname": "a.example.com", "caCertificateRefs": [AUTHORITY]}


def policy(targets: list[dict[str, Any]] | None = None, version: str = "gateway.networking.k8s.io/v1", **validation: Any) -> dict[str, Any]:
    """A policy of these targets, one Service if none are given, with changes to a valid validation."""
    return object_of("BackendTLSPolicy", version, spec={"targetRefs": targets or [TARGET], "validation": VALID | validation})


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_both_served_versions_are_read(version: str) -> None:
    """v1, and v1alpha3 of the experimental channel."""
    assert read(policy(version=f"gateway.networking.k8s.io/{version}")).key == ("BackendTLSPolicy", "default", "x")


@pytest.mark.parametrize(
    ("validation", "field"),
    [
        ({"caCertificateRefs": []}, "caCertificateRefs"),
        ({"caCertificateRefs": None}, "caCertificateRefs"),
        ({"wellKnownCACertificates": "System"}, "wellKnownCACertificates"),
        ({"caCertificateRefs": [], "wellKnownCACertificates": "Other"}, "wellKnownCACertificates"),
        ({"caCertificateRefs": [AUTHORITY] * 9}, "caCertificateRefs"),
        ({"caCertificateRefs": [{"kind": "ConfigMap", "name": "c"}]}, "caCertificateRefs[0].group"),
        ({"hostname": "*.example.com"}, "hostname"),
        ({"hostname": "10.0.0.1"}, "hostname"),
        ({"hostname": None}, "hostname"),
        ({"subjectAltNames": [{"type": "Hostname"}]}, "subjectAltNames[0].hostname"),
        ({"subjectAltNames": [{"type": "URI"}]}, "subjectAltNames[0].uri"),
        ({"subjectAltNames": [{"type": "URI", "uri": "spiffe://a/b", "hostname": "a"}]}, "subjectAltNames[0].hostname"),
        ({"subjectAltNames": [{"type": "Hostname", "uri": "spiffe://a/b", "hostname": "a"}]}, "subjectAltNames[0].uri"),
        ({"subjectAltNames": [{"type": "URI", "uri": "b"}]}, "subjectAltNames[0].uri"),
        ({"subjectAltNames": [{"type": "Hostname", "hostname": "a"}] * 6}, "subjectAltNames"),
    ],
)
def test_validations_that_are_refused(validation: dict[str, Any], field: str) -> None:
    """Exactly one source of CA certificates, a precise hostname, names with the field of their type (CEL)."""
    assert refused_fields(policy(**validation)) == [f"spec.validation.{field}"]


@pytest.mark.parametrize(
    "validation",
    [
        {"caCertificateRefs": [], "wellKnownCACertificates": "System"},
        {"caCertificateRefs": [{"group": "example.com", "kind": "Unknown", "name": "c"}]},
        {"subjectAltNames": [{"type": "URI", "uri": "spiffe://a/b"}, {"type": "Hostname", "hostname": "*.example.com"}]},
    ],
)
def test_validations_that_are_read(validation: dict[str, Any]) -> None:
    """The system's CA certificates, and references of unknown kinds, which a condition judges."""
    assert refused(policy(**validation)) == []


@pytest.mark.parametrize(
    ("targets", "fields"),
    [
        ([TARGET, {**TARGET, "name": "t"}], []),
        ([TARGET, TARGET], ["[1]"]),
        ([TARGET, {**TARGET, "sectionName": "a"}], ["[1].sectionName"]),
        ([{**TARGET, "sectionName": "a"}, TARGET], ["[1].sectionName"]),
        ([{**TARGET, "sectionName": "a"}, {**TARGET, "sectionName": "b"}], []),
        ([{**TARGET, "sectionName": "a"}, {**TARGET, "sectionName": "a"}], ["[1]"]),
        ([{"kind": "Service", "name": "s"}], ["[0].group"]),
        ([{**TARGET, "name": f"s{index}"} for index in range(17)], [""]),
    ],
)
def test_references_to_one_target_are_distinct(targets: list[dict[str, Any]], fields: list[str]) -> None:
    """References to one target all have a sectionName, each another (CEL)."""
    assert refused_fields(policy(targets)) == [f"spec.targetRefs{field}" for field in fields]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_grants_are_read(version: str) -> None:
    """ReferenceGrant is served as v1 and v1beta1; a grant without a name is for all objects of the kind."""
    spec = {"from": [{"group": "g", "kind": "K", "namespace": "n"}], "to": [{"group": "", "kind": "Service"}]}
    assert refused(object_of("ReferenceGrant", f"gateway.networking.k8s.io/{version}", spec=spec)) == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"from": [], "to": [{"group": "", "kind": "Service"}]}, "from"),
        ({"from": [{"group": "g", "kind": "K", "namespace": "n"}], "to": []}, "to"),
        ({"from": [{"group": "g", "kind": "K"}], "to": [{"group": "", "kind": "Service"}]}, "from[0].namespace"),
        ({"from": [{"group": "g", "kind": "K", "namespace": "n"}], "to": [{"kind": "Service"}]}, "to[0].group"),
        ({"from": [{"group": "g", "kind": "K", "namespace": "*"}], "to": [{"group": "", "kind": "Service"}]}, "from[0].namespace"),
    ],
)
def test_grants_that_are_refused(spec: dict[str, Any], field: str) -> None:
    """Both lists hold 1 to 16 whole entries."""
    assert refused_fields(object_of("ReferenceGrant", spec=spec)) == [f"spec.{field}"]
