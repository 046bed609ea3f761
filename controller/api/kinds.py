"""The kinds that we read: the model of each apiVersion and kind."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from controller.api.authorization_policy import AuthorizationPolicy
from controller.api.backend_policy import BackendPolicy
from controller.api.backend_tls_policy import BackendTLSPolicy
from controller.api.backend_traffic_policy import XBackendTrafficPolicy
from controller.api.core import ConfigMap, Namespace, Secret, Service
from controller.api.endpoint_slice import EndpointSlice
from controller.api.gateway import Gateway
from controller.api.gateway_class import GatewayClass
from controller.api.gateway_parameters import GatewayParameters
from controller.api.listener_policy import ListenerPolicy
from controller.api.listener_set import ListenerSet
from controller.api.mesh import XMesh
from controller.api.metadata import Object
from controller.api.peer_authentication import PeerAuthentication
from controller.api.pod import Pod
from controller.api.reference_grant import ReferenceGrant
from controller.api.request_authentication import RequestAuthentication
from controller.api.routes import ROUTES
from controller.api.service_entry import ServiceEntry

KINDS: tuple[type[Object], ...] = (
    GatewayClass,
    Gateway,
    ListenerSet,
    *ROUTES,
    ReferenceGrant,
    BackendTLSPolicy,
    XBackendTrafficPolicy,
    ListenerPolicy,
    BackendPolicy,
    GatewayParameters,
    AuthorizationPolicy,
    RequestAuthentication,
    PeerAuthentication,
    ServiceEntry,
    XMesh,
    Service,
    EndpointSlice,
    Secret,
    ConfigMap,
    Namespace,
    Pod,
)
"""The model of each kind."""

MESH_ALONE = frozenset(("PeerAuthentication", "ServiceEntry", "XMesh", "Pod"))
"""Kinds that are of no use without a mesh."""


def _versions(model: type[Object]) -> tuple[str, ...]:
    return get_args(model.model_fields["api_version"].annotation)


def kind_of(model: type[Object]) -> str:
    """The kind that a model reads."""
    (kind,) = get_args(model.model_fields["kind"].annotation)
    return str(kind)


MODELS: Mapping[tuple[str, str], type[Object]] = MappingProxyType(
    {(version, kind_of(model)): model for model in KINDS for version in _versions(model)}
)
"""The model of each (apiVersion, kind)."""

VERSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({kind_of(model): _versions(model) for model in KINDS})
"""The versions in which each kind is read, the preferred one first."""
