"""One rule of an HTTPRoute as one resource, and what is wrong with it.

An invalid reference costs its share of the traffic only, which is answered 500. A rule that says something Tidegate cannot do
is dropped whole; one behind a filter that cannot be applied stays, closed.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.http_route import HTTPBackendRef, HTTPRoute, HTTPRouteRetry, HTTPRouteRule
from controller.api.references import BackendObjectReference
from controller.graph import View
from controller.translate.conditions import Problem
from controller.translate.destinations import Destination, Judgement, backend_key, resolve
from controller.translate.filters import FilterFindings, incompatible, translate_filters
from controller.translate.matches import bad_expression, matches_of
from controller.translate.objects import created, source_of
from controller.translate.persistence import persistence_fault, translate_persistence
from gateway.ir.rule import BackendRef, Binding, HttpRule, Retry, Timeouts


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """A rule and what is wrong with it as a whole and with its references."""

    rule: HttpRule
    dropped: Problem | None = None
    """Why the rule is not served."""
    closed: Problem | None = None
    """Why the rule is served with 500 only."""
    unresolved: tuple[Problem, ...] = ()
    destinations: tuple[tuple[Destination, bool], ...] = ()
    """The valid ones, each with whether it is an ExternalName."""
    services: tuple[tuple[str, str], ...] = ()
    """Namespace and name of all Services that the rule may refer to, whether they are there or not."""

    @property
    def invalid(self) -> Problem | None:
        """Why the rule does not do what it says."""
        return self.dropped or self.closed


class _RuleReading:
    """Translates one rule, collecting what it finds on the way."""

    __slots__ = ("_affine", "_destinations", "_findings", "_route", "_services", "_view")

    def __init__(self, view: View, route: HTTPRoute) -> None:
        self._view = view
        self._route = route
        self._findings = FilterFindings()
        self._destinations: dict[Destination, bool] = {}
        self._services: dict[tuple[str, str], None] = {}
        self._affine: dict[str, None] = {}

    def read(self, rule: HTTPRouteRule, index: int, bindings: tuple[Binding, ...]) -> RuleVerdict:
        route = self._route
        key = f"HTTPRoute/{route.namespace}/{route.name}/{index}"
        resource = HttpRule(
            key,
            source_of(route),
            f"{route.namespace}/{route.name}",
            index,
            bindings,
            matches_of(rule),
            created(route),
            rule.name or "",
            translate_filters(rule.filters, "filters", self._resolve, self._findings),
            tuple(self._backend(reference, place) for place, reference in enumerate(rule.backend_refs)),
            _timeouts(rule),
            _retry(rule.retry) if rule.retry is not None else None,
            translate_persistence(rule.session_persistence, key) if rule.session_persistence is not None else None,
        )
        invalid = next(iter(self._findings.invalid), None)
        return RuleVerdict(
            resource,
            bad_expression(rule) or invalid or _incompatible(rule) or self._bad_persistence(rule, resource.backends),
            next(iter(self._findings.closing), None),
            tuple(self._findings.unresolved),
            tuple(self._destinations.items()),
            tuple(self._services),
        )

    def _backend(self, reference: HTTPBackendRef, place: int) -> BackendRef:
        field = f"backendRefs[{place}]"
        backend = self._resolve(reference)
        filters = translate_filters(reference.filters, f"{field}.filters", self._resolve, self._findings)
        if isinstance(backend, Problem):
            self._findings.unresolved.append(backend.at(field))
            return BackendRef(weight=reference.weight, error=str(backend))
        return BackendRef(backend, reference.weight, filters)

    def _resolve(self, reference: BackendObjectReference) -> str | Problem:
        found: tuple[Destination, Judgement] | Problem = resolve(self._view, self._route.key, reference)
        if isinstance(found, Problem) and found.reason in ("InvalidKind", "RefNotPermitted"):
            return found
        self._services[reference.namespace or self._route.namespace, reference.name] = None
        if isinstance(found, Problem):
            return found
        destination, judgement = found
        self._destinations[destination] = judgement.external
        key = backend_key(destination)
        if judgement.has_affinity:
            self._affine[key] = None
        return key

    def _bad_persistence(self, rule: HTTPRouteRule, backends: tuple[BackendRef, ...]) -> Problem | None:
        persistence = rule.session_persistence
        if persistence is None:
            return None
        if (fault := persistence_fault(persistence)) is not None:
            return Problem("UnsupportedValue", fault)
        affine = [reference.backend for reference in backends if reference.backend in self._affine]
        if affine:
            message = f"sessionPersistence excludes the sessionAffinity of Service {', '.join(affine)}; remove one of the two"
            return Problem("UnsupportedValue", message)
        return None


def read_rules(view: View, route: HTTPRoute, bindings: tuple[Binding, ...]) -> tuple[RuleVerdict, ...]:
    """All rules of a route; `bindings` are where it is attached."""
    return tuple(_RuleReading(view, route).read(rule, index, bindings) for index, rule in enumerate(route.spec.rules))


def _incompatible(rule: HTTPRouteRule) -> Problem | None:
    return incompatible(rule.filters, tuple(reference.filters for reference in rule.backend_refs))


def _timeouts(rule: HTTPRouteRule) -> Timeouts:
    timeouts = rule.timeouts
    return Timeouts() if timeouts is None else Timeouts(timeouts.request, timeouts.backend_request)


def _retry(retry: HTTPRouteRetry) -> Retry:
    return Retry(1 if retry.attempts is None else retry.attempts, retry.codes, retry.backoff)
