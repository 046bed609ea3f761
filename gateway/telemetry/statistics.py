"""What a worker tells its parent about its traffic, and the sums over workers.

A worker's numbers only grow while it lives. Totals keeps what a dead worker last told, so that the sums only grow too:
a counter that falls would be taken for a restart by whoever computes rates.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import add
from typing import Final

import msgspec

Labels = tuple[tuple[str, str], ...]

OTHER: Final = "_other"
"""Stands for names that are beyond a limit; no object of Kubernetes can have it."""
UNKNOWN: Final = "unknown"
"""What Istio writes for a label whose value it does not know; readers expect the label all the same."""
MOST_PAST: Final = 50_000
"""Series of requests that workers counted which are no more: so many are kept apart, as many again by gateway and backend alone."""


class Party(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One end of traffic, as Istio's labels source_* and destination_* name it; `service` and `revision` are the canonical ones."""

    workload: str = UNKNOWN
    namespace: str = UNKNOWN
    principal: str = UNKNOWN
    app: str = UNKNOWN
    version: str = UNKNOWN
    service: str = UNKNOWN
    revision: str = "latest"
    cluster: str = UNKNOWN


class Parties(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Both ends, and who says so.

    reporter          source or destination
    security          mutual_tls or none, as the destination knows it; unknown to a source
    host              of the destination's Service, with `service_name` and `service_namespace`
    """

    reporter: str
    source: Party
    destination: Party
    security: str = UNKNOWN
    host: str = UNKNOWN
    service_name: str = UNKNOWN
    service_namespace: str = UNKNOWN

    def summed_up(self) -> Parties:
        """For what is beyond a limit: only who says so is left."""
        return Parties(self.reporter, _OTHERS, _OTHERS, OTHER, OTHER, OTHER, OTHER)


_OTHERS: Final = Party(OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER)


class RequestSeries(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Sums over the exchanges that share all the text fields and the status.

    gateway          namespace/name
    listener         name within its gateway
    route            namespace/name of an object of route_kind; '' when none matched
    rule             name or index of the rule
    backend          namespace/service:port, '' when the proxy answered itself
    flags            response flags, '-' for none
    duration_buckets exchanges by duration, each counted once: one number for each of counters.DURATION_BOUNDS, and one for longer
    duration_sum     milliseconds
    parties          both ends, where Workloads are known
    request_messages of gRPC calls, as response_messages
    """

    gateway: str
    listener: str
    route_kind: str
    route: str
    rule: str
    backend: str
    code: int
    flags: str
    protocol: str
    count: int
    duration_buckets: tuple[int, ...]
    duration_sum: float
    request_bytes: int
    response_bytes: int
    grpc_status: str = ""
    parties: Parties | None = None
    request_messages: int = 0
    response_messages: int = 0


class StreamSeries(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Sums over the relayed connections and flows that share all the text fields, which are those of RequestSeries.

    protocol         tcp, tls or udp
    flags            of those that are closed; what is opened and the bytes stand in the series of '-'
    received_bytes   from clients, also of those that are open
    sent_bytes       to clients
    """

    gateway: str
    listener: str
    route_kind: str
    route: str
    rule: str
    backend: str
    protocol: str
    flags: str
    opened: int
    closed: int
    received_bytes: int
    sent_bytes: int
    parties: Parties | None = None


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One number of ours. The name begins with tidegate_, that of a counter ends in _total."""

    name: str
    labels: Labels
    value: float


class Statistics(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """All numbers of one process, or of several together."""

    requests: tuple[RequestSeries, ...] = ()
    counters: tuple[Sample, ...] = ()
    gauges: tuple[Sample, ...] = ()
    streams: tuple[StreamSeries, ...] = ()


def merge(many: Iterable[Statistics]) -> Statistics:
    """Sums by series; gauges add up too (connections, exchanges in flight)."""
    requests: dict[tuple[object, ...], RequestSeries] = {}
    counters: dict[tuple[str, Labels], float] = {}
    gauges: dict[tuple[str, Labels], float] = {}
    streams: dict[tuple[object, ...], StreamSeries] = {}
    for statistics in many:
        for stream in statistics.streams:
            name = _stream_key(stream)
            streams[name] = _stream_sum(streams[name], stream) if name in streams else stream
        for series in statistics.requests:
            key = _key(series)
            known = requests.get(key)
            requests[key] = series if known is None else _sum(known, series)
        for sums, samples in ((counters, statistics.counters), (gauges, statistics.gauges)):
            for sample in samples:
                sums[sample.name, sample.labels] = sums.get((sample.name, sample.labels), 0.0) + sample.value
    return Statistics(
        tuple(requests.values()),
        tuple(Sample(name, labels, value) for (name, labels), value in counters.items()),
        tuple(Sample(name, labels, value) for (name, labels), value in gauges.items()),
        tuple(streams.values()),
    )


class Totals:
    """Owner of what workers told last, and of what those told that are no more."""

    __slots__ = ("_last", "_past")

    def __init__(self) -> None:
        self._last: dict[str, Statistics] = {}
        self._past = Statistics()

    def told(self, worker: str, statistics: Statistics) -> None:
        """A worker's present numbers."""
        self._last[worker] = statistics

    def ended(self, worker: str) -> None:
        """A worker is no more: what it counted stays counted, its gauges are gone."""
        last = self._last.pop(worker, None)
        if last is not None:
            past = merge((self._past, msgspec.structs.replace(last, gauges=())))
            past = _summed_up(past, MOST_PAST, listener=OTHER, route_kind=OTHER, route=OTHER, rule=OTHER)
            self._past = _summed_up(past, 2 * MOST_PAST, gateway=OTHER, backend=OTHER, parties=None)

    def parts(self) -> tuple[Statistics, ...]:
        """What `merge` sums up over all workers there are and were."""
        return self._past, *self._last.values()


def _summed_up(past: Statistics, most: int, **names: str | None) -> Statistics:
    """Request series beyond so many get these names, and are one where they are the same then."""
    if len(past.requests) <= most:
        return past
    late = tuple([msgspec.structs.replace(series, **names) for series in past.requests[most:]])
    return merge((msgspec.structs.replace(past, requests=past.requests[:most]), Statistics(late)))


def _key(series: RequestSeries) -> tuple[object, ...]:
    names = (series.gateway, series.listener, series.route_kind, series.route, series.rule, series.backend)
    return (*names, series.code, series.flags, series.protocol, series.grpc_status, series.parties)


def _sum(one: RequestSeries, other: RequestSeries) -> RequestSeries:
    return msgspec.structs.replace(
        one,
        count=one.count + other.count,
        duration_buckets=tuple(map(add, one.duration_buckets, other.duration_buckets)),
        duration_sum=one.duration_sum + other.duration_sum,
        request_bytes=one.request_bytes + other.request_bytes,
        response_bytes=one.response_bytes + other.response_bytes,
        request_messages=one.request_messages + other.request_messages,
        response_messages=one.response_messages + other.response_messages,
    )


def _stream_key(series: StreamSeries) -> tuple[object, ...]:
    names = (series.gateway, series.listener, series.route_kind, series.route, series.rule, series.backend)
    return (*names, series.protocol, series.flags, series.parties)


def _stream_sum(one: StreamSeries, other: StreamSeries) -> StreamSeries:
    return msgspec.structs.replace(
        one,
        opened=one.opened + other.opened,
        closed=one.closed + other.closed,
        received_bytes=one.received_bytes + other.received_bytes,
        sent_bytes=one.sent_bytes + other.sent_bytes,
    )
