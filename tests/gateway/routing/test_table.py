"""RouteTable: the order of precedence line by line, edits, and what a request costs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from itertools import permutations
from types import FrameType
from typing import Any

import pytest

from gateway.ir.rule import Match, PathMatch
from gateway.routing import RouteTable
from gateway.routing import table as table_module
from tests.gateway.routing.rules import Placement, exact, expression, head, match, prefix, rule, served, table

EVERY = ("",)
OLD, NEW = "2020-01-01T00:00:00Z", "2025-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("path", "covered", "not_covered"),
    [
        (exact("/a"), ["/a"], ["/a/", "/A", "/", "/a/b", "/ab"]),
        (exact("/a/"), ["/a/"], ["/a"]),
        (prefix("/"), ["/", "/a", "//", "*"], []),
        (prefix("/a"), ["/a", "/a/", "/a/b", "/a//b"], ["/", "/ab", "/A", "/b/a", "//a", "*"]),
        (prefix("/a/"), ["/a", "/a/", "/a/b"], ["/ab"]),
        (prefix("/a/b"), ["/a/b", "/a/b/", "/a/b/c"], ["/a", "/a/", "/a/bc", "/a//b"]),
        (prefix("/%7ea%2f"), ["/~a%2F", "/~a%2F/b"], ["/~a/"]),
        (expression("/v[0-9]+/.*"), ["/v1/", "/v22/x/y"], ["/v1", "/x/v1/", "/v/"]),
    ],
)
def test_a_path_match_covers_what_the_specification_says(path: Any, covered: list[str], not_covered: list[str]) -> None:
    """HTTPPathMatch: exact to the byte; a prefix by whole segments, its trailing slash and the request's ignored; expressions whole."""
    routes = table((rule("it", match(path)), EVERY))
    assert [target for target in covered + not_covered if served(routes, head(target=target))] == covered


# Each pair: the first wins over the second on GET http://a.b.example/a/b?q=1&r=2 with x-a: 1 and x-b: 2, in whatever order they come.
WINS: dict[str, tuple[Placement, Placement]] = {
    "exact hostname over wildcard": ((rule("x"), ("a.b.example",)), (rule("y", match(exact("/a/b"))), ("*.b.example",))),
    "longer wildcard over shorter": ((rule("x"), ("*.b.example",)), (rule("y", match(exact("/a/b"))), ("*.example",))),
    "wildcard over no hostname": ((rule("x"), ("*.example",)), (rule("y", match(exact("/a/b"))), EVERY)),
    "hostname of the binding that matched": ((rule("x"), ("*.b.example", "z.example")), (rule("y", match(exact("/a/b"))), ("*.example",))),
    "exact path over expression": ((rule("x", match(exact("/a/b"))), EVERY), (rule("y", match(expression("/a/b|long pattern"))), EVERY)),
    "exact path over prefix": ((rule("x", match(exact("/a/b"))), EVERY), (rule("y", match(prefix("/a/b"), "GET")), EVERY)),
    "expression over prefix": ((rule("x", match(expression(".*"))), EVERY), (rule("y", match(prefix("/a/b"), "GET")), EVERY)),
    "longer expression over shorter": ((rule("x", match(expression("/a/.*"))), EVERY), (rule("y", match(expression(".*"), "GET")), EVERY)),
    "longer prefix over shorter": ((rule("x", match(prefix("/a/b"))), EVERY), (rule("y", match(prefix("/a"), "GET", "x-a=1")), EVERY)),
    "prefix over the root": ((rule("x", match(prefix("/a"))), EVERY), (rule("y", match(prefix("/"), "GET", "x-a=1")), EVERY)),
    "method over headers": ((rule("x", match(None, "GET")), EVERY), (rule("y", match(None, None, "x-a=1 x-b=2", "q=1")), EVERY)),
    "more headers over fewer": (
        (rule("x", match(None, None, "x-a=1 x-b=2")), EVERY),
        (rule("y", match(None, None, "x-a=1", "q=1 r=2")), EVERY),
    ),
    "equivalent names count once": (
        (rule("x", match(headers="x-a=1", queries="q=1")), EVERY),
        (rule("y", match(headers="x-a=1 X-A=1")), EVERY),
    ),
    "more parameters over fewer": (
        (rule("x", match(queries="q=1 r=2"), created=NEW), EVERY),
        (rule("y", match(queries="q=1"), created=OLD), EVERY),
    ),
    "older route over younger": ((rule("z", created=OLD), EVERY), (rule("y", created=NEW), EVERY)),
    "known age over unknown": ((rule("z", created=NEW), EVERY), (rule("y", created=""), EVERY)),
    "namespace and name in alphabetical order": ((rule("a/z"), EVERY), (rule("b/a"), EVERY)),
    "namespace/name is one string": ((rule("a-b/z"), EVERY), (rule("a/z"), EVERY)),
    "earlier rule over later": ((rule("x", index=2), EVERY), (rule("x", index=10), EVERY)),
    "method over age among expressions of one length": (
        (rule("x", match(expression("/a/[b]"), "GET"), created=NEW), EVERY),
        (rule("y", match(expression("/[a]/b")), created=OLD), EVERY),
    ),
}


