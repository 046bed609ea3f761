"""The one resolver of references across namespaces: what a ReferenceGrant permits, and what it does not.

A grant stands in the namespace of what is referred to and names group, kind and namespace of the referrer. Without one a
reference is refused before anyone looks whether its target exists, so that nothing leaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.reference_grant import ReferenceGrant, ReferenceGrantSpec
from controller.api.references import GATEWAY_GROUP
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.objects import called

EVERYTHING = "*"
"""Stands for all names; no object can be called so."""

GrantKey = tuple[str, str, str, str, str, str]
"""Group, kind, namespace of the referrer; group, kind, namespace of the target."""


@dataclass(frozen=True, slots=True)
class Target:
    """An object that is referred to; `namespace` is already that of the referrer where the reference gives none."""

    kind: str
    namespace: str
    name: str
    group: str = ""

    def __str__(self) -> str:
        return called(self.kind, self.namespace, self.name)


def refused(view: View, referrer: Key, target: Target) -> Problem | None:
    """RefNotPermitted if the target is in another namespace, and no grant there permits objects like the referrer to refer to it."""
    kind, namespace, _ = referrer
    if target.namespace == namespace:
        return None
    names: frozenset[str] = view.result("grant", (GATEWAY_GROUP, kind, namespace, target.group, target.kind, target.namespace))
    if EVERYTHING in names or target.name in names:
        return None
    permission = f"permits {kind}s of namespace {namespace} to refer to {target}"
    message = f"no ReferenceGrant in namespace {target.namespace} {permission}; add one there"
    return Problem("RefNotPermitted", message)


def granted_names(key: GrantKey, view: View) -> frozenset[str]:
    """Unit "grant": the names that referrers of one kind and namespace may refer to, among those of one kind and namespace."""
    grants: tuple[ReferenceGrant, ...] = view.select("namespace of grant", key[5])
    return frozenset(name for grant in grants for name in _names(grant.spec, key))


def _names(spec: ReferenceGrantSpec, key: GrantKey) -> list[str]:
    if not any((source.group, source.kind, source.namespace) == key[:3] for source in spec.from_):
        return []
    return [target.name or EVERYTHING for target in spec.to if (target.group, target.kind) == key[3:5]]
