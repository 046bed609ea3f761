"""A rule or backendRef that cannot be used harms its own traffic and nothing else; a Service without endpoints is told at once."""

from __future__ import annotations

import json

import pytest

from tests.wire.backends import Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.serving import service

GOOD = {"matches": [{"path": {"value": "/good"}}], "backendRefs": [{"name": "blue", "port": 80}]}
BAD = {
    "no such Service": {"backendRefs": [{"name": "missing", "port": 80}]},
    "no such port": {"backendRefs": [{"name": "blue", "port": 81}]},
    "no grant": {"backendRefs": [{"name": "billing", "namespace": "team", "port": 80}]},
    "no such kind": {"backendRefs": [{"group": "example.com", "kind": "Bucket", "name": "blue", "port": 80}]},
    "no weight": {"backendRefs": [{"name": "blue", "port": 80, "weight": 0}]},
    "an unknown filter": {
        "filters": [{"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Magic", "name": "m"}}],
        "backendRefs": [{"name": "blue", "port": 80}],
    },
}


def rules(bad: dict[str, object]) -> str:
    return json.dumps([GOOD, {"matches": [{"path": {"value": "/bad"}}], **bad}])


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_rule_harms_itself_alone(serve: Serve, bad: dict[str, object]) -> None:
    """Faults, "one rule bad": only that rule's traffic gets 500; connections that are open and all other rules go on."""
    site = serve(json.dumps([GOOD]), service("billing", 1, namespace="team"))
    assert site.ask("/good").backend == "blue"
    site.change(rules(bad), service("billing", 1, namespace="team"))
    assert [site.ask(path).status for path in ("/good", "/bad", "/good")] == [200, 500, 200]
    site.change(rules({"backendRefs": [{"name": "green", "port": 80}]}))
    assert site.ask("/bad").backend == "green"


@pytest.mark.parametrize(
    "match",
    [{"path": {"type": "RegularExpression", "value": "/bad["}}, {"headers": [{"type": "RegularExpression", "name": "x", "value": "("}]}],
    ids=["path", "header"],
)
def test_a_rule_with_a_bad_expression_is_dropped_alone(serve: Serve, match: dict[str, object]) -> None:
    """A match that nobody can read matches nothing: the rule is dropped and named (RouteConditionPartiallyInvalid), the others go on."""
    site = serve(json.dumps([GOOD]))
    site.change(json.dumps([GOOD, {"matches": [match], "backendRefs": [{"name": "green", "port": 80}]}]))
    assert [site.ask("/good").status, site.ask("/bad", headers=[("x", "(")]).status] == [200, 404]
    assert "type='PartiallyInvalid', status='True'" in site.conditions("HTTPRoute", "route")


def test_the_share_of_a_bad_backend_alone_fails(serve: Serve) -> None:
    """HTTPRouteRule.backendRefs: of a rule with one bad reference its share gets 500, the rest serves."""
    site = serve("- backendRefs: [{name: blue, port: 80, weight: 3}, {name: missing, port: 80, weight: 1}]")
    site.seed(7)
    statuses = [site.ask().status for _ in range(200)]
    assert set(statuses) == {200, 500}
    assert 25 <= statuses.count(500) <= 80, "a quarter of 200, give or take five standard deviations"


def test_without_endpoints_nobody_queues(serve: Serve, blue: Echo) -> None:
    """Faults, "no ready endpoints": 503 at once. Those who asked before are not kept for the endpoint that comes; those who ask once
    it is there are served."""
    empty = service("shop")
    route = "- backendRefs: [{name: shop, port: 80}]"
    site = serve(empty, route)
    flights = [site.begin() for _ in range(50)]
    assert {flight.answer().status for flight in flights} == {503}
    assert blue.requests == []
    site.change(service("shop", blue.port), route)
    assert {flight.ask().answer().backend for flight in flights} == {"blue"}, "on the connections that got 503"
    site.change(service("shop", blue.port, conditions={"ready": False}), route)
    assert {flight.ask().answer().status for flight in flights} == {503}


def test_what_runs_outlives_the_last_endpoint(serve: Serve, blue: Echo) -> None:
    """Scaled to nothing, an exchange that runs is finished, and the next one is 503."""
    planned = Planned(body=b"late", held=True)
    blue.plan(planned)
    route = "- backendRefs: [{name: shop, port: 80}]"
    site = serve(service("shop", blue.port), route)
    flight = site.begin()
    blue.wait_for(1)
    site.change(service("shop"), route)
    assert site.ask().status == 503
    planned.release()
    status, _, body = flight.connection.response()
    assert (status, body) == (200, b"late")
