"""Timeouts of a rule (HTTPRouteTimeouts, GEP-1742)."""

from __future__ import annotations

import pytest

from tests.wire.backends import Conversation, Echo, Planned, Scripted
from tests.wire.conftest import Serve
from tests.wire.flights import CUT
from tests.wire.pairings import every_pairing
from tests.wire.serving import service

pytestmark = every_pairing


def limited(timeouts: str, path: str = "/", backend: str = "blue") -> str:
    return f"- matches: [{{path: {{value: {path}}}}}]\n  timeouts: {timeouts}\n  backendRefs: [{{name: {backend}, port: 80}}]\n"


@pytest.mark.parametrize("timeouts", ["{request: 100ms}", "{backendRequest: 100ms}", "{request: 10s, backendRequest: 100ms}"])
def test_a_backend_that_takes_too_long_is_504(serve: Serve, blue: Echo, timeouts: str) -> None:
    """When the time is over the client gets 504, and the backend's request is given up (HTTPRouteTimeoutRequest, …BackendRequest)."""
    site = serve(limited(timeouts))
    blue.plan(Planned(held=True))
    answer = site.ask()
    assert (answer.status, answer.counted.flags) == (504, "UT")
    blue.wait_for_abandoned()
    assert site.ask().backend == "blue"


def test_an_answer_in_time_passes(serve: Serve) -> None:
    """A timeout touches nobody who keeps it (HTTPRouteTimeoutRequest)."""
    assert serve(limited("{request: 5s, backendRequest: 5s}")).ask().backend == "blue"


@pytest.mark.parametrize("timeouts", ["{request: 0s}", "{backendRequest: 0s}", "{request: 0s, backendRequest: 0s}"])
def test_zero_disables(serve: Serve, blue: Echo, timeouts: str) -> None:
    """"0s" is no limit: such a request outlives one that a limit ended (HTTPRouteTimeouts)."""
    site = serve(limited(timeouts) + limited("{request: 100ms}", "/limited"))
    held = Planned(held=True)
    blue.plan(held, Planned(held=True))
    unlimited = site.begin("/")
    blue.wait_for(1)
    assert site.begin("/limited").answer().status == 504
    held.release()
    assert unlimited.answer().backend == "blue"


def test_zero_lifts_only_its_own_limit(serve: Serve, blue: Echo) -> None:
    """request "0s" leaves backendRequest in force (HTTPRouteTimeouts)."""
    blue.plan(Planned(held=True))
    assert serve(limited("{request: 0s, backendRequest: 100ms}")).ask().status == 504


def test_no_timeout_by_default(serve: Serve, blue: Echo) -> None:
    """A rule without timeouts waits as long as its client (HTTPRouteTimeouts: implementation-specific without)."""
    site = serve("- matches: [{path: {value: /free}}]\n  backendRefs: [{name: blue, port: 80}]\n" + limited("{request: 100ms}"))
    held = Planned(held=True)
    blue.plan(held, Planned(held=True))
    free = site.begin("/free")
    blue.wait_for(1)
    assert site.begin("/").answer().status == 504
    held.release()
    assert free.answer().status == 200


def test_the_request_timeout_covers_connecting(serve: Serve, scripted: type[Scripted]) -> None:
    """The time of a request begins with its head, so a backend that accepts and says nothing is covered too (GEP-1742)."""

    def silent(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.read_head()

    answer = serve(limited("{request: 100ms}", backend="silent"), service("silent", scripted(silent).port)).ask()
    assert (answer.status, answer.counted.flags) == (504, "UT")


def test_the_request_timeout_covers_the_whole_response(serve: Serve, scripted: type[Scripted]) -> None:
    """A response that stands still when the time is over is cut, visibly: it must not look complete (HTTPRouteTimeouts.request)."""

    def stalls(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        conversation.read_head()

    site = serve(limited("{request: 200ms}", backend="stalls"), service("stalls", scripted(stalls).port))
    flight = site.begin()
    with pytest.raises(CUT):
        flight.answer()
    [line] = site.log.wait_for(1)
    assert (line["status"], line["flags"]) == (200, "UT")


def test_a_waiting_body_is_covered(serve: Serve) -> None:
    """A client that does not send its body is within the request's time as well (HTTPRouteTimeouts.request)."""
    site = serve(limited("{request: 100ms}"))
    with site.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 504 ")
