"""Whom a policy of Istio's kinds holds for (istio.io/latest/docs/reference/config/security: "Scope and target").

A reference names a Gateway of the policy's namespace. A selector, or neither, means all Gateways of the namespace whose Pods have these
labels, in the root namespace those of all namespaces. Of the mesh it means all workloads there; which of them have the labels, their
sidecars know. From files nothing runs in Pods, and Gateways have the labels that their Pods would have.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.gateway import Gateway
from controller.api.istio import PolicyTargetReference, SelectingSpec
from controller.api.references import GATEWAY_GROUP
from controller.graph import View
from controller.translate.conditions import Problem
from controller.translate.mesh.namespaces import ALL
from controller.translate.mesh.problems import INVALID, UNSUPPORTED
from controller.translate.names import own_labels
from controller.translate.objects import called, of_group
from controller.translate.options import Options
from controller.translate.parents import Parent
from gateway.ir.workload import mesh_scope


@dataclass(frozen=True, slots=True)
class Selection:
    """The Gateways that a policy holds for, and the namespaces of the mesh, by key of their resources, and what is wrong with how it
    says so.

    `uncertain`: it may be meant for less than these. `foreign` says what else it is for, "" for nothing. `labels` are those that
    workloads of the mesh must have.
    """

    gateways: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    uncertain: bool = False
    foreign: str = ""
    labels: tuple[tuple[str, str], ...] = ()


def select(options: Options, view: View, namespace: str, spec: SelectingSpec) -> Selection:
    """Whom a policy of this namespace holds for."""
    references = list(spec.references())
    problems = [Problem(UNSUPPORTED, f"spec.{field}: is not known") for field in spec.unknown]
    uncertain = bool(problems)
    found: dict[str, None] = {}
    foreign: list[str] = []
    labels: tuple[tuple[str, str], ...] = ()
    if references and spec.selector is not None:
        problems.append(Problem(INVALID, "spec.selector: stands beside a reference; keep one of them"))
        uncertain = True
    for field, reference in references:
        problems += [Problem(UNSUPPORTED, f"{field}.{name}: is not known") for name in reference.unknown]
        uncertain = uncertain or bool(reference.unknown)
        target = _target(view, namespace, reference)
        if isinstance(target, Problem):
            problems.append(target.at(field))
        elif target[0]:
            found[target[0]] = None
        else:
            foreign.append(f"{field}: {target[1]}")
    if spec.selector is not None or not references:
        unknown = spec.selector.unknown if spec.selector is not None else ()
        problems += [Problem(UNSUPPORTED, f"spec.selector.{name}: is not known") for name in unknown]
        uncertain = uncertain or bool(unknown)
        found |= dict.fromkeys(_selected(options, view, namespace, spec))
        in_mesh = _in_mesh(options, view, namespace)
        found |= dict.fromkeys(in_mesh)
        if not found:
            also = ", and its namespace is none of the mesh" if options.mesh else ""
            foreign.append(f"it selects no Gateway of ours{also}")
        if in_mesh and spec.selector is not None:
            labels = tuple(sorted(spec.selector.match_labels.items()))
    return Selection(tuple(sorted(found)), tuple(problems), uncertain, "; ".join(foreign), labels)


def _in_mesh(options: Options, view: View, namespace: str) -> list[str]:
    """The namespaces of the mesh in which a policy of this namespace may select workloads."""
    if not options.mesh:
        return []
    found: tuple[str, ...] = view.select("mesh namespaces", ALL if namespace == options.root_namespace else namespace)
    return [mesh_scope(name) for name in found]


def _target(view: View, namespace: str, reference: PolicyTargetReference) -> tuple[str, str] | Problem:
    """The key of a Gateway of ours, or "" and what it is instead."""
    if (reference.group, reference.kind) != (GATEWAY_GROUP, "Gateway"):
        return "", f"{of_group(reference.kind, reference.group)} {reference.name} is no Gateway; only those are served here"
    if reference.namespace not in ("", namespace):
        return Problem(INVALID, f"names namespace {reference.namespace}; a policy holds in its own namespace alone")
    key = ("Gateway", namespace, reference.name)
    if view.get(*key) is None:
        return Problem("TargetNotFound", f"{called(*key)} does not exist")
    parent: Parent = view.result("parent", key)
    return ("", parent.foreign) if parent.foreign else (f"{namespace}/{reference.name}", "")


def _selected(options: Options, view: View, namespace: str, spec: SelectingSpec) -> list[str]:
    wanted = spec.selector.match_labels if spec.selector is not None else {}
    everywhere = namespace == options.root_namespace
    gateways: tuple[Gateway, ...] = view.select("kind", "Gateway")
    found = []
    for gateway in gateways:
        if not everywhere and gateway.namespace != namespace:
            continue
        labels = pod_labels(gateway)
        parent: Parent = view.result("parent", gateway.key)
        if not parent.foreign and all(labels.get(name) == value for name, value in wanted.items()):
            found.append(f"{gateway.namespace}/{gateway.name}")
    return found


def pod_labels(gateway: Gateway) -> dict[str, str]:
    """The labels of a Gateway's Pods."""
    infrastructure = gateway.spec.infrastructure
    given = infrastructure.labels if infrastructure is not None else {}
    return given | own_labels(gateway.name, gateway.spec.gateway_class_name)
