"""A Gateway and its listeners: the resources of what is served, and the status of all of it.

The status is made in two steps, since only the second knows how many routes are attached: a route that comes or goes costs
no more than writing its Gateway's status anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from controller.api.gateway import Gateway
from controller.api.listeners import Listener
from controller.graph import View
from controller.store import Key
from controller.translate import tls
from controller.translate.classes import ClassVerdict
from controller.translate.conditions import Condition, Problem, combined, met, warned
from controller.translate.listener_policies import listener_options
from controller.translate.listeners import ROUTE_KINDS, listener_key, overlapping_tls, protocol_conflict, supported_kinds, terminates
from controller.translate.objects import source_of
from controller.translate.options import Options
from controller.translate.places import bind_address, gateway_problem, lost, unclaimable
from controller.translate.statuses import Emission, GatewayStatus, Ignored, ListenerStatus
from gateway.ir import listener as resources

Protocol = Literal["HTTP", "HTTPS", "TLS", "TCP", "UDP"]
"""What ROUTE_KINDS knows: a listener of any other protocol is refused."""


@dataclass(frozen=True, slots=True)
class GatewayEmission(Emission):
    """Besides resources the status without the numbers of attached routes."""

    draft: GatewayStatus | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """A listener: its status, and its resource if it is served."""

    status: ListenerStatus
    resource: resources.Listener | None = None


def translate_gateway(options: Options, key: Key, view: View) -> GatewayEmission | None:
    """Unit "gateway": the resources of a Gateway of ours, and its status but for attached routes."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None:
        return None
    verdict: ClassVerdict = view.result("class", gateway.spec.gateway_class_name)
    if verdict.foreign:
        return GatewayEmission(ignored=((key, verdict.foreign),))
    problem = gateway_problem(view, gateway)
    judged = [_judge(options, view, gateway, listener, problem is None) for listener in gateway.spec.listeners]
    client_certificate, unresolved = _client_certificate(view, gateway)
    if problem is None and client_certificate is not None:
        tls.emit(view, (client_certificate,), None)
    generation = gateway.metadata.generation
    statuses = tuple(listener.status for listener in judged)
    accepted = met("Accepted", generation, problem) if problem is not None else accepted_by_listeners(generation, statuses)
    conditions = [accepted, met("ResolvedRefs", generation, unresolved or _unresolved_listeners(statuses))]
    insecure = tls.allows_insecure(gateway)
    if insecure is not None:
        conditions.append(warned("InsecureFrontendValidationMode", generation, insecure))
    address = bind_address(options, gateway) if problem is None else ""
    draft = GatewayStatus(key, generation, tuple(conditions), statuses, address, client_certificate)
    own = resources.Gateway(f"{gateway.namespace}/{gateway.name}", source_of(gateway), client_certificate)
    served = tuple(listener.resource for listener in judged if listener.resource is not None)
    return GatewayEmission((own, *served) if problem is None else (), ignored=_ignored(gateway), draft=draft)


def accepted_by_listeners(generation: int, listeners: tuple[ListenerStatus, ...]) -> Condition:
    """Accepted of a Gateway that is well in itself: with reason ListenersNotValid where listeners are refused, False where all are."""
    refused = [listener.name for listener in listeners if _status(listener, "Accepted") == "False"]
    if not refused:
        return met("Accepted", generation)
    summary = Problem("ListenersNotValid", f"listeners that are not accepted: {', '.join(refused)}")
    return met("Accepted", generation, summary) if len(refused) == len(listeners) else warned("Accepted", generation, summary)


def _unresolved_listeners(listeners: tuple[ListenerStatus, ...]) -> Problem | None:
    names = [listener.name for listener in listeners if _status(listener, "ResolvedRefs") == "False"]
    return Problem("ListenersNotResolved", f"listeners with references that are not resolved: {', '.join(names)}") if names else None


def _status(listener: ListenerStatus, condition: str) -> str:
    return next(found.status for found in listener.conditions if found.type == condition)


