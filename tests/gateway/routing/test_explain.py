"""explain: every match of every rule, in order, with the first condition that failed, in words."""

from __future__ import annotations

from gateway.http.head import RequestHead
from gateway.routing import RouteTable, explain, explain_in_steps
from tests.gateway.routing.rules import exact, expression, head, match, prefix, rule, table


def told(routes: RouteTable[str], request: RequestHead) -> list[tuple[str, int, str]]:
    return [(row.entry.payload, row.entry.index, row.outcome) for row in explain(routes, request)]


def test_every_match_is_told_in_order_of_precedence() -> None:
    """`tidegate explain`: what failed first, in the order hostname, path, method, headers, query; one matches."""
    routes = table(
        (rule("other-hosts"), ("*.b.example", "c.example")),
        (rule("other-host", match(exact("/x"))), ("*.b.example",)),
        (rule("paths", match(exact("/y")), match(prefix("/x/y")), match(expression("/x[0-9]"))), ("a.example",)),
        (rule("method", match(exact("/x"), "POST", "x-a=1")), ("a.example",)),
        (rule("header", match(prefix("/x"), None, "x-a=1 x-b=2")), ("a.example",)),
        (rule("value", match(prefix("/x"), None, "x-b~[0-9]")), ("a.example",)),
        (rule("query", match(prefix("/x"), None, "", "q=1")), ("a.example",)),
        (rule("serves", match(prefix("/x"))), ("a.example",)),
        (rule("root"), ("*.example",)),
        (rule("late", match(headers="x-a=1")), ("",)),
    )
    assert told(routes, head("a.example", "/x?q=2", x_b="v")) == [
        ("method", 0, "method GET is not POST"),
        ("paths", 0, "path /x is not /y"),
        ("paths", 2, "path /x does not match '/x[0-9]'"),
        ("paths", 1, "path /x is not under /x/y"),
        ("header", 0, "header x-a is absent"),
        ("value", 0, "header x-b: 'v' does not match '[0-9]'"),
        ("query", 0, "query parameter q: '2' is not '1'"),
        ("serves", 0, "matches"),
        ("root", 0, "not reached: an earlier one matched"),
        ("late", 0, "header x-a is absent"),
        ("other-hosts", 0, "hostname a.example is none of *.b.example, c.example"),
        ("other-host", 0, "hostname a.example is not *.b.example"),
    ]


def test_a_rule_of_several_hostnames_stands_where_the_best_one_puts_it() -> None:
    """Each match is told once, with all hostnames of its rule on the listener."""
    routes = table((rule("wide"), ("*.example",)), (rule("both"), ("", "a.example")))
    rows = explain(routes, head("a.example"))
    assert [(row.entry.payload, row.hostnames, row.outcome) for row in rows] == [
        ("both", ("", "a.example"), "matches"),
        ("wide", ("*.example",), "not reached: an earlier one matched"),
    ]


def test_what_the_listener_says_is_told() -> None:
    """Hostnames as far as the listener serves them, those that cover all of its own in one order; rules of namespaces that it does not
    take, and of hostnames that are not among its own, say so."""
    routes = table(
        (rule("any", match(exact("/x"), "POST")), ("",)),
        (rule("wide", match(exact("/x"))), ("*.example", "c.test")),
        (rule("same"), ("*.b.example",)),
        (rule("exact", match(exact("/y"))), ("a.b.example", "a.example")),
        (rule("team/other", match(exact("/x"))), ("a.b.example",)),
        (rule("none"), ("c.test", "b.example")),
        (rule("elsewhere"), ("c.b.example", "c.test")),
        hostname="*.b.example",
        namespaces=frozenset({"shop", "more"}),
    )
    assert [(row.entry.payload, row.hostnames, row.outcome) for row in explain(routes, head("a.b.example", "/x"))] == [
        ("exact", ("a.b.example",), "path /x is not /y"),
        ("other", ("a.b.example",), "namespace team is none that the listener takes routes from"),
        ("any", ("*.b.example",), "method GET is not POST"),
        ("wide", ("*.b.example",), "matches"),
        ("same", ("*.b.example",), "not reached: an earlier one matched"),
        ("elsewhere", ("c.b.example",), "hostname a.b.example is not c.b.example"),
        ("none", (), "hostname a.b.example is none that its route and the listener share"),
    ]


def test_a_table_without_rules_has_nothing_to_tell() -> None:
    """Nothing to consider, nothing that matches."""
    assert explain(RouteTable[str](), head()) == ()


def test_what_a_client_sent_is_shown_without_control_bytes() -> None:
    """Explanations are printed on terminals."""
    routes = table((rule("x", match(headers="x-a=1")), ("",)))
    assert told(routes, head(x_a="\x1b[31m")) == [("x", 0, "header x-a: '\\x1b[31m' is not '1'")]


def test_many_rules_are_considered_in_steps_and_in_order() -> None:
    """Design 6.8: no request waits for an explanation among 10,000 rules; sorted parts make one order."""
    routes = table(*((rule(f"r{number:03}", match(exact(f"/{number * 37 % 300}"))), ("",)) for number in range(300)))
    steps = explain_in_steps(routes, head(target="/37"))
    taken = 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            considered = done.value
            break
        taken += 1
    assert taken == 600
    assert considered == explain(routes, head(target="/37"))
    orders = [(row.entry.rank, row.entry.order) for row in considered]
    assert orders == sorted(orders)
    assert [row.entry.payload for row in considered if row.matched] == ["r001"]
