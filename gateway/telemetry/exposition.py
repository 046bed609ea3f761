"""The text of /metrics, for Prometheus and OpenMetrics, from the statistics of all workers.

Requests carry Istio's names and labels, so that boards and Kiali made for those read them; by route they are counted under a
name of ours. The number of series is bounded: who comes first keeps a series, what comes later, or was summed up by a worker, is
summed up in one whose labels say "_other". An Exposition remembers who came first, because a series must never change its meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from math import inf, isnan
from typing import Final

from gateway.telemetry.counters import DURATION_BOUNDS
from gateway.telemetry.statistics import OTHER, UNKNOWN, Labels, Parties, Party, RequestSeries, Sample, Statistics, StreamSeries

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

HELP: Final[dict[str, str]] = {
    "istio_requests_total": "Requests answered, by gateway, destination service and response.",
    "istio_request_duration_milliseconds": "Time from a request's first byte to its response's last, in milliseconds.",
    "istio_request_bytes": "Bytes of request bodies.",
    "istio_response_bytes": "Bytes of response bodies.",
    "istio_request_messages_total": "Messages of gRPC calls that clients sent.",
    "istio_response_messages_total": "Messages of gRPC calls that clients were sent.",
    "istio_tcp_connections_opened_total": "Connections and UDP flows that were passed on, or were to be.",
    "istio_tcp_connections_closed_total": "Connections and UDP flows that have ended, by how.",
    "istio_tcp_received_bytes_total": "Bytes from clients of connections and UDP flows that are passed on.",
    "istio_tcp_sent_bytes_total": "Bytes to clients of connections and UDP flows that are passed on.",
    "tidegate_route_requests_total": "Requests answered, by listener, route, rule, backend and response.",
    "tidegate_access_log_dropped_lines_total": "Lines of the access log that its sink did not take in time.",
    "tidegate_applied_revision": "The last revision of the configuration that all workers have in place.",
    "tidegate_backend_overflow_total": "Requests answered 503 because a limit of their backend was reached, by limit.",
    "tidegate_certificate_expiry_timestamp_seconds": "When a certificate expires, in seconds since 1970.",
    "tidegate_connections": "Connections of clients, by listening port.",
    "tidegate_authorization_denied_total": "What an AuthorizationPolicy denied; without a policy, what none allows.",
    "tidegate_connections_refused_total": "Connections of clients closed when they came, by the limit that was reached.",
    "tidegate_datagrams_dropped_total": "Datagrams of UDP that went nowhere, by reason.",
    "tidegate_external_authorizations_total": "Requests put before an authorization server, by outcome.",
    "tidegate_endpoint_ejections_total": "How often an endpoint was left out for what requests met there, by cause.",
    "tidegate_endpoints_ejected": "Endpoints that are ready and left out now, each counted by every worker that leaves it out.",
    "tidegate_file_descriptors": "Files and sockets that workers have open.",
    "tidegate_flows": "Flows of UDP clients, by listening port.",
    "tidegate_gc_pauses_total": "Collections of garbage in workers.",
    "tidegate_gc_pause_seconds_total": "Time that workers stood still to collect garbage.",
    "tidegate_handshakes_failed_total": "TLS connections that ended before a request, by reason.",
    "tidegate_key_fetches_failed_total": "Attempts to fetch keys of an issuer of tokens that failed, by URL.",
    "tidegate_loop_delay_seconds": "How late the event loop of a worker is, smoothed.",
    "tidegate_health_check_failures_total": "Active health checks that found an endpoint unwell.",
    "tidegate_mirrors_dropped_total": "Copies of requests that were not sent whole, by reason.",
    "tidegate_overload_pressure": "Share of a limit that a worker uses, by resource.",
    "tidegate_overload_stage": "Stage of a worker's overload: 0 none, 1 short idle times, 2 no keep-alive, 3 shedding, 4 not accepting.",
    "tidegate_problems": "What cannot be used of the files.",
    "tidegate_tokens_refused_total": "Requests whose token is not believed, by listener.",
    "tidegate_rate_limited_total": "Requests over a rate limit, by listener and limit.",
    "tidegate_requests_refused_total": "Requests that are not valid HTTP, by reason.",
    "tidegate_requests_shed_total": "Requests answered with 503 because of overload, by what ran short.",
    "tidegate_resources": "Resources of the configuration, by kind.",
    "tidegate_resources_rejected": "Resources that a worker could not build.",
    "tidegate_retry_budget_exceeded_total": "Requests answered 503 because the retries of their backend were used up.",
    "tidegate_controller_connected": "Whether there is a connection to the controller.",
    "tidegate_controller_connections_total": "Connections to the controller that were made.",
    "tidegate_revision": "The last revision of the configuration.",
    "tidegate_snapshot_failures_total": "Snapshots of the configuration that could not be written.",
    "tidegate_snapshot_served": "Whether a snapshot is served because the source cannot be read, or has not been read yet.",
    "tidegate_slow_clients_ended_total": "Connections ended because their client did not keep up, by reason.",
    "tidegate_spans_dropped_total": "Spans of traces that no collector took in time.",
    "tidegate_spans_sent_total": "Spans of traces that collectors took.",
    "tidegate_tasks": "Tasks of workers' event loops.",
    "tidegate_connections_handed_over_total": "Connections accepted for a worker that could not, and handed to another.",
    "tidegate_worker_ends_total": "Worker processes that ended, for whatever reason.",
    "tidegate_workers": "Worker processes.",
}
"""Help texts by metric name. A metric that is not here is described by its name."""

_CLUSTER_DOMAIN: Final = "svc.cluster.local"
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Histogram:
    """One series of a histogram: exclusive counts for each bound and one beyond, and the sum of what was measured."""

    labels: Labels
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


LabelsOf = Callable[[RequestSeries], Labels]


class Exposition:
    """Owner of the series that have been given a line of their own; `limit` holds for each kind of label set."""

    __slots__ = ("_by_destination", "_by_route", "_limit", "_streams")

    def __init__(self, limit: int = 1_000) -> None:
        self._limit = limit
        self._by_destination: dict[Labels, None] = {}
        self._by_route: dict[Labels, None] = {}
        self._streams: dict[Labels, None] = {}

    def prometheus(self, statistics: Statistics) -> bytes:
        """Text of type PROMETHEUS."""
        return self._text(statistics, openmetrics=False)

    def openmetrics(self, statistics: Statistics) -> bytes:
        """Text of type OPENMETRICS."""
        return self._text(statistics, openmetrics=True)

    def _text(self, statistics: Statistics, *, openmetrics: bool) -> bytes:
        by_destination = self._bounded(self._by_destination, statistics.requests, _destination_labels)
        by_route = self._bounded(self._by_route, statistics.requests, _route_labels)
        lines: list[str] = []
        text = _Text(lines, openmetrics=openmetrics)
        text.counter("istio_requests_total", ((labels, sums.count) for labels, sums in by_destination.items()))
        text.histogram(
            "istio_request_duration_milliseconds",
            (Histogram(labels, DURATION_BOUNDS, tuple(sums.buckets), sums.milliseconds) for labels, sums in by_destination.items()),
        )
        # One bucket says what is known: the number and the sum. The path of a request measures no distribution of sizes.
        text.histogram("istio_request_bytes", (Histogram(labels, (), (s.count,), s.received) for labels, s in by_destination.items()))
        text.histogram("istio_response_bytes", (Histogram(labels, (), (s.count,), s.sent) for labels, s in by_destination.items()))
        calls = [(labels, sums) for labels, sums in by_destination.items() if sums.request_messages or sums.response_messages]
        text.counter("istio_request_messages_total", ((labels, sums.request_messages) for labels, sums in calls))
        text.counter("istio_response_messages_total", ((labels, sums.response_messages) for labels, sums in calls))
        text.counter("tidegate_route_requests_total", ((labels, sums.count) for labels, sums in by_route.items()))
        self._add_streams(text, statistics.streams)
        for name, samples in _by_name(statistics.counters):
            text.counter(name, samples)
        for name, samples in _by_name(statistics.gauges):
            text.gauge(name, samples)
        text.end()
        return "".join(lines).encode()

    def _bounded(self, known: dict[Labels, None], series: Iterable[RequestSeries], labels_of: LabelsOf) -> dict[Labels, _Sums]:
        sums: dict[Labels, _Sums] = {}
        for one in series:
            labels = self._known(known, labels_of(one))
            found = sums.get(labels)
            if found is None:
                found = sums[labels] = _Sums()
            found.add(one)
        return sums

    def _known(self, known: dict[Labels, None], labels: Labels) -> Labels:
        """The labels, or those of the series for what is beyond the limit, here or in a worker."""
        if labels in known:
            return labels
        if len(known) >= self._limit or any(value == OTHER for _, value in labels):
            return tuple((name, OTHER) for name, _ in labels)
        known[labels] = None
        return labels

    def _add_streams(self, text: _Text, streams: Iterable[StreamSeries]) -> None:
        sums: dict[str, dict[Labels, float]] = {name: {} for name in _STREAM_COUNTS}
        for series in streams:
            labels = self._known(self._streams, _stream_labels(series))
            for name, count_of in _STREAM_COUNTS.items():
                sums[name][labels] = sums[name].get(labels, 0) + count_of(series)
        for name, counts in sums.items():
            text.counter(name, ((labels, count) for labels, count in counts.items() if count))


_STREAM_COUNTS: Final[dict[str, Callable[[StreamSeries], int]]] = {
    "istio_tcp_connections_opened_total": lambda series: series.opened,
    "istio_tcp_connections_closed_total": lambda series: series.closed,
    "istio_tcp_received_bytes_total": lambda series: series.received_bytes,
    "istio_tcp_sent_bytes_total": lambda series: series.sent_bytes,
}


class _Sums:
    """Numbers of all request series that share a label set."""

    __slots__ = ("buckets", "count", "milliseconds", "received", "request_messages", "response_messages", "sent")

    def __init__(self) -> None:
        self.count = self.received = self.sent = self.request_messages = self.response_messages = 0
        self.milliseconds = 0.0
        self.buckets = [0] * (len(DURATION_BOUNDS) + 1)

    def add(self, series: RequestSeries) -> None:
        self.count += series.count
        self.received += series.request_bytes
        self.sent += series.response_bytes
        self.request_messages += series.request_messages
        self.response_messages += series.response_messages
        self.milliseconds += series.duration_sum
        for place, count in enumerate(series.duration_buckets):
            self.buckets[place] += count


class _Text:
    """Lines of the exposition. What differs between the formats: names of counter families, le as a float, the end."""

    __slots__ = ("_lines", "_openmetrics")

    def __init__(self, lines: list[str], *, openmetrics: bool) -> None:
        self._lines = lines
        self._openmetrics = openmetrics

    def counter(self, name: str, samples: Iterable[tuple[Labels, float]]) -> None:
        family = name.removesuffix("_total") if self._openmetrics else name
        self._head(family, name, "counter")
        self._lines.extend(f"{name}{_braced(labels)} {_number(value)}\n" for labels, value in samples)

    def gauge(self, name: str, samples: Iterable[tuple[Labels, float]]) -> None:
        self._head(name, name, "gauge")
        self._lines.extend(f"{name}{_braced(labels)} {_number(value)}\n" for labels, value in samples)

    def histogram(self, name: str, histograms: Iterable[Histogram]) -> None:
        self._head(name, name, "histogram")
        for histogram in histograms:
            bounds = [*map(self._bound, histogram.bounds), "+Inf"]
            counts = tuple(accumulate(histogram.counts))
            labels = _listed(histogram.labels)
            lead = f"{name}_bucket{{{labels},le=" if labels else f"{name}_bucket{{le="
            self._lines.extend(f'{lead}"{bound}"}} {count}\n' for bound, count in zip(bounds, counts, strict=True))
            braced = _braced(histogram.labels)
            self._lines.append(f"{name}_sum{braced} {_number(histogram.sum)}\n{name}_count{braced} {counts[-1]}\n")

    def end(self) -> None:
        if self._openmetrics:
            self._lines.append("# EOF\n")

    def _head(self, family: str, name: str, kind: str) -> None:
        description = HELP.get(name, name.replace("_", " ")).translate(_ESCAPES if self._openmetrics else _HELP_ESCAPES)
        self._lines.append(f"# HELP {family} {description}\n# TYPE {family} {kind}\n")

    def _bound(self, bound: float) -> str:
        return repr(float(bound)) if self._openmetrics else _number(bound)


def _destination_labels(series: RequestSeries) -> Labels:
    return (
        *(_ends(series.gateway, series.backend) if series.parties is None else _both(series.parties)),
        ("request_protocol", series.protocol),
        ("response_code", str(series.code)),
        *((("grpc_response_status", series.grpc_status),) if series.grpc_status else ()),
        ("response_flags", series.flags or "-"),
        ("connection_security_policy", series.parties.security if series.parties is not None else UNKNOWN),
    )


def _stream_labels(series: StreamSeries) -> Labels:
    """TLS is TCP to Istio."""
    return (
        *(_ends(series.gateway, series.backend) if series.parties is None else _both(series.parties)),
        ("request_protocol", "udp" if series.protocol == "udp" else "tcp"),
        ("response_flags", series.flags),
        ("connection_security_policy", series.parties.security if series.parties is not None else UNKNOWN),
    )


def _ends(of_gateway: str, backend: str) -> Labels:
    """Istio's labels of both ends where no Workloads are known, as a proxy on the client's side reports them. Empty names of the
    destination are "unknown" there too."""
    gateway_namespace, _, gateway = of_gateway.partition("/")
    namespace, _, service = backend.rpartition(":")[0].partition("/")
    return (
        ("reporter", "source"),
        ("source_workload", gateway or UNKNOWN),
        ("source_canonical_service", gateway or UNKNOWN),
        ("source_canonical_revision", "latest"),
        ("source_workload_namespace", gateway_namespace or UNKNOWN),
        ("source_principal", UNKNOWN),
        ("source_app", gateway or UNKNOWN),
        ("source_version", UNKNOWN),
        ("source_cluster", UNKNOWN),
        ("destination_workload", UNKNOWN),
        ("destination_workload_namespace", namespace or UNKNOWN),
        ("destination_principal", UNKNOWN),
        ("destination_app", UNKNOWN),
        ("destination_version", UNKNOWN),
        ("destination_service", f"{service}.{namespace}.{_CLUSTER_DOMAIN}" if service else UNKNOWN),
        ("destination_canonical_service", service or UNKNOWN),
        ("destination_canonical_revision", "latest"),
        ("destination_service_name", service or UNKNOWN),
        ("destination_service_namespace", namespace or UNKNOWN),
        ("destination_cluster", UNKNOWN),
    )


def _both(parties: Parties) -> Labels:
    """The same of ends that are known."""
    source, destination = parties.source, parties.destination
    return (
        ("reporter", parties.reporter),
        *((f"source_{name}", value) for name, value in _named(source)),
        *((f"destination_{name}", value) for name, value in _named(destination)),
        ("destination_service", parties.host),
        ("destination_service_name", parties.service_name),
        ("destination_service_namespace", parties.service_namespace),
    )


def _named(party: Party) -> Labels:
    return (
        ("workload", party.workload),
        ("workload_namespace", party.namespace),
        ("principal", party.principal),
        ("app", party.app),
        ("version", party.version),
        ("canonical_service", party.service),
        ("canonical_revision", party.revision),
        ("cluster", party.cluster),
    )


def _route_labels(series: RequestSeries) -> Labels:
    return (
        ("gateway", series.gateway),
        ("listener", series.listener),
        ("route_kind", series.route_kind),
        ("route", series.route),
        ("rule", series.rule),
        ("backend", series.backend),
        ("response_code", str(series.code)),
        ("response_flags", series.flags or "-"),
    )


def _by_name(samples: Iterable[Sample]) -> Iterable[tuple[str, list[tuple[Labels, float]]]]:
    found: dict[str, list[tuple[Labels, float]]] = {}
    for sample in samples:
        found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found.items()


def _listed(labels: Labels) -> str:
    return ",".join([f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels])


def _braced(labels: Labels) -> str:
    return f"{{{_listed(labels)}}}" if labels else ""


def _number(value: float) -> str:
    """Whole numbers without a point, at any size; NaN and the infinities as both formats spell them."""
    if isnan(value):
        return "NaN"
    if value in {inf, -inf}:
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)
