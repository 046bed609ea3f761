"""The matches of an HTTPRoute rule, with regular expressions proved to be ones that RE2 takes."""

from __future__ import annotations

from controller.api.grpc_route import GRPCHeaderMatch
from controller.api.http_matches import HTTPHeaderMatch, HTTPPathMatch, HTTPQueryParamMatch, HTTPRouteMatch
from controller.api.http_route import HTTPRouteRule
from controller.translate.conditions import Problem
from controller.translate.expressions import expression_fault
from gateway.ir.rule import HeaderMatch, Match, PathMatch, QueryMatch


def matches_of(rule: HTTPRouteRule) -> tuple[Match, ...]:
    """The alternatives of a rule in the order written; none written is a prefix of '/', which matches all."""
    return tuple(_match(match) for match in rule.matches) or (Match(),)


def bad_expression(rule: HTTPRouteRule) -> Problem | None:
    """UnsupportedValue if RE2 refuses a regular expression of the rule."""
    for index, match in enumerate(rule.matches):
        for field, expression in _expressions(match):
            if fault := expression_fault(expression):
                return Problem("UnsupportedValue", f"matches[{index}].{field}: {fault}")
    return None


def _expressions(match: HTTPRouteMatch) -> list[tuple[str, str]]:
    found: list[tuple[str, HTTPPathMatch | HTTPHeaderMatch | HTTPQueryParamMatch]] = [("path.value", match.path)]
    found += [(f"headers[{index}].value", entry) for index, entry in enumerate(match.headers)]
    found += [(f"queryParams[{index}].value", entry) for index, entry in enumerate(match.query_params)]
    return [(field, entry.value) for field, entry in found if entry.type == "RegularExpression"]


def _match(match: HTTPRouteMatch) -> Match:
    return Match(
        _path(match.path),
        match.method,
        headers_of(match.headers),
        tuple(QueryMatch(entry.name, entry.value, entry.type) for entry in match.query_params),
    )


def _path(path: HTTPPathMatch) -> PathMatch:
    """Whole segments match, so that a prefix means the same with and without a trailing slash."""
    value = path.value.rstrip("/") or "/" if path.type == "PathPrefix" else path.value
    return PathMatch(path.type, value)


def headers_of(entries: tuple[HTTPHeaderMatch, ...] | tuple[GRPCHeaderMatch, ...]) -> tuple[HeaderMatch, ...]:
    """Of entries with equivalent names only the first counts (HTTPHeaderMatch.name, GRPCHeaderMatch.name)."""
    first: dict[str, HeaderMatch] = {}
    for entry in entries:
        first.setdefault(entry.name.lower(), HeaderMatch(entry.name.lower(), entry.value, entry.type))
    return tuple(first.values())
