"""Changes while requests are under way (issue 3, Changes while running; design.md 4 and 6.8)."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from textwrap import indent
from threading import Event

import pytest

from tests.certificates import Authority
from tests.wire.backends import LIMIT, Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.flights import Connection
from tests.wire.serving import Site, certificate, service


def versioned(version: str, backend: str = "blue") -> str:
    """A rule that writes its version on requests and on responses."""
    return f"""
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {{set: [{{name: version, value: "{version}"}}]}}
  - type: ResponseHeaderModifier
    responseHeaderModifier: {{set: [{{name: version, value: "{version}"}}]}}
  backendRefs: [{{name: {backend}, port: 80}}]
"""


def test_a_change_holds_for_the_next_request(serve: Serve) -> None:
    """A request that begins after the change is served by it, also on a connection that was there before."""
    site = serve(versioned("old"))
    flight = site.begin()
    assert flight.answer().headers["version"] == "old"
    site.change(versioned("new", "green"))
    answer = flight.ask().answer()
    assert (answer.headers["version"], answer.request.value("version"), answer.backend) == ("new", "new", "green")


def test_an_exchange_finishes_on_the_resources_it_began_with(serve: Serve, blue: Echo) -> None:
    """A request under way keeps its rule, filters and backend, whatever is changed or removed meanwhile."""
    site = serve(versioned("old"))
    held = Planned(held=True)
    blue.plan(held)
    flight = site.begin()
    blue.wait_for(1)
    site.change(versioned("new", "green"))
    assert site.ask().headers["version"] == "new"
    site.change()
    assert site.ask().status == 404
    held.release()
    answer = flight.answer()
    assert (answer.status, answer.backend, answer.headers["version"]) == (200, "blue", "old")
    assert flight.ask().answer().status == 404


def test_an_exchange_outlives_its_endpoint(serve: Serve, blue: Echo) -> None:
    """An endpoint that is taken out of its slice finishes what it has begun."""
    text = "- backendRefs: [{name: shop, port: 80}]"
    site = serve(text, service("shop", blue.port))
    held = Planned(held=True)
    blue.plan(held)
    flight = site.begin()
    blue.wait_for(1)
    site.change(text, service("shop"))
    assert site.ask().status == 503
    held.release()
    assert flight.answer().backend == "blue"


def test_an_exchange_outlives_its_listener(serve: Serve, blue: Echo) -> None:
    """A listener that goes finishes what it has begun, says so, and takes no new connection."""
    two = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners: [{name: one, port: 80, protocol: HTTP}, {name: two, port: 8080, protocol: HTTP}]
"""
    one = two.replace(", {name: two, port: 8080, protocol: HTTP}", "")
    rule = "- backendRefs: [{name: blue, port: 80}]"
    site = serve(two, rule)
    held = Planned(held=True)
    blue.plan(held)
    flight, idle = site.begin(port=8080), site.begin(port=80)
    blue.wait_for(2)
    idle.answer()
    site.change(one, rule)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(site.address(8080), timeout=LIMIT)
    held.release()
    answer = flight.answer()
    assert (answer.backend, answer.headers["connection"]) == ("blue", "close")
    assert flight.connection.is_closed()
    assert idle.ask().answer().backend == "blue"
    site.change(two, rule)
    assert site.ask(port=8080).backend == "blue"


def test_a_port_may_change_its_protocol(serve: Serve, blue: Echo) -> None:
    """A port that turns from HTTP to HTTPS finishes what it has begun, and speaks TLS from then on; and back (Gateway.spec.listeners)."""
    authority = Authority()
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(cadata=authority.certificate)
    rule = "- backendRefs: [{name: blue, port: 80}]"
    secure = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners: [{name: http, port: 80, protocol: HTTPS, tls: {certificateRefs: [{name: server}]}}]
