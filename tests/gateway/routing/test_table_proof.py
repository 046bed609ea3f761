"""The proof of RouteTable: whatever the rules, edits and requests, it answers as a slow reading of the specification does."""

from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import groupby
from typing import NamedTuple
from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st

from gateway.http.head import RequestHead
from gateway.ir.rule import HeaderMatch, HttpRule, Match, PathMatch, QueryMatch
from gateway.routing import RouteTable, explain
from tests.gateway.routing.rules import Placement, exact, expression, match, payload, prefix, rule, table

HOSTNAMES = ("", "*.b", "*.a.b", "a.b", "c.a.b", "b")
HOSTS = (b"b", b"a.b", b"c.a.b", b"d.a.b", b"x.y.a.b", b"c.b", b"z")
PATHS = ("/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a//b", "/b")
EXPRESSIONS = ("/.*", "/a.*", "/[ab]", "/a/b", ".*", "/(a|b)/?", "/b.*")

path_matches = st.one_of(
    st.builds(PathMatch, st.just("Exact"), st.sampled_from(PATHS)),
    st.builds(PathMatch, st.just("PathPrefix"), st.sampled_from([path for path in PATHS if path == "/" or not path.endswith("/")])),
    st.builds(PathMatch, st.just("RegularExpression"), st.sampled_from(EXPRESSIONS)),
    st.builds(PathMatch, st.just("RegularExpression"), st.sampled_from(EXPRESSIONS), st.tuples(st.integers(0, 2), st.integers(0, 2))),
)
kinds = st.sampled_from([("1", "Exact"), ("2", "Exact"), ("[12]", "RegularExpression"), ("", "Exact")])
header_matches = st.builds(lambda name, kind: HeaderMatch(name, *kind), st.sampled_from(["x-a", "X-A", "x-b"]), kinds)
query_matches = st.builds(lambda name, kind: QueryMatch(name, *kind), st.sampled_from(["q", "Q"]), kinds)
matches = st.builds(
    Match,
    path_matches,
    st.sampled_from([None, None, "GET", "POST"]),
    st.lists(header_matches, max_size=2).map(tuple),
    st.lists(query_matches, max_size=2).map(tuple),
)


