"""What metrics, log and traces say of a request whose endpoint is a known workload (docs/mesh/observing.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.ir.value import Source
from gateway.ir.workload import Workload
from gateway.proxy.peers import Own, Peers
from gateway.telemetry.exposition import Exposition
from tests.wire.backends import Scripted
from tests.wire.collectors import Collector, collecting
from tests.wire.conftest import Serve
from tests.wire.serving import Site, service
from tests.wire.streaming import echo

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"
CART = Workload(
    "shop/cart-1", Source("Pod", "shop", "cart-1"), ("127.0.0.1",), "cart", "spiffe://cluster.local/ns/shop/sa/cart", owner="cart",
    labels=(("app", "cart"), ("version", "v2")),
)  # fmt: skip
EDGE = Workload(
    "infra/edge-1", Source("Pod", "infra", "edge-1"), ("10.0.0.9",), "edge", "spiffe://cluster.local/ns/infra/sa/edge", owner="edge"
)  # fmt: skip


def known(site: Site) -> Site:
    """The same, once it knows who has the endpoints' address and what it is itself."""

    def meet() -> None:
        core = site.runtime._core
        core.peers = Peers(core, {"127.0.0.1": CART}.get, lambda gateway: Own(EDGE, EDGE.spiffe_id))
        core.tracing.service = core.peers.name_of

    site._thread.call(meet)
    return site


def labels(site: Site, name: str) -> dict[str, str]:
    """Of the only series of a metric."""
    text = Exposition().prometheus(site.statistics()).decode()
    (sample,) = [sample for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == name]
    return dict(sample.labels)


def test_a_request_is_counted_between_workloads(serve: Serve) -> None:
    """istio_requests_total names the caller, which a Gateway is, and the workload at the endpoint's address."""
    site = known(serve(TO_BLUE))
    site.ask()
    found = labels(site, "istio_requests_total")
    assert (found["reporter"], found["source_workload"], found["destination_workload"]) == ("source", "edge", "cart")
    assert (found["source_principal"], found["destination_principal"]) == (EDGE.spiffe_id, CART.spiffe_id)
    assert (found["destination_version"], found["destination_service"]) == ("v2", "blue.default.svc.cluster.local")
    line = site.log.wait_for(1)[0]
    assert (line["reporter"], line["source"], line["destination"]) == ("source", "infra/edge", "shop/cart")
    assert line["backend"] == "default/blue:80"


def test_an_answer_of_our_own_has_no_destination(serve: Serve) -> None:
    """A 404 reached no workload."""
    site = known(serve())
    site.ask("/nowhere")
    assert labels(site, "istio_requests_total")["destination_workload"] == "unknown"
    assert site.log.wait_for(1)[0]["destination"] is None


def test_a_relayed_connection_is_counted_between_workloads(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """istio_tcp_*: opened, closed and the bytes of both directions, with the same labels."""
    listeners = "[{name: db, port: 5432, protocol: TCP}]"
    listening = f"kind: Gateway\nmetadata: {{name: web}}\nspec: {{gatewayClassName: tidegate, listeners: {listeners}}}"
    route = "kind: TCPRoute\nmetadata: {name: route}\nspec: {rules: [{backendRefs: [{name: db, port: 80}]}]}"
    site = known(serve(listening, route, service("db", scripted(echo(b"db")).port)))
    with site.connect(5432) as connection:
        connection.sendall(b"hello")
        while connection.recv(1024)[-5:] != b"hello":
            pass
    line = site.log.wait_for(1)[0]
    assert (line["source"], line["destination"], line["bytes_received"]) == ("infra/edge", "shop/cart", 5)
    for name in ("connections_opened", "connections_closed", "sent_bytes", "received_bytes"):
        found = labels(site, f"istio_tcp_{name}_total")
        assert (found["destination_workload"], found["request_protocol"], found["source_workload"]) == ("cart", "tcp", "edge")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    with collecting() as collector:
        yield collector


def test_a_span_names_both_workloads(serve: Serve, collector: Collector) -> None:
    """And is of the service that the proxy is part of."""
    tracing = f"{{collector: '{collector.url}', samplingPercent: 100}}"
    policy = f"kind: ListenerPolicy\nmetadata: {{name: reasons}}\nspec: {{targetRefs: [{{name: web}}], tracing: {tracing}}}"
    known(serve(TO_BLUE, policy)).ask()
    (span,) = collector.wait_for(1)
    assert (span.attributes["tidegate.source"], span.attributes["tidegate.destination"]) == ("infra/edge", "shop/cart")
    assert span.resource["service.name"] == "edge"
