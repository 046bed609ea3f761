"""All of translation as units of the graph, with the indexes of the store and the tallies that they read."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import partial
from typing import Any

from controller.api.endpoint_slice import EndpointSlice
from controller.api.gateway import Gateway
from controller.api.kinds import kind_of
from controller.api.listener_set import ListenerSet
from controller.api.reference_grant import ReferenceGrant
from controller.api.routes import ROUTES
from controller.graph import Stage, Unit
from controller.store import Index, Listing, Tally
from controller.translate.acceptance import translate_gateway_problem
from controller.translate.backend_policies import translate_backend_policy
from controller.translate.backend_tls_policies import translate_backend_tls_policy
from controller.translate.backend_traffic_policies import translate_backend_traffic_policy
from controller.translate.backends import translate_backends, translate_external
from controller.translate.classes import judge_class, translate_gateway_class
from controller.translate.consent import listener_hostname, meets, namespaces_of_routes, selects
from controller.translate.cross_serving import hosts_of_route, is_attached, is_bound, translate_attachments
from controller.translate.deployments import translate_assignment, translate_infrastructure
from controller.translate.destinations import application_protocol, judge_destination
from controller.translate.endpoints import translate_endpoints
from controller.translate.gateways import translate_gateway, translate_gateway_status
from controller.translate.listener_policies import translate_listener_policy
from controller.translate.listener_sets import translate_listener_set, translate_listener_set_status
from controller.translate.mesh.authorization_policies import translate_authorization_policy
from controller.translate.mesh.request_authentications import translate_request_authentication
from controller.translate.mesh.units import MESH_INDEXES, MESH_LISTINGS, MESH_TALLIES, units_of_mesh
from controller.translate.names import deployed_name
from controller.translate.namespaces import namespace_labels
from controller.translate.options import Options
from controller.translate.parents import gateway_of, translate_adoption, translate_parent
from controller.translate.places import (
    claims_of_port,
    plain,
    translate_bound,
    translate_claims,
    translate_places,
)
from controller.translate.policies import AnyPolicy, policy_targets, translate_attached
from controller.translate.ports import translate_moved_ports
from controller.translate.precedence import first_of_block
from controller.translate.references import granted_names
from controller.translate.relations import encrypted, ports_of_https, spots, standing_listener, translate_relations
from controller.translate.routes import translate_route
from controller.translate.tls import emit_certificate, emit_trust_bundle, read_authorities, read_pair

_First = partial(Unit, stage=Stage.FIRST)
"""What routes read, and all that becomes of Gateways without them."""


def units(options: Options) -> tuple[Unit, ...]:
    """All units."""
    placed = _units_of_pods(options) if options.cluster else _units_of_places(options)
    return (*_units_of_gateways(options), *placed, *_units_of_routes(options), *units_of_mesh(options))


def indexes(options: Options) -> dict[str, Index]:
    """What objects are found by, besides their keys."""

    def sets_of_gateway(obj: Any) -> Iterable[Hashable]:
        return (gateway_of(obj),) if isinstance(obj, ListenerSet) else ()

    def address_of_gateway(obj: Any) -> Iterable[Hashable]:
        return {plain(address.value) for address in obj.spec.addresses} if isinstance(obj, Gateway) else ()

    def deployed_name_of_gateway(obj: Any) -> Iterable[Hashable]:
        return ((obj.namespace, deployed_name(obj.name, obj.spec.gateway_class_name)),) if isinstance(obj, Gateway) else ()

    def namespace_of_grant(obj: Any) -> Iterable[Hashable]:
        return (obj.namespace,) if isinstance(obj, ReferenceGrant) else ()

    def target_of_policy(obj: Any) -> Iterable[Hashable]:
        return policy_targets(obj) if isinstance(obj, AnyPolicy) else ()

    def slices_of_service(obj: Any) -> Iterable[Hashable]:
        return ((obj.namespace, obj.service_name),) if isinstance(obj, EndpointSlice) and obj.service_name else ()

    return {
        "sets of Gateway": sets_of_gateway,
        "address of Gateway": address_of_gateway,
        "deployed name of Gateway": deployed_name_of_gateway,
        "namespace of grant": namespace_of_grant,
        "target of policy": target_of_policy,
        "slices of service": slices_of_service,
        **(MESH_INDEXES if options.mesh else {}),
    }


def listings(options: Options) -> dict[str, Listing]:
    """What of objects is found without them."""
    return {
        "claims of port": partial(claims_of_port, options),
        "listeners at spot": spots,
        "encrypted listeners": encrypted,
        "ports of HTTPS": ports_of_https,
        "hosts of route": hosts_of_route,
        "namespaces of routes": namespaces_of_routes,
        **(MESH_LISTINGS if options.mesh else {}),
    }


def _units_of_gateways(options: Options) -> tuple[Unit, ...]:
    return (
        _First("class", partial(judge_class, options)),
        Unit("gateway class", partial(translate_gateway_class, options), roots=("GatewayClass",)),
        _First("parent", translate_parent),
        _First("adoption", translate_adoption),
        _First("standing listener", standing_listener),
        _First("first standing listener", first_of_block),
        _First("relations", translate_relations),
        _First("gateway problem", partial(translate_gateway_problem, options)),
        _First("pair", read_pair),
        _First("certificate", emit_certificate),
        _First("authorities", read_authorities),
        _First("trust bundle", emit_trust_bundle),
        _First("gateway", partial(translate_gateway, options), roots=("Gateway",)),
        Unit("gateway status", partial(translate_gateway_status, options), roots=("Gateway",), stage=Stage.LAST),
        _First("listener set", partial(translate_listener_set, options), roots=("ListenerSet",)),
        Unit("listener set status", translate_listener_set_status, roots=("ListenerSet",), stage=Stage.LAST),
        Unit("listener policy", translate_listener_policy, roots=("ListenerPolicy",)),
        Unit("authorization policy", partial(translate_authorization_policy, options), roots=("AuthorizationPolicy",)),
        Unit("request authentication", partial(translate_request_authentication, options), roots=("RequestAuthentication",)),
    )


def _units_of_places(options: Options) -> tuple[Unit, ...]:
    """Where all Gateways share one machine."""
    return (
        _First("places", partial(translate_places, options)),
        _First("claims", translate_claims),
        _First("bound", translate_bound),
    )


def _units_of_pods(options: Options) -> tuple[Unit, ...]:
    """Where each Gateway has Pods of its own."""
    return (
        _First("moved ports", translate_moved_ports),
        _First("infrastructure", partial(translate_infrastructure, options), roots=("Gateway",)),
        _First("assignment", translate_assignment),
    )


def _units_of_routes(options: Options) -> tuple[Unit, ...]:
    return (
        _First("grant", granted_names),
        _First("namespace labels", namespace_labels),
        _First("listener hostname", listener_hostname),
        _First("meets", meets),
        _First("selects", selects),
        Unit("attachments", partial(translate_attachments, options)),
        Unit("attached", is_attached),
        Unit("first attached", first_of_block),
        Unit("bound route", is_bound),
        Unit("first bound route", first_of_block),
        Unit("destination", judge_destination),
        Unit("application protocol", application_protocol),
        Unit("route", translate_route, roots=tuple(kind_of(model) for model in ROUTES)),
        Unit("external backend", partial(translate_external, options)),
        Unit("backends", translate_backends, roots=("Service",), stage=Stage.LAST),
        Unit("endpoints", partial(translate_endpoints, options), roots=("Service",), stage=Stage.LAST),
        _First("attached policies", translate_attached),
        Unit("backend policy", translate_backend_policy, roots=("BackendPolicy",)),
        Unit("backend TLS policy", translate_backend_tls_policy, roots=("BackendTLSPolicy",), stage=Stage.LAST),
        Unit("backend traffic policy", translate_backend_traffic_policy, roots=("XBackendTrafficPolicy",), stage=Stage.LAST),
    )


def tallies(options: Options) -> tuple[Tally, ...]:
    """What is counted over routes, and in a mesh over Services."""
    return (
        *(MESH_TALLIES if options.mesh else ()),
        Tally("attached routes", "route", lambda emission: (binding.listener for binding in emission.attached)),
        Tally("references", "route", lambda emission: emission.destinations),
        Tally("routes of gateway to service", "route", lambda emission: emission.services),
    )
