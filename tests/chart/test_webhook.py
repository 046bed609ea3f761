"""The webhook configuration: which Pods it sends to the controller, and what happens while none answers."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api.injection import NEVER, is_injected, pod_asks
from tests.chart.helm import CHART, KUBERNETES, NAMESPACE, helm, needs_helm, objects, of_kind
from tidegate.control_plane.options import ControllerOptions

pytestmark = needs_helm

OURS, ISTIO = "tidegate.dev/inject", "istio-injection"
POLICY = "tidegate.dev/inject-failure-policy"


def webhooks(*options: str) -> list[dict[str, Any]]:
    (configuration,) = of_kind(objects(*options), "MutatingWebhookConfiguration")
    found: list[dict[str, Any]] = configuration["webhooks"]
    return found


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """metav1.LabelSelector: all requirements hold; NotIn holds for a label that is not there."""
    for requirement in selector["matchExpressions"]:
        value, values = labels.get(requirement["key"]), requirement.get("values", ())
        holds = {"In": value in values, "NotIn": value not in values, "DoesNotExist": value is None}
        if not holds[requirement["operator"]]:
            return False
    return True


def policies(found: list[dict[str, Any]], namespace: str, labels: dict[str, str], pod: dict[str, str]) -> list[str]:
    """The failure policies of the webhooks that a Pod is sent to."""
    labels = labels | {"kubernetes.io/metadata.name": namespace}
    return [each["failurePolicy"] for each in found if selects(each["namespaceSelector"], labels) and selects(each["objectSelector"], pod)]


ISTIO_POD = "sidecar.istio.io/inject"
PODS: tuple[dict[str, str], ...] = (
    {}, {OURS: "true"}, {OURS: "false"}, {ISTIO_POD: "true"}, {ISTIO_POD: "false"}, {OURS: "true", ISTIO_POD: "false"},
    {OURS: "false", ISTIO_POD: "true"},
)  # fmt: skip
NAMESPACES: tuple[dict[str, str], ...] = (
    {}, {OURS: "enabled"}, {OURS: "disabled"}, {ISTIO: "enabled"}, {ISTIO: "disabled"}, {OURS: "disabled", ISTIO: "enabled"},
    {OURS: "enabled", ISTIO: "disabled"},
)  # fmt: skip


@pytest.mark.parametrize("labels", NAMESPACES, ids=str)
def test_a_pod_is_sent_by_the_labels_of_its_namespace_and_its_own(labels: dict[str, str]) -> None:
    """To one webhook at most. A namespace decides, "false" of a Pod wins, "true" counts where the namespace says nothing; so Pods are
    injected where the authorities are placed."""
    found = webhooks()
    for pod in PODS:
        asked = pod_asks(pod, {})
        wanted = asked is True if not labels else is_injected("shop", labels) and asked is not False
        assert policies(found, "shop", labels, pod) == (["Fail"] if wanted else []), pod


def test_a_namespace_chooses_what_happens_while_no_controller_answers() -> None:
    """The other policy than the chart's, by the label; every kind of selection has it."""
    for default, other in (("Fail", "Ignore"), ("Ignore", "Fail")):
        found = webhooks("--set", f"mesh.injection.failurePolicy={default}")
        for labels, pod in (({OURS: "enabled"}, {}), ({ISTIO: "enabled"}, {}), ({}, {OURS: "true"}), ({}, {ISTIO_POD: "true"})):
            assert policies(found, "shop", labels, pod) == [default]
            assert policies(found, "shop", labels | {POLICY: other.lower()}, pod) == [other]
            assert policies(found, "shop", labels | {POLICY: default.lower()}, pod) == [default]


def test_the_cluster_and_the_controller_start_without_it() -> None:
    """Fail would otherwise keep the very Pods from starting that it waits for."""
    for namespace in (*NEVER, NAMESPACE):
        assert policies(webhooks(), namespace, {OURS: "enabled"}, {OURS: "true"}) == []


def test_with_watch_namespaces_no_other_is_touched() -> None:
    """An installation for two namespaces has no say in a third."""
    found = webhooks("--set", "watchNamespaces={shop,desk}")
    assert policies(found, "shop", {OURS: "enabled"}, {}) == ["Fail"]
    assert policies(found, "other", {OURS: "enabled"}, {}) == policies(found, "other", {}, {OURS: "true"}) == []


def test_it_leads_to_where_the_controller_serves() -> None:
    """The Service's port leads to the container's, the certificate is for the Service's name, and the controller knows the object's."""
    found = objects()
    (service,) = of_kind(found, "Service")
    (deployment,) = of_kind(found, "Deployment")
    (configuration,) = of_kind(found, "MutatingWebhookConfiguration")
    (port,) = (each for each in service["spec"]["ports"] if each["name"] == "webhook")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": port["targetPort"], "containerPort": 15017} in container["ports"]
    wanted = {"name": service["metadata"]["name"], "namespace": NAMESPACE, "port": port["port"], "path": "/inject"}
    assert all(each["clientConfig"] == {"service": wanted} for each in configuration["webhooks"])
    name = next(argument.partition("=")[2] for argument in container["args"] if argument.startswith("--service="))
    assert name == f"{wanted['name']}.{NAMESPACE}.svc"
    own = ControllerOptions(NAMESPACE, "one", "image", name).own_webhook()
    assert own == (configuration["metadata"]["name"], wanted["name"], NAMESPACE)


def test_names_are_those_that_the_api_server_takes() -> None:
    """A webhook's name is a domain of three parts at least, and each is there once."""
    names = [each["name"] for each in webhooks()]
    assert len(set(names)) == len(names)
    assert all(name.count(".") >= 2 for name in names)


def test_without_a_mesh_there_is_nothing_of_it() -> None:
    """No webhook configuration and no port, and the controller is not told to."""
    found = objects("--set", "mesh.enabled=false")
    assert of_kind(found, "MutatingWebhookConfiguration") == []
    (service,) = of_kind(found, "Service")
    (deployment,) = of_kind(found, "Deployment")
    assert "webhook" not in {each["name"] for each in service["spec"]["ports"]}
    assert "--mesh" not in deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def test_a_cluster_without_native_sidecars_is_refused() -> None:
    """Before Kubernetes 1.29 restartPolicy of an init container is dropped, and no injected Pod would ever start."""
    old = [*KUBERNETES[:1], "1.28.0"]
    answer = helm("template", "tidegate", str(CHART), *old)
    assert answer.returncode != 0
    assert "the mesh needs Kubernetes 1.29 or newer" in answer.stderr
    assert helm("template", "tidegate", str(CHART), *old, "--set", "mesh.enabled=false").returncode == 0
