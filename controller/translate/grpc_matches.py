"""The matches of a GRPCRoute rule. A request for a method is a POST to /service/method, so that a match of a method is one of a path.

Exact service and method are an exact path, a service alone is a prefix, and no match of a method a prefix of '/'. All else is a
regular expression, with weights that give it the place which GRPCRouteRule.matches demands.
"""

from __future__ import annotations

import re

from controller.api.grpc_route import GRPCMethodMatch, GRPCRouteMatch, GRPCRouteRule
from controller.translate.conditions import Problem
from controller.translate.expressions import expression_fault
from controller.translate.matches import headers_of
from gateway.ir.rule import Match, PathMatch

_ANY = "[^/]+"

_LONGEST = 1024
"""Characters of a service or method, or of an expression for one (GRPCMethodMatch)."""


def grpc_matches_of(rule: GRPCRouteRule) -> tuple[Match, ...]:
    """The alternatives of a rule in the order written; none written matches all."""
    return tuple(Match(_path(match.method), headers=headers_of(match.headers)) for match in rule.matches) or (Match(),)


def bad_grpc_expression(rule: GRPCRouteRule) -> Problem | None:
    """UnsupportedValue if RE2 refuses a regular expression of the rule, or what service and method are together."""
    for index, match in enumerate(rule.matches):
        for field, expression in _expressions(match):
            if fault := expression_fault(expression):
                return Problem("UnsupportedValue", f"matches[{index}].{field}: {fault}")
    return None


def _expressions(match: GRPCRouteMatch) -> list[tuple[str, str]]:
    found = [(f"headers[{place}].value", entry.value) for place, entry in enumerate(match.headers) if entry.type == "RegularExpression"]
    method = match.method
    if method is None or method.type != "RegularExpression":
        return found
    parts = [("method.service", method.service), ("method.method", method.method)]
    return [*((field, part) for field, part in parts if part), ("method", _pattern(method)), *found]


def _path(method: GRPCMethodMatch | None) -> PathMatch:
    if method is None or not (method.service or method.method):
        return PathMatch()
    if method.type == "Exact" and method.service:
        return PathMatch("Exact", f"/{method.service}/{method.method}") if method.method else PathMatch("PathPrefix", f"/{method.service}")
    more = _LONGEST if method.type == "Exact" else 0
    weights = tuple(len(part) + more if part else 0 for part in (method.service, method.method))
    return PathMatch("RegularExpression", _pattern(method), (weights[0], weights[1]))


def _pattern(method: GRPCMethodMatch) -> str:
    return "".join(f"/{_part(part, method.type)}" for part in (method.service, method.method))


def _part(part: str | None, kind: str) -> str:
    if not part:
        return _ANY
    return re.escape(part) if kind == "Exact" else f"(?:{part})"
