"""Where the API server keeps each kind."""

import pytest

from controller.api.kinds import KINDS, kind_of
from controller.sources.kube.resources import RESOURCES, Resource, plural_of, read_as

CRDS = {
    "BackendTLSPolicy": "backendtlspolicies",
    "XBackendTrafficPolicy": "xbackendtrafficpolicies",
    "GatewayClass": "gatewayclasses",
    "HTTPRoute": "httproutes",
    "ListenerSet": "listenersets",
    "EndpointSlice": "endpointslices",
    "ReferenceGrant": "referencegrants",
    "GatewayParameters": "gatewayparameters",
    "ListenerPolicy": "listenerpolicies",
}


@pytest.mark.parametrize(("kind", "plural"), CRDS.items())
def test_plurals_are_those_of_the_crds(kind: str, plural: str) -> None:
    """The plural of a kind is the one that its CRD (spec.names.plural) or Kubernetes gives it."""
    assert plural_of(kind) == plural


def test_every_kind_that_is_read_has_a_resource() -> None:
    """RESOURCES holds each kind of the models, in the preferred version and its scope."""
    for model in KINDS:
        assert RESOURCES[kind_of(model)].namespaced == model.namespaced


def test_paths() -> None:
    """Paths are those of the API concepts: core and grouped, of a namespace, of all, of the cluster, of a subresource."""
    route = read_as("HTTPRoute", "gateway.networking.k8s.io/v1")
    assert route.path() == "/apis/gateway.networking.k8s.io/v1/httproutes"
    assert route.path("shop", "cart", "status") == "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/cart/status"
    assert RESOURCES["Service"].path("shop") == "/api/v1/namespaces/shop/services"
    assert RESOURCES["Namespace"].path("", "shop") == "/api/v1/namespaces/shop"


def test_names_never_become_other_paths() -> None:
    """A name with a slash or a question mark stays one segment of the path."""
    odd = Resource("", "v1", "secrets", "Secret", True)
    assert odd.path("a/b", "../x?y") == "/api/v1/namespaces/a%2Fb/secrets/..%2Fx%3Fy"
