"""Which requests a rule takes: paths, header fields, query parameters, methods (HTTPRouteMatch)."""

from __future__ import annotations

import pytest

from tests.wire.conftest import Serve
from tests.wire.pairings import any_client

pytestmark = any_client

TO_BLUE = "backendRefs: [{name: blue, port: 80}]"


def rule(match: str) -> str:
    """One rule with one match that leads to blue."""
    return f"- matches: [{match}]\n  {TO_BLUE}\n"


@pytest.mark.parametrize(
    ("path", "target", "status"),
    [
        ("/one", "/one", 200),
        ("/one", "/one?x=1", 200),
        ("/one", "/one/", 404),
        ("/one", "/One", 404),
        ("/one", "/one/two", 404),
        ("/one", "/on", 404),
        ("/one/", "/one/", 200),
        ("/one/", "/one", 404),
    ],
)
def test_exact_path(serve: Serve, path: str, target: str, status: int) -> None:
    """Exact compares the path to the byte, case and trailing slash too, and not the query (HTTPPathMatch, HTTPRouteExactPathMatching)."""
    assert serve(rule(f"{{path: {{type: Exact, value: {path}}}}}")).ask(target).status == status


@pytest.mark.parametrize(
    ("path", "target", "status"),
    [
        ("/one", "/one", 200),
        ("/one", "/one/", 200),
        ("/one", "/one/two", 200),
        ("/one", "/one?x", 200),
        ("/one", "/onetwo", 404),
        ("/one", "/One", 404),
        ("/one/", "/one", 200),
        ("/one/", "/one/two", 200),
        ("/one/", "/onetwo", 404),
        ("/", "/anything/at/all", 200),
    ],
)
def test_path_prefix(serve: Serve, path: str, target: str, status: int) -> None:
    """PathPrefix works on whole segments, and its own trailing slash means nothing (HTTPPathMatch, HTTPRouteMatching)."""
    assert serve(rule(f"{{path: {{type: PathPrefix, value: {path}}}}}")).ask(target).status == status


def test_no_match_is_every_path(serve: Serve) -> None:
    """A rule without matches takes everything (HTTPRouteRule.matches default)."""
    site = serve(f"- {TO_BLUE}")
    assert site.ask("/").backend == "blue"
    assert site.ask("/some/path?query", method="POST", body=b"x").backend == "blue"


@pytest.mark.parametrize(
    ("expression", "target", "status"),
    [
        ("/items/[0-9]+", "/items/42", 200),
        ("/items/[0-9]+", "/items/42/", 404),
        ("/items/[0-9]+", "/v1/items/42", 404),
        ("/(a|b)/.*", "/b/c", 200),
        ("(?i)/one", "/ONE", 200),
        ("/one", "/ONE", 404),
        (r"/\\pL+", "/caf%C3%A9", 404),
    ],
)
def test_regular_expression_path(serve: Serve, expression: str, target: str, status: int) -> None:
    """RegularExpression is RE2, case-sensitive, and matches the whole path as it is forwarded (GEP-4359; HTTPPathMatch)."""
    assert serve(rule(f'{{path: {{type: RegularExpression, value: "{expression}"}}}}')).ask(target).status == status


def test_no_route_is_404(serve: Serve) -> None:
    """A request that no rule matches is answered 404 by the proxy (HTTPRouteSpec.rules)."""
    answer = serve(rule("{path: {value: /one}}")).ask("/two")
    assert (answer.status, answer.counted.flags, answer.reason) == (404, "NR", "no route matches")


def test_header_names_ignore_case_and_values_do_not(serve: Serve) -> None:
    """Header names are compared without case, values exactly (HTTPHeaderMatch, HTTPRouteHeaderMatching)."""
    site = serve(rule("{headers: [{name: Version, value: two}]}"))
    assert site.ask(headers=[("version", "two")]).status == 200
    assert site.ask(headers=[("VERSION", "two")]).status == 200
    assert site.ask(headers=[("Version", "Two")]).status == 404
    assert site.ask(headers=[("Version", "two and more")]).status == 404
    assert site.ask().status == 404


def test_several_headers_must_all_match(serve: Serve) -> None:
    """Header matches of one match are ANDed (HTTPRouteMatch.headers)."""
    site = serve(rule("{headers: [{name: version, value: two}, {name: color, value: orange}]}"))
    assert site.ask(headers=[("Version", "two"), ("Color", "orange")]).status == 200
    assert site.ask(headers=[("Color", "orange")]).status == 404
    assert site.ask(headers=[("Version", "two"), ("Color", "blue")]).status == 404