@pytest.mark.parametrize("name", WINS)
def test_precedence(name: str) -> None:
    """HTTPRouteRule.matches: the order of precedence, one pair a line."""
    request = head("a.b.example", "/a/b?q=1&r=2", x_a="1", x_b="2")
    winner, loser = WINS[name]
    for routes in (table(winner, loser), table(loser, winner)):
        entry = routes.match(request)
        assert entry is not None
        assert entry.rule == winner[0].key
        assert served(table(loser), request), "the loser would serve if it were alone"


def test_the_first_match_of_a_rule_is_the_one_that_counts() -> None:
    """HTTPRouteRule.matches: of equal matches in one rule the first in order; its place is told."""
    entry = table((rule("x", match(headers="x-a=1"), match(headers="x-b=2")), EVERY)).match(head(x_a="1", x_b="2"))
    assert entry is not None
    assert entry.index == 0


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (head("a.example", "/a/b", "POST"), "exact path and method"),
        (head("a.example", "/a/b"), "wider path"),
        (head("a.example", "/a", x_a="1"), "wider path"),
        (head("a.example", "/"), "wider hostname"),
        (head("b.example", "/a/b", "POST"), "wider hostname"),
        (head("a.org", "/a/b", "POST"), None),
    ],
)
def test_the_search_goes_on_where_a_predicate_fails(request_head: Any, expected: str | None) -> None:
    """A rule matches with all its predicates, or less specific paths and then less specific hostnames of the listener are asked."""
    routes = table(
        (rule("exact path and method", match(exact("/a/b"), "POST")), ("a.example",)),
        (rule("never", match(exact("/a/b"), None, "x-a=1 x-b=2")), ("a.example",)),
        (rule("wider path", match(prefix("/a"))), ("a.example",)),
        (rule("wider hostname"), ("*.example",)),
    )
    assert served(routes, request_head) == served(routes, request_head) == expected


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        ((rule("x", match(exact("/a"))), EVERY), (rule("y", match(prefix("/a"), "GET")), ("a.example",))),
        ((rule("x", match(None, "GET")), EVERY), (rule("y", match(headers="x-a=1")), ("a.example",))),
        ((rule("x", created=OLD), ("*.example",)), (rule("y", created=NEW), ("a.example",))),
        ((rule("x", created=OLD), EVERY), (rule("y", created=NEW), ("", "*.example", "a.example"))),
    ],
    ids=["path", "method", "age", "age, of a rule with several"],
)
def test_hostnames_that_cover_the_whole_of_the_listeners_are_one(winner: Placement, loser: Placement) -> None:
    """HTTPRouteSpec.hostnames: what such a hostname has in common with the listener's is the listener's, whatever else it covers, so that
    path, method and age decide; at a listener of more hosts the more specific hostname would."""
    request = head("a.example", "/a", x_a="1")
    for order in ((winner, loser), (loser, winner)):
        assert [served(table(*order, hostname=name), request) for name in ("a.example", "*.example", "")] == ["x", "y", "y"]
    assert served(table(loser, hostname="a.example"), request) == "y"


