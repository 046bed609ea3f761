"""TCPRoute, TLSRoute and UDPRoute from YAML to sockets: which listeners a route serves at, and which backends it leads to.

Relays and flows themselves are in `test_tcp_relays`, `test_tls_relays` and `test_udp_flows`. `explain` is held to each connection here.
"""

from __future__ import annotations

import json
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from select import select
from typing import Any, Literal

import pytest

from tests.certificates import Authority
from tests.wire.backends import Scripted
from tests.wire.conftest import Serve
from tests.wire.datagrams import Answer, client_at, dropped
from tests.wire.secure import careless, gateway
from tests.wire.serving import Site, certificate, service
from tests.wire.streaming import echo

Kind = Literal["TCPRoute", "TLSRoute", "UDPRoute"]
PAIR = Authority().issue("a.test")


@dataclass(frozen=True, slots=True)
class Peers:
    """What a kind of route needs: its listeners, servers behind it, and clients that say who has answered."""

    kind: Kind
    scripted: Callable[..., Scripted]
    answering: Answer

    def listener(self, name: str, port: int, **fields: Any) -> dict[str, Any]:
        if self.kind == "TLSRoute":
            fields["tls"] = {"certificateRefs": [{"name": "pair"}]}
        return {"name": name, "port": port, "protocol": self.kind.removesuffix("Route"), **fields}

    def service(self, name: str, namespace: str = "default") -> str:
        """A Service with one server, which says its name."""
        if self.kind == "UDPRoute":
            return service(name, self.answering(name.encode()).port, namespace=namespace, protocol="UDP")
        return service(name, self.scripted(echo(name.encode())).port, namespace=namespace)

    def route(self, backends: str | Mapping[str, int], *parents: Mapping[str, Any], name: str = "route", created: str = "") -> str:
        """A route with one rule, whose backends have these weights."""
        weights = {backends: 1} if isinstance(backends, str) else backends
        references = [{"name": backend, "port": 80, "weight": weight} for backend, weight in weights.items()]
        spec: dict[str, Any] = {"rules": [{"backendRefs": references}]}
        if parents:
            spec["parentRefs"] = [{"name": "web", **parent} for parent in parents]
        if self.kind == "TLSRoute":
            spec["hostnames"] = ["a.test"]
        metadata = {"name": name} | ({"creationTimestamp": created} if created else {})
        return json.dumps({"kind": self.kind, "metadata": metadata, "spec": spec})

    def ask(self, site: Site, port: int) -> str:
        """Which backend a connection or flow leads to, '' for none; and `explain` says that it may."""
        scheme = self.kind.removesuffix("Route").lower()
        said = site.explain_stream(f"{scheme}://{'a.test' if scheme == 'tls' else '127.0.0.1'}:{port}")
        name = self._datagram(site, port) if self.kind == "UDPRoute" else self._connection(site, port)
        leads = {_name(portion) for portion in said["portions"] if portion["percent"]} if not said["closed"] else {""}
        assert name in leads, said
        return name

    def _connection(self, site: Site, port: int) -> str:
        try:
            with site.connect(port) as connection:
                if self.kind != "TLSRoute":
                    return connection.recv(64).decode()
                with careless().wrap_socket(connection, server_hostname="a.test") as secured:
                    return secured.recv(64).decode()
        except (ConnectionResetError, ssl.SSLError):
            return ""

    def _datagram(self, site: Site, port: int) -> str:
        before = sum(dropped(site.statistics()).values())
        with client_at("127.0.0.1", site.sockets.datagrams[port]) as client:
            client.send(b"")
            while not select([client], [], [], 0.01)[0]:
                if sum(dropped(site.statistics()).values()) > before:
                    return ""
            return client.recv(64).decode()


def _name(portion: Mapping[str, Any]) -> str:
    """The Service that a portion leads to, '' where it ends."""
    return "" if portion["closed"] else portion["backend"].partition("/")[2].partition(":")[0]


@pytest.fixture(params=["TCPRoute", "TLSRoute", "UDPRoute"])
def peers(request: pytest.FixtureRequest, scripted: Callable[..., Scripted], answering: Answer) -> Peers:
    return Peers(request.param, scripted, answering)


def listeners(peers: Peers, *ports: int) -> str:
    """The Gateway with listeners l0, l1 ... on these ports, and what they need."""
    texts = (gateway(*[peers.listener(f"l{number}", port) for number, port in enumerate(ports)]), certificate("pair", PAIR))
    return "\n---\n".join(texts)


