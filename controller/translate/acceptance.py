"""Why a Gateway of ours as a whole is not accepted, whatever its listeners are: its class, its parameters, its addresses, its name."""

from __future__ import annotations

from controller.api.gateway import Gateway
from controller.graph import View
from controller.store import Key
from controller.translate.classes import ClassVerdict
from controller.translate.conditions import Problem
from controller.translate.names import deployed_name
from controller.translate.objects import age, called
from controller.translate.options import Options
from controller.translate.parameters import misfit, parameters_fault


def gateway_problem(view: View, gateway: Gateway) -> Problem | None:
    """Why a Gateway of ours is not accepted."""
    problem: Problem | None = view.result("gateway problem", gateway.key)
    return problem


def translate_gateway_problem(options: Options, key: Key, view: View) -> Problem | None:
    """Unit "gateway problem": why a Gateway of ours is not accepted."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None:
        return None
    verdict: ClassVerdict = view.result("class", gateway.spec.gateway_class_name)
    if verdict.problem is not None:
        return Problem("Pending", f"GatewayClass {gateway.spec.gateway_class_name} is not accepted: {verdict.problem.message}")
    if fault := _parameters_fault(options, view, gateway):
        return Problem("InvalidParameters", f"spec.infrastructure.parametersRef: {fault}")
    return _unsupported_address(options, gateway) or (_namesake(view, gateway) if options.cluster else None)


def _parameters_fault(options: Options, view: View, gateway: Gateway) -> str:
    reference = gateway.spec.infrastructure.parameters_ref if gateway.spec.infrastructure is not None else None
    if reference is None:
        return ""
    return parameters_fault(options, view, reference, gateway.namespace) or (misfit(view, gateway) if options.cluster else "")


def _unsupported_address(options: Options, gateway: Gateway) -> Problem | None:
    for index, address in enumerate(gateway.spec.addresses):
        if address.type != "IPAddress":
            return Problem("UnsupportedAddress", f"spec.addresses[{index}]: type {address.type} is not supported; use IPAddress")
    if not options.cluster and len(gateway.spec.addresses) > 1:
        return Problem("UnsupportedAddress", "spec.addresses: a Gateway listens on one address; keep one entry, or none for the default")
    return None


def _namesake(view: View, gateway: Gateway) -> Problem | None:
    """Invalid if what is deployed for an older Gateway of ours is called as it would be for this one."""
    name = deployed_name(gateway.name, gateway.spec.gateway_class_name)
    others: tuple[Gateway, ...] = view.select("deployed name of Gateway", (gateway.namespace, name))
    for other in sorted(others, key=age):
        if other.key == gateway.key:
            return None
        verdict: ClassVerdict = view.result("class", other.spec.gateway_class_name)
        if not verdict.foreign:
            message = f"what is deployed would be called {name}, as for {called(*other.key)}, which is older or else first by name"
            return Problem("Invalid", f"{message}; choose another name")
    return None