def rules_of(found: st.SearchStrategy[Match]) -> st.SearchStrategy[HttpRule]:
    return st.builds(
        lambda route, found, created, index: rule(route, *found, created=created, index=index),
        st.sampled_from(["a/x", "a/y", "a-b/x", "b/x"]),
        st.lists(found, min_size=1, max_size=3),
        st.sampled_from(["", "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]),
        st.integers(0, 2),
    )


some_hostnames = st.lists(st.sampled_from(HOSTNAMES), min_size=1, max_size=3, unique=True).map(tuple)
rules = rules_of(matches)
placements = st.tuples(rules, some_hostnames)
usual = (match(), match(None, "GET"), match(prefix("/a")), match(exact("/a")), match(expression("/.*")), match(expression("/a.*")))
crowded = st.tuples(rules_of(st.sampled_from(usual)), some_hostnames)
"""Many of them match one request, so that their order is what counts."""


@st.composite
def heads(draw: st.DrawFn, hosts: tuple[bytes, ...] = HOSTS) -> RequestHead:
    path = draw(
        st.sampled_from(PATHS) | st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=4).map(lambda words: "/" + "/".join(words))
    )
    query = draw(st.none() | st.lists(st.sampled_from(["q=1", "q=%31", "q=2", "Q=1", "q", "Q=3"]), max_size=3).map("&".join))
    host = draw(st.sampled_from(hosts))
    made = RequestHead(draw(st.sampled_from([b"GET", b"POST"])), path.encode(), None if query is None else query.encode(), host, host)
    made.fields = draw(st.lists(st.tuples(st.sampled_from([b"X-a", b"x-b"]), st.sampled_from([b"1", b"2", b""])), max_size=2))
    return made


class Asked(NamedTuple):
    """What a listener says of itself, and requests that come to it: for hosts that its hostname covers."""

    hostname: str
    namespaces: frozenset[str] | None
    requests: list[RequestHead]

    def table(self, placed: dict[str, Placement]) -> RouteTable[str]:
        return table(*placed.values(), hostname=self.hostname, namespaces=self.namespaces)

    def left_of(self, placed: dict[str, Placement]) -> dict[str, Placement]:
        """The rules that it takes, with the hostnames that they have in common with it."""
        left = {}
        for key, (found, hostnames) in placed.items():
            common = tuple(dict.fromkeys(each for hostname in hostnames for each in intersection(self.hostname, hostname)))
            if common and (self.namespaces is None or found.source.namespace in self.namespaces):
                left[key] = (found, common)
        return left


def intersection(one: str, other: str) -> list[str]:
    """HTTPRouteSpec.hostnames: the narrower of a listener's hostname and a route's."""
    return [other] if takes_in(one, other) else [one] if takes_in(other, one) else []


def takes_in(hostname: str, narrower: str) -> bool:
    if narrower.startswith("*."):
        return not hostname or (hostname.startswith("*.") and f".{narrower[2:]}".endswith(hostname[1:]))
    return hostname_covers(hostname, narrower) if narrower else not hostname


@st.composite
def listeners(draw: st.DrawFn) -> Asked:
    hostname = draw(st.sampled_from(HOSTNAMES))
    hosts = tuple(host for host in HOSTS if hostname_covers(hostname, host.decode()))
    namespaces = draw(st.none() | st.frozensets(st.sampled_from(["a", "a-b", "b", "c"])))
    return Asked(hostname, namespaces, draw(st.lists(heads(hosts), min_size=1, max_size=8)))


class Candidate(NamedTuple):
    """One match under one hostname."""

    hostname: str
    rule: HttpRule
    place: int

    @property
    def match(self) -> Match:
        return self.rule.matches[self.place]


def first_of_name(conditions: tuple[HeaderMatch, ...] | tuple[QueryMatch, ...], fold: bool) -> list[HeaderMatch | QueryMatch]:
    kept: dict[str, HeaderMatch | QueryMatch] = {}
    for condition in conditions:
        kept.setdefault(condition.name.lower() if fold else condition.name, condition)
    return list(kept.values())


def precedes(one: Candidate, other: Candidate) -> int:
    """HTTPRouteRule.matches, HTTPRoute.spec.hostnames and PathMatch.weights, line by line; below zero where `one` comes first."""
    steps: list[tuple[object, object]] = [
        (one.hostname.startswith("*") or not one.hostname, other.hostname.startswith("*") or not other.hostname),
        (-len(one.hostname), -len(other.hostname)),
        (path_place(one.match.path), path_place(other.match.path)),
        (one.match.method is None, other.match.method is None),
        (-len(first_of_name(one.match.headers, True)), -len(first_of_name(other.match.headers, True))),
        (-len(first_of_name(one.match.queries, False)), -len(first_of_name(other.match.queries, False))),
        (not one.rule.created, not other.rule.created),
        (one.rule.created, other.rule.created),
        (one.rule.route, other.rule.route),
        (one.rule.index, other.rule.index),
        (one.place, other.place),
    ]
    for left, right in steps:
        if left != right:
            return -1 if left < right else 1  # type: ignore[operator]  # both are of one type, which orders
    return 0


def path_place(path: PathMatch) -> tuple[int, int, int]:
    """Exact paths, expressions of HTTPRoutes, prefixes, expressions of GRPCRoutes, the prefix of everything; inside them what says more."""
    if path.weights is not None:
        return (3, -path.weights[0], -path.weights[1])
    match path.type:
        case "Exact":
            return (0, 0, 0)
        case "RegularExpression":
            return (1, -len(path.value), 0)
        case "PathPrefix":
            return (4, 0, 0) if path.value == "/" else (2, -len(path.value), 0)


def holds(candidate: Candidate, request: RequestHead) -> bool:
    asked = candidate.match
    host, path = request.host.decode(), request.path.decode()
    fields: dict[str, str] = {}
    for name, value in request.fields:
        key = name.decode().lower()
        fields[key] = f"{fields[key]}, {value.decode()}" if key in fields else value.decode()
    parameters: dict[str, str] = {}
    for parameter, text in parse_qsl((request.query or b"").decode(), keep_blank_values=True):
        parameters.setdefault(parameter, text)
    return (
        hostname_covers(candidate.hostname, host)
        and path_covers(asked.path, path)
        and asked.method in (None, request.method.decode())
        and all(condition_holds(header, fields.get(header.name.lower())) for header in first_of_name(asked.headers, True))
        and all(condition_holds(query, parameters.get(query.name)) for query in first_of_name(asked.queries, False))
    )


def hostname_covers(hostname: str, host: str) -> bool:
    return not hostname or hostname == host or (hostname.startswith("*.") and host.endswith(hostname[1:]) and host != hostname[1:])


def path_covers(asked: PathMatch, path: str) -> bool:
    if asked.type == "Exact":
        return path == asked.value
    if asked.type == "RegularExpression":
        return re.fullmatch(asked.value, path) is not None
    return asked.value in ("/", path) or path.startswith(asked.value + "/")


def condition_holds(condition: HeaderMatch | QueryMatch, value: str | None) -> bool:
    if value is None:
        return False
    return value == condition.value if condition.type == "Exact" else re.fullmatch(condition.value, value) is not None


def slow_match(placed: dict[str, Placement], request: RequestHead) -> tuple[str, int] | None:
    """All candidates in order of precedence; the first that holds: rule key and place of the match."""
    candidates = [
        Candidate(hostname, found, place)
        for found, hostnames in placed.values()
        for hostname in hostnames
        for place in range(len(found.matches))
    ]
    for candidate in sorted(candidates, key=cmp_to_key(precedes)):
        if holds(candidate, request):
            return candidate.rule.key, candidate.place
    return None


def fast_match(routes: RouteTable[str], request: RequestHead) -> tuple[str, int] | None:
    entry = routes.match(request)
    return None if entry is None else (entry.rule, entry.index)


@given(st.lists(placements | crowded, max_size=10), listeners())
def test_every_request_gets_the_rule_of_the_slow_reading(given_placements: list[Placement], listener: Asked) -> None:
    """HTTPRouteRule.matches: sort all matches of what the listener takes by precedence, take the first whose conditions all hold. Caches
    change nothing."""
    placed = {found.key: (found, hostnames) for found, hostnames in given_placements}
    routes, left = listener.table(placed), listener.left_of(placed)
    for request in listener.requests * 2:
        assert fast_match(routes, request) == slow_match(left, request)


@given(st.lists(crowded, max_size=10), listeners(), listeners())
def test_a_table_judged_anew_equals_one_made_anew(given_placements: list[Placement], before: Asked, after: Asked) -> None:
    """Listener.hostname, allowedRoutes.namespaces: whatever was asked under others, the same is found in the same order, that of a table
    of what the listener takes; the table that was there stays as it was."""
    placed = {found.key: (found, hostnames) for found, hostnames in given_placements}
    left = after.left_of(placed)
    old, fresh, reference = before.table(placed), after.table(placed), table(*left.values())
    expected = [(fast_match(old, request), _names(old, request)) for request in before.requests]
    routes = old.within(after.hostname.encode(), after.namespaces)
    for request in after.requests:
        assert fast_match(routes, request) == fast_match(fresh, request) == slow_match(left, request)
        assert _names(routes, request) == _names(fresh, request)
        assert _in_order(routes, request) == _in_order(reference, request)
    assert [(fast_match(old, request), _names(old, request)) for request in before.requests] == expected


@given(st.lists(crowded, max_size=10), listeners())
def test_an_explanation_is_that_of_the_rules_that_are_left(given_placements: list[Placement], listener: Asked) -> None:
    """Hostnames as written are told, ordered and judged as those in common with the listener; rules it does not take say why, and nothing
    else changes by them."""
    placed = {found.key: (found, hostnames) for found, hostnames in given_placements}
    left = listener.left_of(placed)
    routes, reference = listener.table(placed), table(*left.values())
    for request in listener.requests:
        told = [(row.entry.rule, row.entry.index, row.hostnames, row.outcome) for row in explain(routes, request)]
        assert [row for row in told if row[0] in left] == [
            (row.entry.rule, row.entry.index, row.hostnames, row.outcome) for row in explain(reference, request)
        ]
        others = {row[3].partition(" ")[0] for row in told if row[0] not in left}
        assert others <= {"namespace", "hostname"}


@given(st.lists(placements | crowded, max_size=10), listeners())
def test_explain_agrees_with_match(given_placements: list[Placement], listener: Asked) -> None:
    """The one that explain says matches is the one that serves; all are there once, in order, and what comes before it fails."""
    placed = {found.key: (found, hostnames) for found, hostnames in given_placements}
    routes, left, request = listener.table(placed), listener.left_of(placed), listener.requests[0]
    considered = explain(routes, request)
    assert [row.entry for row in considered if row.matched] == [entry for entry in [routes.match(request)] if entry]
    assert sorted((row.entry.rule, row.entry.index) for row in considered) == sorted(
        (found.key, place) for found, _ in placed.values() for place in range(len(found.matches))
    )
    seen = [row.outcome for row in considered]
    if "matches" in seen:
        assert not any(outcome.startswith("not reached") for outcome in seen[: seen.index("matches")])
    else:
        assert not any(outcome.startswith("not reached") for outcome in seen)
    for row in considered:
        found, hostnames = left.get(row.entry.rule, (placed[row.entry.rule][0], ()))
        assert set(row.hostnames) == set(hostnames) or row.outcome.startswith("namespace ")
        held = any(holds(Candidate(hostname, found, row.entry.index), request) for hostname in hostnames)
        assert held == (row.matched or row.outcome.startswith("not reached"))


edits = st.lists(placements | rules.map(lambda found: found.key), max_size=25)


@given(edits, listeners(), st.integers(1, 5))
def test_edits_equal_a_table_from_nothing(steps: list[Placement | str], listener: Asked, size: int) -> None:
    """Any history of puts and removals, in editors of any size, gives the table of what remains; tables already given out stay."""
    requests = listener.requests
    routes: RouteTable[str] = RouteTable(listener.hostname.encode(), listener.namespaces)
    placed: dict[str, Placement] = {}
    for _, batch in groupby(enumerate(steps), key=lambda step: step[0] // size):
        before = routes
        expected = [(fast_match(before, request), before.find(request.host, request.path)) for request in requests]
        editor = before.edit()
        for _, step in batch:
            if isinstance(step, str):
                editor.remove(step)
                placed.pop(step, None)
            else:
                editor.put(step[0], step[1], payload(step[0]))
                placed[step[0].key] = step
        routes = editor.finish()
        for old in (before, _without_caches(before)):
            assert [(fast_match(old, request), old.find(request.host, request.path)) for request in requests] == expected
        fresh, left = listener.table(placed), listener.left_of(placed)
        for request in requests:
            assert fast_match(routes, request) == fast_match(fresh, request) == slow_match(left, request)
            assert _names(routes, request) == _names(fresh, request)
        assert len(routes) == len(placed)


def _without_caches(routes: RouteTable[str]) -> RouteTable[str]:
    return routes.edit().finish()


def _in_order(routes: RouteTable[str], request: RequestHead) -> list[tuple[str, int]]:
    """Each where it comes first: a rule stands under several hostnames, and a path of empty segments is covered by '/' twice."""
    return list(dict.fromkeys(name for group in _names(routes, request) for name in group))


def _names(routes: RouteTable[str], request: RequestHead) -> list[list[tuple[str, int]]]:
    return [[(entry.rule, entry.index) for entry in group] for group in routes.find(request.host, request.path)]
