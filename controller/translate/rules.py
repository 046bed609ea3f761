"""One rule of an HTTPRoute or a GRPCRoute as one resource, and what is wrong with it.

An invalid reference costs its share of the traffic only, which is answered 500. A rule that says something Tidegate cannot do
is dropped whole; one behind a filter that cannot be applied stays, closed.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.api.grpc_route import GRPCBackendRef, GRPCRoute, GRPCRouteRule
from controller.api.http_route import HTTPBackendRef, HTTPRoute, HTTPRouteRetry, HTTPRouteRule
from controller.api.routes import AnyRoute
from controller.graph import View
from controller.translate.conditions import Problem
from controller.translate.filters import FilterFindings, incompatible, translate_filters
from controller.translate.grpc_matches import bad_grpc_expression, grpc_matches_of
from controller.translate.matches import bad_expression, matches_of
from controller.translate.objects import created, source_of
from controller.translate.persistence import persistence_fault, translate_persistence
from controller.translate.stream_rules import read_stream_rules
from controller.translate.verdicts import References, RuleVerdict
from gateway.ir.rule import NO_TIMEOUTS, BackendRef, Binding, HttpRule, Retry, Timeouts


def read_rules(view: View, route: AnyRoute, bindings: tuple[Binding, ...], in_mesh: bool) -> tuple[RuleVerdict, ...]:
    """All rules of a route of any kind; `bindings` are where it is attached, `in_mesh` whether that is to Services alone."""
    if isinstance(route, HTTPRoute | GRPCRoute):
        rules: Sequence[HTTPRouteRule | GRPCRouteRule] = route.spec.rules
        return tuple(_RuleReading(view, route, in_mesh).read(rule, index, bindings) for index, rule in enumerate(rules))
    return read_stream_rules(view, route, bindings, in_mesh)


class _RuleReading:
    """Translates one rule, collecting what it finds on the way."""

    __slots__ = ("_findings", "_references", "_route")

    def __init__(self, view: View, route: HTTPRoute | GRPCRoute, in_mesh: bool) -> None:
        self._route = route
        self._findings = FilterFindings()
        self._references = References(view, route.key, in_mesh)

    def read(self, rule: HTTPRouteRule | GRPCRouteRule, index: int, bindings: tuple[Binding, ...]) -> RuleVerdict:
        route = self._route
        key = f"{route.kind}/{route.namespace}/{route.name}/{index}"
        http = rule if isinstance(rule, HTTPRouteRule) else None
        references: Sequence[HTTPBackendRef | GRPCBackendRef] = rule.backend_refs
        resource = HttpRule(
            key,
            source_of(route),
            f"{route.namespace}/{route.name}",
            index,
            bindings,
            matches_of(rule) if isinstance(rule, HTTPRouteRule) else grpc_matches_of(rule),
            created(route),
            rule.name or "",
            translate_filters(rule.filters, "filters", self._references.resolve, self._findings),
            tuple(self._backend(reference, place) for place, reference in enumerate(references)),
            _timeouts(http) if http is not None else NO_TIMEOUTS,
            _retry(http.retry) if http is not None and http.retry is not None else None,
            translate_persistence(rule.session_persistence, key) if rule.session_persistence is not None else None,
        )
        return RuleVerdict(
            resource,
            self._invalid(rule) or self._bad_persistence(rule, resource.backends),
            next(iter(self._findings.closing), None),
            tuple(self._findings.unresolved),
            self._references.destinations,
            self._references.services,
        )

    def _invalid(self, rule: HTTPRouteRule | GRPCRouteRule) -> Problem | None:
        """What is wrong with matches and filters, apart from references."""
        found = next(iter(self._findings.invalid), None)
        if isinstance(rule, GRPCRouteRule):
            return bad_grpc_expression(rule) or found
        return bad_expression(rule) or found or incompatible(rule.filters, tuple(reference.filters for reference in rule.backend_refs))

    def _backend(self, reference: HTTPBackendRef | GRPCBackendRef, place: int) -> BackendRef:
        filters = translate_filters(reference.filters, f"backendRefs[{place}].filters", self._references.resolve, self._findings)
        return self._references.share(reference, place, self._findings.unresolved, filters)

    def _bad_persistence(self, rule: HTTPRouteRule | GRPCRouteRule, backends: tuple[BackendRef, ...]) -> Problem | None:
        persistence = rule.session_persistence
        if persistence is None:
            return None
        if (fault := persistence_fault(persistence)) is not None:
            return Problem("UnsupportedValue", fault)
        affine = [reference.backend for reference in backends if self._references.has_affinity(reference.backend)]
        if affine:
            message = f"sessionPersistence excludes the sessionAffinity of Service {', '.join(affine)}; remove one of the two"
            return Problem("UnsupportedValue", message)
        return None


def _timeouts(rule: HTTPRouteRule) -> Timeouts:
    timeouts = rule.timeouts
    return NO_TIMEOUTS if timeouts is None else Timeouts(timeouts.request, timeouts.backend_request)


def _retry(retry: HTTPRouteRetry) -> Retry:
    return Retry(1 if retry.attempts is None else retry.attempts, retry.codes, retry.backoff)
