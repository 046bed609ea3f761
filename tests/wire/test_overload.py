"""Overload as clients see it: a gateway whose monitor says what the test says climbs the ladder, and comes down again."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from types import SimpleNamespace

import pytest
from hyperframe.frame import GoAwayFrame, HeadersFrame

from gateway.overload import Stage
from gateway.proxy.open_port import OpenPort
from tests.certificates import Authority
from tests.wire.backends import LIMIT, Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.http2_frames import LARGE, FrameEnd
from tests.wire.peers import Wire, get, post
from tests.wire.secure import careless, gateway, https
from tests.wire.serving import Site, certificate

ROUTE = "- backendRefs: [{name: blue, port: 80}]"
HTTP = {"name": "http", "port": 80, "protocol": "HTTP"}

Connect = Callable[[], Wire]


@pytest.fixture(scope="module")
def secret() -> str:
    return certificate("example", Authority().issue("example.com"))


@pytest.fixture
def site(serve: Serve, secret: str) -> Site:
    """A gateway with a plain and a TLS listener, with nothing in use."""
    site = serve(gateway(HTTP, https("https", "example")), secret, ROUTE)
    press(site)
    return site


@pytest.fixture(params=["plain", "TLS"])
def connect(request: pytest.FixtureRequest, site: Site) -> Connect:
    """Makes a connection to the plain or to the TLS listener."""
    if request.param == "plain":
        return lambda: Wire(site)
    return lambda: Wire(site, 443, tls=careless(), server_name="example.com")


def press(site: Site, memory: float = 0.0, descriptors: float = 0.0) -> Stage:
    """Has the gateway read these shares, now and from now on."""

    def read() -> Stage:
        overload = site.runtime._overload
        overload._monitor = SimpleNamespace(memory=lambda: memory, descriptors=lambda: descriptors)
        overload._next = 0.0
        overload.tick(monotonic(), 0.0)
        return overload.stage

    return site._thread.call(read)


def shed(site: Site) -> dict[str, float]:
    samples = site.statistics().counters
    return {dict(sample.labels)["reason"]: sample.value for sample in samples if sample.name == "tidegate_requests_shed_total"}


def test_idle_connections_make_way(site: Site, connect: Connect) -> None:
    """From 85 % on: those that are idle are closed, one that never asked anything too, and exchanges go on."""
    with connect() as idle, connect() as silent, connect() as later:
        assert idle.ask(get()).status == 200
        assert press(site, memory=0.86) == Stage.SHORT_IDLE
        response = later.ask(get())
        assert (response.status, response.value("connection")) == (200, None)
        assert idle.is_ended()
        assert silent.is_ended()
        assert later.is_ended()  # idle by now, and no connection may be for long
        press(site)
        with connect() as after:
            assert after.ask(get()).status == 200
            assert site._thread.call(lambda: {port.idle_timeout for port in site.runtime._live.ports.values()}) == {60.0}


def test_idle_connections_to_backends_are_let_go(site: Site, blue: Echo) -> None:
    """They hold descriptors as well, and are soon made anew."""

    def idle() -> int:
        runtime = site.runtime
        return sum(len(endpoint.plain.idle) for backend in runtime._live.described.values() for endpoint in backend.endpoints.values())

    def age() -> None:
        site.runtime._aged = 0.0
        site.runtime._tick_handle.cancel()
        site.runtime._tick()

    with Wire(site) as wire:
        assert wire.ask(get()).status == 200
        site._thread.call(age)
        assert site._thread.call(idle) == 1
        press(site, descriptors=0.86)
        site._thread.call(age)
        assert site._thread.call(idle) == 0
    press(site)
    with Wire(site) as wire:
        assert wire.ask(get()).status == 200


def test_exchanges_under_way_are_finished(site: Site, blue: Echo) -> None:
    """Whatever the stage: what was admitted is served."""
    held = Planned(body=b"late", held=True)
    blue.plan(held)
    with Wire(site) as wire:
        wire.send(get())
        blue.wait_for(1)
        press(site, memory=1.5)
        held.release()
        response = wire.response()
        assert (response.status, response.body) == (200, b"late")
        press(site)


def test_keep_alive_ends(site: Site, connect: Connect) -> None:
    """From 92 % on every response says that it ends its connection (RFC 9112 9.6), until it is over."""
    head, end = get()[:-2], get()[-2:]
    with connect() as before:
        assert before.ask(get()).value("connection") is None
        before.send(head)
        before.turn()  # from here on it is not idle: idle ones are closed
        assert press(site, memory=0.93) == Stage.NO_KEEP_ALIVE
        assert before.ask(end).value("connection") == "close"
        assert before.is_ended()
    assert press(site) == Stage.NORMAL
    with connect() as after:
        assert after.ask(get()).value("connection") is None


def test_requests_are_shed(site: Site, connect: Connect) -> None:
    """From 95 % on new requests get 503 with Retry-After (RFC 9110 15.6.4, 10.2.3), the log says OM and what ran short."""
    with connect() as wire:
        press(site, descriptors=0.96)
        response = wire.ask(get())
        assert (response.status, response.value("retry-after"), response.value("connection")) == (503, "1", "close")
        assert wire.is_ended()
    line = site.log.wait_for(1)[0]
    assert (line["status"], line["flags"], line["reason"]) == (503, "OM", "overloaded: file descriptors")
    assert (line["gateway"], line["backend"], line["path"]) == ("default/web", None, "/")
    assert shed(site) == {"file descriptors": 1}
    press(site)
    with connect() as wire:
        assert wire.ask(get()).status == 200


def test_a_request_with_a_body_is_shed_too(site: Site) -> None:
    """Its client sees the answer although it is still sending."""
    press(site, memory=0.96)
    with Wire(site) as wire:
        wire.send(post(b"Content-Length: 1000000", body=bytes(500_000)))
        assert wire.response().status == 503
        wire.send(bytes(500_000))
        assert wire.is_ended()


def test_malformed_requests_are_refused_as_ever(site: Site) -> None:
    """Overload makes nothing acceptable, and hides nothing."""
    press(site, memory=0.96)
    for data, status in ((get(host=b"a b"), 400), (b"GET /\r\n\r\n", 400), (b"GET / HTTP/1.0\r\n\r\n", 503)):
        with Wire(site) as wire:
            assert wire.ask(data).status == status


def test_reasons_are_told_where_the_listener_allows_it(site: Site, serve: Serve) -> None:
    """x-tidegate-reason, as for every answer of the proxy itself."""
    press(site, memory=0.96)
    with Wire(site) as wire:
        assert wire.ask(get()).value("x-tidegate-reason") == "overloaded: memory"


@pytest.mark.parametrize("number", [80, 443], ids=["plain", "TLS"])
def test_new_connections_wait(site: Site, number: int) -> None:
    """From 98 % on nothing is accepted: who comes waits in the system's queue, and is served when it is over."""
    press(site, memory=0.99)
    with ThreadPoolExecutor(1) as waiting, socket.create_connection(site.address(number), LIMIT) as connection:

        def ask() -> bytes:
            if number == 80:
                connection.sendall(get(b"Connection: close"))
                return connection.recv(65_536)
            with careless().wrap_socket(connection, server_hostname="example.com") as secured:
                secured.sendall(get(b"Connection: close"))
                return secured.recv(65_536)

        answer = waiting.submit(ask)
        for _ in range(3):
            press(site, memory=0.99)
        assert not site._thread.call(lambda: [port.connections for port in site.runtime._live.ports.values() if port.connections])
        assert not answer.done()
        press(site)
        assert answer.result(LIMIT).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_port_opened_under_pressure_waits_too(site: Site, secret: str) -> None:
    """A change of the configuration is taken in whatever the stage."""
    press(site, memory=0.99)
    other = {"name": "other", "port": 8080, "protocol": "HTTP"}
    site.change(gateway(HTTP, https("https", "example"), other), secret, ROUTE)
    press(site, memory=0.99)
    with Wire(site, 8080) as wire:
        wire.send(get())
        press(site)
        assert wire.response().status == 200


