"""What of a translation the workers of Gateways are given: everything but what sidecars alone have (pure).

In a cluster each Gateway has proxies of its own, and Scopes divides what differs among them. Here all Gateways share their workers.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Gateway, Listener
from gateway.ir.policy import AnyPolicy
from gateway.ir.rule import AnyRule
from gateway.ir.value import Identity
from gateway.ir.workload import mesh_namespace


def of_gateways(set: Iterable[AnyResource], remove: Iterable[Identity]) -> tuple[tuple[AnyResource, ...], tuple[Identity, ...]]:
    """A change as Gateways' workers see it: rules with their bindings to Gateways alone, policies with Gateways as their targets."""
    kept: list[AnyResource] = []
    gone: list[Identity] = list(remove)
    for resource in set:
        seen = _seen(resource)
        if seen is None:
            gone.append(resource.identity)
        else:
            kept.append(seen)
    return tuple(kept), tuple(gone)


def _seen(resource: AnyResource) -> AnyResource | None:
    match resource:
        case Listener():
            return resource if resource.capture is None else None
        case Gateway():
            return None if _is_of_mesh(resource.key) else resource
        case _ if isinstance(resource, AnyRule):
            bindings = tuple(binding for binding in resource.bindings if not _is_of_mesh("/".join(binding.listener.split("/", 2)[:2])))
            if len(bindings) == len(resource.bindings):
                return resource
            return replace(resource, bindings=bindings) if bindings else None
        case _ if isinstance(resource, AnyPolicy):
            targets = tuple(target for target in resource.targets if not _is_of_mesh(target))
            if len(targets) == len(resource.targets):
                return resource
            return replace(resource, targets=targets) if targets else None
        case _:
            return resource


def _is_of_mesh(scope: str) -> bool:
    return mesh_namespace(scope) is not None
