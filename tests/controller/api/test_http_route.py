"""HTTPRoute: defaults of its CRD, and the CEL rules and limits over routes, rules and matches."""

from typing import Any

import pytest

from controller.api.http_matches import HTTPRouteMatch
from controller.api.http_route import HTTPRoute
from tests.controller.api.objects import GATEWAY_API, object_of, read, refused, refused_fields, route, rule

BACKEND = {"name": "s", "port": 80}
REDIRECT = {"type": "RequestRedirect", "requestRedirect": {"port": 81}}
REPLACE_PREFIX = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}}


def test_defaults() -> None:
    """The CRD's defaults: parentRef to a Gateway, one rule, one match of prefix "/", weight 1, core Service, no timeouts."""
    found = read(route(parentRefs=[{"name": "g"}], rules=[{"backendRefs": [BACKEND]}]))
    assert isinstance(found, HTTPRoute)
    (parent,) = found.spec.parent_refs
    assert (parent.group, parent.kind, parent.namespace, parent.section_name, parent.port) == (
        "gateway.networking.k8s.io",
        "Gateway",
        None,
        None,
        None,
    )
    (only,) = found.spec.rules
    assert only.matches == (HTTPRouteMatch(),)
    assert (only.matches[0].path.type, only.matches[0].path.value) == ("PathPrefix", "/")
    (backend,) = only.backend_refs
    assert (backend.group, backend.kind, backend.weight, backend.namespace, backend.filters) == ("", "Service", 1, None, ())
    assert (only.name, only.filters, only.timeouts, only.retry, only.session_persistence) == (None, (), None, None, None)


def test_a_route_without_rules_has_one_that_matches_everything() -> None:
    """rules defaults to one rule with one match of prefix "/"."""
    found = read(route())
    assert isinstance(found, HTTPRoute)
    assert [[match.path.value for match in each.matches] for each in found.spec.rules] == [["/"]]


def test_match_types_default_to_exact() -> None:
    """Header and query parameter matches are Exact, path matches PathPrefix, unless they say otherwise."""
    found = read(
        rule(matches=[{"path": {"value": "/a"}, "headers": [{"name": "a", "value": "b"}], "queryParams": [{"name": "c", "value": "d"}]}])
    )
    assert isinstance(found, HTTPRoute)
    (match,) = found.spec.rules[0].matches
    assert (match.path.type, match.headers[0].type, match.query_params[0].type, match.method) == ("PathPrefix", "Exact", "Exact", None)


@pytest.mark.parametrize("version", [GATEWAY_API, "gateway.networking.k8s.io/v1beta1"])
def test_both_served_versions_are_read(version: str) -> None:
    """HTTPRoute is served as v1 and v1beta1 with one schema."""
    assert read(object_of("HTTPRoute", version, spec={})).key == ("HTTPRoute", "default", "x")


@pytest.mark.parametrize("kind", ["Exact", "PathPrefix"])
@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "must start with '/'"),
        ("a", "must start with '/'"),
        ("//", "must not contain '//'"),
        ("/a//b", "must not contain '//'"),
        ("/a/./b", "must not contain '/./'"),
        ("/a/../b", "must not contain '/../'"),
        ("/a%2fb", "must not contain '%2f'"),
        ("/a%2Fb", "must not contain '%2F'"),
        ("/a#b", "must not contain '#'"),
        ("/a/..", "must not end with '/..'"),
        ("/a/.", "must not end with '/.'"),
        ("/a b", "may hold only characters of a URI path"),
        ("/a?b", "may hold only characters of a URI path"),
        ("/ä", "may hold only characters of a URI path"),
        ("/a%zz", "may hold only characters of a URI path"),
        ("/a\n", "may hold only characters of a URI path"),
    ],
)
def test_paths_that_are_not_in_normal_form_are_refused(kind: str, path: str, fault: str) -> None:
    """Exact and PathPrefix values are absolute paths in normal form (CEL of HTTPPathMatch)."""
    ((field, message),) = refused(rule(matches=[{"path": {"type": kind, "value": path}}]))
    assert field == "spec.rules[0].matches[0].path.value"
    assert fault in message