def test_an_entry_under_several_of_them_stands_there_once() -> None:
    """Its rank is found once, and more specific hostnames still come first."""
    both = (rule("both", match(prefix("/")), match(exact("/a"))), ("", "*.example", "a.example"))
    other = (rule("other", created=OLD), EVERY)
    found = table(both, other, hostname="*.example").find(b"a.example", b"/a")
    assert [[entry.payload for entry in group] for group in found] == [["both"], ["both"], ["both"], ["other", "both"]]
    found = table(both, other, hostname="a.example").find(b"a.example", b"/a")
    assert [[entry.payload for entry in group] for group in found] == [["both"], ["other", "both"]]


def test_hostnames_are_told_as_far_as_they_are_served() -> None:
    """RouteTable.hostnames: those that cover the listener's are the listener's, once."""
    routes = table((rule("x"), ("", "*.example", "a.b.example")), hostname="*.b.example")
    assert routes.hostnames(b"a.b.example") == (b"a.b.example", b"*.b.example")
    assert routes.hostnames(b"c.b.example") == (b"*.b.example",)
    assert routes.within(b"", None).hostnames(b"a.b.example") == (b"a.b.example", b"*.example", b"")


def test_rules_of_namespaces_that_are_not_taken_are_passed_over() -> None:
    """allowedRoutes.namespaces: as if they were not there, whatever they would come before; a search goes on behind them."""
    placements = [(rule("a/exact", match(exact("/x"))), EVERY), (rule("b/prefix", match(prefix("/x"))), EVERY), (rule("c/root"), EVERY)]
    request, expected = head(target="/x"), {None: "exact", "a": "exact", "b": "prefix", "c": "root", "d": None, "bc": "prefix"}
    for names, answer in expected.items():
        routes = table(*placements, namespaces=None if names is None else frozenset(names))
        assert served(routes, request) == served(routes, request) == answer
    assert table(*placements, namespaces=frozenset()).find(b"a.example", b"/x") == ()


def test_an_editor_carries_on_what_the_listener_says() -> None:
    """Rules that come and go are judged as those that are there."""
    editor = table((rule("a/x"), EVERY), hostname="a.example", namespaces=frozenset("a")).edit()
    editor.put(rule("b/y", match(exact("/y"))), EVERY, "y")
    editor.put(rule("a/z", created=OLD), ("a.example",), "z")
    after = editor.finish()
    assert (after.hostname, after.namespaces) == (b"a.example", frozenset("a"))
    assert [served(after, head(target=target)) for target in ("/", "/y")] == ["z", "z"]


def test_a_table_judged_anew_is_no_work_for_each_rule() -> None:
    """A listener that changes its hostname or its namespaces costs what it does without rules; what was found under the old ones is
    forgotten, and the same ones leave the table as it is."""
    few, many = routes_of(2), routes_of(2000)
    namespaces = frozenset({"none"})
    assert steps(lambda: few.within(b"a.example", namespaces)) == steps(lambda: many.within(b"a.example", namespaces))
    request = head("a.example", "/p/1/x")
    assert served(many, request) == "p1"
    judged = many.within(b"a.example", namespaces)
    assert len(judged) == len(many)
    assert [served(routes, request) for routes in (judged, many, judged.within(b"", None))] == [None, "p1", "p1"]
    assert judged.within(b"a.example", frozenset(namespaces)) is judged


def test_an_entry_tells_what_matched() -> None:
    """ReplacePrefixMatch needs the prefix that matched, without a trailing slash; other kinds of path have none."""
    routes = table(
        (rule("p", match(prefix("/p/"))), EVERY),
        (rule("root"), EVERY),
        (rule("e", match(exact("/e"), "GET")), EVERY),
        (rule("r", match(expression("/r+"))), EVERY),
    )
    entries = [routes.match(head(target=target)) for target in ("/p/x", "/x", "/e", "/rr")]
    assert [(entry.prefix, entry.plain, entry.payload) for entry in entries if entry] == [
        (b"/p", True, "p"),
        (b"/", True, "root"),
        (None, False, "e"),
        (None, True, "r"),
    ]