def test_a_listener_whose_server_has_ended_listens_again(site: Site) -> None:
    """As after a failure to accept for want of memory, which ends uvloop's server; who has connected meanwhile is served."""

    def end() -> None:
        for opened in site.runtime._open.values():
            if isinstance(opened, OpenPort) and opened._server is not None:
                opened._server.close()

    site._thread.call(end)
    with Wire(site) as wire:
        wire.send(get())
        assert wire.response().status == 200


def test_draining_under_pressure_ends(site: Site) -> None:
    """The end of the process does not wait for the end of the overload; who waits in the queue gets its answer."""
    press(site, memory=0.99)
    with Wire(site) as waiting:
        waiting.send(get())
        with ThreadPoolExecutor(1) as draining:
            drained = draining.submit(site.drain)
            assert waiting.response().status == 503
            waiting.socket.close()
            drained.result(LIMIT)


def test_clients_of_http2_are_shed_and_told_to_go(site: Site) -> None:
    """The same on a stream, with GOAWAY in place of Connection: close (RFC 9113 6.8)."""
    press(site, memory=0.96)
    with FrameEnd.client(site.connect()) as end:
        end.send(end.request(1), end.request(3, method="POST", ends=False))
        heads = [end.fields(end.until(HeadersFrame)) for _ in range(2)]
        assert [(head[":status"], head["retry-after"]) for head in heads] == [("503", "1")] * 2
        end.ping()
        assert [frame.last_stream_id for frame in end.seen if isinstance(frame, GoAwayFrame)] == [LARGE]
    assert shed(site) == {"memory": 2}