"""
    site = serve(rule)
    held = Planned(held=True)
    blue.plan(held)
    flight = site.begin()
    blue.wait_for(1)
    site.change(rule, secure, certificate("server", authority.issue("example.com")))
    assert site.ask(tls=trust).backend == "blue"
    held.release()
    assert flight.answer().headers["connection"] == "close"
    site.forget_connections()
    site.change(rule)
    assert site.ask().backend == "blue"


def test_a_connection_sees_new_listener_options(serve: Serve) -> None:
    """Options of a listener hold for the next request of a connection that is open (ListenerPolicy)."""
    policy = """
kind: ListenerPolicy
metadata: {name: reasons}
spec: {targetRefs: [{name: web}], reasonHeader: false}
"""
    site = serve()
    flight = site.begin()
    assert flight.answer().reason == "no route matches"
    site.change(policy)
    assert flight.ask().answer().reason is None


def test_a_bad_change_harms_only_what_it_touches(serve: Serve) -> None:
    """A rule whose reference breaks answers 500, its neighbour goes on (issue 3: invalid changes harm only what they touch)."""
    good = "- matches: [{path: {value: /good}}]\n  backendRefs: [{name: blue, port: 80}]\n"
    site = serve(good + "- backendRefs: [{name: green, port: 80}]")
    assert site.ask("/").backend == "green"
    site.change(good + "- backendRefs: [{name: nowhere, port: 80}]")
    assert (site.ask("/").status, site.ask("/good").backend) == (500, "blue")
    site.change(good + "- backendRefs: [{name: green, port: 80}]")
    assert site.ask("/").backend == "green"


class Clients:
    """Keep-alive clients that ask as fast as they can, each on its own connection, and keep the versions they saw."""

    def __init__(self, site: Site, count: int) -> None:
        self._pool = ThreadPoolExecutor(count)
        self._stop = Event()
        self._running = [self._pool.submit(self._ask, site.address()) for _ in range(count)]

    def _ask(self, address: tuple[str, int]) -> list[tuple[int, str]]:
        seen = []
        connection = Connection(address)
        try:
            while not self._stop.is_set():
                connection.send("GET", "/", [("Host", "example.com")])
                status, fields, _ = connection.response()
                seen.append((status, dict(fields)["version"]))
        finally:
            connection.close()
        return seen

    def stop(self) -> list[list[tuple[int, str]]]:
        """What each client saw, in order. Raises what a client met."""
        self._stop.set()
        seen = [running.result(LIMIT) for running in self._running]
        self._pool.shutdown()
        return seen


@pytest.mark.slow
def test_edits_under_load_show_only_old_or_new(serve: Serve, blue: Echo, green: Echo) -> None:
    """While a route is edited again and again, clients on kept-alive connections see only whole versions, never going back, and no
    error (issue 3, done when 3)."""
    site = serve(versioned("0"))
    clients = Clients(site, 4)
    for edit in range(1, 51):
        site.change(versioned(str(edit), "blue" if edit % 2 else "green"))
        flight = site.begin()
        assert dict(flight.connection.response()[1])["version"] == str(edit)
        flight.connection.close()
    seen = clients.stop()
    assert all(seen)
    for versions in seen:
        assert {status for status, _ in versions} == {200}
        numbers = [int(version) for _, version in versions]
        assert numbers == sorted(numbers)
    for echo in (blue, green):
        assert all(int(request.value("version") or 0) % 2 == (echo is blue) or request.value("version") == "0" for request in echo.requests)


def test_routes_that_come_one_by_one(serve: Serve) -> None:
    """On a kept-alive connection a route that is added is 404 before and 200 from then on (issue 3, done when 3)."""
    rule = "- matches: [{{path: {{value: /r{0}}}}}]\n  backendRefs: [{{name: blue, port: 80}}]\n"
    site = serve()
    texts: list[str] = []
    for number in range(10):
        assert site.ask(f"/r{number}").status == 404
        rules = indent(rule.format(number), "  ")
        texts.append(f"kind: HTTPRoute\nmetadata: {{name: r{number}}}\nspec:\n  rules:\n{rules}")
        site.change("\n---\n".join(texts))
        assert site.ask(f"/r{number}").status == 200
    assert {site.ask(f"/r{number}").status for number in range(10)} == {200}