def test_an_edit_leaves_the_table_it_began_from() -> None:
    """In-flight work and other readers keep the table they have; an editor is done once it has finished."""
    before = table((rule("x", match(prefix("/a"))), ("a.example", "*.example")), (rule("y"), ("a.example",)))
    editor = before.edit()
    editor.put(rule("x", match(prefix("/b"))), ("A.example",), "changed")
    editor.remove("HTTPRoute/shop/y/0")
    editor.remove("no such rule")
    requests = [head("a.example", "/a"), head("b.example", "/a"), head("a.example", "/b")]
    assert [served(before, request) for request in requests] == ["x", "x", "y"]
    after = editor.finish()
    assert [served(before, request) for request in requests] == ["x", "x", "y"]
    assert [served(after, request) for request in requests] == [None, None, "changed"]
    assert (len(before), len(after), "HTTPRoute/shop/y/0" in before, "HTTPRoute/shop/y/0" in after) == (2, 1, True, False)
    with pytest.raises(RuntimeError, match="finished"):
        editor.put(rule("z"), EVERY, "z")
    with pytest.raises(RuntimeError, match="finished"):
        editor.remove("HTTPRoute/shop/x/0")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (match(expression("(")), r"matches\[1\]\.path\.value '\(' is not an RE2 expression: missing \)"),
        (match(prefix("/%zz")), r"matches\[1\]\.path\.value has the bad escape '%zz'"),
        (match(headers="x-a~("), r"matches\[1\]\.headers\[0\]\.value '\(' is not"),
        (match(queries="q~("), r"matches\[1\]\.queryParams\[0\]\.value '\(' is not"),
    ],
)
def test_a_rule_that_cannot_be_built_changes_nothing(bad: Match, words: str) -> None:
    """What was put for the key serves on, and the error names the field."""
    editor = table((rule("x"), EVERY)).edit()
    with pytest.raises(ValueError, match=words):
        editor.put(rule("x", match(prefix("/a")), bad), EVERY, "bad")
    after = editor.finish()
    assert served(after, head(target="/b")) == "x"


def test_nothing_is_kept_of_what_was_removed() -> None:
    """A table that lost all its rules holds what an empty one holds."""
    placements = [
        (rule(f"r{number}", match(kind(f"/{number}"))), ("a.example", "*.b", ""))
        for number, kind in enumerate([exact, prefix, expression] * 3)
    ]
    editor = table(*placements).edit()
    for placed, _ in placements:
        editor.remove(placed.key)
    after = editor.finish()
    assert len(after) == 0
    assert after.placed() == ()
    assert [after._hosts.get(name) for name in (b"a.example", b"*.b", b"")] == [None, None, None]
    assert after._hosts._depths == ()


def test_what_was_removed_costs_no_request_a_step() -> None:
    """Depths and expressions that a host had are no longer asked for, though its other routes stay."""
    plain = table((rule("stays"), EVERY))
    editor = plain.edit()
    editor.put(rule("x", match(prefix("/a/b/c/d")), match(prefix("/a/b/c")), match(expression("/a.*"))), EVERY, "x")
    editor.remove("HTTPRoute/shop/x/0")
    request = head(target="/a/b/c/d/e")
    after = editor.finish()
    assert steps(lambda: after.match(request)) == steps(lambda: plain.match(request))


def test_editors_of_one_table_do_not_see_each_other() -> None:
    """Two editors may begin from one table; each table holds what its own editor put, once."""
    before = table((rule("x", match(expression("/x.*"))), EVERY))
    editors = [before.edit(), before.edit()]
    for number, editor in enumerate(editors):
        editor.put(rule("y", match(expression("/y.*"))), EVERY, f"y{number}")
        editor.put(rule(f"z{number}", match(expression(f"/.{number}"))), EVERY, "z")
    after = [editor.finish() for editor in editors]
    for target, expected in (("/y1", (1, 2)), ("/y0", (2, 1)), ("/x1", (1, 2))):
        assert tuple(sum(map(len, routes.find(b"", target.encode()))) for routes in after) == expected
    assert before.find(b"", b"/y1") == ()


