"""The rights of the controller: every verb on every resource, and what must never be among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from controller.api.kinds import MESH_ALONE, VERSIONS
from controller.deploy.objects import DEPLOYED
from controller.sources.kube.resources import RESOURCES
from tests.chart.helm import NAMESPACE, needs_helm, objects, of_kind

pytestmark = needs_helm

MODES = {"everywhere": (), "namespaced": ("--set", "watchNamespaces={shop,desk}")}
Right = tuple[str, str, str]
"""Resource with its group, verb, and the one object that it is for ("" for all)."""

READ = ("get", "list", "watch")
WITH_STATUS = (
    "Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "BackendTLSPolicy", "XBackendTrafficPolicy",
    "ListenerPolicy", "BackendPolicy", "AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication", "ServiceEntry",
)  # fmt: skip
WIDE = frozenset({"GatewayClass", "Namespace", "XMesh"})


def rights_of(rules: list[dict[str, Any]]) -> Iterator[Right]:
    for rule in rules:
        assert set(rule) <= {"apiGroups", "resources", "verbs", "resourceNames"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [""]):
                        yield f"{resource}.{group}" if group else resource, verb, name


def granted(mode: str) -> Mapping[tuple[str, str], set[Right]]:
    """The rights of each role, by kind and namespace."""
    found = objects(*MODES[mode])
    roles = [*of_kind(found, "ClusterRole"), *of_kind(found, "Role")]
    return {(role["kind"], role["metadata"].get("namespace", "")): set(rights_of(role["rules"])) for role in roles}


def title(kind: str, subresource: str = "") -> str:
    resource = RESOURCES[kind]
    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    return f"{plural}.{resource.group}" if resource.group else plural


def of_a_namespace() -> set[Right]:
    """What the controller's parts do in a namespace that they watch."""
    read = {(title(kind), verb, "") for kind in VERSIONS if kind not in WIDE for verb in READ}
    status = {(title(kind, "status"), verb, "") for kind in WITH_STATUS for verb in ("patch", "update")}
    placed = {(title(kind), verb, "") for kind in DEPLOYED for verb in ("get", "list", "create", "patch", "delete")}
    watched = {(title("Deployment"), "watch", ""), (title("Gateway", "finalizers"), "update", "")}
    return read | status | placed | watched


INJECTION: set[Right] = {
    ("mutatingwebhookconfigurations.admissionregistration.k8s.io", verb, f"tidegate-injection-{NAMESPACE}")
    for verb in ("list", "watch", "patch")
}
"""The caBundle of our own webhook configuration, and no other's."""


def of_the_cluster() -> set[Right]:
    """What belongs to no namespace."""
    read = {(title(kind), verb, "") for kind in WIDE for verb in READ}
    status = {(title(kind, "status"), verb, "") for kind in ("GatewayClass", "XMesh") for verb in ("patch", "update")}
    return read | status | INJECTION | {(title("TokenReview"), "create", "")}


OWN: set[Right] = {
    ("leases.coordination.k8s.io", "create", ""),
    ("leases.coordination.k8s.io", "get", "tidegate-controller"),
    ("leases.coordination.k8s.io", "update", "tidegate-controller"),
    ("secrets", "create", ""),
    ("secrets", "get", "tidegate-ca"),
    ("secrets", "update", "tidegate-ca"),
}


def test_rights_everywhere_are_those_that_are_used() -> None:
    """Without watchNamespaces one ClusterRole holds what the controller does, and its own namespace's Role the rest; nothing more."""
    assert granted("everywhere") == {("ClusterRole", ""): of_the_cluster() | of_a_namespace(), ("Role", NAMESPACE): OWN}


def test_namespaced_rights_end_at_the_namespaces() -> None:
    """With watchNamespaces only GatewayClasses, XMeshes, Namespaces and TokenReviews are of the whole cluster."""
    assert granted("namespaced") == {
        ("ClusterRole", ""): of_the_cluster(),
        ("Role", NAMESPACE): OWN,
        ("Role", "shop"): of_a_namespace(),
        ("Role", "desk"): of_a_namespace(),
    }


def test_without_a_mesh_there_is_no_right_to_what_only_a_mesh_needs() -> None:
    """What is not used is not granted: Pods, PeerAuthentications, ServiceEntries, XMeshes, webhooks."""
    (role,) = of_kind(objects("--set", "mesh.enabled=false"), "ClusterRole")
    needless = {
        right
        for right in of_the_cluster() | of_a_namespace()
        if right in INJECTION or right[0].startswith(("pods", "peerauthentications.", "peerauthentications/", "serviceentries", "xmeshes"))
    }
    assert set(rights_of(role["rules"])) == (of_the_cluster() | of_a_namespace()) - needless


@pytest.mark.parametrize("mode", MODES)
def test_nothing_opens_more_than_it_says(mode: str) -> None:
    """No wildcard, no right to give rights, to be somebody else, to enter Pods, or to write Secrets of others."""
    for rights in granted(mode).values():
        for resource, verb, name in rights:
            assert "*" not in f"{resource}{verb}{name}"
            assert verb not in {"escalate", "bind", "impersonate", "deletecollection"}
            assert not resource.startswith(("pods/", "nodes", "roles", "clusterroles", "serviceaccounts/token"))
            if resource == "pods":
                assert verb in READ
            if resource == "secrets":
                assert verb in READ or (verb, name) in {("create", ""), ("update", "tidegate-ca")}


def test_secrets_are_listed_only_where_gateways_are_served() -> None:
    """The documented rule (docs/cluster.md): Secrets are read where Gateways and routes are; never in the whole cluster when namespaced."""
    listing = {place for place, rights in granted("namespaced").items() if ("secrets", "list", "") in rights}
    assert listing == {("Role", "shop"), ("Role", "desk")}


@pytest.mark.parametrize("mode", MODES)
def test_every_role_is_bound_to_the_controller_alone(mode: str) -> None:
    """Each role has one binding in its place, to the ServiceAccount of the controller."""
    found = objects(*MODES[mode])
    roles = {(role["kind"], role["metadata"]["name"], role["metadata"].get("namespace")) for role in found if role["kind"].endswith("Role")}
    bindings = [each for each in found if each["kind"].endswith("Binding")]
    assert {(each["roleRef"]["kind"], each["roleRef"]["name"], each["metadata"].get("namespace")) for each in bindings} == roles
    for each in bindings:
        assert each["subjects"] == [{"kind": "ServiceAccount", "name": "tidegate-controller", "namespace": NAMESPACE}]


def test_without_a_mesh_pods_are_not_read() -> None:
    """With mesh.enabled off nothing is granted that only a mesh needs."""
    found = objects("--set", "mesh.enabled=false")
    rights = {right for role in of_kind(found, "ClusterRole") for right in rights_of(role["rules"])}
    assert not {resource for resource, _, _ in rights} & {title(kind) for kind in MESH_ALONE}
