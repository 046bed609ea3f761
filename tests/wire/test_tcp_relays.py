"""Listeners of protocol TCP: a connection is passed on, byte for byte, to a backend of its TCPRoute."""

from __future__ import annotations

import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from gateway.ir.backend import BackendTls, Balancing, Limits
from gateway.ir.listener import TrustBundle
from gateway.ir.value import Source
from gateway.proxy.restraint import Restraint
from tests.certificates import Authority
from tests.wire.backends import LIMIT, Conversation, Scripted, closed_port
from tests.wire.streaming import (
    StreamSite,
    backend,
    echo,
    is_over,
    is_reset,
    listener,
    options,
    read_all,
    read_exactly,
    reset,
    serving,
    tcp_rule,
)

MakeScripted = Callable[..., Scripted]


def test_bytes_pass_both_ways_and_each_end_of_a_side_is_passed_on(scripted: MakeScripted) -> None:
    """TCPRoute.spec.rules.backendRefs; RFC 9293 3.6: a client that has ended its side still gets what the backend sends."""
    server = scripted(echo(b"hello "))
    with StreamSite(listener("db", 5432), backend("db", server.port), tcp_rule("db", "db")) as site:
        with site.connect(5432) as client:
            assert read_exactly(client, 6) == b"hello "
            client.sendall(b"select")
            assert read_exactly(client, 6) == b"select"
            client.sendall(b" more")
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b" more"
        [line] = site.log.wait_for(1)
        assert (line["protocol"], line["flags"], line["bytes_received"], line["bytes_sent"]) == ("TCP", "-", 11, 17)
        assert (line["gateway"], line["listener"], line["route"], line["rule"]) == ("default/web", "db", "TCPRoute/default/route", "0")
        assert (line["backend"], line["endpoint"], line["client"]) == ("default/db:80", f"127.0.0.1:{server.port}", "127.0.0.1")
        series = site.streams("db")["-"]
        assert (series.opened, series.closed, series.received_bytes, series.sent_bytes) == (1, 1, 11, 17)


def test_what_a_client_sends_before_the_backend_is_there_arrives(scripted: MakeScripted) -> None:
    """A client speaks first, and may have ended its side before the backend is connected."""
    server = scripted(echo())
    data = os.urandom(300_000)
    with StreamSite(listener("db", 5432), backend("db", server.port), tcp_rule("db", "db")) as site, site.connect(5432) as client:

        def send() -> None:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        sending = Thread(target=send)
        sending.start()
        assert read_all(client) == data
        sending.join(LIMIT)


def test_a_backend_that_ends_first_leaves_the_client_its_side(scripted: MakeScripted) -> None:
    """RFC 9293 3.6, the other way round."""
    received: list[bytes] = []

    def script(conversation: Conversation) -> None:
        conversation.send(b"bye")
        conversation.connection.shutdown(socket.SHUT_WR)
        received.append(read_all(conversation.connection))

    server = scripted(script)
    with StreamSite(listener("db", 5432), backend("db", server.port), tcp_rule("db", "db")) as site, site.connect(5432) as client:
        assert read_all(client) == b"bye"
        client.sendall(b"thanks")
        client.shutdown(socket.SHUT_WR)
        site.log.wait_for(1)
        assert received == [b"thanks"]


def test_a_slow_reader_stops_the_other_side(scripted: MakeScripted) -> None:
    """Buffers are bounded: a sender whose peer does not read is blocked, and nothing is lost once it reads."""
    sent, stopped = [0], Event()
    size = 64 << 20

    def script(conversation: Conversation) -> None:
        conversation.connection.settimeout(1.0)
        piece = b"x" * 65_536
        while sent[0] < size:
            try:
                sent[0] += conversation.connection.send(piece[: size - sent[0]])
            except TimeoutError:
                stopped.set()
                conversation.connection.settimeout(LIMIT)

    server = scripted(script)
    with StreamSite(listener("db", 5432), backend("db", server.port), tcp_rule("db", "db")) as site, site.connect(5432) as client:
        assert stopped.wait(LIMIT)
        assert sent[0] < size / 2
        received = 0
        while received < size:
            received += len(client.recv(1 << 20))
        assert client.recv(1) == b""


