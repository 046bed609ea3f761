"""An entry: one match of one rule, ready to be asked, with its place in the order of precedence.

The order is that of HTTPRouteRule.matches in the Gateway API: an exact path, then a regular expression (full match, the longer
pattern first: our choice, the API leaves it open), then the longest prefix; then a method, the number of headers, of query
parameters, the oldest route (one of unknown age comes last), namespace/name, rule, match.

That of GRPCRouteRule.matches fits into it, service and method being a path: both are an exact path, and a service alone is a prefix.
An expression of a GRPCRoute names no exact service, so that it comes after these; only the prefix '/' comes after it.
"""

from __future__ import annotations

from sys import intern
from typing import Final, Generic, Literal, TypeVar, assert_never

from gateway.http.target import normal_match_value
from gateway.ir.rule import HttpRule, PathMatch
from gateway.routing.expressions import Expression, compile_expression
from gateway.routing.predicates import HeaderIs, HeaderMatches, Predicate, QueryIs, QueryMatches, predicates_of

Payload = TypeVar("Payload")

PathKind = Literal["Exact", "RegularExpression", "PathPrefix"]
Rank = tuple[int, ...]
Order = tuple[bool, int, int, bool, str, str, int, str, int]


class Entry(Generic[Payload]):
    """One match of one rule. Never edited.

    rule        key of the HttpRule
    namespace   of its route
    index       the match's place in the rule
    payload     what was put with the rule
    kind        of its path
    path        the exact path or the prefix in normal form (a prefix without trailing slash, or '/'); the pattern of an expression
    prefix      the same, of a PathPrefix only: what ReplacePrefixMatch replaces
    expression  of a RegularExpression only
    predicates  what it asks besides host and path
    plain       whether it asks nothing besides host and path
    rank        its path's place in the order of precedence, lowest first: an exact path, a longer expression, a longer prefix, and among
                the prefixes, before '/', an expression of a GRPCRoute, one that says more of the service or else the method first
    order       its place among entries of one rank, lowest first
    """

    __slots__ = ("expression", "index", "kind", "namespace", "order", "path", "payload", "plain", "predicates", "prefix", "rank", "rule")

    def __init__(self, rule: HttpRule, index: int, payload: Payload) -> None:
        """Raises ValueError, with the field, for an expression that RE2 refuses and for a path with a bad escape."""
        match = rule.matches[index]
        self.rule: Final = rule.key
        self.namespace: Final = intern(rule.route.partition("/")[0])
        self.index: Final = index
        self.payload: Final = payload
        self.expression: Expression | None = None
        self.prefix: bytes | None = None
        self.kind: Final[PathKind] = match.path.type
        try:
            self.path: Final = self._read(match.path)
            self.predicates: Final[tuple[Predicate, ...]] = predicates_of(match)
        except ValueError as error:
            raise ValueError(f"matches[{index}].{error}") from None
        self.plain: Final = not self.predicates
        self.rank: Final[Rank] = self._rank_of(match.path)
        headers = queries = 0
        for predicate in self.predicates:
            headers += isinstance(predicate, HeaderIs | HeaderMatches)
            queries += isinstance(predicate, QueryIs | QueryMatches)
        age = (not rule.created, rule.created)
        self.order: Final[Order] = (match.method is None, -headers, -queries, *age, rule.route, rule.index, rule.key, index)

    def _read(self, path: PathMatch) -> bytes:
        try:
            match path.type:
                case "Exact":
                    return normal_match_value(path.value)
                case "PathPrefix":
                    self.prefix = normal_match_value(path.value).rstrip(b"/") or b"/"
                    return self.prefix
                case "RegularExpression":
                    self.expression = compile_expression(path.value)
                    return path.value.encode()
                case _:
                    assert_never(path.type)
        except ValueError as error:
            raise ValueError(f"path.value {error}") from None

    def _rank_of(self, path: PathMatch) -> Rank:
        if self.expression is None:
            return (_KINDS[self.kind], -len(self.path))
        if path.weights is None:
            return (_KINDS[self.kind], -len(path.value))
        service, method = path.weights
        return (_KINDS["PathPrefix"], -_SHORTEST_SERVICE, -service, -method)


_SHORTEST_SERVICE: Final = 2
"""Characters of a prefix that is not '/': after all of them come the expressions of GRPCRoutes."""

_KINDS: Final[dict[PathKind, int]] = {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}


def order_of(entry: Entry[Payload]) -> Order:
    return entry.order
