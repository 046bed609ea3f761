"""The chart as a whole: lint, values, and how the controller runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from controller.definitions.custom_resources import ISTIO, definitions
from controller.deploy.manifests import plan
from controller.translate.classes import MESH_CONTROLLER_NAME
from controller.translate.names import own_labels
from mesh.injection.inject import inject
from tests.chart.helm import CHART, KUBERNETES, helm, needs_helm, objects, of_kind
from tests.controller.deploy.gateways import SETTINGS, infrastructure
from tests.mesh.injection.pods import SETTINGS as SIDECARS
from tests.mesh.injection.pods import pod

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
# Values that have the form of a field of Kubernetes, which judges them itself.
OF_KUBERNETES = {"global", "affinity", "tolerations[]", "metricsFrom[]"}


def closed(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Objects of the schema that would take an unknown field."""
    if schema.get("type") == "object" and schema.get("additionalProperties") is None and path.rpartition(".")[2] not in OF_KUBERNETES:
        yield path
    for name, part in schema.get("properties", {}).items():
        yield from closed(part, f"{path}.{name}")
    if "items" in schema:
        yield from closed(schema["items"], f"{path}[]")


def undescribed(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        if "description" not in part:
            yield f"{path}.{name}"
        yield from undescribed(part, f"{path}.{name}")


def unsaid(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Values without a line in the schema, and lines of the schema without a value."""
    properties = schema.get("properties", {})
    optional = {"global", ".controller.resources.limits", ".gatewayClass.parameters.name", ".gatewayClass.parameters.namespace"}
    for name in values.keys() ^ properties.keys():
        if f"{path}.{name}" not in optional and name not in optional and properties:
            yield f"{path}.{name}"
    for name in values.keys() & properties.keys():
        if isinstance(values[name], dict):
            yield from unsaid(values[name], properties[name], f"{path}.{name}")


def test_the_schema_is_complete() -> None:
    """Every value has a line in the schema with words, every line a value, and no object takes a field that is not there."""
    assert (list(closed(SCHEMA)), list(undescribed(SCHEMA)), list(unsaid(VALUES, SCHEMA))) == ([], [], [])


@needs_helm
def test_lint() -> None:
    """`helm lint --strict` has nothing to say."""
    answer = helm("lint", "--strict", str(CHART))
    assert answer.returncode == 0, answer.stdout


@needs_helm
@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("contoller.replicas=3", "contoller"),
        ("controller.replicsa=3", "replicsa"),
        ("controller.replicas=0", "replicas"),
        ("controller.replicas=two", "replicas"),
        ("image.tag=a b", "tag"),
        ("image.digest=sha256:short", "digest"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("tracing.collector=collector:4318", "collector"),
        ("tracing.samplingPercent=101", "samplingPercent"),
        ("watchNamespaces={Shop}", "watchNamespaces"),
        ("networkPolicy.enabled=maybe", "enabled"),
        ("podDisruptionBudget.maxUnavailable=half", "maxUnavailable"),
        ("gatewayClass.parameters.name=edge", "namespace"),
        ("trustDomain=", "trustDomain"),
        ("mesh.injection.failurePolicy=ignore", "failurePolicy"),
        ("mesh.injection.resources.limits.cpu=half", "cpu"),
        ("mesh.injection.accessLog=xml", "accessLog"),
        ("mesh.injected=true", "injected"),
    ],
)
def test_a_wrong_value_is_refused_by_name(value: str, named: str) -> None:
    """A value that is unknown or of another form stops the installation, and the message names it."""
    answer = helm("template", "tidegate", str(CHART), *KUBERNETES, "--set", value)
    assert answer.returncode != 0
    assert named in answer.stderr


@needs_helm
def test_the_controller_is_restricted() -> None:
    """Pod Security Standards, restricted; and a root file system that nobody writes."""
    (deployment,) = of_kind(objects(), "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


@needs_helm
def test_two_replicas_on_two_nodes_are_not_drained_together() -> None:
    """Two by default, apart where there are nodes for it, with a budget; one replica has none, since it could never be drained."""
    (deployment,) = of_kind(objects(), "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert "preferredDuringSchedulingIgnoredDuringExecution" in deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    assert len(of_kind(objects(), "PodDisruptionBudget")) == 1
    assert of_kind(objects("--set", "controller.replicas=1"), "PodDisruptionBudget") == []


@needs_helm
def test_selectors_find_the_pods() -> None:
    """Service, budget, NetworkPolicy and Deployment select the labels that the Pods have; labels of the user do not change that."""
    found = objects("--set", "controller.podLabels.app\\.kubernetes\\.io/name=other")
    (deployment,) = of_kind(found, "Deployment")
    pods = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        of_kind(found, "Service")[0]["spec"]["selector"],
        of_kind(found, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"],
        of_kind(found, "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= pods for selector in selectors)


@needs_helm
def test_the_stream_is_open_to_data_planes_alone() -> None:
    """The NetworkPolicy lets to 15010 whoever has the labels that the controller gives to its data planes, in every namespace, and
    those that injection gives to Pods; the latter only with a mesh."""
    (policy,) = of_kind(objects(), "NetworkPolicy")
    (stream,) = (rule for rule in policy["spec"]["ingress"] if rule["ports"] == [{"protocol": "TCP", "port": "stream"}])
    peer, sidecars = stream["from"]
    assert peer["namespaceSelector"] == sidecars["namespaceSelector"] == {}
    assert sidecars["podSelector"]["matchLabels"].items() <= inject(pod(), "shop", SIDECARS).pod["metadata"]["labels"].items()
    (policy,) = of_kind(objects("--set", "mesh.enabled=false"), "NetworkPolicy")
    assert [rule["from"] for rule in policy["spec"]["ingress"] if "from" in rule] == [[peer]]
    selected = peer["podSelector"]["matchLabels"].items()
    assert selected <= own_labels("web", "edge").items()
    (deployment,) = (each for each in plan(infrastructure(), SETTINGS).manifests if each["kind"] == "Deployment")
    assert selected <= deployment["spec"]["template"]["metadata"]["labels"].items()


@needs_helm
def test_the_controller_is_told_what_it_deploys() -> None:
    """The image of the data planes is that of the controller, by digest where one is given."""
    digest = "sha256:" + "0" * 64
    (deployment,) = of_kind(objects("--set", f"image.digest={digest}", "--set", "watchNamespaces={a,b}"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"tidegate/tidegate@{digest}"
    assert container["args"] == [
        "controller",
        "--namespace=$(POD_NAMESPACE)",
        "--watch-namespaces=a,b",
        f"--image=tidegate/tidegate@{digest}",
        "--image-pull-policy=IfNotPresent",
        "--service=tidegate-controller.tidegate-system.svc",
        "--trust-domain=cluster.local",
        "--certificate-lifetime=24h",
        "--root-namespace=istio-system",
        "--trace-sampling=1",
        "--mesh",
        "--mesh-outbound=AllowAny",
        "--sidecar-cpu=100m",
        "--sidecar-memory=128Mi",
        "--sidecar-access-log=json",
    ]


@needs_helm
def test_the_class_is_ours() -> None:
    """GatewayClass.spec.controllerName is the one that the controller answers to; the class may be left to others."""
    (found,) = of_kind(objects(), "GatewayClass")
    assert (found["metadata"]["name"], found["spec"]) == ("tidegate", {"controllerName": "tidegate.dev/gateway-controller"})
    assert of_kind(objects("--set", "gatewayClass.create=false"), "GatewayClass") == []


@needs_helm
def test_the_mesh_is_an_object_where_the_cluster_knows_such() -> None:
    """XMesh is experimental: it is made only where its definition is, not without a mesh, and once in a cluster, like the class."""
    known = ("--api-versions", "gateway.networking.x-k8s.io/v1alpha1/XMesh")
    (found,) = of_kind(objects(*known), "XMesh")
    assert found["spec"] == {"controllerName": MESH_CONTROLLER_NAME}
    for less in ((), (*known, "--set", "mesh.enabled=false"), (*known, "--set", "gatewayClass.create=false")):
        assert of_kind(objects(*less), "XMesh") == []


@needs_helm
def test_definitions_come_with_the_chart_and_those_of_the_gateway_api_do_not() -> None:
    """crds/ holds our kinds alone: the Gateway API's own are the cluster's to choose."""
    plain, whole = objects(), objects("--include-crds")
    groups = {each["spec"]["group"] for each in of_kind(whole, "CustomResourceDefinition")}
    assert (groups, of_kind(plain, "CustomResourceDefinition")) == ({"tidegate.dev"}, [])


@needs_helm
def test_istios_kinds_are_installed_only_where_they_are_asked_for() -> None:
    """An installation with Istio keeps its own definitions; elsewhere the chart brings those that the models give."""
    assert not of_kind(objects(), "CustomResourceDefinition")
    found = of_kind(objects("--set", "istioKinds.install=true"), "CustomResourceDefinition")
    assert found == [each for _, each in sorted(definitions(ISTIO).items())]
