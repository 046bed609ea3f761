"""Authorization policies of one Gateway, merged: what is denied, by which rule, and what leaves a mark.

DENY comes before ALLOW: a request that a DENY policy matches is denied, and if there is an ALLOW policy, one that none of them
matches. This knows neither connections nor sidecars: whoever asks says who the caller is (policies.caller).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from gateway.ir.policy import AuthorizationPolicy, AuthorizationRule
from gateway.policies.authorization_checks import Check, condition_checks, operation_checks, source_checks
from gateway.policies.caller import Asked

FLAG: Final = "RBAC"
"""In the access log: an authorization policy denied it."""


class Verdict(NamedTuple):
    """`reason` why it is denied, '' if it is not; `policy` is the key of the policy that denies, '' where no ALLOW policy matches.
    `marks` are the AUDIT policies, with their rules, that match."""

    reason: str
    policy: str = ""
    marks: str = ""


class Considered(NamedTuple):
    """What one policy says; `outcome` is the rule that matches, or the first field of each that does not hold."""

    policy: str
    action: str
    outcome: str
    matched: bool


_Part = tuple[tuple[Check, ...], ...]
"""Alternatives of operations, sources or conditions: all checks of one of them must hold."""
_NOTHING: Final[tuple[_Part, ...]] = ((),)
"""One part without an alternative."""


class _Rule:
    """Without an alternative it matches nothing."""

    __slots__ = ("_parts", "_questions", "name")

    def __init__(self, rule: AuthorizationRule, *, denying: bool, streams: bool) -> None:
        """Raises ValueError for what cannot be compared. Of what is no request a rule that allows must not ask for anything of HTTP, not
        even beside something else, as in Istio; one that denies holds without it."""
        self.name = rule.name
        given: tuple[_Part, ...] = (
            tuple(tuple(operation_checks(operation)) for operation in rule.operations),
            tuple(tuple(source_checks(source)) for source in rule.sources),
            (tuple(check for condition in rule.conditions for check in condition_checks(condition, denying=denying)),),
        )
        parts = tuple(part for part in given if part and part != ((),))
        self._parts = _on_streams(parts, denying) if streams else parts
        self._questions = tuple(tuple(tuple(check.holds for check in checks) for checks in part) for part in self._parts)

    def matches(self, asked: Asked) -> bool:
        for alternatives in self._questions:
            for questions in alternatives:
                for holds in questions:
                    if not holds(asked):
                        break
                else:
                    break
            else:
                return False
        return True

    def fault(self, asked: Asked) -> str:
        """The first check of each alternative of the first part that does not hold, in words."""
        for part in self._parts:
            failed = [next((check.words for check in checks if not check.holds(asked)), "") for checks in part]
            if all(failed):
                return " and ".join(dict.fromkeys(failed)) or "fields of HTTP"
        return ""


def _on_streams(parts: tuple[_Part, ...], denying: bool) -> tuple[_Part, ...]:
    if denying:
        return tuple(tuple(tuple(check for check in checks if not check.of_http) for checks in part) for part in parts)
    return _NOTHING if any(check.of_http for part in parts for checks in part for check in checks) else parts


class _Policy:
    __slots__ = ("action", "key", "rules")

    def __init__(self, policy: AuthorizationPolicy, *, streams: bool) -> None:
        """Raises ValueError for what cannot be compared."""
        self.key, self.action = policy.key, policy.action
        denying = policy.action != "ALLOW"
        self.rules = tuple(_Rule(rule, denying=denying, streams=streams) for rule in policy.rules)

    def match(self, asked: Asked) -> _Rule | None:
        for rule in self.rules:
            if rule.matches(asked):
                return rule
        return None

    def considered(self, asked: Asked) -> Considered:
        rule = self.match(asked)
        if rule is not None:
            return Considered(self.key, self.action, f"rule {rule.name} matches", True)
        faults = [f"rule {each.name}: {each.fault(asked)} does not match" for each in self.rules]
        return Considered(self.key, self.action, "; ".join(faults) or "it has no rule that counts", False)


class Authorizations:
    """Those of one Gateway, for requests or for `streams`, that is for connections and flows that are passed on."""

    __slots__ = ("_allowing", "_auditing", "_denying", "_nothing")

    def __init__(self, policies: Iterable[AuthorizationPolicy], *, streams: bool) -> None:
        """Raises ValueError for what cannot be compared: see `fault_of`."""
        compiled = [_Policy(policy, streams=streams) for policy in sorted(policies, key=lambda policy: policy.key)]
        self._denying = tuple(policy for policy in compiled if policy.action == "DENY")
        self._allowing = tuple(policy for policy in compiled if policy.action == "ALLOW")
        self._auditing = tuple(policy for policy in compiled if policy.action == "AUDIT")
        self._nothing = f"no AuthorizationPolicy allows it; there is {', '.join(policy.key for policy in self._allowing)}"

    def judge(self, asked: Asked) -> Verdict:
        """Whether it passes."""
        marks = self._marks(asked) if self._auditing else ""
        for policy in self._denying:
            rule = policy.match(asked)
            if rule is not None:
                return Verdict(f"denied by AuthorizationPolicy {policy.key}, rule {rule.name}", policy.key, marks)
        if not self._allowing:
            return Verdict("", "", marks)
        for policy in self._allowing:
            if policy.match(asked) is not None:
                return Verdict("", "", marks)
        return Verdict(self._nothing, "", marks)

    def _marks(self, asked: Asked) -> str:
        return ", ".join(f"{policy.key} rule {rule.name}" for policy in self._auditing if (rule := policy.match(asked)) is not None)

    def considered(self, asked: Asked) -> Iterator[Considered]:
        """Every policy, in the order in which they count."""
        for policy in (*self._auditing, *self._denying, *self._allowing):
            yield policy.considered(asked)


def fault_of(policy: AuthorizationPolicy) -> str:
    """Why a policy cannot be compared, '' if it can."""
    try:
        _Policy(policy, streams=False)
    except ValueError as fault:
        return str(fault)
    return ""


def closed(policy: AuthorizationPolicy) -> AuthorizationPolicy:
    """What stands in the place of a policy that cannot be compared: everything is denied."""
    return msgspec.structs.replace(policy, action="DENY", rules=(AuthorizationRule("that cannot be built"),))
