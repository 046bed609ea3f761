"""What all kinds of routes have in common (CommonRouteSpec, apis/v1/shared_types.go), and the rules over a list of rules."""

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, Field

from controller.api.base import Model, refusal
from controller.api.references import ParentReference, check_parents


class CommonRouteSpec(Model):
    """The parents that a route asks to be attached to."""

    parent_refs: Annotated[tuple[ParentReference, ...], Field(max_length=32), AfterValidator(check_parents)] = ()
    use_default_gateways: Literal["All", "None"] | None = None


class MatchingRule(Protocol):
    """A rule of an HTTPRoute or a GRPCRoute."""

    @property
    def name(self) -> str | None: ...

    @property
    def matches(self) -> Sequence[object]: ...


def check_rules(rules: Sequence[MatchingRule]) -> None:
    """Names are unique, and there are at most 128 matches together (CEL)."""
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if rule.name is not None and rule.name in seen:
            message = f"the name {rule.name!r} is already that of rules[{seen[rule.name]}]"
            raise refusal(f"[{index}].name", message, "Give each rule its own name.")
        if rule.name is not None:
            seen[rule.name] = index
    if (total := sum(len(rule.matches) for rule in rules)) > 128:
        raise refusal("", f"the rules have {total} matches together, at most 128 are allowed", "Split the route into several.")
