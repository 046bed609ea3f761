"""Who is at the two ends of traffic, as Istio's metrics name them (docs/mesh/observing.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from gateway.ir.backend import Endpoint
from gateway.ir.listener import Capture, Listener
from gateway.ir.value import Source
from gateway.ir.workload import Workload, WorkloadPort
from gateway.net.peer import Origin
from gateway.proxy.core import Core
from gateway.proxy.peers import ELSEWHERE, MOST_KNOWN, Own, Peers, Traffic, parties_of
from gateway.proxy.rule import Account
from gateway.telemetry import counters
from gateway.telemetry.counters import CounterLabels
from gateway.telemetry.statistics import OTHER, Parties, Party

SOURCE = Source("Pod", "shop", "cart-1")
CART = Workload(
    "shop/cart-1", SOURCE, ("10.0.0.1",), "cart", "spiffe://cluster.local/ns/shop/sa/cart", owner="cart",
    labels=(("app", "cart"), ("version", "v2")),
    ports=(WorkloadPort(8080, service="cart-service"), WorkloadPort(9090, mutual_tls="Disable")),
)  # fmt: skip
WEB = Workload("web/web-1", SOURCE, ("10.0.0.2",), "web", "spiffe://cluster.local/ns/web/sa/web", owner="web")
PLAIN = Workload("old/legacy-1", SOURCE, ("10.0.0.3",), "default", labels=(("app.kubernetes.io/name", "legacy"),))
WORKLOADS = {address: workload for workload in (CART, WEB, PLAIN) for address in workload.addresses}

A_CART = Party("cart", "shop", CART.spiffe_id, "cart", "v2", "cart", "v2", "Kubernetes")
A_WEB = Party("web", "web", WEB.spiffe_id, "unknown", "unknown", "web", "latest", "Kubernetes")


def listener(direction: str = "", port: int = 8080) -> Listener:
    capture = Capture(direction) if direction else None  # type: ignore[arg-type]  # one of the two
    return Listener("shop/@mesh/x", SOURCE, "shop/@mesh", "x", "::", port, 15006, port, "HTTP", capture=capture)


def received(address: str, principal: str = "", port: int = 8080) -> Parties:
    """What comes to the cart from an address, with an identity that it proves."""
    origin = Origin(address.encode())
    origin.identity = f"spiffe://{principal}" if principal else ""
    traffic = Traffic(listener("Inbound", port), None, origin)
    return parties_of(CounterLabels("shop/@mesh", "x", backend="@mesh/inbound"), traffic, Own(CART, CART.spiffe_id), WORKLOADS.get(address))


def sent(backend: str, address: str = "", own: Workload | None = WEB, port: int = 8080) -> Parties:
    """What the web sends to an endpoint of a backend."""
    traffic = Traffic(listener("Outbound"), Endpoint(address, port) if address else None, Origin(b"10.0.0.2"))
    ours = Own(own, own.spiffe_id if own is not None else "")
    return parties_of(CounterLabels("infra/edge", "x", backend=backend), traffic, ours, WORKLOADS.get(address))


def test_both_sides_of_mutual_tls_name_the_same_ends() -> None:
    """Istio's labels: the two reporters differ in who reports, and in what they say of security."""
    at_source, at_destination = sent("shop/cart-service:80", "10.0.0.1"), received("10.0.0.2", "cluster.local/ns/web/sa/web")
    assert (at_source.reporter, at_source.security) == ("source", "unknown")
    assert (at_destination.reporter, at_destination.security) == ("destination", "mutual_tls")
    assert at_source == replace(at_destination, reporter="source", security="unknown")
    assert (at_source.source, at_source.destination) == (A_WEB, A_CART)
    assert (at_source.host, at_source.service_name) == ("cart-service.shop.svc.cluster.local", "cart-service")


def test_plain_traffic_has_no_principals() -> None:
    """connection_security_policy none at the destination; the source is known by its address alone."""
    parties = received("10.0.0.2")
    assert parties.security == "none"
    assert (parties.source, parties.destination) == (replace(A_WEB, principal="unknown"), replace(A_CART, principal="unknown"))
    off, without, by_one_without = sent("a/b:1", "10.0.0.1", port=9090), sent("a/b:1", "10.0.0.3"), sent("a/b:1", "10.0.0.1", own=PLAIN)
    for parties in (off, without, by_one_without):
        assert parties.source.principal == parties.destination.principal == "unknown"


def test_whoever_proves_another_identity_is_not_the_workload_at_that_address() -> None:
    """Addresses are translated and reused: what is proven counts, and no workload is blamed for another's traffic."""
    parties = received("10.0.0.3", "cluster.local/ns/web/sa/web")
    assert parties.source == Party(namespace="web", principal="spiffe://cluster.local/ns/web/sa/web")
    assert received("192.0.2.1").source == Party()


def test_a_destination_without_a_service_is_its_canonical_service() -> None:
    """Of a port to which no Service leads."""
    assert (received("10.0.0.2", port=1234).service_name, received("10.0.0.2", port=1234).host) == ("cart", "cart.shop.svc.cluster.local")


