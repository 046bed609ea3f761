"""Limits of a backend in one worker (BackendPolicy.limits): connections, requests that wait for one, requests under way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.backends import Conversation, Echo, Planned, Scripted
from tests.wire.conftest import Serve
from tests.wire.pools import TO_POOL, answers, count, look, policy, pool, until
from tests.wire.serving import Site

OVERFLOW = "tidegate_backend_overflow_total"
SESSIONS = "  sessionPersistence: {sessionName: sid}\n"


def limits(connect_timeout: str = "10s", **limits: Any) -> str:
    return policy(limits=limits, connectTimeout=connect_timeout)


def waiting(site: Site) -> int:
    number: int = look(site, lambda found: found.connections.waiting)
    return number


def connections(site: Site) -> int:
    number: int = look(site, lambda found: found.connections.count)
    return number


def test_requests_wait_for_a_connection(serve: Serve, blue: Echo) -> None:
    """Beyond the limit a request waits, and gets the connection that becomes free (BackendPolicy.limits.connections)."""
    site = serve(TO_POOL, pool(blue.port), limits(connections=1))
    first, second = Planned(held=True), Planned(held=True)
    blue.plan(first, second)
    flights = [site.begin("/0")]
    blue.wait_for(1)
    for number in range(1, 4):
        flights.append(site.begin(f"/{number}"))
        until(lambda number=number: waiting(site) == number, "the request in line")  # type: ignore[misc]  # mypy knows no default of a lambda
    first.release()
    blue.wait_for(2)
    assert (connections(site), waiting(site)) == (1, 2)
    second.release()
    assert [flight.answer().status for flight in flights] == [200] * 4
    assert [request.target for request in blue.requests] == ["/0", "/1", "/2", "/3"]
    assert (connections(site), waiting(site), count(site, OVERFLOW)) == (1, 0, 0)
    assert look(site, lambda found: found.active) == 0


def test_a_body_waits_too(serve: Serve, blue: Echo) -> None:
    """What came of a request while it waited is sent with it."""
    site = serve(TO_POOL, pool(blue.port), limits(connections=1))
    held = Planned(held=True)
    blue.plan(held)
    flights = [site.begin()]
    blue.wait_for(1)
    flights.append(site.begin(method="POST", body=b"x" * 50_000))
    until(lambda: waiting(site) == 1, "the request in line")
    held.release()
    assert [flight.answer().status for flight in flights] == [200, 200]
    assert blue.requests[1].body == b"x" * 50_000


def test_the_line_has_an_end(serve: Serve, blue: Echo) -> None:
    """Who finds it full is answered 503 at once, with the flag UO (BackendPolicy.limits.pendingRequests)."""
    site = serve(TO_POOL, pool(blue.port), limits(connections=1, pendingRequests=1))
    held = Planned(held=True)
    blue.plan(held)
    flights = [site.begin()]
    blue.wait_for(1)
    flights.append(site.begin())
    until(lambda: waiting(site) == 1, "the request in line")
    answer = site.begin().connection.response()
    assert answer[0] == 503
    reason = "all 1 connections of backend default/pool:80 are in use, and 1 requests wait for one"
    assert dict(answer[1])["x-tidegate-reason"] == reason
    held.release()
    assert [flight.answer().status for flight in flights] == [200, 200]
    assert [line["flags"] for line in site.log.wait_for(3)] == ["UO", "-", "-"]
    assert count(site, OVERFLOW) == 1


def test_nobody_waits_where_nobody_may(serve: Serve, blue: Echo) -> None:
    """pendingRequests 0: a request gets a connection, or 503."""
    site = serve(TO_POOL, pool(blue.port), limits(connections=1, pendingRequests=0))
    held = Planned(held=True)
    blue.plan(held)
    flight = site.begin()
    blue.wait_for(1)
    assert site.begin().connection.response()[0] == 503
    held.release()
    assert flight.answer().status == 200
    assert site.ask().status == 200


def test_the_wait_has_an_end(serve: Serve, blue: Echo) -> None:
    """After the connect timeout it is 503 with the flag UO (BackendPolicy.connectTimeout)."""
    site = serve(TO_POOL, pool(blue.port), limits("60ms", connections=1))
    held = Planned(held=True)
    blue.plan(held)
    flight = site.begin()
    blue.wait_for(1)
    status, fields, _ = site.begin().connection.response()
    reason = "none of the 1 connections of backend default/pool:80 was free within 0.06 s"
    assert (status, dict(fields)["x-tidegate-reason"]) == (503, reason)
    assert waiting(site) == 0
    held.release()
    assert flight.answer().status == 200


@pytest.mark.parametrize("timeout", ["request: 60ms", "backendRequest: 60ms"])
def test_the_rules_timeouts_hold_in_line(serve: Serve, blue: Echo, timeout: str) -> None:
    """A request whose time is over waits no longer, and its endpoint is not to blame (HTTPRouteTimeouts)."""
    rule = f"- matches: [{{path: {{value: /short}}}}]\n  timeouts: {{{timeout}}}\n  backendRefs: [{{name: pool, port: 80}}]\n"
    site = serve(rule + TO_POOL, pool(blue.port), limits(connections=1))
    held = Planned(held=True)
    blue.plan(held)
    flight = site.begin()
    blue.wait_for(1)
    assert site.begin("/short").connection.response()[0] == 504
    assert waiting(site) == 0
    assert look(site, lambda found: [endpoint.health.suspect for endpoint in found.endpoints.values()]) == [False]
    held.release()
    assert flight.answer().status == 200


def test_a_client_that_leaves_leaves_the_line(serve: Serve, blue: Echo) -> None:
    """Its place goes to the next."""
    site = serve(TO_POOL, pool(blue.port), limits(connections=1))
    held = Planned(held=True)
    blue.plan(held)
    flight = site.begin("/first")
    blue.wait_for(1)
    gone = site.begin("/gone")
    until(lambda: waiting(site) == 1, "the request in line")
    last = site.begin("/last")
    until(lambda: waiting(site) == 2, "the other in line")
    gone.connection.reset()
    until(lambda: waiting(site) == 1, "the line without the client")
    held.release()
    assert [flight.answer().status, last.answer().status] == [200, 200]
    assert [request.target for request in blue.requests] == ["/first", "/last"]


def test_an_idle_connection_makes_room_for_another_endpoint(serve: Serve, blue: Echo, green: Echo) -> None:
    """The limit holds for all endpoints together; idle connections do not keep others from being made."""
    site = serve(TO_POOL, pool(blue.port, green.port), limits(connections=1))
    assert {site.ask().backend for _ in range(4)} == {"blue", "green"}
    until(lambda: connections(site) == 1, "one connection")


def test_a_free_connection_serves_whoever_waits(serve: Serve, blue: Echo, green: Echo) -> None:
    """At the limit requests go where a connection is free, whosever turn it is."""
    site = serve(TO_POOL, pool(blue.port, green.port), limits(connections=1))
    held = Planned(held=True)
    blue.plan(held)
    green.plan(held)
    flights = [site.begin()]
    until(lambda: bool(blue.requests or green.requests), "the first request")
    flights += [site.begin() for _ in range(3)]
    until(lambda: waiting(site) == 3, "the others in line")
    blue._planned.clear()
    green._planned.clear()
    held.release()
    answered = {flight.answer().backend for flight in flights}
    assert len(answered) == 1


def test_a_session_gets_a_connection_to_its_own_endpoint(serve: Serve, blue: Echo, green: Echo) -> None:
    """One to another endpoint is closed to make room."""
    site = serve(TO_POOL + SESSIONS, pool(blue.port, green.port), limits(connections=1))
    there = site.ask()
    own, other = (blue, green) if there.backend == "blue" else (green, blue)
    cookie = there.headers["set-cookie"].partition(";")[0]
    held = Planned(held=True)
    other.plan(held)
    flight = site.begin()
    other.wait_for(1)
    pinned = site.begin(headers=[("cookie", cookie)])
    until(lambda: waiting(site) == 1, "the request in line")
    held.release()
    assert flight.answer().backend == other.name
    assert pinned.answer().backend == own.name


def test_a_connection_that_ends_makes_room(serve: Serve, scripted: type[Scripted]) -> None:
    """Such as one that the endpoint closes after its answer."""

    def once(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    site = serve(TO_POOL, pool(scripted(once).port), limits(connections=1))
    flights = [site.begin() for _ in range(6)]
    assert [flight.answer().body for flight in flights] == [b"ok"] * 6
    until(lambda: connections(site) == 0, "no connection")


def test_requests_under_way_are_limited(serve: Serve, blue: Echo) -> None:
    """Beyond the limit 503 with the flag UO, at once; below it again as before (BackendPolicy.limits.requests)."""
    site = serve(TO_POOL, pool(blue.port), limits(requests=2))
    held = [Planned(held=True), Planned(held=True)]
    blue.plan(*held)
    flights = [site.begin(), site.begin()]
    blue.wait_for(2)
    status, fields, _ = site.begin().connection.response()
    assert (status, dict(fields)["x-tidegate-reason"]) == (503, "backend default/pool:80 has 2 requests under way, which is its limit")
    for planned in held:
        planned.release()
    assert [flight.answer().status for flight in flights] == [200, 200]
    assert site.ask().status == 200
    assert count(site, OVERFLOW) == 1
    assert look(site, lambda found: found.active) == 0


def test_endpoints_that_go_take_their_line_along(serve: Serve, blue: Echo, green: Echo) -> None:
    """Who waits while the endpoints change is served by those that are there then."""
    site = serve(TO_POOL, pool(blue.port), limits(connections=1))
    held = Planned(held=True)
    blue.plan(held)
    flight = site.begin()
    blue.wait_for(1)
    late = site.begin()
    until(lambda: waiting(site) == 1, "the request in line")
    site.change(TO_POOL, pool(green.port), limits(connections=1))
    held.release()
    assert flight.answer().backend == "blue"
    assert late.connection.response()[0] == 200
    assert len(green.requests) == 1


def test_failed_connects_give_their_place_back(serve: Serve, blue: Echo) -> None:
    """As many as they are."""
    site = serve(TO_POOL, pool(blue.port, 1), limits(connections=2))
    for _ in range(6):
        assert site.begin().connection.response()[0] == 200
    until(lambda: connections(site) == 1, "one connection, to the endpoint that is there")


def test_the_limit_is_kept_under_load(serve: Serve, scripted: type[Scripted]) -> None:
    """Never more connections than allowed, however many requests come at once."""
    backend = scripted(answers)
    site = serve(TO_POOL, pool(backend.port), limits(connections=3, pendingRequests=100))
    flights = [site.begin() for _ in range(40)]
    assert [flight.answer().status for flight in flights] == [200] * 40
    assert backend.connections <= 3


def test_the_first_in_line_is_first(serve: Serve, blue: Echo, green: Echo) -> None:
    """A request whose session leads to another endpoint is not passed over by later ones that could use the free connection."""
    site = serve(TO_POOL + SESSIONS, pool(blue.port, green.port), limits(connections=1))
    there = site.ask()
    own, other = (blue, green) if there.backend == "blue" else (green, blue)
    cookie = there.headers["set-cookie"].partition(";")[0]
    held = Planned(held=True)
    other.plan(held)
    flights = [site.begin()]
    other.wait_for(1)
    pinned = site.begin("/pinned", headers=[("cookie", cookie)])
    until(lambda: waiting(site) == 1, "the request in line")
    flights += [site.begin("/late") for _ in range(3)]
    until(lambda: waiting(site) == 4, "the later ones")
    held_again = Planned(held=True)
    own.plan(held_again)
    held.release()
    assert [request.target for request in own.wait_for(2)][1] == "/pinned"
    assert len(other.requests) == 1
    held_again.release()
    assert pinned.answer().backend == own.name
    assert {flight.answer().status for flight in flights} == {200}
