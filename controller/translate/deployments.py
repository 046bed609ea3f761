"""What is to be deployed for a Gateway in a cluster, and which addresses its Services have been assigned."""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.core import LoadBalancerIngress, Service
from controller.api.gateway import Gateway
from controller.api.metadata import Key
from controller.graph import View
from controller.translate.acceptance import gateway_problem
from controller.translate.classes import ClassVerdict
from controller.translate.conditions import Problem
from controller.translate.infrastructure import Infrastructure
from controller.translate.mesh.selection import pod_labels
from controller.translate.names import service_name
from controller.translate.objects import called
from controller.translate.options import Options
from controller.translate.parameters import pairs, parameters_of
from controller.translate.places import plain
from controller.translate.ports import exposed_ports
from controller.translate.statuses import Emission, GatewayAddress


@dataclass(frozen=True, slots=True)
class Assignment:
    """The addresses that the Services of a Gateway have been assigned, and why these are not all that it is to have."""

    addresses: tuple[GatewayAddress, ...] = ()
    problem: Problem | None = None


def requested(gateway: Gateway) -> tuple[str, ...]:
    """The addresses that a Gateway asks for, each once; "" for one that the cluster assigns, which comes first."""
    found = dict.fromkeys(plain(address.value) if address.value else "" for address in gateway.spec.addresses)
    return tuple(sorted(found, key=bool)) if any(found) else ()


def translate_infrastructure(options: Options, key: Key, view: View) -> Emission | None:
    """Unit "infrastructure": what a Gateway is to have that is ours and well in itself."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None or not _is_deployed(view, gateway):
        return None
    class_name = gateway.spec.gateway_class_name
    metadata = gateway.spec.infrastructure
    wanted = Infrastructure(
        key,
        gateway.metadata.uid,
        class_name,
        pairs(pod_labels(gateway)),
        pairs(metadata.annotations if metadata is not None else {}),
        requested(gateway),
        exposed_ports(options, view, gateway),
        parameters_of(view, gateway),
    )
    return Emission(infrastructure=(wanted,))


def translate_assignment(key: Key, view: View) -> Assignment:
    """Unit "assignment": the addresses of a Gateway. It concerns no listener, so that an address that comes wakes only the status."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None or not _is_deployed(view, gateway):
        return Assignment()
    assigned: list[GatewayAddress] = []
    problems: list[Problem] = []
    for address in requested(gateway) or ("",):
        found, problem = _assigned(view, gateway, address)
        assigned += found
        problems += [problem] if problem is not None else []
    unusable = [problem for problem in problems if problem.reason == "AddressNotUsable"]
    return Assignment(tuple(assigned), next(iter(unusable or problems), None))


def _is_deployed(view: View, gateway: Gateway) -> bool:
    verdict: ClassVerdict = view.result("class", gateway.spec.gateway_class_name)
    return not verdict.foreign and gateway_problem(view, gateway) is None


def _assigned(view: View, gateway: Gateway, address: str) -> tuple[list[GatewayAddress], Problem | None]:
    """What the Service for an address has been assigned, "" for whatever it has, and what of it is missing."""
    name = service_name(gateway.name, gateway.spec.gateway_class_name, address)
    service: Service | None = view.get("Service", gateway.namespace, name)
    where = called("Service", gateway.namespace, name)
    if service is None or service.metadata.deletion_timestamp is not None or not _owns(gateway, service):
        return [], Problem("AddressNotAssigned", f"{where} of this Gateway is not there yet")
    found = [_address(ingress) for ingress in service.assigned if ingress.ip or ingress.hostname]
    if not address:
        return found, None if found else Problem("AddressNotAssigned", f"{where} has no address yet; the cluster assigns it")
    held = [each for each in found if each.type == "IPAddress" and plain(each.value) == address]
    if held:
        return held[:1], None
    others = ", ".join(each.value for each in found) or "none"
    return [], Problem("AddressNotUsable", f"{address} is not held by {where}, whose addresses are: {others}")


def _owns(gateway: Gateway, service: Service) -> bool:
    """Whether the Service is this Gateway's, not another's and not one that was called the same before."""
    return any(owner.uid == gateway.metadata.uid for owner in service.metadata.owner_references)


def _address(ingress: LoadBalancerIngress) -> GatewayAddress:
    return GatewayAddress("IPAddress", plain(ingress.ip)) if ingress.ip else GatewayAddress("Hostname", ingress.hostname or "")