def test_resets_are_passed_on(scripted: MakeScripted) -> None:
    """A peer that breaks the connection is not made to look as if it had ended in order."""
    broken = Event()

    def waiting(conversation: Conversation) -> None:
        conversation.send(b"!")
        try:
            conversation.connection.recv(1)
        except ConnectionResetError:
            broken.set()

    def breaking(conversation: Conversation) -> None:
        conversation.connection.recv(1)
        conversation.reset()

    server = scripted(breaking, waiting)
    with StreamSite(listener("db", 5432), backend("db", server.port), tcp_rule("db", "db")) as site:
        assert site.refuses(5432, b"?")
        client = site.connect(5432)
        read_exactly(client, 1)
        reset(client)
        assert broken.wait(LIMIT)
        assert [line["flags"] for line in site.log.wait_for(2)] == ["UC", "DC"]


def test_weights_choose_the_backend_of_each_connection(scripted: MakeScripted) -> None:
    """BackendRef.weight: of 200 connections about three quarters go to the one with weight 3, none to that with 0."""
    servers = [scripted(echo(name)) for name in (b"a", b"b", b"c")]
    backends = [backend(name, server.port) for name, server in zip("abc", servers, strict=True)]
    with StreamSite(listener("db", 5432), *backends, tcp_rule("db", (("a", 3), ("b", 1), ("c", 0)))) as site:
        site.run(lambda: site.runtime._core.random.seed(1))
        found: Counter[bytes] = Counter()
        for _ in range(200):
            with site.connect(5432) as client:
                found[client.recv(1)] += 1
        assert 130 < found[b"a"] < 170
        assert found[b"a"] + found[b"b"] == 200


def test_balancing_by_client_address_keeps_a_client_at_its_endpoint(scripted: MakeScripted) -> None:
    """BackendPolicy.balancing: a connection has no fields, and its client's address is what it is hashed by."""
    servers = [scripted(echo(name)) for name in (b"a", b"b", b"c")]
    described = backend("db", *[server.port for server in servers], balancing=Balancing("RingHash"))
    with StreamSite(listener("db", 5432), described, tcp_rule("db", "db")) as site:
        site.settle()
        found = set()
        for _ in range(10):
            with site.connect(5432) as client:
                found.add(client.recv(1))
        assert len(found) == 1


def test_another_endpoint_is_tried_when_no_connection_comes_about(scripted: MakeScripted) -> None:
    """Nothing was passed on, so that another try harms nobody; the endpoint that failed is left out from then on."""
    server = scripted(echo(b"!"))
    with StreamSite(listener("db", 5432), backend("db", closed_port(), server.port, closed_port()), tcp_rule("db", "db")) as site:
        for _ in range(6):
            with site.connect(5432) as client:
                assert client.recv(1) == b"!"
        assert all(line["flags"] == "-" for line in site.log.wait_for(6))
        counted = {sample.name: sample.value for sample in site.statistics().gauges if sample.name == "tidegate_endpoints_ejected"}
        assert counted == {"tidegate_endpoints_ejected": 2}


@pytest.mark.parametrize(
    ("case", "flag", "reason"),
    [
        ("no rule", "NR", "no route is attached to this listener"),
        ("no weight", "NC", "no backend with a weight above zero"),
        ("unknown backend", "NC", "backend default/other:80 is not known to the proxy"),
        ("no endpoint", "UH", "backend default/db:80 has no ready endpoint"),
        ("refused", "UF", "no connection to 127.0.0.1"),
    ],
)
def test_without_a_backend_the_connection_is_reset_and_the_log_says_why(case: str, flag: str, reason: str) -> None:
    """Gateway API TCPRoute: a backend that cannot be used rejects the connection."""
    port = closed_port()
    shares = {"no weight": (("db", 0),), "unknown backend": (("other", 1),)}.get(case, (("db", 1),))
    rules = () if case == "no rule" else (tcp_rule("db", shares),)
    ports = () if case == "no endpoint" else (port,)
    with StreamSite(listener("db", 5432), backend("db", *ports), *rules) as site:
        assert site.refuses(5432)
        [line] = site.log.wait_for(1)
        assert line["flags"] == flag
        assert line["reason"].startswith(reason)
        [series] = [series for series in site.statistics().streams if series.flags == flag]
        assert series.closed == 1