def shares(peers: Peers, site: Site, count: int) -> Counter[str]:
    return Counter(peers.ask(site, 9000) for _ in range(count))


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ((), ("one", "one", "one")),
        (({"sectionName": "l0"},), ("one", "", "")),
        (({"port": 9001},), ("", "one", "")),
        (({"sectionName": "l1", "port": 9001}, {"sectionName": "l2", "port": 9002}), ("", "one", "one")),
    ],
    ids=["no choice", "by name", "by port", "by both, and twice"],
)
def test_a_route_serves_at_the_listeners_that_it_names(
    serve: Serve, peers: Peers, parents: Sequence[Mapping[str, Any]], expected: Sequence[str]
) -> None:
    """ParentReference.sectionName and port; without either at every listener of its protocol (ParentRefAttachAll,
    ParentRefPortAndSectionName of the suite). Where no route is attached nothing is passed on."""
    site = serve(listeners(peers, 9000, 9001, 9002), peers.service("one"), peers.route("one", *parents))
    assert tuple(peers.ask(site, port) for port in (9000, 9001, 9002)) == tuple(expected)


def test_the_oldest_of_several_routes_serves(serve: Serve, peers: Peers) -> None:
    """All routes of a listener are accepted, and the oldest by creation gets what comes; without it the next (MultipleRoutesAttachment)."""
    base = (listeners(peers, 9000), peers.service("old"), peers.service("new"))
    old = peers.route("old", name="z-old", created="2026-01-01T00:00:00Z")
    new = peers.route("new", name="a-new", created="2026-02-01T00:00:00Z")
    site = serve(*base, new, old)
    assert peers.ask(site, 9000) == "old"
    assert "Accepted', status='True'" in site.conditions(peers.kind, "a-new")
    site.change(*base, new)
    assert peers.ask(site, 9000) == "new"


@pytest.mark.slow
def test_weights_are_shares(serve: Serve, peers: Peers) -> None:
    """BackendRef.weight: in proportion, and nothing for 0 (WeightedRouting)."""
    services = [peers.service(name) for name in ("three", "one", "none")]
    site = serve(listeners(peers, 9000), *services, peers.route({"three": 3, "one": 1, "none": 0}))
    site.seed(1)
    found = shares(peers, site, 80)
    assert 48 <= found["three"] <= 72
    assert found["three"] + found["one"] == 80


@pytest.mark.slow
def test_a_backend_that_does_not_exist_costs_its_share(serve: Serve, peers: Peers) -> None:
    """BackendRef of a Service that is not there: what falls to it is refused, and the other share is served
    (InvalidBackendRefNonexistent)."""
    site = serve(listeners(peers, 9000), peers.service("one"), peers.route({"one": 1, "missing": 1}))
    assert "BackendNotFound" in site.conditions(peers.kind, "route")
    site.seed(1)
    found = shares(peers, site, 60)
    assert 18 <= found["one"] <= 42
    assert found["one"] + found[""] == 60
    site.change(listeners(peers, 9000), peers.route("missing"))
    assert peers.ask(site, 9000) == ""


def test_a_grant_opens_and_its_removal_closes(serve: Serve, peers: Peers) -> None:
    """A Service of another namespace needs a ReferenceGrant there (ReferenceGrant, InvalidCrossNamespaceBackendRef)."""
    route = peers.route("billing").replace('"name": "billing"', '"name": "billing", "namespace": "team"')
    base = (listeners(peers, 9000), peers.service("billing", "team"), route)
    grant = f"""
kind: ReferenceGrant
metadata: {{name: from-default, namespace: team}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: {peers.kind}, namespace: default}}]
  to: [{{group: '', kind: Service}}]
"""
    site = serve(*base)
    assert peers.ask(site, 9000) == ""
    assert "RefNotPermitted" in site.conditions(peers.kind, "route")
    site.change(*base, grant)
    assert peers.ask(site, 9000) == "billing"
    site.change(*base)
    assert peers.ask(site, 9000) == ""
    other = {"TCPRoute": "TLSRoute", "TLSRoute": "UDPRoute", "UDPRoute": "TCPRoute"}[peers.kind]
    site.change(*base, grant.replace(peers.kind, other))
    assert peers.ask(site, 9000) == ""


def test_a_listener_of_a_set_serves_like_others(serve: Serve, peers: Peers) -> None:
    """ListenerSet.spec.listeners may be of any protocol; its routes are not those of the Gateway."""
    base = listeners(peers, 9000).replace('"gatewayClassName"', '"allowedListeners": {"namespaces": {"from": "Same"}}, "gatewayClassName"')
    more = {"parentRef": {"name": "web"}, "listeners": [peers.listener("more", 9001)]}
    added = json.dumps({"kind": "ListenerSet", "metadata": {"name": "set"}, "spec": more})
    of_set = peers.route("two", {"kind": "ListenerSet", "name": "set"}, name="of-set")
    site = serve(base, added, peers.service("one"), peers.service("two"), peers.route("one"), of_set)
    assert (peers.ask(site, 9000), peers.ask(site, 9001)) == ("one", "two")
