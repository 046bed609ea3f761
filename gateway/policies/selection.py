"""Which policies of a namespace of the mesh hold for one of its workloads: those whose selector's labels it all has (pure).

Before the workload is known a policy with a selector may hold or not, and nothing may pass that would not pass either way: what it
denies is denied, and what it allows is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gateway.ir.policy import AnyPolicy, RequestAuthentication
from gateway.ir.workload import PeerAuthentication, Workload
from gateway.policies.request_authentication import disbelieving


def selected(policies: Iterable[AnyPolicy], workload: Workload | None) -> list[AnyPolicy]:
    """Those that hold."""
    holding: list[AnyPolicy] = []
    for policy in policies:
        if not policy.selector or (workload is not None and not _missing(policy.selector, workload)):
            holding.append(policy)
        elif workload is None:
            holding.append(_closed_in(policy))
    return holding


def selection_in_words(policies: Iterable[AnyPolicy], workload: Workload | None) -> Iterator[str]:
    """Whether each holds that has a selector, and why."""
    for policy in sorted(policies, key=lambda policy: policy.key):
        if policy.selector:
            name, wanted = f"{type(policy).__name__} {policy.key}", _words(policy.selector)
            if workload is None:
                yield f"{name} is for workloads with {wanted}, and holds until the labels of this one are known"
            elif missing := _missing(policy.selector, workload):
                yield _misses(name, wanted, missing)
            else:
                yield f"{name} holds: it is for workloads with {wanted}"


def demands_in_words(policies: Sequence[PeerAuthentication], namespace: str, workload: Workload | None) -> Iterator[str]:
    """The same of what callers must prove, of policies in the order in which they count: those that select workloads before that of the
    namespace, and this before that of the root namespace; of several the oldest."""
    holder = ""
    inherits = True
    for policy in policies:
        if policy.selector:
            name, wanted = f"PeerAuthentication {policy.name}", _words(policy.selector)
            if workload is None:
                yield f"{name} is for workloads with {wanted}; the labels of this one are not known yet"
            elif missing := _missing(policy.selector, workload):
                yield _misses(name, wanted, missing)
            elif holder:
                yield _younger(name, holder)
            else:
                holder, inherits = policy.name, policy.mode is None
                yield f"{name} holds: it is for workloads with {wanted}"
    first: dict[str, str] = {}
    for policy in policies:
        if not policy.selector:
            name, place = f"PeerAuthentication {policy.name}", policy.name.partition("/")[0]
            whom = f"namespace {place}" if place == namespace else "the mesh"
            if place in first:
                yield _younger(name, first[place])
            elif not inherits:
                yield f"{name} does not hold: PeerAuthentication {holder} comes before it"
            elif policy.mode is None:
                yield f"{name} holds nothing: its mode is UNSET"
            else:
                holder, inherits = policy.name, False
                yield f"{name} holds: it is for all workloads of {whom}"
            first.setdefault(place, policy.name)


def _closed_in(policy: AnyPolicy) -> AnyPolicy:
    """Where it may not hold, its rules must not let in what others keep out."""
    if isinstance(policy, RequestAuthentication):
        return disbelieving(policy, "the labels of this workload are not known yet")
    return msgspec.structs.replace(policy, rules=()) if policy.action == "ALLOW" else policy


def _missing(selector: Iterable[tuple[str, str]], workload: Workload) -> list[tuple[str, str]]:
    labels = dict(workload.labels)
    return [(name, value) for name, value in selector if labels.get(name) != value]


def _misses(name: str, wanted: str, missing: Iterable[tuple[str, str]]) -> str:
    return f"{name} does not hold: it is for workloads with {wanted}, and this one has no {_words(missing)}"


def _younger(name: str, holder: str) -> str:
    return f"{name} does not hold: PeerAuthentication {holder}, which is older or else first by name, holds in its place"


def _words(labels: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels)
