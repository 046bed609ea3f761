"""`explain` of what is passed on: listener, rule and backends of a connection or datagram, or why there is none."""

from __future__ import annotations

from io import StringIO
from typing import Any, Literal

import msgspec
import pytest

from gateway.explain import Explanation
from gateway.ir.backend import Backend, BackendOptions, BackendTls, Balancing, Endpoint, EndpointSet
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Listener, ListenerOptions
from gateway.ir.rule import BackendRef, Binding, HttpRule, TcpRule, TlsRule, UdpRule
from gateway.ir.value import Source
from gateway.offline import Offline
from tests.certificates import Authority
from tidegate.explain import show

SOURCE = Source("TCPRoute", "default", "r")
KEY = "default/g/l"


Protocol = Literal["HTTP", "HTTPS", "TLS", "TCP", "UDP"]


def listener(protocol: Protocol, port: int, hostname: str = "", name: str = "l", **fields: Any) -> Listener:
    return Listener(
        key=f"default/g/{name}", source=Source("Gateway", "default", "g"), gateway="default/g", name=name, address="0.0.0.0", port=port,
        bind_port=port, location_port=port, protocol=protocol, hostname=hostname, **fields,
    )  # fmt: skip


def backend(name: str, *ports: int, address: str = "10.0.0.1", **fields: Any) -> tuple[AnyResource, ...]:
    key = f"default/{name}:1"
    endpoints = tuple(Endpoint(address, port) for port in ports)
    return Backend(key=key, source=SOURCE, protocol="tcp", **fields), EndpointSet(key=key, source=SOURCE, endpoints=endpoints)


Shares = tuple[tuple[str, int], ...]


def rule(
    kind: type[TcpRule | TlsRule | UdpRule], shares: Shares, *hostnames: str, name: str = "r", created: str = "", at: str = KEY
) -> AnyResource:
    references = tuple(BackendRef(f"default/{backend_name}:1", weight) for backend_name, weight in shares)
    return kind(
        key=f"{name}/0", source=Source(kind.__name__.replace("Rule", "Route"), "default", name), route=f"default/{name}", index=0,
        bindings=(Binding(at, hostnames or ("",)),), created=created, backends=references,
    )  # fmt: skip


def explain(url: str, *resources: AnyResource | tuple[AnyResource, ...]) -> Explanation:
    flat = [one for part in resources for one in (part if isinstance(part, tuple) else (part,))]
    method = "GET" if url.startswith("http") else "CONNECT"
    with Offline(flat) as offline:
        assert offline.rejections == ()
        return msgspec.convert(offline.explain({"method": method, "url": url}), Explanation)


def shown(said: Explanation) -> str:
    stream = StringIO()
    show(msgspec.to_builtins(said), stream)
    return stream.getvalue()


def test_a_connection_to_a_tcp_listener() -> None:
    """Listener, rule by age, shares by weight, endpoints, and what ends it."""
    older = rule(TcpRule, (("a", 3), ("b", 1)), name="older", created="2024-01-01T00:00:00Z")
    newer = rule(TcpRule, (("c", 1),), name="newer", created="2024-01-02T00:00:00Z")
    said = explain("tcp://h:5432", listener("TCP", 5432), backend("a", 1, 2), backend("b"), newer, older)
    assert said.listener is not None
    assert (said.listener.name, said.listener.protocol, said.listener.bound) == ("l", "TCP", "0.0.0.0:5432")
    assert [(row.route, row.matched) for row in said.considered] == [("default/older", True), ("default/newer", False)]
    assert said.rule is not None
    assert said.rule.route == "default/older"
    first, second = said.portions
    assert (first.percent, first.balancing) == (75, "each in turn")
    assert [(endpoint.address, endpoint.percent) for endpoint in first.endpoints] == [("10.0.0.1:1", 50), ("10.0.0.1:2", 50)]
    assert (second.percent, second.closed) == (25, "backend default/b:1 has no ready endpoint [UH]")
    assert said.limits == ("ends when nothing passes for 1 h",)
    assert "25% ended: backend default/b:1 has no ready endpoint [UH]" in shown(said)


@pytest.mark.parametrize(
    ("name", "route"), [("a.test", "exact"), ("b.test", "wild"), ("x.b.test", "wild"), ("other", None), ("127.0.0.1", None)]
)
def test_a_server_name_chooses_the_rule(name: str, route: str | None) -> None:
    """TLSRoute.spec.hostnames, at a listener that leaves TLS to the backend."""
    rules = (rule(TlsRule, (("a", 1),), "a.test", name="exact"), rule(TlsRule, (("a", 1),), "*.test", name="wild"))
    said = explain(f"tls://{name}:443", listener("TLS", 443, tls_mode="Passthrough"), backend("a", 1), *rules)
    assert said.notes == ("TLS is left to the backend",)
    if route is None:
        assert said.closed == "no route is for this server name"
    else:
        assert said.rule is not None
        assert said.rule.route == f"default/{route}"


