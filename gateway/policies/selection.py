"""Which policies of a namespace of the mesh hold for one of its workloads: those whose selector's labels it all has (pure).

Before the workload is known a policy with a selector may hold or not, and nothing may pass that would not pass either way: what it
denies is denied, and what it allows is not.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.ir.policy import AnyPolicy, RequestAuthentication
from gateway.ir.workload import Workload
from gateway.policies.request_authentication import disbelieving


def selected(policies: Iterable[AnyPolicy], workload: Workload | None) -> tuple[list[AnyPolicy], tuple[str, ...]]:
    """Those that hold, and a sentence about each that has a selector."""
    labels = None if workload is None else dict(workload.labels)
    holding: list[AnyPolicy] = []
    notes: list[str] = []
    for policy in policies:
        if not policy.selector:
            holding.append(policy)
            continue
        name, wanted = f"{type(policy).__name__} {policy.key}", _words(policy.selector)
        if labels is None:
            holding.append(_closed_in(policy))
            notes.append(f"{name} is for workloads with {wanted}, and holds until the labels of this one are known")
        elif missing := [label for label in policy.selector if labels.get(label[0]) != label[1]]:
            notes.append(f"{name} does not hold: it is for workloads with {wanted}, and this one has no {_words(missing)}")
        else:
            holding.append(policy)
            notes.append(f"{name} holds: it is for workloads with {wanted}")
    return holding, tuple(notes)


def _closed_in(policy: AnyPolicy) -> AnyPolicy:
    """Where it may not hold, its rules must not let in what others keep out."""
    if isinstance(policy, RequestAuthentication):
        return disbelieving(policy, "the labels of this workload are not known yet")
    return msgspec.structs.replace(policy, rules=()) if policy.action == "ALLOW" else policy


def _words(labels: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels)