def _client_certificate(view: View, gateway: Gateway) -> tuple[str | None, Problem | None]:
    backend = gateway.spec.tls.backend if gateway.spec.tls is not None else None
    if backend is None or backend.client_certificate_ref is None:
        return None, None
    certificate, problem = tls.certificate_at(view, gateway.key, backend.client_certificate_ref, "InvalidClientCertificateRef")
    return certificate.key if certificate is not None else None, problem.at("spec.tls.backend.clientCertificateRef") if problem else None


def _ignored(gateway: Gateway) -> tuple[Ignored, ...]:
    if gateway.spec.default_scope != "All":
        return ()
    return ((gateway.key, "spec.defaultScope: default Gateways are not supported; name the Gateway in the routes' parentRefs"),)


def _judge(options: Options, view: View, gateway: Gateway, listener: Listener, gateway_accepted: bool) -> _Judged:
    """One listener. It is served if it and its Gateway are accepted, and if it has a certificate to show where it must."""
    key = listener_key(gateway.key, listener.name)
    kinds, kinds_problem = supported_kinds(listener)
    secured = tls.listener_tls(view, gateway, listener) if terminates(listener) else tls.ListenerTls()
    refusal = unclaimable(options, gateway, listener)
    if refusal is None and gateway_accepted:
        refusal = lost(view, key, options.bind_port(listener.port))
    refusal = refusal or secured.refused
    conditions = _listener_conditions(gateway, listener, refusal, combined(filter(None, (kinds_problem, *secured.unresolved))))
    status = ListenerStatus(listener.name, conditions, kinds)
    if not gateway_accepted or refusal is not None or (terminates(listener) and not secured.certificates):
        return _Judged(status)
    tls.emit(view, secured.certificates, secured.validation)
    bundles = secured.validation.trust_bundles if secured.validation is not None else ()
    status = msgspec.structs.replace(status, key=key, certificates=secured.certificates, trust_bundles=bundles)
    return _Judged(status, _resource(options, view, gateway, listener, secured))


def _listener_conditions(
    gateway: Gateway, listener: Listener, refusal: Problem | None, unresolved: Problem | None
) -> tuple[Condition, ...]:
    generation = gateway.metadata.generation
    conditions = [met("Accepted", generation, refusal), met("ResolvedRefs", generation, unresolved)]
    conflict = protocol_conflict(listener, gateway.spec.listeners) if listener.protocol in ROUTE_KINDS else None
    if conflict is not None:
        conditions.append(warned("Conflicted", generation, conflict))
    overlapping = overlapping_tls(listener, gateway.spec.listeners)
    if overlapping is not None:
        conditions.append(warned("OverlappingTLSConfig", generation, overlapping))
    return tuple(conditions)


def _resource(options: Options, view: View, gateway: Gateway, listener: Listener, secured: tls.ListenerTls) -> resources.Listener:
    return resources.Listener(
        key=listener_key(gateway.key, listener.name),
        source=source_of(gateway),
        gateway=f"{gateway.namespace}/{gateway.name}",
        name=listener.name,
        address=bind_address(options, gateway),
        port=listener.port,
        bind_port=options.bind_port(listener.port),
        location_port=options.location_port(listener.port),
        protocol=cast(Protocol, listener.protocol),
        hostname=listener.hostname or "",
        tls_mode=listener.tls.mode if listener.tls is not None else "Terminate",
        certificates=secured.certificates,
        client_validation=secured.validation,
        options=listener_options(view, gateway.key, listener.name),
    )


def translate_gateway_status(key: Key, view: View) -> Emission | None:
    """Unit "gateway status": the status of a Gateway with the numbers of attached routes."""
    emission: GatewayEmission | None = view.result("gateway", key)
    if emission is None or emission.draft is None:
        return None
    listeners = tuple(
        msgspec.structs.replace(listener, attached_routes=view.tally("attached routes", listener_key(key, listener.name)))
        for listener in emission.draft.listeners
    )
    return Emission(statuses=(msgspec.structs.replace(emission.draft, listeners=listeners),))
