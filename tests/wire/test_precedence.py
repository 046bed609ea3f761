"""Which of several matching rules serves, in the order of the specification (HTTPRouteRule.matches; hostnames: HTTPRouteSpec.hostnames)."""

from __future__ import annotations

from tests.wire.conftest import Serve
from tests.wire.pairings import any_client
from tests.wire.serving import Site

pytestmark = any_client


def routes(**bodies: str) -> str:
    """Routes by name, each with the given fields of its spec."""
    return "\n---\n".join(f"kind: HTTPRoute\nmetadata: {{name: {name}}}\nspec:\n{_indented(body)}" for name, body in bodies.items())


def _indented(body: str) -> str:
    return "\n".join(f"  {line}" for line in body.strip().splitlines())


def to(backend: str, match: str = "{}") -> str:
    return f"- matches: [{match}]\n  backendRefs: [{{name: {backend}, port: 80}}]\n"


def both_ways(serve: Serve, first: str, second: str) -> tuple[Site, Site]:
    """Sites with the two rules in both orders, in one route: the first leads to blue, the second to green."""
    return serve(to("blue", first) + to("green", second)), serve(to("green", second) + to("blue", first))


def test_an_exact_hostname_goes_before_a_wildcard(serve: Serve) -> None:
    """1a. The longest matching hostname without a wildcard comes first, whatever the paths of other routes are."""
    site = serve(
        routes(
            wildcard=f"hostnames: ['*.example.com']\nrules:\n{to('blue', '{path: {type: Exact, value: /a}, method: GET}')}",
            exact=f"hostnames: [www.example.com]\nrules:\n{to('green')}",
        )
    )
    assert site.ask("/a", host="www.example.com").backend == "green"
    assert site.ask("/a", host="other.example.com").backend == "blue"


def test_a_longer_wildcard_goes_before_a_shorter_one(serve: Serve) -> None:
    """1b. Of wildcards the longest comes first, and all of them before a route without hostnames."""
    site = serve(
        routes(
            all=f"rules:\n{to('red', '{path: {type: Exact, value: /a}}')}",
            short=f"hostnames: ['*.example.com']\nrules:\n{to('blue', '{path: {type: Exact, value: /a}}')}",
            long=f"hostnames: ['*.shop.example.com']\nrules:\n{to('green')}",
        )
    )
    assert site.ask("/a", host="x.shop.example.com").backend == "green"
    assert site.ask("/a", host="y.x.shop.example.com").backend == "green"
    assert site.ask("/a", host="x.example.com").backend == "blue"
    assert site.ask("/a", host="example.org").backend == "red"


def test_a_less_specific_hostname_serves_what_the_most_specific_does_not(serve: Serve) -> None:
    """1c. The order of hostnames ranks matches: a request that the more specific hostname's routes do not match goes on to the next."""
    site = serve(
        routes(
            wildcard=f"hostnames: ['*.example.com']\nrules:\n{to('blue')}",
            exact=f"hostnames: [www.example.com]\nrules:\n{to('green', '{path: {value: /only}}')}",
        )
    )
    assert site.ask("/only/this", host="www.example.com").backend == "green"
    assert site.ask("/other", host="www.example.com").backend == "blue"


def test_an_exact_path_goes_before_any_prefix(serve: Serve) -> None:
    """2. An Exact path match comes before a PathPrefix, even with fewer other conditions (HTTPRoutePathMatchOrder)."""
    prefix = "{path: {value: /match}, method: GET, headers: [{name: a, value: b}]}"
    for site in both_ways(serve, "{path: {type: Exact, value: /match}}", prefix):
        assert site.ask("/match", headers=[("a", "b")]).backend == "blue"
        assert site.ask("/match/more", headers=[("a", "b")]).backend == "green"


def test_a_longer_prefix_goes_before_a_shorter_one(serve: Serve) -> None:
    """3. The PathPrefix with the most characters comes first, whatever its other conditions (HTTPRoutePathMatchOrder)."""
    for site in both_ways(serve, "{path: {value: /match/prefix}}", "{path: {value: /match}, headers: [{name: a, value: b}]}"):
        assert site.ask("/match/prefix/x", headers=[("a", "b")]).backend == "blue"
        assert site.ask("/match/x", headers=[("a", "b")]).backend == "green"


def test_a_method_goes_before_headers(serve: Serve) -> None:
    """4. Of equal paths, a match with a method comes before one with any number of headers and parameters (HTTPRouteMethodMatching)."""
    more = "{headers: [{name: a, value: b}, {name: c, value: d}], queryParams: [{name: e, value: f}]}"
    for site in both_ways(serve, "{method: GET}", more):
        assert site.ask("/?e=f", headers=[("a", "b"), ("c", "d")]).backend == "blue"
        assert site.ask("/?e=f", method="POST", headers=[("a", "b"), ("c", "d")]).backend == "green"


