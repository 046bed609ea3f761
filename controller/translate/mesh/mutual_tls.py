"""PeerAuthentication: what a workload demands of its callers, and what is wrong with what is written about that.

The policy that selects a workload comes before that of its namespace, and this before that of the root namespace; of several the oldest
holds, and UNSET leaves it to the next. A policy with something that is not known demands an identity: it must not allow more than it says.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.api.istio import OpenModel
from controller.api.peer_authentication import MutualTLS, PeerAuthentication
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem, combined, met
from controller.translate.mesh.namespaces import ALL
from controller.translate.mesh.problems import INVALID, UNSUPPORTED
from controller.translate.objects import age, called
from controller.translate.options import Options
from controller.translate.statuses import Emission, SelectingStatus
from gateway.ir.workload import MutualTls, mesh_scope
from gateway.ir.workload import PeerAuthentication as Told

_MODES: Final[dict[str, MutualTls]] = {"DISABLE": "Disable", "PERMISSIVE": "Permissive", "STRICT": "Strict"}


@dataclass(frozen=True, slots=True)
class Demand:
    """What callers of a workload must do: at all ports, and at those for which something else is said."""

    mode: MutualTls
    ports: tuple[tuple[int, MutualTls], ...] = ()


def policies_of_namespace(obj: Any) -> Iterable[Hashable]:
    """The index "peer authentications": by namespace, and whether they select workloads."""
    return ((obj.namespace, bool(obj.labels)),) if isinstance(obj, PeerAuthentication) else ()


def namespace_mode(options: Options, namespace: str, view: View) -> MutualTls:
    """Unit "mutual TLS of namespace": the mode of workloads that no policy selects."""
    for where in dict.fromkeys((namespace, options.root_namespace)):
        policy = next(iter(_oldest_first(view, where, selecting=False)), None)
        if policy is not None and (mode := _demand(policy).get(0)) is not None:
            return mode
    return "Permissive"


def demand_of(options: Options, view: View, namespace: str, labels: Mapping[str, str]) -> Demand:
    """What a workload with these labels demands. In the root namespace nothing is selected, as in Istio."""
    inherited: MutualTls = view.result("mutual TLS of namespace", namespace)
    if namespace == options.root_namespace:
        return Demand(inherited)
    for policy in _oldest_first(view, namespace, selecting=True):
        if all(labels.get(name) == value for name, value in policy.labels.items()):
            found = _demand(policy)
            mode = found.pop(0, None) or inherited
            return Demand(mode, tuple(sorted((port, of_port or mode) for port, of_port in found.items())))
    return Demand(inherited)


def in_order(options: Options, namespace: str, view: View) -> tuple[Told, ...]:
    """Unit "peer authentications of namespace": those that are for it or for some of its workloads, in the order in which they count."""
    root = options.root_namespace
    policies = _oldest_first(view, namespace, selecting=True) if namespace != root else []
    for where in dict.fromkeys((namespace, root)):
        policies += _oldest_first(view, where, selecting=False)
    return tuple(
        Told("/".join(policy.key[1:]), _demand(policy).get(0), tuple(sorted(policy.labels.items()))) for policy in policies
    )


def _oldest_first(view: View, namespace: str, selecting: bool) -> list[PeerAuthentication]:
    policies: tuple[PeerAuthentication, ...] = view.select("peer authentications", (namespace, selecting))
    return sorted(policies, key=age)


def _demand(policy: PeerAuthentication) -> dict[int, MutualTls | None]:
    """By port, 0 for all of them: the mode, None where it is inherited. What cannot be read demands an identity everywhere."""
    if any(problem.reason == UNSUPPORTED for problem in _problems(policy)):
        return {0: "Strict"}
    found: dict[int, MutualTls | None] = {0: _MODES.get(policy.spec.mtls.mode)}
    if policy.labels:
        ports = ((_port(text), each) for text, each in policy.spec.port_level_mtls.items())
        found |= {port: _MODES.get(each.mode) for port, each in ports if port}
    return found


def _port(text: str) -> int:
    """The number of a port, 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 else 0


def _problems(policy: PeerAuthentication) -> list[Problem]:
    spec = policy.spec
    parts: list[tuple[str, OpenModel]] = [("spec", spec), ("spec.mtls", spec.mtls)]
    if spec.selector is not None:
        parts.append(("spec.selector", spec.selector))
    ports: dict[str, MutualTLS] = spec.port_level_mtls
    parts += [(f"spec.portLevelMtls[{text}]", each) for text, each in ports.items()]
    unknown = (f"{place}.{name}" for place, part in parts for name in part.unknown)
    problems = [Problem(UNSUPPORTED, f"{field}: is not known; an identity is demanded") for field in unknown]
    problems += [Problem(INVALID, f"spec.portLevelMtls[{text}]: is no port, and has no effect") for text in ports if not _port(text)]
    if ports and not policy.labels:
        message = "spec.portLevelMtls: has no effect without spec.selector.matchLabels; say which workloads are meant"
        problems.append(Problem(INVALID, message))
    return problems


def translate_peer_authentication(options: Options, key: Key, view: View) -> Emission | None:
    """Unit "peer authentication": the status of a PeerAuthentication."""
    policy: PeerAuthentication | None = view.get(*key)
    if policy is None:
        return None
    is_root = policy.namespace == options.root_namespace
    namespaces: tuple[str, ...] = view.select("mesh namespaces", ALL if is_root and not policy.labels else policy.namespace)
    problems = _problems(policy)
    if is_root and policy.labels:
        problems.append(Problem(INVALID, "spec.selector: selects nothing in the root namespace; write the policy where the workloads are"))
    if not namespaces and not problems:
        return Emission(ignored=((key, f"no workload of namespace {policy.namespace} has a sidecar"),))
    generation = policy.metadata.generation
    accepted = met("Accepted", generation, combined(problems))
    status = SelectingStatus(key, generation, (accepted,), tuple(map(mesh_scope, namespaces)))
    first = policy if policy.labels else _oldest_first(view, policy.namespace, selecting=False)[0]
    message = f"{called(*first.key)}, which is older or else first by name, holds in its place"
    return Emission(statuses=(status,), ignored=((key, message),) if first.key != key else ())
