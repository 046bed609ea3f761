"""Endpoints that fail are left out and come back (BackendPolicy.ejection), and health is ignored when too few are healthy."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Thread

import pytest

from tests.wire.backends import Conversation, Echo, Planned, Scripted, closed_port
from tests.wire.conftest import Serve
from tests.wire.pools import OK, TO_POOL, Reserved, answers, close_idle, count, healthy, look, policy, pool, until, without_retries

EJECTIONS = "tidegate_endpoint_ejections_total"
QUICK = policy(ejection={"baseTime": "40ms", "maxTime": "80ms"})
FOR_LONG = policy(ejection={"baseTime": "1h", "maxTime": "1h"})


@pytest.fixture
def reserved() -> Iterator[Reserved]:
    with Reserved() as port:
        yield port


def serving(reserved: Reserved) -> None:
    """Answers on a port that was refused so far, until it is closed."""
    listening = reserved.open()

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            Thread(target=follow, args=(Conversation(connection),), daemon=True).start()

    def follow(conversation: Conversation) -> None:
        with conversation.connection:
            answers(conversation)

    Thread(target=accept, daemon=True).start()


def test_a_refused_connection_puts_the_endpoint_out_at_once(serve: Serve, blue: Echo, green: Echo) -> None:
    """One failure is enough, for all routes: nobody else meets it (BackendPolicy.ejection.connectFailures)."""
    dead = closed_port()
    other = "- matches: [{path: {value: /other}}]\n  backendRefs: [{name: pool, port: 80}]\n"
    site = serve(other + TO_POOL, pool(blue.port, green.port, dead))
    without_retries(site)
    statuses = [site.begin(("/", "/other")[number % 2]).connection.response()[0] for number in range(30)]
    assert statuses.count(503) == 1
    assert statuses.count(200) == 29
    assert healthy(site) == {blue.port, green.port}
    assert count(site, EJECTIONS) == 1
    assert count(site, "tidegate_endpoints_ejected") == 1


def test_it_comes_back_when_a_probe_connects(serve: Serve, blue: Echo, reserved: Reserved) -> None:
    """No request is needed to find out, and nothing is left of it."""
    site = serve(TO_POOL, pool(blue.port, reserved.port))
    assert {site.ask().backend for _ in range(4)} == {"blue"}
    assert healthy(site) == {blue.port}
    serving(reserved)
    until(lambda: healthy(site) == {blue.port, reserved.port}, "the endpoint back in use")
    assert {site.ask().body for _ in range(4)} == {b"ok", b""}
    assert count(site, "tidegate_endpoints_ejected") == 0
    assert look(site, lambda found: (found.guarded, found.protection.suspects)) == (False, {})


@pytest.mark.slow
def test_a_flapping_endpoint_costs_less_than_a_tenth(serve: Serve, blue: Echo, green: Echo, red: Echo, reserved: Reserved) -> None:
    """One of four refuses connections again and again: at most a tenth of the errors that plain round robin has, without retries
    (issue 4, done when 5)."""
    site = serve(TO_POOL, pool(blue.port, green.port, red.port, reserved.port))
    without_retries(site)
    errors = asked = 0
    for _ in range(3):
        for _ in range(100):
            errors += site.begin().connection.response()[0] != 200
            asked += 1
        serving(reserved)
        until(lambda: reserved.port in healthy(site), "the endpoint back in use")
        for _ in range(8):
            assert site.begin().connection.response()[0] == 200
        reserved.close()
        close_idle(site)
    assert 0 < errors <= asked / 4 / 10


@pytest.mark.parametrize("fault", ["503", "reset", "nonsense", "silence"])
def test_bad_answers_in_a_row_eject(serve: Serve, blue: Echo, scripted: type[Scripted], fault: str) -> None:
    """The fifth of 502, 503, 504, resets, timeouts and what is not HTTP (BackendPolicy.ejection.consecutiveErrors)."""

    def fails(conversation: Conversation) -> None:
        conversation.read_head()
        if fault == "503":
            conversation.send(OK.replace(b"200 OK", b"503 Busy"))
            fails(conversation)
        elif fault == "reset":
            conversation.reset()
        elif fault == "nonsense":
            conversation.send(b"nonsense\r\n\r\n")
        else:
            conversation.read_head()

    failing = scripted(fails)
    site = serve(TO_POOL + "  timeouts: {backendRequest: 50ms}\n", pool(blue.port, failing.port), FOR_LONG)
    without_retries(site)
    statuses = [site.begin().connection.response()[0] for _ in range(16)]
    assert len([status for status in statuses if status != 200]) == 5
    assert healthy(site) == {blue.port}
    (portion,) = site.explain()["portions"]
    (fine, out) = portion["endpoints"]
    assert (fine["percent"], fine["fault"], out["percent"]) == (100.0, "", 0.0)
    assert out["fault"].startswith("left out, for a while: 5 bad answers in a row, the last: ")


def test_good_answers_in_between_begin_anew(serve: Serve, blue: Echo, green: Echo) -> None:
    """Only errors in a row count, and a 500 is none: it speaks against the request."""
    site = serve(TO_POOL, pool(blue.port, green.port), FOR_LONG)
    for _ in range(4):
        blue.plan(*[Planned(503)] * 4, Planned(200), *[Planned(500)] * 6)
        [site.ask() for _ in range(22)]
    assert healthy(site) == {blue.port, green.port}


def test_one_request_decides_whether_it_is_back(serve: Serve, blue: Echo, green: Echo) -> None:
    """After the time one request is sent there; while it lasts no other is, and its answer decides (half-open)."""
    site = serve(TO_POOL, pool(blue.port, green.port), QUICK)
    blue.always(Planned(503))
    assert [site.ask().status for _ in range(10)].count(503) == 5
    blue.clear()
    held = Planned(held=True)
    blue.plan(held)
    until(lambda: blue.port in healthy(site), "the trial")
    flights = [site.begin() for _ in range(2)]
    blue.wait_for(1)
    assert healthy(site) == {green.port}
    assert {site.ask().backend for _ in range(6)} == {"green"}
    held.release()
    assert {flight.answer().backend for flight in flights} == {"blue", "green"}
    assert healthy(site) == {blue.port, green.port}
    assert {site.ask().backend for _ in range(4)} == {"blue", "green"}


def test_a_trial_that_fails_ejects_again(serve: Serve, blue: Echo, green: Echo) -> None:
    """One bad answer is enough then, and each costs one request only."""
    site = serve(TO_POOL, pool(blue.port, green.port), QUICK)
    blue.always(Planned(503))
    assert [site.ask().status for _ in range(10)].count(503) == 5
    for _ in range(3):
        until(lambda: blue.port in healthy(site), "the trial")
        assert sorted(site.ask().status for _ in range(2)) == [200, 503]
        assert healthy(site) == {green.port}
    assert count(site, EJECTIONS) == 4


def test_a_trial_whose_client_leaves_tells_nothing(serve: Serve, blue: Echo, green: Echo) -> None:
    """The next request is the trial."""
    site = serve(TO_POOL, pool(blue.port, green.port), QUICK)
    blue.always(Planned(503))
    assert [site.ask().status for _ in range(10)].count(503) == 5
    blue.clear()
    blue.plan(Planned(held=True))
    until(lambda: blue.port in healthy(site), "the trial")
    flights = [site.begin() for _ in range(2)]
    blue.wait_for(1)
    for flight in flights:
        flight.connection.reset()
    until(lambda: blue.port in healthy(site), "another trial")
    assert {site.ask().backend for _ in range(3)} == {"blue", "green"}


def test_the_only_endpoint_is_never_out(serve: Serve, scripted: type[Scripted]) -> None:
    """Health is ignored when fewer than half are healthy (BackendPolicy.panicThreshold)."""

    def refuses(conversation: Conversation) -> None:
        while conversation.read_head():
            conversation.send(OK.replace(b"200 OK", b"503 Busy"))

    failing = scripted(refuses)
    site = serve(TO_POOL, pool(failing.port), FOR_LONG)
    assert {site.ask().counted.flags for _ in range(12)} == {"-"}
    (portion,) = site.explain()["portions"]
    assert portion["endpoints"][0]["fault"].startswith("unhealthy, but too few others are healthy: for a while: 5 bad answers in a row")


def test_without_panic_nobody_is_asked(serve: Serve) -> None:
    """panicThreshold 0: when none is healthy the answer is 503 at once, without trying."""
    site = serve(TO_POOL, pool(closed_port(), closed_port()), policy(panicThreshold=0, ejection={"baseTime": "1h", "maxTime": "1h"}))
    assert site.ask().counted.flags == "UF"
    answer = site.ask()
    assert (answer.status, answer.counted.flags) == (503, "UH")


def test_ejection_can_be_turned_off(serve: Serve, blue: Echo) -> None:
    """Both kinds of it (BackendPolicy.ejection)."""
    off = policy(ejection={"consecutiveErrors": 0, "connectFailures": False})
    site = serve(TO_POOL, pool(blue.port, closed_port()), off)
    blue.always(Planned(503))
    assert {site.ask().status for _ in range(12)} == {503}
    assert len(healthy(site)) == 2
    assert count(site, EJECTIONS) == 0


def test_a_session_moves_when_its_endpoint_is_out(serve: Serve, blue: Echo, reserved: Reserved) -> None:
    """A session stays with its endpoint as long as that is healthy, and is pinned anew otherwise (GEP-1619)."""
    serving(reserved)
    rule = TO_POOL + "  sessionPersistence: {sessionName: sid}\n"
    site = serve(rule, pool(blue.port, reserved.port))
    there = next(answer for answer in (site.ask() for _ in range(4)) if answer.body == b"ok")
    cookie = there.headers["set-cookie"].partition(";")[0]
    reserved.close()
    close_idle(site)
    status, fields, _ = site.begin(headers=[("cookie", cookie)]).connection.response()
    assert (status, dict(fields)["echo"].partition("/")[0]) == (200, "blue")
    assert "set-cookie" in dict(fields)
    assert site.ask(headers=[("cookie", cookie)]).backend == "blue"


@pytest.mark.slow
def test_a_late_client_is_not_the_endpoints_fault(serve: Serve, blue: Echo, green: Echo) -> None:
    """A timeout counts only if the endpoint had the whole request."""
    site = serve(TO_POOL + "  timeouts: {request: 40ms}\n", pool(blue.port, green.port), FOR_LONG)
    for _ in range(4):
        flight = site.connect()
        flight.sendall(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10\r\n\r\nhalf")
        assert flight.recv(65_536).startswith(b"HTTP/1.1 504")
        flight.close()
    assert look(site, lambda found: found.protection.suspects) == {}


def test_changed_options_hold_for_the_next_failure(serve: Serve, blue: Echo, green: Echo) -> None:
    """The state of endpoints outlives a change of the policy."""
    site = serve(TO_POOL, pool(blue.port, green.port), FOR_LONG)
    blue.always(Planned(503))
    assert [site.ask().status for _ in range(4)].count(503) == 2
    site.change(TO_POOL, pool(blue.port, green.port), policy(ejection={"consecutiveErrors": 3, "baseTime": "1h", "maxTime": "1h"}))
    assert [site.ask().status for _ in range(8)].count(503) == 1
    assert healthy(site) == {green.port}


def test_an_endpoint_that_is_gone_is_not_blamed(serve: Serve, blue: Echo, scripted: type[Scripted]) -> None:
    """What its last requests meet is nobody's business: nothing is probed, and nothing is left of it."""
    cut = Event()

    def waits(conversation: Conversation) -> None:
        conversation.read_head()
        cut.wait(10)
        conversation.reset()

    site = serve(TO_POOL, pool(scripted(waits).port), policy(ejection={"consecutiveErrors": 1}))
    without_retries(site)
    flight = site.begin()
    until(lambda: look(site, lambda found: found.connections.count) == 1, "the connection")
    site.change(TO_POOL, pool(blue.port), policy(ejection={"consecutiveErrors": 1}))
    cut.set()
    assert flight.connection.response()[0] == 503
    assert look(site, lambda found: (found.guarded, found.protection.suspects)) == (False, {})
    assert count(site, EJECTIONS) == 0