def test_expressions_of_one_length_are_one_group() -> None:
    """HTTPRouteRule.matches goes on with method, headers, age: whatever order RE2 finds the expressions in."""
    patterns = {"first": "/a/[b]", "second": "/[a]/b", "third": "/a/b.*", "fourth": "/a/b.?"}
    placements = [
        (rule(name, match(expression(pattern)), created=f"202{year}-01-01T00:00:00Z"), EVERY)
        for year, (name, pattern) in enumerate(patterns.items())
    ]
    for order in permutations(placements):
        groups = table(*order).find(b"a.example", b"/a/b")
        assert [[entry.payload for entry in group] for group in groups] == [list(patterns)]


def weighted(value: str, service: int, method: int) -> PathMatch:
    return PathMatch("RegularExpression", value, (service, method))


def test_expressions_of_grpc_routes_come_between_services_and_the_rest() -> None:
    """GRPCRouteRule.matches: characters of the service, then of the method, then headers, whatever the expressions' own lengths."""
    order = {
        "both": match(exact("/a.B/Get")),
        "service": match(prefix("/a.B")),
        "pattern of both": match(weighted("/(?:a.*)/(?:G.*)", 3, 3)),
        "pattern of a service": match(weighted("/(?:a.*)/[^/]+", 3, 0)),
        "method with a header": match(weighted("/[^/]+/Get", 0, 1027), headers="x=1"),
        "method": match(weighted("/[^/]+/Get", 0, 1027)),
        "pattern of a method": match(weighted("/[^/]+/(?:Get|Put|Delete)", 0, 14)),
        "everything": match(headers="x=1"),
    }
    placements = [(rule(name.replace(" ", "-"), found), EVERY) for name, found in order.items()]
    names = [name.replace(" ", "-") for name in order]
    request = head(target="/a.B/Get", method="POST", x="1")
    for place in range(len(names)):
        for some in (placements[place:], [*placements[:place:-1], placements[place]]):
            assert served(table(*some), request) == names[place]
    found = table(*placements).find(b"a.example", b"/a.B/Get")
    assert [entry.payload for group in found for entry in group] == names


def test_a_service_among_thousands_costs_what_one_does() -> None:
    """Services are prefixes, found by hash; an expression for a method beside them changes nothing of that."""
    extra = (rule("method", match(weighted("/[^/]+/Watch", 0, 1029))), EVERY)
    few, many = (
        table(extra, *((rule(f"s{place}", match(prefix(f"/shop.S{place}"))), EVERY) for place in range(number))) for number in (2, 2000)
    )
    for target, expected in (("/shop.S1/Get", "s1"), ("/other/Watch", "method"), ("/other/Get", None)):
        assert served(few, head(target=target)) == served(many, head(target=target)) == expected
    few, many = few.edit().finish(), many.edit().finish()
    for target in ("/shop.S0/Get", "/shop.S1/Watch", "/other/Watch"):
        head_of = head(target=target)
        assert steps(lambda: few.match(head_of)) == steps(lambda: many.match(head_of))  # noqa: B023 - called at once


def test_an_expression_outside_ascii_does_not_slow_the_others() -> None:
    """It cannot be asked together with others, so it stands alone, and they stay together."""
    routes = table(
        *((rule(f"r{place}", match(expression(pattern))), EVERY) for place, pattern in enumerate(["/a.", "/b.", "/é?c", "/d.", "/e."]))
    )
    assert [served(routes, head(target=target)) for target in ("/aa", "/c", "/ee")] == ["r0", "r2", "r4"]
    paths = routes._hosts.get(b"")
    assert paths is not None
    assert paths._expressions is not None
    assert [len(together.expressions) for together in paths._expressions._sets] == [2, 1, 2]