def test_a_terminated_connection_and_a_backend_over_tls() -> None:
    """What is spoken on which side."""
    certificate = Authority().issue("a.test").resource("default/c")
    options = BackendOptions(balancing=Balancing("Maglev"))
    described = backend("a", 1, 2, tls=BackendTls("inner.test"), options=options)
    ended = listener("TLS", 443, certificates=("default/c",))
    said = explain("tls://a.test:443", certificate, ended, described, rule(TlsRule, (("a", 1),)))
    assert said.notes == ("TLS ends here, and the backend gets what was in it",)
    [portion] = said.portions
    assert (portion.tls, portion.balancing) == ("inner.test", "by a Maglev table of hashes of the client address")
    assert "over TLS to inner.test" in shown(said)


def test_a_datagram() -> None:
    """A UDP listener is another one than that of TCP with its number, and may not lead to itself."""
    udp = listener("UDP", 53, name="u", options=ListenerOptions(flow_idle_timeout=500, most_flows=7))
    described = backend("a", 53, address="127.0.0.1")
    said = explain("udp://h:53", udp, listener("TCP", 53), described, rule(UdpRule, (("a", 1),), at="default/g/u"))
    assert said.listener is not None
    assert said.listener.protocol == "UDP"
    assert said.limits == ("a flow ends 500 ms after its last datagram", "at most 7 flows a worker")
    assert said.portions[0].endpoints[0].fault == "an address of this proxy itself: never asked"


@pytest.mark.parametrize(
    ("url", "closed"),
    [
        ("tcp://h:80", "port 80 speaks HTTP, where nothing is passed on untouched; write http://"),
        ("tcp://h:443", "port 443 waits for a ClientHello; write tls:// or https:// with the server name"),
        ("tls://web.test:443", "listener web speaks HTTP; write https://"),
        ("tls://other.test:443", "port 443 serves tls.test, web.test, not server name other.test"),
        ("tls://tls.test:443", "no route is attached to this listener"),
        ("tcp://h:5432", "no route is attached to this listener"),
        ("http://h:5432/", "port 5432 passes connections on without looking for requests; write CONNECT tcp://h:5432"),
        ("https://tls.test/", "listener tls passes connections on without looking for requests; write CONNECT tls://tls.test:443"),
        ("udp://h:80", "nothing listens on port 80 of UDP; what is bound: "
         "0.0.0.0:53 (UDP), 0.0.0.0:80, 0.0.0.0:443, 0.0.0.0:5432"),
    ],
)  # fmt: skip
def test_why_nothing_is_passed_on(url: str, closed: str) -> None:
    """The port, its protocol, the server name or the route is missing; the answer says what to write instead."""
    listeners = (
        listener("HTTP", 80, name="http"), listener("TCP", 5432, name="tcp"), listener("UDP", 53, name="udp"),
        listener("HTTPS", 443, "web.test", "web", certificates=("default/c",)),
        listener("TLS", 443, "tls.test", "tls", certificates=("default/c",)),
    )  # fmt: skip
    http = HttpRule(key="h/0", source=SOURCE, route="default/h", index=0, bindings=(Binding("default/g/http", ("",)),))
    assert explain(url, Authority().issue("web.test").resource("default/c"), *listeners, http).closed == closed


def test_a_rule_without_weight() -> None:
    """Nothing can be chosen."""
    said = explain("tcp://h:5432", listener("TCP", 5432), backend("a", 1), rule(TcpRule, (("a", 0),)))
    assert said.closed == "no backend with a weight above zero"


def test_a_proxy_header_is_asked_for() -> None:
    """ListenerOptions.proxy_protocol."""
    options = ListenerOptions(proxy_protocol="Require", proxy_protocol_addresses=("10.0.0.0/8",))
    said = explain("tcp://h:5432", listener("TCP", 5432, options=options), backend("a", 1), rule(TcpRule, (("a", 1),)))
    assert said.notes == ("a connection must begin with a PROXY header, believed from 10.0.0.0/8",)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ({"url": "tcp://h:1"}, "write CONNECT tcp://h:1"),
        ({"method": "CONNECT", "url": "tcp://h:1/path"}, "no method, path or headers"),
        ({"method": "CONNECT", "url": "tls://h:1", "headers": [["a", "b"]]}, "no method, path or headers"),
        ({"method": "CONNECT", "url": "udp://h"}, "write the port, as in udp://h:PORT"),
        ({"method": "CONNECT", "url": "ftp://h:1"}, "or CONNECT tcp://HOST:PORT"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_so(argument: dict[str, Any], reason: str) -> None:
    """One clear syntax, and what to write instead."""
    with Offline(()) as offline, pytest.raises(ValueError, match=reason):
        offline.explain(argument)