def test_repeated_header_is_matched_as_one_joined_value(serve: Serve) -> None:
    """Fields of one name are matched as the one value they mean, joined by a comma and a space (RFC 9110 5.3)."""
    site = serve(rule('{headers: [{name: color, value: "blue, green"}]}'))
    assert site.ask(headers=[("Color", "blue"), ("color", "green")]).status == 200
    assert site.ask(headers=[("Color", "blue, green")]).status == 200
    assert site.ask(headers=[("Color", "blue")]).status == 404


def test_regular_expression_header_must_match_whole(serve: Serve) -> None:
    """A header of type RegularExpression is matched whole (HTTPHeaderMatch, RE2)."""
    site = serve(rule('{headers: [{name: user, type: RegularExpression, value: "[a-z]+-[0-9]+"}]}'))
    assert site.ask(headers=[("User", "bob-7")]).status == 200
    assert site.ask(headers=[("User", "bob-7 or so")]).status == 404
    assert site.ask().status == 404


def test_host_can_be_matched_as_a_header(serve: Serve) -> None:
    """Host is a field like others to a header match, its port too (HTTPHeaderMatch)."""
    site = serve(rule("{headers: [{name: host, value: 'a.example.com:8080'}]}"))
    assert site.ask(host="a.example.com:8080").status == 200
    assert site.ask(host="a.example.com").status == 404


def test_query_parameters_are_exact(serve: Serve) -> None:
    """Names and values of query parameters are case-sensitive, and all must match (HTTPQueryParamMatch, HTTPRouteQueryParamMatching)."""
    site = serve(rule("{queryParams: [{name: animal, value: whale}, {name: color, value: blue}]}"))
    assert site.ask("/?animal=whale&color=blue").status == 200
    assert site.ask("/?color=blue&more=x&animal=whale").status == 200
    assert site.ask("/?animal=whale").status == 404
    assert site.ask("/?Animal=whale&color=blue").status == 404
    assert site.ask("/?animal=Whale&color=blue").status == 404
    assert site.ask("/").status == 404


def test_first_value_of_a_repeated_query_parameter_counts(serve: Serve) -> None:
    """Of a repeated parameter the first value is matched (HTTPQueryParamMatch.name)."""
    site = serve(rule("{queryParams: [{name: animal, value: whale}]}"))
    assert site.ask("/?animal=whale&animal=shark").status == 200
    assert site.ask("/?animal=shark&animal=whale").status == 404


def test_query_values_are_decoded(serve: Serve) -> None:
    """A parameter is matched by what it means, percent-encoding and plus undone, and forwarded as sent (URL standard 5.1)."""
    site = serve(rule('{queryParams: [{name: q, value: "a b&c"}]}'))
    for target in ("/?q=a%20b%26c", "/?q=a+b%26c"):
        assert site.ask(target).request.target == target


def test_regular_expression_query(serve: Serve) -> None:
    """A query parameter of type RegularExpression is matched whole (HTTPQueryParamMatch, RE2)."""
    site = serve(rule('{queryParams: [{name: page, type: RegularExpression, value: "[0-9]{1,3}"}]}'))
    assert site.ask("/?page=12").status == 200
    assert site.ask("/?page=1234").status == 404
    assert site.ask("/?page=").status == 404


def test_method(serve: Serve) -> None:
    """A match with a method takes only that method, to the letter (HTTPRouteMatch.method, HTTPRouteMethodMatching)."""
    site = serve(rule("{method: PATCH}"))
    assert site.ask(method="PATCH", body=b"change").request.method == "PATCH"
    assert site.ask(method="GET").status == 404
    assert site.ask(method="patch").status == 404


def test_matches_of_a_rule_are_alternatives(serve: Serve) -> None:
    """A rule takes what any of its matches takes, each with all of its conditions (HTTPRouteRule.matches)."""
    site = serve(rule("{path: {value: /a}, method: GET}, {path: {type: Exact, value: /b}, headers: [{name: x, value: y}]}"))
    assert site.ask("/a/x").status == 200
    assert site.ask("/b", headers=[("X", "y")]).status == 200
    assert site.ask("/b").status == 404
    assert site.ask("/a", method="DELETE").status == 404


def test_a_named_rule_is_logged_by_its_name(serve: Serve) -> None:
    """A rule with a name serves like others, and is counted and logged under it (HTTPRouteRule.name, HTTPRouteNamedRule)."""
    site = serve(f"- name: reads\n  matches: [{{method: GET}}]\n  {TO_BLUE}\n- {TO_BLUE}")
    assert site.ask().counted.rule == "reads"
    assert site.ask(method="POST").counted.rule == "1"
    assert [line["rule"] for line in site.log.wait_for(2)] == ["reads", "1"]