@pytest.mark.parametrize("path", ["/", "/a/", "/a.b/..c", "/%20", "/a;b=c", "/a:b@c", "/~!$&'()*+,="])
def test_paths_in_normal_form_are_read(path: str) -> None:
    """All characters of a URI path are allowed, a trailing slash too (CEL of HTTPPathMatch)."""
    assert refused(rule(matches=[{"path": {"value": path}}])) == []


@pytest.mark.parametrize("expression", ["a//b", "(", "#", "", "(?=x)", "/a/.."])
def test_a_regular_expression_is_read_as_it_is(expression: str) -> None:
    """Whether a regular expression can be used is for a condition to say, not for the schema."""
    assert refused(rule(matches=[{"path": {"type": "RegularExpression", "value": expression}}])) == []


@pytest.mark.parametrize(
    ("match", "field"),
    [
        ({"path": {"type": "Glob", "value": "/"}}, "path.type"),
        ({"path": {"value": "/" + "a" * 1024}}, "path.value"),
        ({"path": {"value": 1}}, "path.value"),
        ({"method": "get"}, "method"),
        ({"method": "PROPFIND"}, "method"),
        ({"headers": [{"name": "a b", "value": "c"}]}, "headers[0].name"),
        ({"headers": [{"name": ":path", "value": "c"}]}, "headers[0].name"),
        ({"headers": [{"name": "a", "value": ""}]}, "headers[0].value"),
        ({"headers": [{"name": "a", "value": "b  c"}]}, "headers[0].value"),
        ({"headers": [{"name": "a", "value": "b\nc"}]}, "headers[0].value"),
        ({"headers": [{"name": "a"}]}, "headers[0].value"),
        ({"headers": [{"name": "a", "value": 1}]}, "headers[0].value"),
        ({"headers": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]}, "headers[1].name"),
        ({"headers": [{"name": f"h{index}", "value": "b"} for index in range(17)]}, "headers"),
        ({"headers": [{"type": "Prefix", "name": "a", "value": "b"}]}, "headers[0].type"),
        ({"queryParams": [{"name": "a", "value": ""}]}, "queryParams[0].value"),
        ({"queryParams": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]}, "queryParams[1].name"),
        ({"queryParams": [{"name": "a", "value": "b" * 1025}]}, "queryParams[0].value"),
        ({"query": []}, "query"),
    ],
)
def test_matches_that_the_schema_refuses(match: dict[str, Any], field: str) -> None:
    """Types, names, sizes, limits and the names of the fields themselves (HTTPRouteMatch)."""
    assert refused_fields(rule(matches=[match])) == [f"spec.rules[0].matches[0].{field}"]


def test_header_names_that_differ_in_case_are_two_entries() -> None:
    """The list's key is compared to the letter; the specification then takes the first of equivalent names."""
    assert refused(rule(matches=[{"headers": [{"name": "A", "value": "b"}, {"name": "a", "value": "c"}]}])) == []


def test_limits_of_a_route() -> None:
    """16 rules, 64 matches a rule, 128 a route, 16 backends, 16 filters, 16 hostnames, 32 parents; no empty list of rules."""
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": BACKEND}}
    assert refused_fields(route(rules=[])) == ["spec.rules"]
    assert refused_fields(route(rules=[{}] * 17)) == ["spec.rules"]
    assert refused_fields(rule(matches=[{}] * 65)) == ["spec.rules[0].matches"]
    assert refused_fields(rule(backendRefs=[BACKEND] * 17)) == ["spec.rules[0].backendRefs"]
    assert refused_fields(rule(filters=[mirror] * 17)) == ["spec.rules[0].filters"]
    assert refused_fields(rule(backendRefs=[{**BACKEND, "filters": [mirror] * 17}])) == ["spec.rules[0].backendRefs[0].filters"]
    assert refused_fields(route(hostnames=[f"h{index}" for index in range(17)])) == ["spec.hostnames"]
    assert refused_fields(route(parentRefs=[{"name": f"g{index}"} for index in range(33)])) == ["spec.parentRefs"]
    assert refused(route(rules=[{"matches": [{}] * 43}] * 3)) == [
        ("spec.rules", "the rules have 129 matches together, at most 128 are allowed")
    ]
    assert refused(route(rules=[{"matches": [{}] * 64, "filters": [mirror] * 16, "backendRefs": [BACKEND] * 16}] * 2)) == []


