"""XBackendTrafficPolicy: the retry budget of a backend, and sessions of rules that have none of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.backends import Conversation, Echo, Planned, Scripted, closed_port
from tests.wire.conftest import Serve
from tests.wire.pools import TO_POOL, count, policy, pool

EXCEEDED = "tidegate_retry_budget_exceeded_total"
RETRYING = "- retry: {codes: [502], attempts: 1}\n  backendRefs: [{name: pool, port: 80}]\n"
ONE = {"budget": {"percent": 0}, "minRetryRate": {"count": 1, "interval": "1h"}}
"""One retry and no other."""
NEVER_OUT = policy(ejection={"consecutiveErrors": 0, "connectFailures": False})


def traffic(**spec: Any) -> str:
    """An XBackendTrafficPolicy of the Service `pool`."""
    target = {"group": "", "kind": "Service", "name": "pool"}
    return json.dumps({"kind": "XBackendTrafficPolicy", "metadata": {"name": "pool"}, "spec": {"targetRefs": [target], **spec}})


def test_over_the_budget_a_status_is_503(serve: Serve, blue: Echo) -> None:
    """The request is not tried again, and its client gets 503 (BackendTrafficPolicySpec.retryConstraint)."""
    site = serve(RETRYING, pool(blue.port), traffic(retryConstraint=ONE))
    blue.always(Planned(502))
    assert site.ask().counted.flags == "-"
    assert len(blue.requests) == 2
    status, fields, _ = site.begin().connection.response()
    reason = "backend answered 502; the retry budget of backend default/pool:80 is used up"
    assert (status, dict(fields)["x-tidegate-reason"], len(blue.requests)) == (503, reason, 3)
    assert site.log.wait_for(2)[1]["flags"] == "URX"
    assert count(site, EXCEEDED) == 1


def test_over_the_budget_a_failed_connect_is_503(serve: Serve, blue: Echo) -> None:
    """Also the retry that rules without a retry have."""
    site = serve(TO_POOL, pool(closed_port(), closed_port()), traffic(retryConstraint=ONE), NEVER_OUT)
    flags: list[str] = []
    for _ in range(2):
        status, _, _ = site.begin().connection.response()
        assert status == 503
        flags = [line["flags"] for line in site.log.wait_for(len(flags) + 1)]
    assert flags == ["UF", "URX"]


def test_the_budget_is_one_for_all_routes(serve: Serve, blue: Echo) -> None:
    """It belongs to the backend (GEP-3388)."""
    other = RETRYING.replace("- retry", "- matches: [{path: {value: /other}}]\n  retry")
    site = serve(other + RETRYING, pool(blue.port), traffic(retryConstraint=ONE))
    blue.always(Planned(502))
    assert [site.begin(path).connection.response()[0] for path in ("/other", "/")] == [502, 503]


def test_a_part_of_the_requests(serve: Serve, blue: Echo) -> None:
    """Each fifth request may be tried again by default; a low rate is always allowed."""
    budget = {"budget": {"percent": 20, "interval": "1h"}, "minRetryRate": {"count": 1, "interval": "1h"}}
    site = serve(RETRYING, pool(blue.port), traffic(retryConstraint=budget), policy(ejection={"consecutiveErrors": 0}))
    for _ in range(20):
        site.ask()
    blue.always(Planned(502))
    statuses = [site.begin().connection.response()[0] for _ in range(12)]
    retries = len(blue.requests) - 32
    assert retries == statuses.count(502)
    assert 6 <= retries <= 8


def test_a_stale_connection_costs_nothing(serve: Serve, scripted: type[Scripted]) -> None:
    """To replace a connection that had ended is no retry of the backend."""

    def serves_once(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        conversation.read_head()

    backend = scripted(serves_once)
    site = serve(TO_POOL, pool(backend.port), traffic(retryConstraint=ONE))
    assert [site.ask().status for _ in range(5)] == [200] * 5
    assert count(site, EXCEEDED) == 0


# sessions

PERSISTENT = traffic(sessionPersistence={"sessionName": "sid"})


def test_sessions_of_rules_without_any(serve: Serve, blue: Echo, green: Echo) -> None:
    """A rule without sessionPersistence has that of its backend's policy; the backend sees nothing of it
    (BackendTrafficPolicySpec.sessionPersistence)."""
    site = serve(TO_POOL, pool(blue.port, green.port), PERSISTENT)
    first = site.ask()
    assert first.explanation["session"] == "the request has none: the answer begins one"
    name, _, cookie = first.headers["set-cookie"].partition("=")
    assert name == "sid"
    sent = [("cookie", f"a=b; sid={cookie.partition(';')[0]}")]
    answers = [site.ask(headers=sent) for _ in range(6)]
    assert {answer.backend for answer in answers} == {first.backend}
    assert all("set-cookie" not in answer.headers for answer in answers)
    assert answers[0].request.value("cookie") == "a=b"
    assert answers[0].explanation["session"].startswith("leads to 127.0.0.1:")


def test_a_session_is_one_for_all_routes_of_the_backend(serve: Serve, blue: Echo, green: Echo) -> None:
    """It belongs to the backend, not to a rule."""
    other = TO_POOL.replace("- ", "- matches: [{path: {value: /other}}]\n  ")
    site = serve(other + TO_POOL, pool(blue.port, green.port), PERSISTENT)
    first = site.ask("/other")
    sent = [("cookie", first.headers["set-cookie"].partition(";")[0])]
    assert {site.ask(headers=sent).backend for _ in range(6)} == {first.backend}


def test_a_session_outranks_weights(serve: Serve, blue: Echo, green: Echo, red: Echo) -> None:
    """Of several backends the one with the session is asked, even at weight 0 (GEP-1619)."""
    rule = "- backendRefs: [{name: pool, port: 80, weight: %d}, {name: red, port: 80, weight: %d}]"
    site = serve(rule % (1, 0), pool(blue.port, green.port), PERSISTENT)
    first = site.ask()
    sent = [("cookie", first.headers["set-cookie"].partition(";")[0])]
    site.change(rule % (0, 1), pool(blue.port, green.port), PERSISTENT)
    assert {site.ask(headers=sent).backend for _ in range(4)} == {first.backend}
    assert site.ask().backend == "red"


def test_the_rules_own_sessions_win(serve: Serve, blue: Echo, green: Echo) -> None:
    """A rule with sessionPersistence keeps it (API: the rule wins)."""
    site = serve(TO_POOL + "  sessionPersistence: {sessionName: own}\n", pool(blue.port, green.port), PERSISTENT)
    assert site.ask().headers["set-cookie"].startswith("own=")


@pytest.mark.parametrize("gone", [True, False])
def test_a_session_ends_with_its_endpoint(serve: Serve, blue: Echo, green: Echo, gone: bool) -> None:
    """It is pinned anew then; and without the policy there are none."""
    site = serve(TO_POOL, pool(blue.port, green.port), PERSISTENT)
    first = site.ask()
    sent = [("cookie", first.headers["set-cookie"].partition(";")[0])]
    left = green if first.backend == "blue" else blue
    if gone:
        site.change(TO_POOL, pool(left.port), PERSISTENT)
        answer = site.ask(headers=sent)
        assert (answer.backend, "set-cookie" in answer.headers) == (left.name, True)
    else:
        site.change(TO_POOL, pool(blue.port, green.port))
        answers = [site.ask(headers=sent) for _ in range(4)]
        assert {answer.backend for answer in answers} == {"blue", "green"}
        assert all("set-cookie" not in answer.headers for answer in answers)
