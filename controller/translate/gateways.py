"""A Gateway and its listeners: the resources of what is served, and the status of all of it.

The status is made in two steps, since only the second knows how many routes are attached: a route that comes or goes costs
no more than writing its Gateway's status anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from controller.api.gateway import Gateway
from controller.graph import View
from controller.store import Key
from controller.translate import tls
from controller.translate.acceptance import gateway_problem
from controller.translate.classes import ClassVerdict
from controller.translate.conditions import Problem, met, warned
from controller.translate.deployments import Assignment
from controller.translate.judging import Scene, accepted_by_listeners, condition_of, judge_listeners, with_attached_routes
from controller.translate.listener_sets import ListenerSetEmission
from controller.translate.objects import source_of
from controller.translate.options import Options
from controller.translate.parameters import NOT_DEPLOYED
from controller.translate.places import bind_address
from controller.translate.relations import Relations, https_ports
from controller.translate.statuses import Emission, GatewayAddress, GatewayStatus, Ignored, ListenerStatus
from gateway.ir import listener as resources

MOST_ADDRESSES = 16
"""GatewayStatus.addresses holds no more."""


@dataclass(frozen=True, slots=True)
class GatewayEmission(Emission):
    """Besides resources the status without the numbers of attached routes."""

    draft: GatewayStatus | None = None


def translate_gateway(options: Options, key: Key, view: View) -> GatewayEmission | None:
    """Unit "gateway": the resources of a Gateway of ours, and its status but for attached routes."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None:
        return None
    verdict: ClassVerdict = view.result("class", gateway.spec.gateway_class_name)
    if verdict.foreign:
        return GatewayEmission(ignored=((key, verdict.foreign),))
    problem = gateway_problem(view, gateway)
    relations: Relations = view.result("relations", (key, key))
    judged = judge_listeners(Scene(options, view, gateway, gateway, relations, problem is None))
    client_certificate, unresolved = _client_certificate(view, gateway)
    if problem is None and client_certificate is not None:
        tls.emit(view, (client_certificate,), None)
    generation = gateway.metadata.generation
    accepted = met("Accepted", generation, problem) if problem is not None else accepted_by_listeners(generation, judged.statuses)
    conditions = [accepted, met("ResolvedRefs", generation, unresolved or _unresolved_listeners(judged.statuses))]
    if (insecure := _insecure(view, gateway)) is not None:
        conditions.append(warned("InsecureFrontendValidationMode", generation, insecure))
    bound = () if problem is not None or options.cluster else (GatewayAddress("IPAddress", bind_address(options, gateway)),)
    draft = GatewayStatus(key, generation, tuple(conditions), judged.statuses, bound, client_certificate)
    ignored = tuple(_ignored(gateway, deployed=options.cluster or problem is not None))
    own = resources.Gateway(f"{gateway.namespace}/{gateway.name}", source_of(gateway), client_certificate)
    return GatewayEmission((own, *judged.resources) if problem is None else (), ignored=ignored, draft=draft)


def _insecure(view: View, gateway: Gateway) -> Problem | None:
    """What lets in clients without a valid certificate. Which ports there are is asked only where validation is configured at all."""
    if gateway.spec.tls is None or gateway.spec.tls.frontend is None:
        return None
    return tls.allows_insecure(gateway, https_ports(view, gateway.key))


def _unresolved_listeners(listeners: tuple[ListenerStatus, ...]) -> Problem | None:
    names = [listener.name for listener in listeners if condition_of(listener, "ResolvedRefs") == "False"]
    return Problem("ListenersNotResolved", f"listeners with references that are not resolved: {', '.join(names)}") if names else None


def _client_certificate(view: View, gateway: Gateway) -> tuple[str | None, Problem | None]:
    backend = gateway.spec.tls.backend if gateway.spec.tls is not None else None
    if backend is None or backend.client_certificate_ref is None:
        return None, None
    certificate, problem = tls.certificate_at(view, gateway.key, backend.client_certificate_ref, "InvalidClientCertificateRef")
    return certificate.key if certificate is not None else None, problem.at("spec.tls.backend.clientCertificateRef") if problem else None


def _ignored(gateway: Gateway, deployed: bool) -> Iterator[Ignored]:
    """`deployed`: whether its parameters have an effect, or are refused."""
    if gateway.spec.default_scope == "All":
        yield gateway.key, "spec.defaultScope: default Gateways are not supported; name the Gateway in the routes' parentRefs"
    infrastructure = gateway.spec.infrastructure
    if infrastructure is not None and infrastructure.parameters_ref is not None and not deployed:
        yield gateway.key, f"spec.infrastructure.parametersRef: {NOT_DEPLOYED}"


def translate_gateway_status(options: Options, key: Key, view: View) -> Emission | None:
    """Unit "gateway status": the status of a Gateway with the numbers of attached routes and ListenerSets, in a cluster with addresses."""
    emission: GatewayEmission | None = view.result("gateway", key)
    if emission is None or emission.draft is None:
        return None
    sets = tuple(keys for found in view.select("sets of Gateway", key) if (keys := _served_of(view, found.key)))
    listeners = with_attached_routes(view, key, key, emission.draft.listeners)
    status = msgspec.structs.replace(emission.draft, listeners=listeners, listener_sets=sets)
    if not options.cluster:
        return Emission(statuses=(status,))
    assignment: Assignment = view.result("assignment", key)
    told, untold = assignment.addresses[:MOST_ADDRESSES], assignment.addresses[MOST_ADDRESSES:]
    message = f"status.addresses holds {MOST_ADDRESSES} entries at most, so that {len(untold)} more are not told"
    status = msgspec.structs.replace(status, addresses=told, unassigned=assignment.problem)
    return Emission(statuses=(status,), ignored=((key, message),) if untold else ())


def _served_of(view: View, listener_set: Key) -> tuple[str, ...]:
    """The keys of the listeners of a ListenerSet that are served: it is attached if there are any."""
    emission: ListenerSetEmission | None = view.result("listener set", listener_set)
    if emission is None or emission.draft is None:
        return ()
    return tuple(listener.key for listener in emission.draft.listeners if listener.key)
