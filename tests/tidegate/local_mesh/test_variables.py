"""Environments and command lines of containers, as Kubernetes has them; plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller.api.core import ServicePort
from controller.api.local_pod import LocalContainer, LocalPod
from tests.tidegate.local_mesh.objects import pod
from tidegate.local_mesh.variables import (
    NotRunnable,
    ServiceAddress,
    Surroundings,
    command_line,
    environment,
    expand,
    inherited,
    service_variables,
)

ENTRIES: dict[tuple[str, str], Mapping[str, str]] = {("ConfigMap", "site"): {"MODE": "test", "a.b": "c"}, ("Secret", "key"): {"token": "s"}}
CART = ServiceAddress("cart-items", "127.1.3.16", (ServicePort(name="http", port=80), ServicePort(name="grpc-api", port=9000)))


def around(of: LocalPod, *services: ServiceAddress) -> Surroundings:
    return Surroundings(of, "127.1.3.2", services, lambda kind, name: ENTRIES.get((kind, name)))


def variables(*env: dict[str, Any], services: tuple[ServiceAddress, ...] = (), links: bool = True, **container: Any) -> dict[str, str]:
    made = pod("web", {"name": "app", "command": ["x"], "env": list(env), **container}, enableServiceLinks=links)
    return environment(made.spec.containers[0], around(made, *services))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("cost: 5$$", "cost: 5$"),
        ("$(A$(B))", "$(A2)"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    """Container.command: $(NAME) is the variable, $$ a dollar sign, and what is no reference to a variable stays."""
    assert expand(text, {"A": "1", "B": "2"}) == expanded


def test_command_and_args_are_one_command_line() -> None:
    """Container.command is the program, Container.args what follows."""
    container = LocalContainer.model_validate({"command": ["serve", "$(PORT)"], "args": ["--on", "$(HOST)"]})
    assert command_line(container, {"PORT": "80", "HOST": "127.1.3.2"}) == ("serve", "80", "--on", "127.1.3.2")


def test_a_service_is_found_by_its_variables() -> None:
    """{NAME}_SERVICE_HOST and _PORT, by name of the port too, and those of container links; the first port is the Service's."""
    found = dict(service_variables(CART))
    assert found["CART_ITEMS_SERVICE_HOST"] == "127.1.3.16"
    assert (found["CART_ITEMS_SERVICE_PORT"], found["CART_ITEMS_SERVICE_PORT_GRPC_API"]) == ("80", "9000")
    assert (found["CART_ITEMS_PORT"], found["CART_ITEMS_PORT_9000_TCP"]) == ("tcp://127.1.3.16:80", "tcp://127.1.3.16:9000")
    assert found["CART_ITEMS_PORT_80_TCP_ADDR"] == "127.1.3.16"


def test_each_source_may_refer_to_what_came_before() -> None:
    """Services first, then envFrom, then env, in their order."""
    source = [{"prefix": "SITE_", "configMapRef": {"name": "site"}}, {"secretRef": {"name": "key"}}]
    url = {"name": "URL", "value": "http://$(CART_ITEMS_SERVICE_HOST)/$(SITE_MODE)/$(LATER)"}
    found = variables(url, {"name": "LATER", "value": "no"}, services=(CART,), envFrom=source)
    assert (found["URL"], found["token"], found["SITE_a.b"]) == ("http://127.1.3.16/test/$(LATER)", "s", "c")


def test_services_are_left_out_on_demand() -> None:
    """PodSpec.enableServiceLinks."""
    assert variables(services=(CART,), links=False) == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['none']", ""),
        ("spec.serviceAccountName", "default"),
        ("spec.nodeName", "localhost"),
        ("status.podIP", "127.1.3.2"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_fields_of_the_pod_are_values(path: str, value: str) -> None:
    """ObjectFieldSelector.fieldPath; status.podIP is where the application may listen."""
    assert variables({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}})["X"] == value


def test_entries_of_config_maps_and_secrets_are_values() -> None:
    """ConfigMapKeyRef and secretKeyRef; what is optional and not there is no variable."""
    found = variables(
        {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "site", "key": "MODE"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "key", "key": "token"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "key", "key": "none", "optional": True}}},
        {"name": "NOBODY", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "a", "optional": True}}},
    )
    assert found == {"MODE": "test", "TOKEN": "s"}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"fieldRef": {"fieldPath": "spec.x"}}, "env[0].valueFrom.fieldRef.fieldPath: 'spec.x' is not known; write one of metadata.name"),
        ({"configMapKeyRef": {"name": "none", "key": "a"}}, "env[0].valueFrom.configMapKeyRef.name: there is no ConfigMap shop/none"),
        ({"secretKeyRef": {"name": "key", "key": "a"}}, "env[0].valueFrom.secretKeyRef.key: Secret shop/key has no entry a; add it"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "env[0].valueFrom: only fieldRef, configMapKeyRef and secretKeyRef are known"),
    ],
)
def test_a_value_that_is_not_there_keeps_the_container_from_starting(source: dict[str, Any], told: str) -> None:
    """With the field and the remedy, as kubelet says CreateContainerConfigError."""
    with pytest.raises(NotRunnable) as refused:
        variables({"name": "X", "valueFrom": source})
    assert str(refused.value).startswith(told)


def test_our_own_settings_are_nobody_elses() -> None:
    """TIDEGATE_ADMIN of the run would be that of a sidecar."""
    assert inherited({"PATH": "/bin", "TIDEGATE_ADMIN": "x", "TIDEGATE_MESH": "1"}) == {"PATH": "/bin"}