def test_more_headers_go_before_fewer(serve: Serve) -> None:
    """5. The largest number of header matches comes next, before the number of query parameters (HTTPRouteHeaderMatching)."""
    fewer = "{headers: [{name: a, value: b}], queryParams: [{name: e, value: f}, {name: g, value: h}]}"
    for site in both_ways(serve, "{headers: [{name: a, value: b}, {name: c, value: d}]}", fewer):
        assert site.ask("/?e=f&g=h", headers=[("a", "b"), ("c", "d")]).backend == "blue"
        assert site.ask("/?e=f&g=h", headers=[("a", "b")]).backend == "green"


def test_more_query_parameters_go_before_fewer(serve: Serve) -> None:
    """6. Then the largest number of query parameter matches (HTTPRouteQueryParamMatching)."""
    for site in both_ways(serve, "{queryParams: [{name: a, value: b}, {name: c, value: d}]}", "{queryParams: [{name: a, value: b}]}"):
        assert site.ask("/?a=b&c=d").backend == "blue"
        assert site.ask("/?a=b").backend == "green"


def test_the_older_route_goes_before_the_younger(serve: Serve) -> None:
    """7. Of equal matches in different routes, the oldest route by creationTimestamp serves, whatever its name."""

    def aged(name: str, created: str, backend: str) -> str:
        return f"""
kind: HTTPRoute
metadata: {{name: {name}, creationTimestamp: '{created}'}}
spec:
  rules:
  - backendRefs: [{{name: {backend}, port: 80}}]
"""

    younger, older = aged("a", "2026-02-02T00:00:00Z", "green"), aged("z", "2026-01-01T00:00:00Z", "blue")
    assert serve(younger, "---", older).ask().backend == "blue"
    assert serve(older, "---", younger).ask().backend == "blue"


def test_the_first_route_by_name_goes_before_others(serve: Serve) -> None:
    """8. Of routes of one age, the first by namespace/name serves."""
    site = serve(routes(zebra=f"rules:\n{to('green')}", ant=f"rules:\n{to('blue')}"))
    assert site.ask().backend == "blue"


def test_the_first_rule_of_a_route_goes_before_others(serve: Serve) -> None:
    """9. Of equal matches inside a route, the first rule serves."""
    assert serve(to("blue", "{path: {value: /a}}") + to("green", "{path: {value: /a}}")).ask("/a").backend == "blue"


def test_a_regular_expression_stands_between_exact_paths_and_prefixes(serve: Serve) -> None:
    """The place of RegularExpression is ours to choose: after Exact, before PathPrefix, the longer expression first (design.md 6.7)."""
    site = serve(
        to("green", "{path: {value: /a/b}}")
        + to("red", "{path: {type: RegularExpression, value: '/a/.*'}}")
        + to("blue", "{path: {type: RegularExpression, value: '/a/b.*'}}")
        + to("green", "{path: {type: Exact, value: /a/b/exact}}")
    )
    assert site.ask("/a/b/c").backend == "blue"
    assert site.ask("/a/x").backend == "red"
    assert site.ask("/a/b/exact").backend == "green"


def test_each_match_of_a_rule_has_its_own_place(serve: Serve) -> None:
    """Precedence is that of the match that hits, not that of the best match of its rule (HTTPRouteRule.matches)."""
    site = serve(to("blue", "{path: {value: /}}, {path: {type: Exact, value: /exact}}") + to("green", "{path: {value: /prefix}}"))
    assert site.ask("/prefix").backend == "green"
    assert site.ask("/exact").backend == "blue"


def test_rules_of_several_routes_are_merged(serve: Serve) -> None:
    """Rules of all routes on a listener compete by their matches (HTTPRouteMatchingAcrossRoutes)."""
    one = to("blue", "{path: {value: /}}, {headers: [{name: version, value: one}]}")
    two = to("green", "{path: {value: /v2}}, {headers: [{name: version, value: two}]}")
    site = serve(routes(one=f"hostnames: [example.com, example.net]\nrules:\n{one}", two=f"hostnames: [example.com]\nrules:\n{two}"))
    assert site.ask("/").backend == "blue"
    assert site.ask("/v2").backend == "green"
    assert site.ask("/v2/x", headers=[("version", "one")]).backend == "green"
    assert site.ask("/", headers=[("version", "two")]).backend == "green"
    assert site.ask("/v2", host="example.net").backend == "blue"
    assert site.ask("/", host="example.org").status == 404
