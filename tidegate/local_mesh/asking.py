"""Which sidecar knows what would happen to a request of a workload: `tidegate explain ... --from NAMESPACE/ACCOUNT`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller.translate.objects import called
from gateway.explain.question import read_question
from tidegate.local_mesh.objects import LocalObjects, Workload

_ENDINGS = ("", ".svc", ".svc.cluster.local")


def asked_of(objects: LocalObjects, question: dict[str, Any]) -> tuple[Workload, dict[str, Any]] | None:
    """The workload that would ask, the first by name with the account that the question names as its caller, and the question to its
    sidecar; None where the URL leads to no Service of the mesh, or the caller is no workload here. Raises ValueError for what is no
    question."""
    asked = read_question(question)
    account = _account(asked.argument.caller)
    callers = (each for _, each in sorted(objects.workloads.items()) if each.meshed)
    caller = next((each for each in callers if (each.pod.namespace, each.pod.spec.service_account_name) == account), None)
    if caller is None or asked.argument.direction == "Inbound":
        return None
    host = asked.host.decode("ascii", "replace")
    for service, address in objects.services():
        ports = {port.port for port in service.spec.ports if port.protocol == "TCP"}
        names = (f"{service.name}.{service.namespace}{ending}" for ending in _ENDINGS)
        here = service.namespace == caller.pod.namespace and host == service.name
        if asked.port in ports and (here or host in (address, caller.block.of_service(address), *names)):
            rest = {name: value for name, value in question.items() if name != "caller"}
            return caller, {**rest, "destination": [address, asked.port]}
    return None


def addresses_of(objects: LocalObjects, workload: Workload) -> str:
    """Where a workload is, and where it reaches the Services of its namespace, in words."""
    services = objects.surroundings(workload).services
    reached = [f"{service.name} at {service.host}:{port.port}" for service in services for port in service.ports]
    where = f"{called('Pod', workload.pod.namespace, workload.pod.name)} is at {workload.block.pod}"
    if not workload.meshed:
        return f"{where}, without a sidecar"
    return f"{where}, its application at {workload.application}" + (f"; it reaches {_joined(reached)}" if reached else "")


def _joined(words: Iterable[str]) -> str:
    return ", ".join(words)


def _account(caller: str) -> tuple[str, str]:
    """Of NAMESPACE/ACCOUNT, or of a SPIFFE ID."""
    parts = caller.removeprefix("spiffe://").split("/")
    if len(parts) == 5 and (parts[1], parts[3]) == ("ns", "sa"):
        return parts[2], parts[4]
    return (parts[0], parts[1]) if len(parts) == 2 else ("", "")
