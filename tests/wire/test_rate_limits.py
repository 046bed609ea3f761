"""Rate limits of a listener: 429 with the standard fields, by client, header, route or listener (ListenerPolicy.rateLimits)."""

from __future__ import annotations

import pytest

from gateway.proxy import request_limits
from tests.wire.backends import Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing
from tests.wire.peers import Wire, get
from tests.wire.serving import Site

pytestmark = every_pairing

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]\n"
BY_KEY = "{name: key, requests: 1, period: 1h, by: Header, header: X-Key}"
SHOP = """
kind: HTTPRoute
metadata: {name: shop}
spec:
  rules:
  - matches: [{path: {value: /shop}}]
    filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Edited, value: "1"}]}}]
    backendRefs: [{name: green, port: 80}]
"""


def policy(*limits: str, more: str = "") -> str:
    """A ListenerPolicy for all listeners with these limits."""
    spec = f"targetRefs: [{{name: web}}], reasonHeader: true, rateLimits: [{', '.join(limits)}]{more}"
    return f"kind: ListenerPolicy\nmetadata: {{name: reasons}}\nspec: {{{spec}}}"


def limited(site: Site) -> dict[str, float]:
    """How many requests were over a limit, by limit."""
    samples = [sample for sample in site.statistics().counters if sample.name == "tidegate_rate_limited_total"]
    assert all(dict(sample.labels)["listener"] == "http" for sample in samples)
    return {dict(sample.labels)["limit"]: sample.value for sample in samples}


def test_requests_over_the_limit_are_429(serve: Serve, blue: Echo) -> None:
    """What is over it gets 429 with Retry-After (RFC 6585 4) and the RateLimit fields, flag RL and a reason; no backend sees it."""
    site = serve(TO_BLUE, policy("{name: clients, requests: 2, period: 1h}"))
    assert [site.ask().status for _ in range(2)] == [200, 200]
    answer = site.ask("/over")
    assert (answer.status, answer.counted.flags, answer.reason, len(blue.requests)) == (429, "RL", "over the rate limit clients", 2)
    assert int(answer.headers["retry-after"]) in range(1790, 1801)
    assert answer.headers["ratelimit-policy"] == '"clients";q=2;w=3600'
    assert answer.headers["ratelimit"] == f'"clients";r=0;t={answer.headers["retry-after"]}'
    assert limited(site) == {"clients": 1}
    assert site.log.wait_for(3)[2]["flags"] == "RL"


def test_a_refused_client_keeps_its_connection(serve: Serve, blue: Echo) -> None:
    """429 says nothing against the connection: the next request on it is judged by itself."""
    with Wire(serve(TO_BLUE, policy("{requests: 1, period: 1h, by: Header, header: X-Key}"))) as wire:
        answers = [wire.ask(get(b"X-Key: " + key)).status for key in (b"a", b"a", b"b", b"a")]
    assert answers == [200, 429, 200, 429]
    assert len(blue.requests) == 2


def test_tokens_come_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """After as long as Retry-After says the next request passes."""
    now = 1000.0
    monkeypatch.setattr(request_limits, "monotonic", lambda: now)
    site = serve(TO_BLUE, policy("{requests: 6, period: 1m, burst: 1}"))
    assert [site.ask().status, site.ask().status] == [200, 429]
    now += 9.9
    assert site.ask().headers["retry-after"] == "1"
    now += 0.1
    assert [site.ask().status, site.ask().status] == [200, 429]


def test_no_field_is_sent_unless_it_is_asked_for(serve: Serve) -> None:
    """Without `announce` a request that passes is answered as ever."""
    answer = serve(TO_BLUE, policy("{requests: 2, period: 1h}")).ask()
    assert not {"ratelimit", "ratelimit-policy", "retry-after"} & set(answer.headers)