def test_the_oldest_rule_of_a_listener_serves(scripted: MakeScripted) -> None:
    """Gateway API: of conflicting routes the oldest by creation time wins, and when it goes the next one serves."""
    old, new = scripted(echo(b"o")), scripted(echo(b"n"))
    rules = (tcp_rule("db", "new", "a-route", "2024-01-02T00:00:00Z"), tcp_rule("db", "old", "b-route", "2024-01-01T00:00:00Z"))
    with StreamSite(listener("db", 5432), backend("old", old.port), backend("new", new.port), *rules) as site:
        with site.connect(5432) as client:
            assert client.recv(1) == b"o"
        site.put(remove=[rules[1].identity])
        with site.connect(5432) as client:
            assert client.recv(1) == b"n"


def test_a_relay_ends_when_nothing_passes_for_the_idle_timeout(scripted: MakeScripted) -> None:
    """ListenerOptions.stream_idle_timeout."""
    server = scripted(echo(b"!"))
    idle = listener("db", 5432, options=options(stream_idle_timeout=200))
    with StreamSite(idle, backend("db", server.port), tcp_rule("db", "db")) as site, site.connect(5432) as client:
        read_exactly(client, 1)
        assert is_reset(client)
        [line] = site.log.wait_for(1)
        assert (line["flags"], line["reason"]) == ("SI", "nothing passed for 0.2 s")


@pytest.mark.parametrize("limit", ["most_connections", "most_connections_per_client"])
def test_connections_beyond_the_limit_are_closed_at_once(scripted: MakeScripted, limit: str) -> None:
    """ListenerOptions.most_connections and most_connections_per_client."""
    server = scripted(echo(b"!"))
    limited = listener("db", 5432, options=options(**{limit: 2}))
    site = StreamSite(limited, backend("db", server.port), tcp_rule("db", "db"))
    with site, site.connect(5432) as first, site.connect(5432) as second, site.connect(5432) as third:
        read_exactly(first, 1)
        read_exactly(second, 1)
        assert is_over(third)
        first.shutdown(socket.SHUT_WR)
        read_all(first)
        site.log.wait_for(1)
        with site.connect(5432) as fourth:
            assert read_exactly(fourth, 1) == b"!"


def test_a_backend_takes_as_many_connections_as_its_limit_and_others_wait_in_line(scripted: MakeScripted) -> None:
    """BackendPolicy.limits.connections and pendingRequests: one waits until a place is free, one more is turned away."""
    server = scripted(echo(b"!"))
    described = backend("db", server.port, limits=Limits(connections=1, pending_requests=1))
    with StreamSite(listener("db", 5432), described, tcp_rule("db", "db")) as site, site.connect(5432) as first:
        read_exactly(first, 1)
        with site.connect(5432) as second:
            site.run(lambda: None)
            assert site.refuses(5432)
            [line] = site.log.wait_for(1)
            assert line["flags"] == "UO"
            first.shutdown(socket.SHUT_WR)
            assert read_exactly(second, 1) == b"!"


def test_a_change_leaves_running_relays_at_their_endpoint(scripted: MakeScripted) -> None:
    """The rule, the backend's endpoints and the listener itself may go: what runs goes on to its end."""
    old, new = scripted(echo(b"o")), scripted(echo(b"n"))
    rule = tcp_rule("db", "old")
    with StreamSite(listener("db", 5432), backend("old", old.port), backend("new", new.port), rule) as site, site.connect(5432) as first:
        assert first.recv(1) == b"o"
        site.put(tcp_rule("db", "new"))
        with site.connect(5432) as second:
            assert second.recv(1) == b"n"
            site.put(remove=[("Listener", "default/web/db"), ("EndpointSet", "default/old:80"), ("Backend", "default/old:80")])
            with pytest.raises(ConnectionRefusedError):
                site.connect(5432)
            for client in (first, second):
                client.sendall(b"still here")
                assert read_exactly(client, 10) == b"still here"


def test_a_drain_waits_for_relays_and_cuts_them_at_its_timeout(scripted: MakeScripted) -> None:
    """--drain-timeout: relays go on while the proxy drains, those of listeners that are gone too, and no longer."""
    server = scripted(echo(b"!"))
    both = (listener("db", 5432), listener("mq", 5672))
    with StreamSite(*both, backend("db", server.port), tcp_rule("db", "db"), tcp_rule("mq", "db", "other")) as site:
        with site.connect(5432) as first, site.connect(5672) as second:
            read_exactly(first, 1)
            read_exactly(second, 1)
            site.put(remove=[("Listener", "default/web/mq")])
            draining = site.begin_drain(timeout=0.3)
            second.sendall(b"?")
            assert read_exactly(second, 1) == b"?"
            assert is_reset(first)
            assert is_reset(second)
            draining.result(LIMIT)
        assert [line["flags"] for line in site.log.wait_for(2)] == ["LR", "LR"]