def test_rule_names_are_unique() -> None:
    """Names of rules are unique in a route (CEL, experimental channel); rules without a name are any number."""
    assert refused(route(rules=[{"name": "a"}, {}, {}, {"name": "a"}])) == [
        ("spec.rules[3].name", "the name 'a' is already that of rules[0]")
    ]
    assert refused_fields(route(rules=[{"name": "A_B"}])) == ["spec.rules[0].name"]


@pytest.mark.parametrize("hostname", ["A.example.com", "*", "*.*.com", "a.*.com", "10.0.0.1", "a_b", "a.", ".a", "", "a:80", "-a", "[::1]"])
def test_hostnames_that_are_refused(hostname: str) -> None:
    """A hostname is in lower case, no IP address, with at most a first label `*` (Hostname)."""
    assert refused_fields(route(hostnames=[hostname])) == ["spec.hostnames[0]"]


@pytest.mark.parametrize("hostname", ["example.com", "*.example.com", "*.com", "a", "1.2.3.4.5", "xn--a"])
def test_hostnames_that_are_read(hostname: str) -> None:
    """Names and wildcard names of any number of labels (Hostname)."""
    assert refused(route(hostnames=[hostname])) == []


def test_a_redirect_excludes_backends() -> None:
    """RequestRedirect must not be used together with backendRefs (CEL)."""
    assert refused_fields(rule(filters=[REDIRECT], backendRefs=[BACKEND])) == ["spec.rules[0].filters[0]"]
    assert refused(rule(filters=[REDIRECT])) == []
    assert refused(rule(backendRefs=[{**BACKEND, "filters": [REDIRECT]}])) == []


@pytest.mark.parametrize(
    "kind", [{"type": "RequestRedirect", "requestRedirect": REPLACE_PREFIX}, {"type": "URLRewrite", "urlRewrite": REPLACE_PREFIX}]
)
@pytest.mark.parametrize(
    "matches", [[{"path": {"type": "Exact", "value": "/a"}}], [{"path": {"type": "RegularExpression", "value": "/a"}}], [{}, {}], []]
)
def test_replacing_a_prefix_needs_exactly_one_prefix_match(kind: dict[str, Any], matches: list[Any]) -> None:
    """ReplacePrefixMatch, on the rule or on a backend, only with exactly one match, of type PathPrefix (CEL)."""
    assert refused_fields(rule(filters=[kind], matches=matches)) == ["spec.rules[0].filters[0]"]
    assert refused_fields(rule(backendRefs=[BACKEND, {**BACKEND, "filters": [kind]}], matches=matches)) == [
        "spec.rules[0].backendRefs[1].filters[0]"
    ]
    assert refused(rule(filters=[kind], matches=[{"path": {"value": "/a"}}])) == []
    assert refused(rule(filters=[kind])) == []


@pytest.mark.parametrize(
    ("timeouts", "fields"),
    [
        ({"request": "1s", "backendRequest": "2s"}, ["backendRequest"]),
        ({"request": "1s", "backendRequest": "1001ms"}, ["backendRequest"]),
        ({"request": "0s", "backendRequest": "2s"}, []),
        ({"request": "1s", "backendRequest": "1s"}, []),
        ({"request": "1s", "backendRequest": "0s"}, []),
        ({"backendRequest": "2s"}, []),
        ({"connect": "2s"}, ["connect"]),
    ],
)
def test_an_attempt_may_not_last_longer_than_the_whole(timeouts: dict[str, str], fields: list[str]) -> None:
    """backendRequest is at most request, unless request is zero for none (CEL of HTTPRouteTimeouts)."""
    assert refused_fields(rule(timeouts=timeouts)) == [f"spec.rules[0].timeouts.{field}" for field in fields]


@pytest.mark.parametrize(
    ("retry", "fields"),
    [
        ({}, []),
        ({"codes": [500, 599, 400], "attempts": 1, "backoff": "100ms"}, []),
        ({"codes": [399]}, ["codes[0]"]),
        ({"codes": [600]}, ["codes[0]"]),
        ({"codes": [500, 500]}, ["codes[1]"]),
        ({"codes": ["500"]}, ["codes[0]"]),
        ({"attempts": 0}, ["attempts"]),
        ({"attempts": True}, ["attempts"]),
        ({"backoff": "fast"}, ["backoff"]),
    ],
)
def test_retry(retry: dict[str, Any], fields: list[str]) -> None:
    """Codes are a set from 400 to 599, attempts at least one, backoff a duration (HTTPRouteRetry of 1.6)."""
    assert refused_fields(rule(retry=retry)) == [f"spec.rules[0].retry.{field}" for field in fields]


