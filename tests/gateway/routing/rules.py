"""Rules and heads in one line each, for the tests of routing."""

from __future__ import annotations

from gateway.http.head import RequestHead
from gateway.ir.rule import HeaderMatch, HttpRule, Match, PathMatch, QueryMatch
from gateway.ir.value import Source
from gateway.routing import RouteTable

Placement = tuple[HttpRule, tuple[str, ...]]


def exact(value: str) -> PathMatch:
    return PathMatch("Exact", value)


def prefix(value: str) -> PathMatch:
    return PathMatch("PathPrefix", value)


def expression(value: str) -> PathMatch:
    return PathMatch("RegularExpression", value)


def match(path: PathMatch | None = None, method: str | None = None, headers: str = "", queries: str = "") -> Match:
    """Headers and queries as 'name=value name~expression'."""
    return Match(
        path or prefix("/"),
        method,
        tuple(HeaderMatch(*_condition(word)) for word in headers.split()),  # type: ignore[arg-type]  # the third is one of two words
        tuple(QueryMatch(*_condition(word)) for word in queries.split()),  # type: ignore[arg-type]  # the third is one of two words
    )


def _condition(word: str) -> tuple[str, str, str]:
    mark = min((place, sign) for sign in "=~" if (place := word.find(sign)) >= 0)[1]
    name, _, value = word.partition(mark)
    return name, value, "Exact" if mark == "=" else "RegularExpression"


def rule(route: str, *matches: Match, created: str = "2026-01-01T00:00:00Z", index: int = 0) -> HttpRule:
    """`route` is a name in namespace 'shop', or namespace/name."""
    namespace, _, name = route.rpartition("/")
    namespace = namespace or "shop"
    return HttpRule(
        key=f"HTTPRoute/{namespace}/{name}/{index}",
        source=Source("HTTPRoute", namespace, name),
        route=f"{namespace}/{name}",
        index=index,
        bindings=(),
        matches=matches or (Match(),),
        created=created,
    )


def table(*placements: Placement, hostname: str = "", namespaces: frozenset[str] | None = None) -> RouteTable[str]:
    """The payload of a rule is its route's name, with the index of a rule that is not the first."""
    edit = RouteTable[str](hostname.encode(), namespaces).edit()
    for placed, hostnames in placements:
        edit.put(placed, hostnames, payload(placed))
    return edit.finish()


def payload(placed: HttpRule) -> str:
    return placed.source.name if placed.index == 0 else f"{placed.source.name}/{placed.index}"


def head(host: str = "a.example", target: str = "/", method: str = "GET", **fields: str) -> RequestHead:
    """Field names with '_' for '-'; the target already in normal form."""
    path, mark, query = target.partition("?")
    made = RequestHead(method.encode(), path.encode(), query.encode() if mark else None, host.encode(), host.encode())
    made.fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return made


def served(routes: RouteTable[str], request: RequestHead) -> str | None:
    entry = routes.match(request)
    return None if entry is None else entry.payload
