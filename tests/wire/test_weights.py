"""How a rule's traffic is shared among its backends (HTTPBackendRef.weight), and what invalid ones cost."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest

from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing
from tests.wire.serving import Answer, Site

pytestmark = every_pairing

REQUESTS = 500


def shares(*weights: tuple[str, int | None]) -> str:
    """A rule with backends of these weights; None for one that is not written."""
    refs = [f"{{name: {name}, port: 80{'' if weight is None else f', weight: {weight}'}}}" for name, weight in weights]
    return f"- backendRefs: [{', '.join(refs)}]\n"


def counts(site: Site) -> Counter[str | None]:
    """How often each backend answered; None for the proxy itself."""
    site.seed(1)
    answers: list[Answer] = [site.ask() for _ in range(REQUESTS)]
    return Counter(answer.backend for answer in answers)


def fits(count: int, share: float) -> bool:
    """Whether a count is within three standard deviations of a share."""
    return abs(count - REQUESTS * share) <= 3 * sqrt(REQUESTS * share * (1 - share))


@pytest.mark.slow
def test_weights_are_shares(serve: Serve) -> None:
    """70, 30 and 0 of 100: each backend gets its part, and the one without weight nothing (HTTPRouteWeight)."""
    site = serve(shares(("blue", 70), ("green", 30), ("red", 0)))
    counted = counts(site)
    assert fits(counted["blue"], 0.7)
    assert fits(counted["green"], 0.3)
    assert counted["red"] == 0
    assert sum(counted.values()) == REQUESTS


def test_explain_gives_the_shares(serve: Serve) -> None:
    """What is drawn at random is explained by its possible outcomes (issue 3, done when 5)."""
    explanation = serve(shares(("blue", 70), ("green", 30), ("red", 0))).explain()
    assert [(portion["backend"], portion["percent"]) for portion in explanation["portions"]] == [
        ("default/blue:80", 70.0),
        ("default/green:80", 30.0),
        ("default/red:80", 0.0),
    ]


@pytest.mark.slow
def test_weights_are_relative_and_one_by_default(serve: Serve) -> None:
    """A weight is a part of the sum, whatever the sum is; unwritten it is 1 (HTTPBackendRef.weight)."""
    counted = counts(serve(shares(("blue", 3), ("green", None))))
    assert fits(counted["blue"], 0.75)
    assert fits(counted["green"], 0.25)


@pytest.mark.slow
def test_large_weights(serve: Serve) -> None:
    """Weights may be up to a million (HTTPBackendRef.weight)."""
    counted = counts(serve(shares(("blue", 1_000_000), ("green", 1))))
    assert counted["blue"] >= REQUESTS - 1


def test_only_weight_zero_is_500(serve: Serve) -> None:
    """All weights zero: there is nobody to ask, 500 (HTTPRouteRule.backendRefs)."""
    for text in (shares(("blue", 0), ("green", 0)), shares(("blue", 0))):
        answer = serve(text).ask()
        assert (answer.status, answer.backend, answer.counted.flags) == (500, None, "NC")


def test_no_backends_is_500(serve: Serve) -> None:
    """A rule without backendRefs and without a redirect answers 500 (HTTPRouteNoBackendRefs)."""
    answer = serve("- matches: [{path: {value: /}}]").ask()
    assert (answer.status, answer.counted.flags) == (500, "NC")


@pytest.mark.slow
def test_a_missing_service_costs_its_share(serve: Serve) -> None:
    """An invalid reference keeps its share of the requests and answers them 500 (HTTPRouteRule.backendRefs)."""
    counted = counts(serve(shares(("blue", 1), ("missing", 1))))
    assert fits(counted["blue"], 0.5)
    assert fits(counted[None], 0.5)


@pytest.mark.slow
def test_a_service_without_endpoints_costs_its_share(serve: Serve) -> None:
    """A backend without ready endpoints keeps its share too, and answers it 503 (HTTPRouteRule.backendRefs)."""
    site = serve(shares(("blue", 1), ("empty", 1)), "{kind: Service, metadata: {name: empty}, spec: {ports: [{name: http, port: 80}]}}")
    site.seed(1)
    statuses = Counter(site.ask().status for _ in range(REQUESTS))
    assert set(statuses) == {200, 503}
    assert fits(statuses[503], 0.5)


@pytest.mark.slow
def test_the_same_backend_twice_counts_twice(serve: Serve) -> None:
    """Two references to one Service are two shares, each with its own filters (HTTPRouteRule.backendRefs)."""
    site = serve("""
- backendRefs:
  - {name: blue, port: 80, weight: 3}
  - name: blue
    port: 80
    weight: 1
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: share, value: second}]}}]
""")
    site.seed(1)
    second = sum(site.ask().request.value("share") == "second" for _ in range(REQUESTS))
    assert fits(second, 0.25)


def test_endpoints_of_a_backend_take_turns(serve: Serve) -> None:
    """Round robin over the ready endpoints of a backend (BackendPolicy.balancing default)."""
    site = serve("- backendRefs: [{name: all, port: 80}]", ALL)
    answers = [site.ask().backend for _ in range(9)]
    assert answers[:3] * 3 == answers
    assert set(answers) == {"blue", "green", "red"}


ALL = """
kind: Service
metadata: {name: all}
spec: {ports: [{name: http, port: 80}]}
---
{kind: EndpointSlice, metadata: {name: all-1, labels: {kubernetes.io/service-name: all}}, addressType: IPv4,
 ports: [{name: http, port: @blue}], endpoints: [{addresses: [127.0.0.1]}]}
---
{kind: EndpointSlice, metadata: {name: all-2, labels: {kubernetes.io/service-name: all}}, addressType: IPv4,
 ports: [{name: http, port: @green}], endpoints: [{addresses: [127.0.0.1]}]}
---
{kind: EndpointSlice, metadata: {name: all-3, labels: {kubernetes.io/service-name: all}}, addressType: IPv4,
 ports: [{name: http, port: @red}], endpoints: [{addresses: [127.0.0.1]}]}
"""