@pytest.mark.parametrize(
    ("persistence", "fields"),
    [
        ({}, []),
        ({"cookieConfig": {"lifetimeType": "Permanent"}}, ["absoluteTimeout"]),
        ({"cookieConfig": {"lifetimeType": "Permanent"}, "absoluteTimeout": "1h"}, []),
        ({"cookieConfig": {}}, []),
        ({"type": "Header", "sessionName": "x-session"}, []),
        ({"type": "Header", "cookieConfig": {}}, ["cookieConfig"]),
        ({"type": "Address"}, ["type"]),
        ({"idleTimeout": "1m"}, ["idleTimeout"]),
        ({"sessionName": "a" * 129}, ["sessionName"]),
    ],
)
def test_session_persistence(persistence: dict[str, Any], fields: list[str]) -> None:
    """Permanent needs absoluteTimeout, Header has no cookie, idleTimeout is gone since 1.6 (SessionPersistence)."""
    assert refused_fields(rule(sessionPersistence=persistence)) == [f"spec.rules[0].sessionPersistence.{field}" for field in fields]


@pytest.mark.parametrize(
    ("backend", "fields"),
    [
        ({"name": "s"}, ["port"]),
        ({"name": "s", "port": 0}, ["port"]),
        ({"name": "s", "port": 65536}, ["port"]),
        ({"name": "s", "port": "80"}, ["port"]),
        ({"port": 80}, ["name"]),
        ({**BACKEND, "weight": -1}, ["weight"]),
        ({**BACKEND, "weight": 1_000_001}, ["weight"]),
        ({**BACKEND, "weight": 0}, []),
        ({"group": "example.com", "kind": "Bucket", "name": "b"}, []),
        ({"kind": "NonExistent", "name": "b"}, []),
        ({**BACKEND, "namespace": "a.b"}, ["namespace"]),
        ({**BACKEND, "group": "a/b"}, ["group"]),
        ({**BACKEND, "sectionName": "a"}, ["sectionName"]),
    ],
)
def test_backends(backend: dict[str, Any], fields: list[str]) -> None:
    """A Service needs a port (CEL); another kind is read, and is for a condition to judge."""
    assert refused_fields(rule(backendRefs=[backend])) == [f"spec.rules[0].backendRefs[0].{field}" for field in fields]


@pytest.mark.parametrize(
    ("parents", "fields"),
    [
        ([{"name": "a"}, {"name": "b"}], []),
        ([{"name": "a"}, {"name": "a"}], ["[1]"]),
        ([{"name": "a"}, {"name": "a", "namespace": "n"}], []),
        ([{"name": "a"}, {"name": "a", "kind": "Service", "group": ""}], []),
        ([{"name": "a", "sectionName": "x"}, {"name": "a", "sectionName": "y"}], []),
        ([{"name": "a", "sectionName": "x"}, {"name": "a", "sectionName": "x"}], ["[1]"]),
        ([{"name": "a"}, {"name": "a", "sectionName": "x"}], ["[1]"]),
        ([{"name": "a", "port": 80}, {"name": "a", "port": 81}], []),
        ([{"name": "a", "port": 80}, {"name": "a", "sectionName": "x"}], ["[1]"]),
        ([{"name": "a", "port": 80, "sectionName": "x"}, {"name": "a", "port": 81, "sectionName": "x"}], []),
        ([{"name": "a", "port": 80}, {"name": "b"}, {"name": "a", "port": 80}], ["[2]"]),
    ],
)
def test_references_to_one_parent_are_distinct(parents: list[dict[str, Any]], fields: list[str]) -> None:
    """References to one parent set the same of sectionName and port, to different values (CEL, experimental channel)."""
    assert refused_fields(route(parentRefs=parents)) == [f"spec.parentRefs{field}" for field in fields]
