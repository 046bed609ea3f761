"""The proof that a GRPCRoute as rules of a RouteTable answers as a slow reading of GRPCRouteRule.matches does."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.grpc_route import GRPCMethodMatch, GRPCRouteMatch, GRPCRouteRule
from controller.translate.grpc_matches import bad_grpc_expression, grpc_matches_of
from gateway.http.head import RequestHead
from gateway.ir.rule import HttpRule, PathMatch
from gateway.ir.value import Source
from gateway.routing import RouteTable, explain

SERVICES = ("a", "a.B", "a.Bc", "b.v1.Long")
METHODS = ("Get", "GetAll", "Put")
SERVICE_PATTERNS = ("a.*", r"a\.B.?", "b.*|c", ".+")
METHOD_PATTERNS = ("Get.*", "Put|Get", "G..")

exact = st.one_of(
    st.fixed_dictionaries({"service": st.sampled_from(SERVICES), "method": st.sampled_from(METHODS)}),
    st.fixed_dictionaries({"service": st.sampled_from(SERVICES)}),
    st.fixed_dictionaries({"method": st.sampled_from(METHODS)}),
)
patterns = st.one_of(
    st.fixed_dictionaries({"service": st.sampled_from(SERVICE_PATTERNS), "method": st.sampled_from(METHOD_PATTERNS)}),
    st.fixed_dictionaries({"service": st.sampled_from(SERVICE_PATTERNS)}),
    st.fixed_dictionaries({"method": st.sampled_from(METHOD_PATTERNS)}),
)
methods = st.one_of(st.none(), exact, exact, patterns.map(lambda found: found | {"type": "RegularExpression"}))
headers = st.lists(st.sampled_from(["x-a", "x-b"]), unique=True, max_size=2)


class Written(NamedTuple):
    """One rule of a route as a user writes it, with what precedence compares besides."""

    route: str
    created: str
    number: int
    matches: list[tuple[dict[str, str] | None, list[str]]]

    @property
    def key(self) -> str:
        return f"GRPCRoute/{self.route}/{self.number}"

    @property
    def model(self) -> GRPCRouteRule:
        return GRPCRouteRule.model_validate({"matches": [_document(method, names) for method, names in self.matches]})


def _document(method: dict[str, str] | None, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"headers": [{"name": name, "value": "1"} for name in names]}
    return found if method is None else found | {"method": method}


written = st.builds(
    Written,
    st.sampled_from(["a/x", "a/y", "b/x"]),
    st.sampled_from(["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]),
    st.integers(0, 2),
    st.lists(st.tuples(methods, headers), max_size=3),
)


def says(part: str | None, kind: str) -> tuple[int, int]:
    """How much a service or method says: an exact name more than any expression, a longer one more than a shorter one."""
    return (0, 0) if part is None else (2 if kind == "Exact" else 1, len(part))


def precedence(rule: Written, place: int) -> tuple[Any, ...]:
    """GRPCRouteRule.matches: characters of the service, of the method, header matches, age, namespace/name, rule; then the match."""
    method, names = rule.matches[place] if rule.matches else (None, [])
    kind = (method or {}).get("type", "Exact")
    service, name = (says((method or {}).get(field), kind) for field in ("service", "method"))
    more = tuple((-kind, -size) for kind, size in (service, name))
    return (*more, -len(names), rule.created, rule.route, rule.number, rule.key, place)


def holds(rule: Written, place: int, service: str, name: str, fields: list[str]) -> bool:
    if not rule.matches:
        return True
    method, names = rule.matches[place]
    for field, value in (("service", service), ("method", name)):
        asked = (method or {}).get(field)
        if asked is None:
            continue
        if not (re.fullmatch(asked, value) if (method or {}).get("type") else asked == value):
            return False
    return set(names) <= set(fields)


def table(rules: list[Written]) -> RouteTable[str]:
    editor = RouteTable[str]().edit()
    for rule in rules:
        namespace, _, name = rule.route.partition("/")
        source = Source("GRPCRoute", namespace, name)
        resource = HttpRule(rule.key, source, rule.route, rule.number, (), grpc_matches_of(rule.model), rule.created)
        editor.put(resource, ("",), rule.key)
    return editor.finish()


@given(
    st.lists(written, max_size=8, unique_by=lambda rule: rule.key),
    st.lists(st.tuples(st.sampled_from(SERVICES), st.sampled_from(METHODS), headers), min_size=1, max_size=6),
)
def test_every_request_gets_the_rule_of_the_slow_reading(rules: list[Written], requests: list[tuple[str, str, list[str]]]) -> None:
    """GRPCRouteRule.matches: sort all matches by precedence, take the first whose conditions all hold; explain says the same."""
    found = table(rules)
    candidates = sorted((precedence(rule, place), rule, place) for rule in rules for place in range(max(1, len(rule.matches))))
    for service, method, fields in requests:
        expected = next(((rule.key, place) for _, rule, place in candidates if holds(rule, place, service, method, fields)), None)
        head = RequestHead(b"POST", f"/{service}/{method}".encode(), None, b"h", b"h")
        head.fields = [(name.encode(), b"1") for name in fields]
        entry = found.match(head)
        assert expected == (None if entry is None else (entry.rule, entry.index))
        assert [(row.entry.rule, row.entry.index) for row in explain(found, head) if row.matched] == ([expected] if expected else [])


@pytest.mark.parametrize(("method", "expected"), [
    (None, PathMatch()),
    ({"service": "shop.v1.Orders", "method": "Get"}, PathMatch("Exact", "/shop.v1.Orders/Get")),
    ({"service": "shop.v1.Orders"}, PathMatch("PathPrefix", "/shop.v1.Orders")),
    ({"method": "Get"}, PathMatch("RegularExpression", "/[^/]+/Get", (0, 1027))),
    ({"type": "RegularExpression", "service": "a|b", "method": "G.*"}, PathMatch("RegularExpression", "/(?:a|b)/(?:G.*)", (3, 3))),
    ({"type": "RegularExpression", "service": "a|b"}, PathMatch("RegularExpression", "/(?:a|b)/[^/]+", (3, 0))),
    ({"type": "RegularExpression", "service": "", "method": ""}, PathMatch()),
])  # fmt: skip
def test_a_method_is_a_path(method: dict[str, str] | None, expected: PathMatch) -> None:
    """GRPCMethodMatch: a request for a method of a service is one for the path /service/method."""
    matches = [] if method is None else [GRPCRouteMatch(method=GRPCMethodMatch.model_validate(method))]
    assert grpc_matches_of(GRPCRouteRule(matches=tuple(matches)))[0].path == expected


@pytest.mark.parametrize(("method", "field"), [
    ({"service": "a)(b"}, "matches[0].method.service: RE2 refuses"),
    ({"method": "("}, "matches[0].method.method: RE2 refuses"),
    ({"service": "a" * 600, "method": "b" * 600}, "matches[0].method: the regular expression has 1210 characters"),
])  # fmt: skip
def test_each_part_is_an_expression_of_its_own(method: dict[str, str], field: str) -> None:
    """An expression that is one only together with what is put around it is refused, and so is one that is too long in all."""
    rule = GRPCRouteRule.model_validate({"matches": [{"method": {"type": "RegularExpression"} | method}]})
    problem = bad_grpc_expression(rule)
    assert problem is not None
    assert problem.message.startswith(field)
