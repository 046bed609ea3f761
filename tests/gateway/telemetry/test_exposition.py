"""The text of /metrics, judged by prometheus_client's two parsers, which are not ours."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.counters import DURATION_BOUNDS
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.statistics import OTHER, Parties, Party, RequestSeries, Sample, Statistics, StreamSeries

# What Kiali and Istio's boards group by.
ISTIO_LABELS = {
    "reporter", "request_protocol", "response_code", "response_flags", "connection_security_policy",
    "source_workload", "source_workload_namespace", "source_canonical_service", "source_canonical_revision", "source_cluster",
    "destination_workload", "destination_workload_namespace", "destination_canonical_service", "destination_canonical_revision",
    "destination_service", "destination_service_name", "destination_service_namespace", "destination_cluster",
}  # fmt: skip


def series(backend: str = "shop/cart:8080", code: int = 200, flags: str = "-", count: int = 3, route: str = "shop/r") -> RequestSeries:
    buckets = [0] * (len(DURATION_BOUNDS) + 1)
    buckets[1], buckets[-1] = count - 1, 1
    labels = ("infra/edge", "http", "HTTPRoute", route, "0", backend, code, flags, "http")
    return RequestSeries(*labels, count, tuple(buckets), 400_000.5, 30, 60)


def prometheus(statistics: Statistics, exposition: Exposition | None = None) -> dict[str, Any]:
    text = (exposition or Exposition()).prometheus(statistics).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def open_metrics(statistics: Statistics, exposition: Exposition | None = None) -> dict[str, Any]:
    text = (exposition or Exposition()).openmetrics(statistics).decode()
    families = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # ships no types
    return {family.name: family for family in families}


PARSED = pytest.mark.parametrize("parsed", [prometheus, open_metrics])
Parsed = Callable[..., dict[str, Any]]


def values(family: Any, name: str) -> dict[frozenset[tuple[str, str]], float]:
    return {frozenset(sample.labels.items()): sample.value for sample in family.samples if sample.name == name}


def only(found: Iterable[Any]) -> Any:
    (one,) = found
    return one


@PARSED
def test_requests_carry_istios_name_and_labels(parsed: Parsed) -> None:
    """Design 8: istio_requests_total with Istio's labels, so that Kiali and known boards work."""
    family = parsed(Statistics((series(),)))["istio_requests"]
    assert family.type == "counter"
    sample = only(family.samples)
    assert (sample.name, sample.value) == ("istio_requests_total", 3)
    assert sample.labels.keys() >= ISTIO_LABELS
    assert sample.labels["reporter"] == "source"
    assert (sample.labels["source_workload"], sample.labels["source_workload_namespace"]) == ("edge", "infra")
    assert sample.labels["destination_service"] == "cart.shop.svc.cluster.local"
    assert (sample.labels["destination_service_name"], sample.labels["destination_service_namespace"]) == ("cart", "shop")
    assert (sample.labels["response_code"], sample.labels["response_flags"], sample.labels["request_protocol"]) == ("200", "-", "http")
    assert "grpc_response_status" not in sample.labels


@PARSED
def test_the_grpc_status_is_a_label_where_there_is_one(parsed: Parsed) -> None:
    """Istio writes grpc_response_status only for gRPC."""
    sample = only(parsed(Statistics((replace(series(), grpc_status="14"),)))["istio_requests"].samples)
    assert sample.labels["grpc_response_status"] == "14"


PARTIES = Parties(
    "destination",
    Party("web", "front", "spiffe://cluster.local/ns/front/sa/web", "web", "v1", "web", "v1", "Kubernetes"),
    Party("cart", "shop", "spiffe://cluster.local/ns/shop/sa/cart", "cart", "v2", "cart", "v2", "Kubernetes"),
    "mutual_tls", "carts.shop.svc.cluster.local", "carts", "shop",
)  # fmt: skip


@PARSED
def test_known_ends_have_all_of_istio_s_labels(parsed: Parsed) -> None:
    """istio.io/latest/docs/reference/config/metrics: both workloads, who reports, and how the connection is secured; of streams too."""
    stream = StreamSeries("shop/@mesh", "x", "TCPRoute", "shop/r", "0", "@mesh/inbound/tcp", "tcp", "-", 1, 1, 2, 3, PARTIES)
    families = parsed(Statistics((replace(series(), parties=PARTIES),), streams=(stream,)))
    request = only(families["istio_requests"].samples).labels
    assert request.keys() >= ISTIO_LABELS
    assert request == {
        "reporter": "destination", "connection_security_policy": "mutual_tls", "request_protocol": "http", "response_code": "200",
        "response_flags": "-", "source_workload": "web", "source_workload_namespace": "front",
        "source_principal": "spiffe://cluster.local/ns/front/sa/web", "source_app": "web", "source_version": "v1",
        "source_canonical_service": "web", "source_canonical_revision": "v1", "source_cluster": "Kubernetes",
        "destination_workload": "cart", "destination_workload_namespace": "shop",
        "destination_principal": "spiffe://cluster.local/ns/shop/sa/cart", "destination_app": "cart", "destination_version": "v2",
        "destination_canonical_service": "cart", "destination_canonical_revision": "v2", "destination_cluster": "Kubernetes",
        "destination_service": "carts.shop.svc.cluster.local", "destination_service_name": "carts", "destination_service_namespace": "shop",
    }  # fmt: skip
    streamed = only(families[next(name for name in families if name.startswith("istio_tcp_connections_opened"))].samples).labels
    assert streamed == {**{name: value for name, value in request.items() if name != "response_code"}, "request_protocol": "tcp"}


