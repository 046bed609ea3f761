"""ListenerSet: defaults, and the CEL rules over its listeners (apis/v1/listenerset_types.go)."""

from typing import Any

import pytest

from controller.api.listener_set import ListenerSet
from tests.controller.api.objects import listener, object_of, read, refused_fields

PARENT = {"name": "web"}


def listener_set(*listeners: dict[str, Any], **parent: Any) -> dict[str, Any]:
    """A ListenerSet of Gateway web with these listeners, or one of protocol HTTP."""
    return object_of("ListenerSet", spec={"parentRef": PARENT | parent, "listeners": listeners or (listener(),)})


def test_defaults() -> None:
    """The parent is a Gateway of the same namespace, routes come from the same namespace (ParentGatewayReference, ListenerEntry)."""
    found = read(listener_set())
    assert isinstance(found, ListenerSet)
    parent = found.spec.parent_ref
    assert (parent.group, parent.kind, parent.namespace, parent.name) == ("gateway.networking.k8s.io", "Gateway", None, "web")
    assert found.spec.listeners[0].allowed_routes.namespaces.from_ == "Same"


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (listener_set(namespace="edge"), []),
        (listener_set(kind="Service", group=""), []),
        (listener_set(name=None), ["parentRef.name"]),
        (listener_set(sectionName="http"), ["parentRef.sectionName"]),
        (listener_set(namespace="a.b"), ["parentRef.namespace"]),
        (listener_set(listener(), listener(port=81)), ["listeners[1].name"]),
        (listener_set(listener(), listener(name="other")), ["listeners[1]"]),
        (listener_set(listener(), listener(name="other", hostname="a.test")), []),
        (listener_set(listener(protocol="TCP", hostname="a.test")), ["listeners[0].hostname"]),
        (listener_set(listener(protocol="TLS")), ["listeners[0].tls"]),
        (listener_set(listener(port=None)), ["listeners[0].port"]),
        (listener_set(*(listener(name=f"l{number}", port=number + 1) for number in range(65))), ["listeners"]),
        (object_of("ListenerSet", spec={"parentRef": PARENT, "listeners": []}), ["listeners"]),
        (object_of("ListenerSet", spec={"listeners": [listener()]}), ["parentRef"]),
    ],
)
def test_listener_sets(data: dict[str, Any], fields: list[str]) -> None:
    """One parent; 1 to 64 listeners with the rules of a Gateway's: names, and port, protocol and hostname together, are unique."""
    assert refused_fields(data) == [f"spec.{field}" for field in fields]
