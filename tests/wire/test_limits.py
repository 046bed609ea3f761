"""Limits of connections: of a port, of a client, and of requests on one (ListenerPolicy.limits). They hold from accept on."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from gateway.proxy.clients import network_of
from tests.certificates import Authority
from tests.wire.backends import LIMIT
from tests.wire.conftest import Serve
from tests.wire.peers import Wire, get, post
from tests.wire.secure import careless, gateway, https
from tests.wire.serving import Site, certificate

ROUTE = "- backendRefs: [{name: blue, port: 80}]"
HTTP = {"name": "http", "port": 80, "protocol": "HTTP"}

Limited = Callable[..., Site]
Open = Callable[[Site], Wire]


@pytest.fixture(scope="module")
def secret() -> str:
    return certificate("example", Authority().issue("example.com"))


@pytest.fixture
def limited(serve: Serve, secret: str) -> Limited:
    """Makes a gateway with a plain and a TLS listener, and these limits on both."""

    def make(limits: str, more: str = "") -> Site:
        return serve(gateway(HTTP, https("https", "example")), secret, ROUTE, policy(limits, more))

    return make


@pytest.fixture(params=["plain", "TLS"])
def number(request: pytest.FixtureRequest) -> int:
    """The port of the plain or of the TLS listener."""
    return 80 if request.param == "plain" else 443


def policy(limits: str, more: str = "", listener: str = "") -> str:
    target = f"{{name: web, sectionName: {listener}}}" if listener else "{name: web}"
    return f"kind: ListenerPolicy\nmetadata: {{name: {listener or 'reasons'}}}\nspec: {{targetRefs: [{target}], limits: {limits}{more}}}"


def opened(site: Site, number: int) -> Wire:
    """A connection that serves."""
    wire = Wire(site) if number == 80 else Wire(site, 443, tls=careless(), server_name="example.com")
    assert wire.ask(get()).status == 200
    return wire


def is_refused(site: Site, number: int, source: str = "127.0.0.1") -> bool:
    """Whether a connection is closed without a word."""
    with socket.create_connection(site.address(number), LIMIT, (source, 0)) as connection:
        try:
            if number == 443:
                with careless().wrap_socket(connection, server_hostname="example.com"):
                    return False
            connection.sendall(get(b"Connection: close"))
            return connection.recv(65_536) == b""
        except (ConnectionError, ssl.SSLError):
            return True


def refused(site: Site) -> dict[str, float]:
    """How many connections were closed at accept, by reason."""
    samples = site.statistics().counters
    return {dict(sample.labels)["reason"]: sample.value for sample in samples if sample.name == "tidegate_connections_refused_total"}


def connections(site: Site) -> int:
    """Of all ports, as they are counted."""
    return site._thread.call(lambda: site.runtime._core.clients.connections)


def wait_for(site: Site, count: int) -> None:
    """Until the proxy has so many connections."""
    while connections(site) != count:
        pass


# connections of a port


def test_a_port_has_its_number_of_connections(limited: Limited, number: int) -> None:
    """One more is closed at once, the others go on, and a place that becomes free is given again."""
    site = limited("{connections: 3}")
    with ExitStack() as held:
        wires = [held.enter_context(opened(site, number)) for _ in range(3)]
        assert is_refused(site, number)
        assert [wire.ask(get()).status for wire in wires] == [200] * 3
        wires[0].socket.close()
        wait_for(site, 2)
        assert not is_refused(site, number)
    assert refused(site) == {"connections of the port": 1}


def test_each_port_counts_by_itself(limited: Limited) -> None:
    """What is full is the port, not the gateway."""
    site = limited("{connections: 1}")
    with opened(site, 80), opened(site, 443):
        assert is_refused(site, 80)
        assert is_refused(site, 443)


def test_the_most_generous_listener_of_a_port_sets_its_limit(serve: Serve) -> None:
    """Who connects has not said yet which host it wants."""
    two = [HTTP, {"name": "other", "port": 80, "protocol": "HTTP", "hostname": "other.example"}]
    site = serve(gateway(*two), ROUTE, policy("{connections: 1}", listener="http"), policy("{connections: 2}", listener="other"))
    with opened(site, 80), opened(site, 80):
        assert is_refused(site, 80)


def test_a_handshake_under_way_has_its_place(limited: Limited) -> None:
    """Counted at accept: who only connects takes a place on a TLS port too, until its handshake fails."""
    site = limited("{connections: 2}", ", timeouts: {header: 300ms}")
    with Wire(site, 443), Wire(site, 443):
        wait_for(site, 2)
        assert is_refused(site, 443)
        wait_for(site, 0)
    assert not is_refused(site, 443)
    wait_for(site, 0)


def test_a_new_limit_holds_for_new_connections(limited: Limited, secret: str, number: int) -> None:
    """Those that are there stay."""
    site = limited("{connections: 3}")
    with opened(site, number) as first, opened(site, number) as second:
        site.change(gateway(HTTP, https("https", "example")), secret, ROUTE, policy("{connections: 1}"))
        assert is_refused(site, number)
        assert (first.ask(get()).status, second.ask(get()).status) == (200, 200)


def test_a_worker_keeps_descriptors_for_its_backends(limited: Limited, number: int) -> None:
    """Without any limit of a policy, that of its descriptors holds over all ports."""
    site = limited("{}")
    with opened(site, 80), opened(site, 443):
        site._thread.call(lambda: setattr(site.runtime._core.clients, "most", 2))
        assert is_refused(site, number)
    wait_for(site, 0)
    assert not is_refused(site, number)
    assert refused(site) == {"connections of the worker": 1}


# connections of a client


def test_a_client_has_its_number_of_connections(limited: Limited, number: int) -> None:
    """Others are not touched by it, and it gets its places back."""
    site = limited("{connectionsPerClient: 2}")
    with opened(site, number) as first, opened(site, number):
        assert is_refused(site, number)
        assert not is_refused(site, number, "127.0.0.2")
        assert first.ask(get()).status == 200
    wait_for(site, 0)
    assert not is_refused(site, number)
    assert refused(site) == {"connections of the client": 1}


def test_a_clients_handshakes_are_its_connections(limited: Limited) -> None:
    """Many that never get further are what the limit is for."""
    site = limited("{connectionsPerClient: 2}", ", timeouts: {header: 300ms}")
    with Wire(site, 443), Wire(site, 443):
        wait_for(site, 2)
        assert is_refused(site, 443)
        assert not is_refused(site, 443, "127.0.0.2")
        wait_for(site, 0)
    assert not is_refused(site, 443)


def test_proxies_in_front_are_no_clients(limited: Limited, number: int) -> None:
    """Who is trusted to name the clients (trustedAddresses) stands for many of them."""
    site = limited("{connectionsPerClient: 1}", ", trustedAddresses: [127.0.0.2]")
    with opened(site, number):
        assert is_refused(site, number)
        with socket.create_connection(site.address(number), LIMIT, ("127.0.0.2", 0)):
            wait_for(site, 2)
            assert not is_refused(site, number, "127.0.0.2")


def test_a_change_of_the_limit_keeps_count(limited: Limited, secret: str, number: int) -> None:
    """Connections are counted while there is a limit; those from before it are not, and none is counted twice or left over."""
    site = limited("{}")
    with opened(site, number):
        site.change(gateway(HTTP, https("https", "example")), secret, ROUTE, policy("{connectionsPerClient: 1}"))
        with opened(site, number):
            assert is_refused(site, number)
            site.change(gateway(HTTP, https("https", "example")), secret, ROUTE, policy("{}"))
            assert not is_refused(site, number)
    wait_for(site, 0)
    assert site._thread.call(lambda: [port.seats for port in site.runtime._live.ports.values()]) == [{}, {}]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"192.0.2.1", b"192.0.2.1", True),
        (b"192.0.2.1", b"192.0.2.2", False),
        (b"2001:db8::1", b"2001:db8::ffff:1", True),
        (b"2001:db8:0:1::1", b"2001:db8:0:2::1", False),
    ],
)
def test_what_counts_as_one_client(one: bytes, other: bytes, same: bool) -> None:
    """An IPv4 address; of IPv6 the /64, since whoever has one address has them all."""
    assert (network_of(one) == network_of(other)) == same


# requests of a connection


def test_a_connection_ends_after_its_number_of_requests(limited: Limited, number: int) -> None:
    """The last response says so (RFC 9112 9.6), and the next connection begins anew."""
    site = limited("{requestsPerConnection: 3}")
    for _ in range(2):
        with opened(site, number) as wire:
            assert wire.ask(get()).value("connection") is None
            assert wire.ask(get()).value("connection") == "close"
            assert wire.is_ended()


def test_pipelined_requests_count_one_by_one(limited: Limited) -> None:
    """What stands behind the last one that is served was not promised an answer (RFC 9112 9.3.2)."""
    site = limited("{requestsPerConnection: 2}")
    with Wire(site) as wire:
        wire.send(get() + post(b"Content-Length: 2", body=b"ab") + get())
        assert [wire.response().value("connection") for _ in range(2)] == [None, "close"]
        assert wire.is_ended()
