"""AuthorizationPolicy: its rules as a resource for the Gateways and workloads that it holds for, and its status.

Whatever is not supported or not understood makes the policy allow less than it says, never more, and stands in its condition Accepted.
"""

from __future__ import annotations

from typing import Final, Literal

from controller.api.authorization_policy import AuthorizationPolicy
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem, combined, met
from controller.translate.mesh.problems import UNSUPPORTED
from controller.translate.mesh.reading import Reading
from controller.translate.mesh.selection import select
from controller.translate.objects import source_of
from controller.translate.options import Options
from controller.translate.statuses import Emission, SelectingStatus
from gateway.ir.policy import Action, AuthorizationRule
from gateway.ir.policy import AuthorizationPolicy as AuthorizationResource

_DRY_RUN: Final = "istio.io/dry-run"
"""The annotation of a policy that is not to be enforced: it leaves marks in the log, as one of action AUDIT does."""


def translate_authorization_policy(options: Options, key: Key, view: View) -> Emission | None:
    """Unit "authorization policy": the resource and status of an AuthorizationPolicy."""
    policy: AuthorizationPolicy | None = view.get(*key)
    if policy is None:
        return None
    selection = select(options, view, policy.namespace, policy.spec)
    if not selection.gateways and not selection.problems:
        return Emission(ignored=((key, selection.foreign),))
    spec, problems = policy.spec, list(selection.problems)
    rules, faults = _rules(policy)
    problems += faults
    uncertain = selection.uncertain and spec.action == "ALLOW"
    if uncertain or (faults and spec.action == "ALLOW"):
        effect = "what cannot be read of it allows nothing: "
    else:
        effect = "its rules hold without what cannot be read of them: " if faults else ""
    if spec.action == "CUSTOM":
        problems.append(Problem(UNSUPPORTED, "spec.action: CUSTOM is not supported; whatever its rules match is denied"))
    problem = combined(problems)
    if problem is not None:
        problem = Problem(problem.reason, effect + problem.message)
    action: Action = "AUDIT" if policy.metadata.annotations.get(_DRY_RUN, "").lower() == "true" else _action(spec.action)
    kept = () if uncertain else rules
    resource = AuthorizationResource("/".join(key[1:]), source_of(policy), selection.gateways, action, kept, selection.labels)
    accepted = met("Accepted", policy.metadata.generation, problem)
    status = SelectingStatus(key, policy.metadata.generation, (accepted,), selection.gateways)
    ignored = ((key, selection.foreign),) if selection.foreign else ()
    return Emission((resource,) if selection.gateways else (), (status,), ignored=ignored)


def _action(written: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"]) -> Action:
    return "DENY" if written == "CUSTOM" else written


def _rules(policy: AuthorizationPolicy) -> tuple[tuple[AuthorizationRule, ...], list[Problem]]:
    """The rules, each without what is wrong with it, of ALLOW those that have nothing wrong; and what is."""
    rules: list[AuthorizationRule] = []
    problems: list[Problem] = []
    for index, rule in enumerate(policy.spec.rules):
        reading = Reading(policy.namespace, f"spec.rules[{index}]")
        found = reading.rule(rule, str(index))
        problems += reading.problems
        if policy.spec.action != "ALLOW" or not reading.problems:
            rules.append(found)
    return tuple(rules), problems