@pytest.mark.parametrize(("path", "edited"), [("/", None), ("/shop", "1"), ("/nowhere", None)])
def test_what_is_left_is_announced(serve: Serve, blue: Echo, path: str, edited: str | None) -> None:
    """With `announce` every response says what is left: a backend's, through a rule with filters and without, and one of our own. Fields
    that the backend sends stay beside ours (RFC 9110 5.3)."""
    rule = "- matches: [{path: {type: Exact, value: /}}]\n  backendRefs: [{name: blue, port: 80}]\n"
    blue.always(Planned(200, ("RateLimit", '"backend";r=7')))
    site = serve(rule, SHOP, policy("{name: a, requests: 9, period: 90s, announce: true}", "{name: b, requests: 5, period: 1h}"))
    assert site.ask(path).headers.get_list("ratelimit-policy") == ['"a";q=9;w=90']
    answer = site.ask(path)
    assert answer.headers.get_list("ratelimit")[-1] == '"a";r=7;t=10'
    assert answer.headers.get_list("ratelimit")[:-1] == (['"backend";r=7'] if path == "/" else [])
    assert (answer.headers.get("x-edited"), answer.status) == (edited, 404 if path == "/nowhere" else 200)


def test_a_limit_for_one_route_leaves_the_others_alone(serve: Serve) -> None:
    """`routes` chooses whose requests count; a route of the policy's namespace needs no namespace."""
    site = serve(TO_BLUE, SHOP, policy("{requests: 1, period: 1h, by: Listener, routes: [{name: shop}]}"))
    assert [site.ask(path).status for path in ("/shop", "/shop", "/", "/", "/shop")] == [200, 429, 200, 200, 429]


def test_each_route_may_have_its_own(serve: Serve) -> None:
    """by Route: one busy route does not use up what another may."""
    site = serve(TO_BLUE, SHOP, policy("{requests: 1, period: 1h, by: Route}"))
    assert [site.ask(path).status for path in ("/shop", "/", "/shop", "/")] == [200, 200, 429, 429]


def test_what_no_route_matches_counts_too(serve: Serve) -> None:
    """A flood of requests for nothing is limited like any other."""
    site = serve(SHOP, policy("{requests: 2, period: 1h}"))
    assert [site.ask(path).status for path in ("/none", "/none", "/none", "/shop")] == [404, 404, 429, 429]


def test_the_client_is_the_one_that_a_trusted_proxy_names(serve: Serve) -> None:
    """Behind trusted proxies each client that they name has a count; whoever is not trusted cannot choose one by x-forwarded-for."""
    limit = "{requests: 1, period: 1h}"
    site = serve(TO_BLUE, policy(limit, more=", trustedHops: 1"))
    named = [[("X-Forwarded-For", f"192.0.2.{last}")] for last in (1, 2, 1)]
    assert [site.ask(headers=headers).status for headers in named] == [200, 200, 429]
    site = serve(TO_BLUE, policy(limit))
    assert [site.ask(headers=headers).status for headers in named] == [200, 429, 429]


def test_several_limits_hold_together(serve: Serve) -> None:
    """A request must be under all limits that count it; the answer names the one that it is over."""
    site = serve(TO_BLUE, policy(BY_KEY, "{requests: 2, period: 1h, by: Listener}"))
    answers = [site.ask(headers=[("X-Key", key)]) for key in ("a", "a", "b", "c")]
    assert [answer.status for answer in answers] == [200, 429, 200, 429]
    assert [answer.reason for answer in answers] == [None, "over the rate limit key", None, "over the rate limit 1"]


def test_an_unrelated_change_forgets_nothing(serve: Serve) -> None:
    """Counts outlive the listener's versions: who is over a limit stays so when a policy or route changes."""
    limit = "{requests: 1, period: 1h}"
    site = serve(TO_BLUE, policy(limit))
    assert site.ask().status == 200
    site.change(TO_BLUE, SHOP, policy(limit, more=", timeouts: {idle: 5s}"))
    assert site.ask().status == 429
    site.change(TO_BLUE)
    assert site.ask().status == 200


def test_it_is_explained(serve: Serve) -> None:
    """`explain` names the limits that count a request, and counts nothing itself."""
    site = serve(TO_BLUE, SHOP, policy(BY_KEY, "{requests: 9, period: 500ms, routes: [{name: shop}]}"))
    words = "rate limit key: 1 request each 1 h, by header x-key"
    assert [list(site.explain()["limits"]) for _ in range(3)] == [[words]] * 3
    shop = "rate limit 1: 9 requests each 500 ms, by client address, for routes default/shop"
    assert list(site.explain("/shop")["limits"]) == [words, shop]
    assert site.ask().status == 200
