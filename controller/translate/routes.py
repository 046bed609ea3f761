"""A route of any kind: its rules where it is attached, and its status on each parent that is ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from controller.api.routes import AnyRoute
from controller.graph import View
from controller.store import Key
from controller.translate.attachment import Attachment
from controller.translate.conditions import Condition, Problem, combined, met, warned
from controller.translate.rules import read_rules
from controller.translate.statuses import Ignored, ParentStatus, RouteStatus
from controller.translate.verdicts import RouteEmission, RuleVerdict
from gateway.ir.rule import Binding


def translate_route(key: Key, view: View) -> RouteEmission | None:
    """Unit "route": a route with all its rules. They are told if they are bound somewhere and one at least is valid."""
    route: AnyRoute | None = view.get(*key)
    if route is None:
        return None
    parents: tuple[Attachment, ...] = view.result("attachments", key)
    bindings = _each_listener(binding for parent in parents for binding in parent.bindings)
    bound_to = [parent for parent in parents if parent.bindings]
    verdicts = read_rules(view, route, bindings, in_mesh=bool(bound_to) and all(parent.in_mesh for parent in bound_to))
    accepted, partial = _accepted(verdicts)
    attached = _each_listener(binding for parent in parents for binding in parent.attached) if accepted is None else ()
    served = [verdict for verdict in verdicts if verdict.dropped is None] if bindings and accepted is None else []
    destinations = dict(destination for verdict in served for destination in verdict.destinations)
    for destination, external in destinations.items():
        if external:
            view.result("external backend", destination)
    resolved = combined(_of_rule(index, problem) for index, verdict in enumerate(verdicts) for problem in verdict.unresolved)
    generation = route.metadata.generation
    ours = tuple(
        ParentStatus(
            parent.parent,
            _conditions(generation, parent.problem or accepted, resolved, partial),
            "/".join(parent.gateway[1:]),
            parent.in_mesh,
        )
        for parent in parents
        if not parent.foreign
    )
    services = {service: None for verdict in served for service in verdict.services}
    return RouteEmission(
        tuple(verdict.rule for verdict in served),
        (RouteStatus(key, generation, ours, tuple(verdict.rule.key for verdict in served if attached)),) if ours else (),
        ignored=tuple(_ignored(route, parents)),
        attached=attached,
        destinations=tuple(destination for destination, external in destinations.items() if not external),
        services=tuple((parent.gateway, service) for parent in parents if parent.attached for service in services),
    )


def _each_listener(bindings: Iterable[Binding]) -> tuple[Binding, ...]:
    return tuple({binding.listener: binding for binding in bindings}.values())


def _accepted(verdicts: Sequence[RuleVerdict]) -> tuple[Problem | None, Problem | None]:
    """Why the rules are not accepted, if none is valid, and else which of them are not (PartiallyInvalid)."""
    invalid = [(index, verdict.invalid) for index, verdict in enumerate(verdicts) if verdict.invalid is not None]
    if len(invalid) == len(verdicts):
        return combined(_of_rule(index, problem) for index, problem in invalid), None
    told = ((index, problem, "" if verdicts[index].dropped else "; its requests are answered 500") for index, problem in invalid)
    return None, combined(Problem(problem.reason, f"Dropped Rule {index}: {problem.message}{still}") for index, problem, still in told)


def _of_rule(index: int, problem: Problem) -> Problem:
    return Problem(problem.reason, f"spec.rules[{index}].{problem.message}")


def _conditions(generation: int, refusal: Problem | None, resolved: Problem | None, partial: Problem | None) -> tuple[Condition, ...]:
    """The conditions on one parent. Whether references resolve is told whether or not the route is accepted."""
    conditions = (met("Accepted", generation, refusal), met("ResolvedRefs", generation, resolved))
    if partial is None or refusal is not None:
        return conditions
    return (*conditions, warned("PartiallyInvalid", generation, partial))


def _ignored(route: AnyRoute, parents: Iterable[Attachment]) -> Iterator[Ignored]:
    for index, parent in enumerate(parents):
        if parent.foreign or parent.lost:
            yield route.key, f"spec.parentRefs[{index}]: {parent.foreign or parent.lost}"
    if route.spec.use_default_gateways == "All":
        yield route.key, "spec.useDefaultGateways: default Gateways are not supported; name the Gateway in parentRefs"
    elif not route.spec.parent_refs:
        yield route.key, "spec.parentRefs is empty, so that the route is attached nowhere"
