"""Listeners of protocol UDP: the datagrams of a client go to an endpoint of its UDPRoute, and answers come back from where it has asked."""

from __future__ import annotations

import socket
from collections import Counter

import msgspec
import pytest

from gateway.ir.backend import Balancing, Ejection, Limits
from tests.wire.backends import LIMIT
from tests.wire.datagrams import Answer, ask, client_at, dropped
from tests.wire.streaming import StreamSite, backend, listener, options, udp_rule


def client_of(site: StreamSite, port: int = 53, address: str = "127.0.0.1") -> socket.socket:
    return client_at(address, site.sockets.datagrams[port])


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until_dropped(site: StreamSite, reason: str, count: int = 1) -> None:
    while dropped(site.statistics()).get(reason, 0) < count:
        pass


def test_datagrams_pass_both_ways_as_they_are(answering: Answer) -> None:
    """UDPRoute.spec.rules.backendRefs; RFC 768: empty datagrams and the largest ones pass, and none is joined or cut."""
    server = answering()
    with StreamSite(listener("dns", 53, "UDP"), backend("dns", server.port, protocol="udp"), udp_rule("dns", "dns")) as site:
        with client_of(site) as client:
            for datagram in (b"question", b"", b"x" * 65_507):
                assert ask(client, datagram) == datagram
        assert [datagram for datagram, _ in server.asked] == [b"question", b"", b"x" * 65_507]
        series = site.streams("dns")["-"]
        assert (series.protocol, series.opened, series.closed) == ("udp", 1, 0)
        assert (series.received_bytes, series.sent_bytes) == (65_515, 65_515)
        assert [sample.value for sample in site.statistics().gauges if sample.name == "tidegate_flows"] == [1]


def test_each_client_has_its_own_flow(answering: Answer) -> None:
    """A backend can tell clients apart, and no answer reaches another one."""
    server = answering()
    with StreamSite(listener("dns", 53, "UDP"), backend("dns", server.port, protocol="udp"), udp_rule("dns", "dns")) as site:
        clients = [client_of(site) for _ in range(20)]
        for turn in range(3):
            for number, client in enumerate(clients):
                client.send(b"%d/%d" % (number, turn))
            for number, client in enumerate(clients):
                assert client.recv(65_536) == b"%d/%d" % (number, turn)
        for client in clients:
            client.close()
        assert len({where for _, where in server.asked}) == 20


def test_a_flow_ends_after_its_idle_timeout_with_a_line_in_the_log(answering: Answer) -> None:
    """ListenerOptions.flow_idle_timeout."""
    server = answering(b"re: ")
    dns = listener("dns", 53, "UDP", options=options(flow_idle_timeout=100))
    with StreamSite(dns, backend("dns", server.port, protocol="udp"), udp_rule("dns", "dns")) as site, client_of(site) as client:
        assert ask(client, b"one") == b"re: one"
        [line] = site.log.wait_for(1)
        assert (line["protocol"], line["flags"], line["bytes_received"], line["bytes_sent"]) == ("UDP", "-", 3, 7)
        assert (line["gateway"], line["listener"], line["route"]) == ("default/web", "dns", "UDPRoute/default/route")
        assert (line["backend"], line["endpoint"], line["client"]) == ("default/dns:80", f"127.0.0.1:{server.port}", "127.0.0.1")
        assert site.streams("dns")["-"].closed == 1
        assert ask(client, b"two") == b"re: two"
        assert len({where for _, where in server.asked}) == 2


def test_weights_choose_for_each_flow_and_flows_stay(answering: Answer) -> None:
    """BackendRef.weight; the datagrams of one client go to one endpoint."""
    servers = {name: answering(name) for name in (b"a", b"b", b"c")}
    backends = [backend(name.decode(), server.port, protocol="udp") for name, server in servers.items()]
    with StreamSite(listener("dns", 53, "UDP"), *backends, udp_rule("dns", (("a", 3), ("b", 1), ("c", 0)))) as site:
        site.run(lambda: site.runtime._core.random.seed(1))
        found: Counter[bytes] = Counter()
        for _ in range(100):
            with client_of(site) as client:
                names = {ask(client, b"?")[:1] for _ in range(3)}
                assert len(names) == 1
                found.update(names)
        assert 60 < found[b"a"] < 90
        assert found[b"c"] == 0


