"""Which namespaces and Pods ask for a sidecar. That webhooks and injection agree is held by tests/chart and tests/mesh/injection."""

from __future__ import annotations

import pytest

from controller.api.injection import is_injected, namespace_asks


@pytest.mark.parametrize(
    ("labels", "asks"),
    [
        ({}, None),
        ({"tidegate.dev/inject": "enabled"}, True),
        ({"tidegate.dev/inject": "disabled"}, False),
        ({"istio-injection": "enabled"}, True),
        ({"istio-injection": "disabled"}, False),
        ({"tidegate.dev/inject": "disabled", "istio-injection": "enabled"}, False),
        ({"tidegate.dev/inject": "enabled", "istio-injection": "disabled"}, True),
    ],
)
def test_which_namespaces_ask_for_injection(labels: dict[str, str], asks: bool | None) -> None:
    """As the selectors of the webhook choose: our label stands over Istio's."""
    assert namespace_asks(labels) is asks
    assert is_injected("shop", labels) is bool(asks)


def test_namespaces_of_the_cluster_are_never_injected() -> None:
    """Whatever their labels say."""
    assert not is_injected("kube-system", {"tidegate.dev/inject": "enabled"})