def test_expressions_that_are_gone_are_compacted_away() -> None:
    """A route whose expression changes a thousand times leaves no thousand expressions behind."""
    editor = table((rule("stays", match(expression("/stays[0-9]"))), EVERY)).edit()
    for number in range(1000):
        editor.put(rule("x", match(expression(f"/x{number}[0-9]"))), EVERY, "x")
    after = editor.finish()
    paths = after._hosts.get(b"")
    assert paths is not None
    assert paths._expressions is not None
    assert len(paths._expressions._placed) < 100
    assert sum(len(expressions.expressions) for expressions in paths._expressions._sets) == len(paths._expressions._placed)
    assert [served(after, head(target=target)) for target in ("/x9991", "/x91", "/stays1")] == ["x", None, "stays"]


def test_caches_are_bounded() -> None:
    """Paths that a client makes up cost one full cache at most; long ones are not kept."""
    routes = table((rule("x"), EVERY))
    for number in range(table_module.CACHE_ENTRIES + 10):
        routes.match(head(target=f"/{number}"))
    assert 0 < len(routes._found) + len(routes._certain) <= table_module.CACHE_ENTRIES
    size = len(routes._certain)
    assert served(routes, head(target="/" + "a" * 300)) == "x"
    assert served(routes, head("a." * 200, "/")) == "x"
    assert len(routes._certain) == size
    assert len(routes._found) == 0


def test_caches_hold_what_many_rules_are_asked_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache smaller than the number of rules would never hit when each is asked once in turn."""
    monkeypatch.setattr(table_module, "CACHE_ENTRIES", 8)
    editor = table((rule("x"), EVERY)).edit()
    for number in range(100):
        editor.put(rule(str(number), match(prefix(f"/{number}"))), EVERY, str(number))
    routes = editor.finish()
    for number in range(100):
        assert served(routes, head(target=f"/{number}")) == str(number)
    assert len(routes._certain) == 100


def steps(work: Callable[[], object]) -> int:
    """Bytecodes that the work takes; the calls in between are look-ups and single passes of C."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += 1
        return trace

    before, collected = sys.gettrace(), gc.isenabled()
    gc.disable()  # a collection runs the callbacks of whoever watches collections, which would count
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        if collected:
            gc.enable()
    return count


def routes_of(number: int) -> RouteTable[str]:
    """Each with its own path of one host and its own host."""
    return table(
        *((rule(f"p{place}", match(prefix(f"/p/{place}"))), ("a.example",)) for place in range(number)),
        *((rule(f"h{place}"), (f"h{place}.example",)) for place in range(number)),
    )


def test_a_route_among_thousands_costs_what_one_does() -> None:
    """Routing is by hash: the steps of a request that no cache knows do not grow with the number of routes."""
    few, many = routes_of(2), routes_of(2000)
    for request in (head("a.example", "/p/1/x"), head("h1.example", "/x"), head("none.example", "/x")):
        assert steps(lambda: few.match(request)) == steps(lambda: many.match(request))  # noqa: B023 - called at once


def test_an_edit_among_thousands_takes_the_steps_of_one_among_few() -> None:
    """Copies of dicts are single passes of C; nothing else grows with the number of routes."""

    def edit(routes: RouteTable[str]) -> None:
        editor = routes.edit()
        editor.put(rule("p1", match(prefix("/q/1"))), ("a.example",), "changed")
        editor.finish()

    few, many = routes_of(2), routes_of(2000)
    assert steps(lambda: edit(many)) <= steps(lambda: edit(few)) + 100


def test_a_path_of_4000_segments_costs_at_most_twice_a_short_one() -> None:
    """Only depths that the host has are probed, and nothing beyond its longest value is looked at."""
    routes = table(
        *((rule(f"r{depth}", match(prefix("/x" * depth or "/"))), EVERY) for depth in range(20)), (rule("e", match(exact("/x"))), EVERY)
    )
    short = steps(lambda: routes.match(head(target="/x" * 20)))
    for target in ("/x" * 4000, "/x" * 30_000, "/" * 60_000, "/" + "x" * 60_000):
        assert steps(lambda: routes.match(head(target=target))) <= 2 * short  # noqa: B023 - called at once
