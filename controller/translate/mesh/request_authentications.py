"""RequestAuthentication: its rules as a resource for the Gateways that it holds for, and its status.

A rule that is not supported or not understood believes no token, which allows less than it says, never more, and stands in the condition
Accepted.
"""

from __future__ import annotations

from msgspec.structs import replace

from controller.api.request_authentication import RequestAuthentication
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Condition, Problem, combined, met, warned
from controller.translate.mesh.selection import select
from controller.translate.mesh.token_rules import Reading
from controller.translate.objects import source_of
from controller.translate.options import Options
from controller.translate.statuses import Emission, SelectingStatus
from gateway.ir.policy import RequestAuthentication as AuthenticationResource
from gateway.ir.policy import TokenRule

_UNCERTAIN = "whom the policy is for is not understood"


def translate_request_authentication(options: Options, key: Key, view: View) -> Emission | None:
    """Unit "request authentication": the resource and status of a RequestAuthentication."""
    policy: RequestAuthentication | None = view.get(*key)
    if policy is None:
        return None
    selection = select(options, view, policy.namespace, policy.spec)
    if not selection.gateways and not selection.problems:
        return Emission(ignored=((key, selection.foreign),))
    rules, problems, warnings = _rules(policy)
    if selection.uncertain:
        rules = tuple([replace(rule, keys="", url="", discovery=False, error=rule.error or _UNCERTAIN) for rule in rules])
    resource = AuthenticationResource("/".join(key[1:]), source_of(policy), selection.gateways, rules, selection.labels)
    accepted = _accepted(policy.metadata.generation, [*selection.problems, *problems], warnings)
    status = SelectingStatus(key, policy.metadata.generation, (accepted,), selection.gateways)
    ignored = ((key, selection.foreign),) if selection.foreign else ()
    return Emission((resource,) if selection.gateways else (), (status,), ignored=ignored)


def _accepted(generation: int, problems: list[Problem], warnings: list[Problem]) -> Condition:
    problem, warning = combined(problems), combined(warnings)
    if problem is not None:
        effect = "no token of what cannot be read of it is believed: "
        return met("Accepted", generation, Problem(problem.reason, effect + problem.message))
    return met("Accepted", generation) if warning is None else warned("Accepted", generation, warning)


def _rules(policy: RequestAuthentication) -> tuple[tuple[TokenRule, ...], list[Problem], list[Problem]]:
    """The rules, what is wrong with them, and what deserves attention."""
    readings = [Reading(rule, f"spec.jwtRules[{index}]") for index, rule in enumerate(policy.spec.jwt_rules)]
    rules = tuple([reading.rule() for reading in readings])
    problems = [problem for reading in readings for problem in reading.problems]
    return rules, problems, [warning for reading in readings for warning in reading.warnings]
