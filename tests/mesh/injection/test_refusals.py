"""Pods that cannot have the sidecar that they ask for: each is refused with what is wrong, its value, and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.injection.inject import inject
from mesh.injection.settings import Refused
from tests.mesh.injection.pods import SETTINGS, pod


def refusal(raw: dict[str, Any]) -> str:
    with pytest.raises(Refused) as caught:
        inject(raw, "shop", SETTINGS)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("tidegate.dev/exclude-inbound-ports", "22,http", "'http' is no port: write numbers from 1 to 65535"),
        ("tidegate.dev/exclude-inbound-ports", "0", "'0' is no port"),
        ("tidegate.dev/exclude-inbound-ports", "65536", "'65536' is no port"),
        ("tidegate.dev/exclude-inbound-ports", "22,", "'' is no port"),
        ("tidegate.dev/exclude-inbound-ports", "*", "'*' is no port"),
        ("tidegate.dev/include-inbound-ports", "*,80", "'*' is no port"),
        ("traffic.sidecar.istio.io/excludeOutboundPorts", "-1", "'-1' is no port"),
        ("tidegate.dev/exclude-outbound-cidrs", "10.0.0.0/33", "does not appear to be an IPv4 or IPv6 network. Write networks"),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "*", "Write networks with commas between them, such as 10.0.0.0/8"),
        ("tidegate.dev/sidecar-cpu", "half", "this is no quantity"),
        ("tidegate.dev/sidecar-memory-limit", "-1Gi", "this is no quantity"),
        ("sidecar.istio.io/proxyMemory", "", "this is no quantity"),
        ("tidegate.dev/access-log", "xml", "write one of json, text, off"),
        ("tidegate.dev/rewrite-probes", "no", 'write "true" or "false"'),
        ("tidegate.dev/trace-sampling", "some", "this is no percentage: write a number from 0 to 100"),
        ("tidegate.dev/trace-sampling", "101", "this is no percentage"),
        ("tidegate.dev/trace-sampling", "nan", "this is no percentage"),
    ],
)
def test_an_annotation_that_is_wrong(name: str, value: str, remedy: str) -> None:
    """The message names the annotation as it was spelt, its value, and what to write."""
    message = refusal(pod(annotations={name: value}))
    assert message.startswith(f"annotation {name}: {value!r}: ")
    assert remedy in message


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("tracing: {sampling: most}", ", tracing.sampling: 'most': this is no percentage"),
        ("tracing: {sampling: [10]}", ", tracing.sampling: '': this is no percentage"),
        ("tracing: 10", ': tracing is no map. Write for example "tracing: {sampling: 10}"'),
        ("- tracing", ": it is no map."),
        ("tracing:\n  sampling: 10\n bad", ": this is no YAML at line 3. Correct it, or write tidegate.dev/trace-sampling instead"),
        ("[" * 200_000, ": it is nested over more than 64 levels"),
        ("a: &a [*a]", ": this is no YAML at line 1"),
    ],
)
def test_settings_of_istio_that_are_wrong(value: str, remedy: str) -> None:
    """proxy.istio.io/config holds YAML of whoever makes the Pod: what it is not is told, and nothing of it harms the webhook."""
    assert refusal(pod(annotations={"proxy.istio.io/config": value})).startswith(f"annotation proxy.istio.io/config{remedy}")


@pytest.mark.parametrize("name", ["tidegate.dev/inject", "sidecar.istio.io/inject"])
def test_a_label_that_is_neither_true_nor_false(name: str) -> None:
    """A Pod that may have been meant to stay out is not guessed about."""
    assert refusal(pod(labels={name: "yes"})).startswith(f"label {name} is 'yes': write \"true\" or \"false\"")


@pytest.mark.parametrize("field", ["runAsUser", "runAsGroup"])
@pytest.mark.parametrize("where", ["pod", "container", "init container"])
def test_an_application_that_runs_as_the_sidecar_does(field: str, where: str) -> None:
    """What user and group 1337 send is not captured, so an application of that number would be outside of the mesh unnoticed."""
    container = {"name": "app", "image": "cart:1"}
    raw = pod(container)
    holder = {"pod": raw["spec"], "container": container, "init container": {"name": "migrate", "image": "cart:1"}}[where]
    holder["securityContext"] = {field: 1337}
    if where == "init container":
        raw["spec"]["initContainers"] = [holder]
    message = refusal(raw)
    assert f"securityContext.{field} 1337, which is the sidecar's own" in message
    assert message.startswith("container migrate " if where == "init container" else "container app ")


def test_a_container_may_run_as_another_user_than_its_pod_says() -> None:
    """A container's own securityContext stands over the Pod's."""
    raw = pod({"name": "app", "image": "cart:1", "securityContext": {"runAsUser": 1000, "runAsGroup": 1000}})
    raw["spec"]["securityContext"] = {"runAsUser": 1337, "runAsGroup": 1337, "fsGroup": 1337}
    assert not inject(raw, "shop", SETTINGS).reason


@pytest.mark.parametrize("name", ["tidegate-init", "tidegate-sidecar"])
def test_a_container_of_our_name(name: str) -> None:
    """A Pod has one container of a name (core/v1 PodSpec)."""
    message = refusal(pod({"name": name, "image": "cart:1"}))
    assert message == f"container {name}: the name is that of a container that is injected. Rename it"


def test_a_volume_of_our_name() -> None:
    """A Pod has one volume of a name (core/v1 PodSpec)."""
    raw = pod()
    raw["spec"]["volumes"] = [{"name": "tidegate-token", "emptyDir": {}}]
    assert refusal(raw) == "volume tidegate-token: the name is that of a volume that is injected. Rename it"


@pytest.mark.parametrize(
    ("action", "place"),
    [
        ({"readinessProbe": {"httpGet": {"port": "web"}}}, "readinessProbe"),
        ({"livenessProbe": {"tcpSocket": {"port": "web"}}}, "livenessProbe"),
        ({"lifecycle": {"preStop": {"httpGet": {"port": "web"}}}}, "lifecycle.preStop"),
    ],
)
def test_a_probe_of_a_port_that_has_no_number(action: dict[str, Any], place: str) -> None:
    """The kubelet could not ask it either; the message names container, field and port, and the names there are."""
    message = refusal(pod({"name": "app", "image": "cart:1", "ports": [{"name": "http", "containerPort": 80}], **action}))
    assert message.startswith(f"container app: {place} asks port 'web', which is no port of the container (http): ")


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({}, "`containers`"),
        ({"containers": {}}, "$.spec.containers"),
        ({"containers": [{"image": "a"}]}, "$.spec.containers[0]"),
        ({"containers": [], "volumes": "none"}, "$.spec.volumes"),
        ({"containers": [{"name": "a", "livenessProbe": {"httpGet": {}}}]}, "$.spec.containers[0].livenessProbe.httpGet"),
        ({"containers": [{"name": "a", "livenessProbe": {"timeoutSeconds": "1"}}]}, "livenessProbe.timeoutSeconds"),
    ],
)
def test_what_is_no_pod(spec: dict[str, Any], place: str) -> None:
    """Whoever sends it, the answer names the place."""
    message = refusal({"metadata": {}, "spec": spec})
    assert message.startswith("this is no Pod that the API server would take: ")
    assert place in message


def test_a_probes_variable_that_is_not_ours() -> None:
    """An injected Pod whose variable somebody has overwritten is refused where it would have to be read."""
    raw = pod({"name": "app", "image": "cart:1", "livenessProbe": {"httpGet": {"port": 80}}})
    raw["spec"]["initContainers"] = [{"name": "tidegate-sidecar", "env": [{"name": "TIDEGATE_APP_PROBES", "value": "nothing"}]}]
    assert "env TIDEGATE_APP_PROBES holds no JSON object" in refusal(raw)