def test_tls_to_the_backend_where_a_policy_asks_for_it(scripted: MakeScripted, tmp_path: Path) -> None:
    """BackendTLSPolicy on a Service of a TCPRoute: the backend shows who it is before a byte is passed on, and no ALPN is offered."""
    authority = Authority()
    offered: list[str | None] = []
    context = serving(authority, "db.example", tmp_path)
    context.set_alpn_protocols(["http/1.1"])

    def script(conversation: Conversation) -> None:
        with context.wrap_socket(conversation.connection, server_side=True) as secure:
            offered.append(secure.selected_alpn_protocol())
            secure.sendall(b"hello ")
            while data := secure.recv(65_536):
                secure.sendall(data)

    server = scripted(script)
    bundle = TrustBundle(key="default/ca", source=Source("ConfigMap", "default", "ca"), certificates=authority.certificate)
    for hostname, works in (("db.example", True), ("other.example", False)):
        described = backend("db", server.port, protocol="http/1.1", tls=BackendTls(hostname, ("default/ca",)))
        with StreamSite(listener("db", 5432), bundle, described, tcp_rule("db", "db")) as site, site.connect(5432) as client:
            client.sendall(b"select")
            if works:
                assert read_exactly(client, 12) == b"hello select"
                assert offered == [None]
            else:
                assert is_reset(client)
                [line] = site.log.wait_for(1)
                assert line["flags"] == "UF"
                assert "is not who it should be" in line["reason"]


def test_a_backend_may_not_be_the_proxy_itself() -> None:
    """A listener that led to itself would ask itself without end."""
    with StreamSite(listener("db", 5432), tcp_rule("db", "db")) as site:
        site.run(lambda: setattr(site.runtime._core, "forbidden", frozenset({("127.0.0.1", site.address(5432)[1])})))
        site.put(backend("db", site.address(5432)[1]))
        assert site.refuses(5432)
        [line] = site.log.wait_for(1)
        assert "is an address of this proxy itself" in line["reason"]


def test_a_client_that_leaves_early_ends_the_attempt(scripted: MakeScripted) -> None:
    """No connection to a backend is left behind for a client that is gone."""
    answered = Event()

    def look_up(name: str) -> tuple[str, ...]:
        answered.wait(LIMIT)
        return ("127.0.0.1",)

    with StreamSite(listener("db", 5432), backend("db", 9, address="slow.test"), tcp_rule("db", "db")) as site:
        site.run(lambda: setattr(site.runtime._core.resolver, "_look_up", look_up))
        client = site.connect(5432)
        site.run(lambda: None)
        reset(client)
        [line] = site.log.wait_for(1)
        assert line["flags"] == "DC"
        assert site.run(lambda: [each.connections.count for each in site.runtime._live.described.values()]) == [0]
        answered.set()


def test_overload_turns_new_connections_away(scripted: MakeScripted) -> None:
    """While requests are shed new relays are refused, and those that run go on."""
    server = scripted(echo(b"!"))
    with StreamSite(listener("db", 5432), backend("db", server.port), tcp_rule("db", "db")) as site, site.connect(5432) as first:
        read_exactly(first, 1)
        [port] = site.run(lambda: list(site.runtime._live.ports.values()))
        site.run(lambda: port.press(2.0, Restraint(shortage="memory")))
        assert site.refuses(5432)
        [line] = site.log.wait_for(1)
        assert (line["flags"], line["reason"]) == ("OM", "overloaded: memory")
        first.sendall(b"?")
        assert read_exactly(first, 1) == b"?"


def test_ssl_is_untouched_on_a_tcp_listener(scripted: MakeScripted, tmp_path: Path) -> None:
    """TLS through a TCP listener is the client's and the backend's own affair."""
    authority = Authority()
    context = serving(authority, "db.example", tmp_path)

    def script(conversation: Conversation) -> None:
        with context.wrap_socket(conversation.connection, server_side=True) as secure:
            secure.sendall(secure.recv(65_536))

    server = scripted(script)
    trusting = ssl.create_default_context(cadata=authority.certificate)
    trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT
    site = StreamSite(listener("db", 5432), backend("db", server.port), tcp_rule("db", "db"))
    with site, trusting.wrap_socket(site.connect(5432), server_hostname="db.example") as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
