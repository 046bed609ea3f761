"""Time limits of ListenerPolicy and BackendPolicy (design.md section 4; what else they set is tested with what it changes)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.wire.backends import Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.serving import service

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"


def timeouts(fields: str) -> str:
    spec = f"{{targetRefs: [{{name: web}}], reasonHeader: true, timeouts: {fields}}}"
    return f"{{kind: ListenerPolicy, metadata: {{name: reasons}}, spec: {spec}}}"


def test_a_head_must_arrive_in_time(serve: Serve) -> None:
    """A request head that does not end in time is answered 408, and the connection closed (ListenerPolicy.timeouts.header)."""
    site = serve(TO_BLUE, timeouts("{header: 100ms}"))
    with site.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        received = b""
        while data := connection.recv(65_536):
            received += data
    assert received.startswith(b"HTTP/1.1 408 ")
    assert site.log.wait_for(1)[0]["reason"] == "request head did not arrive in time"


def test_a_connection_that_says_nothing_is_closed(serve: Serve) -> None:
    """A new connection without a byte is closed after the same time, without an answer to nothing (ListenerPolicy.timeouts.header)."""
    with serve(TO_BLUE, timeouts("{header: 100ms}")).connect() as connection:
        assert connection.recv(1) == b""


def test_an_idle_connection_is_closed(serve: Serve) -> None:
    """A kept-alive connection without a next request is closed when its time is over (ListenerPolicy.timeouts.idle)."""
    flight = serve(TO_BLUE, timeouts("{idle: 100ms}")).begin()
    assert flight.answer().status == 200
    assert flight.connection.is_closed()


def test_idle_time_does_not_run_during_an_exchange(serve: Serve, blue: Echo) -> None:
    """A connection whose answer takes longer than the idle time is not idle (ListenerPolicy.timeouts.idle)."""
    site = serve(TO_BLUE, timeouts("{idle: 100ms}"))
    held = Planned(held=True)
    blue.plan(held)
    flight = site.begin()
    blue.wait_for(1)
    clock = site.begin("/clock")
    clock.answer()
    assert clock.connection.is_closed()
    held.release()
    assert flight.answer().status == 200


@pytest.fixture
def unreachable() -> Iterator[int]:
    """A port whose queue of connections is full, so that the next connection does not come about."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listening.getsockname()[1]
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port


def test_a_connect_must_come_about_in_time(serve: Serve, unreachable: int) -> None:
    """A backend that does not accept in time is 503 with the flag UF (BackendPolicy.connectTimeout)."""
    policy = "kind: BackendPolicy\nmetadata: {name: fast}\nspec: {targetRefs: [{name: full}], connectTimeout: 100ms}"
    answer = serve("- backendRefs: [{name: full, port: 80}]", service("full", unreachable), policy).ask()
    assert (answer.status, answer.counted.flags) == (503, "UF")
    assert "within 0.1 s" in (answer.reason or "")


def test_a_connect_that_takes_too_long_is_tried_elsewhere(serve: Serve, blue: Echo, unreachable: int) -> None:
    """Too slow a connect counts as none, and the next endpoint is asked (BackendPolicy.connectTimeout, issue 3)."""
    policy = "kind: BackendPolicy\nmetadata: {name: fast}\nspec: {targetRefs: [{name: full}], connectTimeout: 100ms}"
    site = serve("- backendRefs: [{name: full, port: 80}]", service("full", unreachable, blue.port), policy)
    assert {site.ask().backend for _ in range(2)} == {"blue"}


def test_the_policy_of_a_port_holds_there_alone(serve: Serve, unreachable: int) -> None:
    """A BackendPolicy with sectionName holds for that port of the Service (BackendPolicy.targetRefs.sectionName)."""
    policies = """
kind: BackendPolicy
metadata: {name: whole}
spec: {targetRefs: [{name: full}], connectTimeout: 1h}
---
kind: BackendPolicy
metadata: {name: one}
spec: {targetRefs: [{name: full, sectionName: http}], connectTimeout: 100ms}
"""
    flight = serve("- backendRefs: [{name: full, port: 80}]", service("full", unreachable), policies).begin()
    assert flight.answer().status == 503