def test_balancing_by_client_address(answering: Answer) -> None:
    """BackendPolicy.balancing: all flows of one address go to one endpoint."""
    servers = [answering(name) for name in (b"a", b"b", b"c")]
    described = backend("dns", *[server.port for server in servers], protocol="udp", balancing=Balancing("Maglev"))
    with StreamSite(listener("dns", 53, "UDP"), described, udp_rule("dns", "dns")) as site:
        site.settle()
        found = set()
        for _ in range(10):
            with client_of(site) as client:
                found.add(ask(client, b"?"))
        assert len(found) == 1


def test_an_endpoint_where_nobody_listens_ends_the_flow_and_is_left_out(answering: Answer) -> None:
    """RFC 1122 4.1.3.3: ICMP port unreachable counts against the endpoint, and the client's next datagram goes elsewhere."""
    server = answering(b"!")
    ejection = Ejection(consecutive_errors=1, base_time=60_000, max_time=60_000)
    described = backend("dns", closed_port(), server.port, protocol="udp", ejection=ejection)
    with StreamSite(listener("dns", 53, "UDP"), described, udp_rule("dns", "dns")) as site:
        with client_of(site) as client:
            client.send(b"lost")
            [line] = site.log.wait_for(1)
            assert line["flags"] == "UF"
            assert "Connection refused" in line["reason"]
            assert ask(client, b"?") == b"!?"
        for _ in range(3):
            with client_of(site) as client:
                assert ask(client, b"?") == b"!?"
        ejected = [sample.value for sample in site.statistics().gauges if sample.name == "tidegate_endpoints_ejected"]
        assert ejected == [1]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("no rule", "no route"),
        ("no weight", "no backend"),
        ("unknown backend", "no backend"),
        ("no endpoint", "no endpoint"),
        ("limit", "flows of the port"),
        ("limit of the backend", "limit of the backend"),
    ],
)
def test_what_nobody_may_have_is_dropped_and_counted_by_reason(answering: Answer, case: str, reason: str) -> None:
    """Gateway API UDPRoute: datagrams for a backend that cannot be used are dropped."""
    server = answering()
    shares = {"no weight": (("dns", 0),), "unknown backend": (("other", 1),)}.get(case, (("dns", 1),))
    limits = Limits(connections=1) if case == "limit of the backend" else Limits()
    described = backend("dns", *(() if case == "no endpoint" else (server.port,)), protocol="udp", limits=limits)
    dns = listener("dns", 53, "UDP", options=options(most_flows=1 if case == "limit" else 100))
    with StreamSite(dns, described, *(() if case == "no rule" else (udp_rule("dns", shares),))) as site:
        with client_of(site) as first, client_of(site) as second:
            if reason in ("flows of the port", "limit of the backend"):
                assert ask(first, b"?") == b"?"
                second.send(b"?")
                until_dropped(site, reason)
                assert ask(first, b"again") == b"again"
            else:
                first.send(b"?")
                until_dropped(site, reason)
        assert dropped(site.statistics()) == {reason: 1}


@pytest.mark.parametrize(("bound", "asked"), [("0.0.0.0", "127.0.0.2"), ("::", "::1"), ("::", "127.0.0.2")])
def test_answers_leave_from_the_address_that_was_asked(answering: Answer, bound: str, asked: str) -> None:
    """RFC 1122 4.1.3.5: of a socket that is bound to all addresses, too; a connected client takes no answer from another one."""
    server = answering()
    dns = msgspec.structs.replace(listener("dns", 53, "UDP"), address=bound)
    with StreamSite(dns, backend("dns", server.port, protocol="udp"), udp_rule("dns", "dns")) as site:
        with client_of(site, address=asked) as client:
            assert ask(client, b"one") == b"one"
            assert ask(client, b"two") == b"two"
        assert len({where for _, where in server.asked}) == 1


def test_a_backend_over_ipv6(answering: Answer) -> None:
    """The client's family and the endpoint's need not be the same."""
    server = answering(family=socket.AF_INET6)
    described = backend("dns", server.port, protocol="udp", address="::1")
    with StreamSite(listener("dns", 53, "UDP"), described, udp_rule("dns", "dns")) as site, client_of(site) as client:
        assert ask(client, b"?") == b"?"