@PARSED
def test_pairs_of_workloads_are_series_of_their_own_and_bounded(parsed: Parsed) -> None:
    """Beyond the limit, and where a worker has summed them up, they are one."""
    ends = [replace(PARTIES, source=Party(f"caller-{number}")) for number in range(4)]
    many = tuple(replace(series(), parties=each) for each in (*ends, ends[0], PARTIES.summed_up()))
    samples = parsed(Statistics(many), Exposition(limit=2))["istio_requests"].samples
    assert [sample.value for sample in samples] == [6, 3, 9]
    assert set(samples[-1].labels.values()) == {OTHER}


@PARSED
def test_messages_of_calls_are_counted(parsed: Parsed) -> None:
    """istio_request_messages_total and istio_response_messages_total, of gRPC alone."""
    call = replace(series(), protocol="grpc", grpc_status="0", request_messages=5, response_messages=7)
    families = parsed(Statistics((series(), call)))
    for name, total in (("istio_request_messages", 5), ("istio_response_messages", 7)):
        sample = only(next(family for known, family in families.items() if known.removesuffix("_total") == name).samples)
        assert (sample.value, sample.labels["request_protocol"]) == (total, "grpc")


@PARSED
def test_the_duration_is_a_histogram_in_milliseconds(parsed: Parsed) -> None:
    """Buckets are cumulative, the last is +Inf and equals the count."""
    family = parsed(Statistics((series(count=5),)))["istio_request_duration_milliseconds"]
    assert family.type == "histogram"
    buckets = {float(sample.labels["le"]): sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert list(buckets) == [*map(float, DURATION_BOUNDS), float("inf")]
    assert buckets[0.5] == 0
    assert buckets[1.0] == buckets[300_000.0] == 4
    assert buckets[float("inf")] == 5
    assert only(sample.value for sample in family.samples if sample.name.endswith("_sum")) == 400_000.5
    assert only(sample.value for sample in family.samples if sample.name.endswith("_count")) == 5


@PARSED
def test_bodies_are_counted_in_bytes(parsed: Parsed) -> None:
    """istio_request_bytes and istio_response_bytes: count and sum, in a histogram as readers expect."""
    families = parsed(Statistics((series(),)))
    for name, total in (("istio_request_bytes", 30), ("istio_response_bytes", 60)):
        assert families[name].type == "histogram"
        assert only(sample.value for sample in families[name].samples if sample.name.endswith("_sum")) == total
        assert only(sample.value for sample in families[name].samples if sample.name.endswith("_count")) == 3


@PARSED
def test_a_reply_of_our_own_has_an_unknown_destination(parsed: Parsed) -> None:
    """A 404 reached no Service: Istio's word for that is unknown."""
    sample = only(parsed(Statistics((series(backend="", code=404, flags="NR"),)))["istio_requests"].samples)
    assert sample.labels["destination_service"] == sample.labels["destination_service_name"] == "unknown"


@PARSED
def test_series_of_one_destination_add_up_and_routes_are_counted_by_our_own_name(parsed: Parsed) -> None:
    """Two routes to one Service are one series for Istio's readers and two for ours."""
    families = parsed(Statistics((series(route="shop/a"), series(route="shop/b", count=4))))
    assert only(families["istio_requests"].samples).value == 7
    routes = {sample.labels["route"]: sample.value for sample in families["tidegate_route_requests"].samples}
    assert routes == {"shop/a": 3, "shop/b": 4}
    labels = {"gateway", "listener", "route_kind", "route", "rule", "backend", "response_code", "response_flags"}
    assert families["tidegate_route_requests"].samples[0].labels.keys() == labels


@PARSED
def test_counters_and_gauges_of_ours_follow(parsed: Parsed) -> None:
    """Samples of one name stand together, whatever their order; without labels there are no braces."""
    statistics = Statistics(
        counters=(
            Sample("tidegate_a_total", (("reason", "x"),), 1),
            Sample("tidegate_b_total", (), 2.5),
            Sample("tidegate_a_total", (), 3),
        ),
        gauges=(Sample("tidegate_workers", (), 2),),
    )
    families = parsed(statistics)
    assert values(families["tidegate_a"], "tidegate_a_total") == {frozenset({("reason", "x")}): 1, frozenset(): 3}
    assert values(families["tidegate_b"], "tidegate_b_total") == {frozenset(): 2.5}
    assert families["tidegate_workers"].type == "gauge"
    assert families["tidegate_workers"].documentation == "Worker processes."


@PARSED
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300, 0.1, 2**60])
def test_every_number_is_written_so_that_it_reads_the_same(parsed: Parsed, value: float) -> None:
    """NaN and infinities have their own spelling; nothing is rounded."""
    found = only(parsed(Statistics(gauges=(Sample("tidegate_g", (), value),)))["tidegate_g"].samples).value
    assert found == pytest.approx(value, rel=0, abs=0, nan_ok=True)