def test_names_come_from_labels_and_else_from_the_owner() -> None:
    """service.istio.io/canonical-name, app.kubernetes.io/name, app, then what runs the Pod, then the Pod."""
    assert sent("old/legacy:80", "10.0.0.3").destination == Party("legacy-1", "old", app="legacy", service="legacy", cluster="Kubernetes")
    named = replace(CART, labels=(("app", "a"), ("app.kubernetes.io/name", "b"), ("service.istio.io/canonical-name", "c")))
    assert sent("x/y:80", own=named).source.service == "c"


def test_a_gateway_that_is_no_workload_has_its_own_name() -> None:
    """As before there were Workloads; so has a backend whose endpoint is none."""
    parties = sent("shop/cart:80", "192.0.2.9", own=None)
    assert parties.source == Party("edge", "infra", app="edge", service="edge")
    assert parties.destination == Party(namespace="shop", service="cart")


def test_what_is_no_service_has_istios_name() -> None:
    """PassthroughCluster, of no namespace; unknown for what reached no backend."""
    parties = sent(ELSEWHERE, "192.0.2.9")
    assert (parties.host, parties.service_name, parties.service_namespace) == ("unknown", "PassthroughCluster", "unknown")
    assert (parties.destination, sent("").destination, sent("").service_name) == (Party(), Party(), "unknown")


@pytest.fixture
def core() -> Iterator[Core]:
    loop = asyncio.new_event_loop()
    yield Core(loop)
    loop.close()


def test_an_account_is_found_again_by_later_peers_too(core: Core) -> None:
    """Nothing is computed for each request; and when Workloads change, what stays the same goes on in its series."""
    labels = CounterLabels("infra/edge", "http", backend="shop/cart:80")
    account = Account(core.counters_for(labels), labels)
    traffic = Traffic(listener("Outbound"), Endpoint("10.0.0.1", 8080), Origin(b""))
    peers, other, later = (
        Peers(core, workload_at, lambda gateway: Own(WEB, WEB.spiffe_id))
        for workload_at in (WORKLOADS.get, lambda address: replace(CART, owner="other"), WORKLOADS.get)
    )
    found = peers.account(account, traffic)
    assert found is peers.account(account, traffic)
    assert found.fragment.endswith(b'"reporter":"source","source":"web/web","destination":"shop/cart"')
    assert other.account(account, traffic).labels.parties != found.labels.parties
    assert later.account(account, traffic).counters is found.counters


def test_streams_have_accounts_of_their_own(core: Core) -> None:
    """Of the same labels and the protocol that was relayed."""
    peers = Peers(core, WORKLOADS.get, lambda gateway: Own(WEB, WEB.spiffe_id))
    account = core.stream_account(CounterLabels("infra/edge", "tcp", backend="shop/cart:80"), "TCP")
    found = peers.stream_account(account, Traffic(listener(), Endpoint("10.0.0.1", 8080), Origin(b"")))
    assert found.labels.parties == sent("shop/cart:80", "10.0.0.1")
    assert found.sums.collect()[0].parties == found.labels.parties


def test_what_is_known_is_bounded(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses ask, and beyond MOST_LABELS pairs are counted together."""
    assert MOST_KNOWN >= 10_000
    monkeypatch.setattr("gateway.proxy.peers.MOST_KNOWN", 3)
    monkeypatch.setattr(counters, "MOST_LABELS", 3)
    workloads = {f"10.0.1.{number}": replace(CART, key=f"shop/{number}", owner=f"owner-{number}") for number in range(9)}
    peers = Peers(core, workloads.get, lambda gateway: Own(WEB, WEB.spiffe_id))
    labels = CounterLabels("a/b", "http", backend="shop/cart:80")
    account = Account(core.counters_for(labels), labels)
    for address in workloads:
        peers.account(account, Traffic(listener(), Endpoint(address, 8080), Origin(b"")))
    assert len(peers._accounts) <= 3
    parties = [names[3] for names in core.counters if names[3] is not None]
    assert len(parties) <= 4
    assert parties[-1].destination.workload == OTHER


def test_a_host_of_a_service_entry_is_the_destination() -> None:
    """As Istio has it: destination_service and its name are the host, the namespace is the entry's; outside the mesh nothing is proven."""
    external = sent("@external/shop/pay/*.pay.example:443/tcp", "203.0.113.5")
    assert (external.host, external.service_name, external.service_namespace) == ("*.pay.example", "*.pay.example", "shop")
    assert external.destination == Party(namespace="shop", service="*.pay.example")
    assert sent("@external/shop/pay/pay.example:443/client", "10.0.0.1").destination.principal == "unknown"
    internal = sent("@internal/shop/vm/vm.internal:80/client", "10.0.0.1")
    assert (internal.host, internal.destination.principal) == ("vm.internal", CART.spiffe_id)
    assert sent("@mesh/elsewhere/http", "203.0.113.5").service_name == "PassthroughCluster"