def test_the_name_of_an_endpoint_is_looked_up_and_nothing_is_lost_meanwhile(answering: Answer) -> None:
    """An ExternalName Service."""
    server = answering()
    described = backend("dns", server.port, protocol="udp", address="localhost")
    with StreamSite(listener("dns", 53, "UDP"), described, udp_rule("dns", "dns")) as site:
        site.run(lambda: setattr(site.runtime._core.resolver, "_look_up", lambda name: ("127.0.0.1",)))
        with client_of(site) as client:
            for number in range(5):
                client.send(b"%d" % number)
            assert [client.recv(65_536) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_changed_rule_leaves_flows_where_they_are_and_a_gone_endpoint_does_not(answering: Answer) -> None:
    """A flow is pinned to its endpoint as long as the backend has it."""
    old, new = answering(b"o"), answering(b"n")
    backends = (backend("old", old.port, protocol="udp"), backend("new", new.port, protocol="udp"))
    with StreamSite(listener("dns", 53, "UDP"), *backends, udp_rule("dns", "old")) as site, client_of(site) as first:
        assert ask(first, b"?") == b"o?"
        site.put(udp_rule("dns", "new"))
        assert ask(first, b"?") == b"o?"
        with client_of(site) as second:
            assert ask(second, b"?") == b"n?"
        site.put(backend("old", protocol="udp"))
        assert ask(first, b"?") == b"n?"


def test_a_listener_that_goes_waits_for_the_answers_on_their_way(answering: Answer) -> None:
    """What was asked before is answered; what comes afterwards is nobody's."""
    late = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    late.bind(("127.0.0.1", 0))
    late.settimeout(LIMIT)
    described = backend("dns", late.getsockname()[1], protocol="udp")
    with late, StreamSite(listener("dns", 53, "UDP"), described, udp_rule("dns", "dns")) as site, client_of(site) as client:
        client.send(b"question")
        datagram, where = late.recvfrom(65_536)
        site.put(remove=[("Listener", "default/web/dns")])
        late.sendto(b"answer to " + datagram, where)
        assert client.recv(65_536) == b"answer to question"
        [line] = site.log.wait_for(1)
        assert line["flags"] == "-"
        assert not site.runtime.busy


def test_while_it_drains_flows_go_on_and_none_begins(answering: Answer) -> None:
    """--drain-timeout."""
    server = answering()
    dns = listener("dns", 53, "UDP")
    with StreamSite(dns, backend("dns", server.port, protocol="udp"), udp_rule("dns", "dns")) as site:
        with client_of(site) as first, client_of(site) as second:
            assert ask(first, b"?") == b"?"
            draining = site.begin_drain(timeout=1.0)
            site.run(lambda: None)
            assert ask(first, b"still") == b"still"
            second.send(b"late")
            until_dropped(site, "draining")
            draining.result(LIMIT)
        assert [line["flags"] for line in site.log.wait_for(1)] == ["LR"]


def test_tcp_and_udp_share_a_number(answering: Answer) -> None:
    """Two listeners of one number and different transports are two ports."""
    server = answering(b"u")
    with StreamSite(listener("dns", 53, "UDP"), backend("dns", server.port, protocol="udp"), udp_rule("dns", "dns")) as site:
        with client_of(site) as client:
            assert ask(client, b"?") == b"u?"
        site.put(listener("tcp", 53))
        assert {place.transport for place in site.runtime._open} == {"tcp", "udp"}


def test_a_flow_to_the_proxy_itself_is_refused() -> None:
    """A listener that led to itself would ask itself without end."""
    with StreamSite(listener("dns", 53, "UDP"), udp_rule("dns", "dns")) as site:
        port = site.sockets.datagrams[53]
        site.run(lambda: setattr(site.runtime._core, "forbidden_datagrams", frozenset({("127.0.0.1", port)})))
        site.put(backend("dns", port, protocol="udp"))
        with client_of(site) as client:
            client.send(b"?")
            [line] = site.log.wait_for(1)
            assert "an address of this proxy itself" in line["reason"]