@PARSED
@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S", "Z", "Cc")), max_size=20))
def test_any_text_survives_as_a_label(parsed: Parsed, text: str) -> None:
    """Backslash, quote and line feed are escaped; a name a user wrote cannot forge a line."""
    families = parsed(Statistics(counters=(Sample("tidegate_a_total", (("reason", text), ("b", "c")), 1),)))
    assert only(families["tidegate_a"].samples).labels == {"reason": text, "b": "c"}


@PARSED
def test_what_is_beyond_the_limit_is_summed_up_in_one_series(parsed: Parsed) -> None:
    """Design 8: the number of series is bounded, with an overflow series."""
    exposition = Exposition(limit=3)
    families = parsed(Statistics(tuple(series(backend=f"shop/s{number}:80", route=f"shop/r{number}") for number in range(10))), exposition)
    samples = families["istio_requests"].samples
    assert len(samples) == 4
    assert samples[-1].value == 7 * 3
    assert set(samples[-1].labels.values()) == {OTHER}
    assert len(families["tidegate_route_requests"].samples) == 4


@PARSED
def test_what_workers_sum_up_is_summed_up_here(parsed: Parsed) -> None:
    """Without a route there is still a destination; without either it is one with what is beyond the limit."""
    late = replace(series(), listener=OTHER, route_kind=OTHER, route=OTHER, rule=OTHER)
    families = parsed(Statistics((series(), late, replace(late, gateway=OTHER, backend=OTHER))))
    for name, counts in (("istio_requests", [6, 3]), ("tidegate_route_requests", [3, 6])):
        samples = families[name].samples
        assert [sample.value for sample in samples] == counts
        assert set(samples[-1].labels.values()) == {OTHER}


def test_a_series_never_changes_its_meaning() -> None:
    """Who has a series keeps it, in whatever order later numbers come; so no counter falls."""
    exposition = Exposition(limit=2)
    many = [series(backend=f"shop/s{number}:80") for number in range(4)]
    seen: dict[frozenset[tuple[str, str]], float] = {}
    for order in itertools.permutations(many):
        found = values(prometheus(Statistics(order), exposition)["istio_requests"], "istio_requests_total")
        assert not seen or found == seen
        seen = found


def test_nothing_at_all_is_valid() -> None:
    """Before the first request there are families without samples."""
    assert open_metrics(Statistics()).keys() >= {"istio_requests", "tidegate_route_requests"}
    assert Exposition().openmetrics(Statistics()).endswith(b"# EOF\n")
    assert b"# EOF" not in Exposition().prometheus(Statistics())


@PARSED
def test_relayed_connections_and_flows_have_istio_s_names(parsed: Parsed) -> None:
    """istio.io/latest/docs/reference/config/metrics: TCP metrics; TLS is TCP there. What is opened and the bytes have no flag yet."""
    labels = ("infra/edge", "db", "TCPRoute", "shop/r", "0", "shop/cart:8080")
    streams = (StreamSeries(*labels, "tls", "-", 5, 2, 100, 200), StreamSeries(*labels, "tls", "UF", 0, 1, 0, 0))
    families = parsed(Statistics(streams=streams))
    sums = {"sent_bytes": {"-": 200}, "received_bytes": {"-": 100}}
    wanted = sums | {"connections_opened": {"-": 5}, "connections_closed": {"-": 2, "UF": 1}}
    for name, expected in wanted.items():
        found = values_by_flag(families, f"istio_tcp_{name}")
        assert found == expected
    sample = families[next(name for name in families if name.startswith("istio_tcp_sent_bytes"))].samples[0]
    assert sample.labels.keys() >= ISTIO_LABELS - {"response_code"}
    assert sample.labels["request_protocol"] == "tcp"
    assert sample.labels["destination_service"] == "cart.shop.svc.cluster.local"


def values_by_flag(families: dict[str, Any], name: str) -> dict[str, float]:
    [family] = [family for known, family in families.items() if known.removesuffix("_total") == name]
    return {sample.labels["response_flags"]: sample.value for sample in family.samples}


def test_series_of_streams_are_bounded() -> None:
    """Whoever comes later is summed up under _other."""
    exposition = Exposition(limit=2)
    streams = tuple(StreamSeries("g/g", "l", "TCPRoute", "a/r", "0", f"a/s{number}:1", "tcp", "-", 1, 0, 0, 0) for number in range(5))
    samples = prometheus(Statistics(streams=streams), exposition)["istio_tcp_connections_opened"].samples
    assert [sample.value for sample in samples] == [1, 1, 3]
    assert set(samples[-1].labels.values()) == {OTHER}
