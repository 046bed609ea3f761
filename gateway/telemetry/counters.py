"""Counters of the hot path: plain integers, one series for each status and flag that a rule's share of traffic has had."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from gateway.telemetry.statistics import OTHER, UNKNOWN, Parties, Party, RequestSeries

DURATION_BOUNDS: Final = tuple(map(float, (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1e3, 2_500, 5_000, 1e4, 3e4, 6e4, 3e5)))
"""Upper bounds in milliseconds; one more bucket holds what is longer. All of one type, since comparing an int with a float is slow."""
MOST_LABELS: Final = 20_000
"""Label sets that a worker counts apart, those of rules that are gone included: twice the rules that we are made for."""
Names = tuple[str, str, str, Parties | None]
"""Listener, rule, backend, and both ends where they are known."""
SeriesKey = tuple[int, str, bytes, str | None]
"""Status, flags, HTTP version, gRPC status: '' for a call that has none, None for what is no call."""


class Series:
    """Sums over the exchanges that ended with one status and flag."""

    __slots__ = ("buckets", "count", "milliseconds", "received", "request_messages", "response_messages", "sent")

    def __init__(self) -> None:
        self.count = 0
        self.milliseconds = 0.0
        self.received = self.sent = 0
        self.request_messages = self.response_messages = 0
        self.buckets = [0] * (len(DURATION_BOUNDS) + 1)


class Counters:
    """The series of one listener, rule and backend; any of rule and backend may be '' (local replies)."""

    __slots__ = ("labels", "series")

    def __init__(self, labels: CounterLabels) -> None:
        self.labels = labels
        self.series: dict[SeriesKey, Series] = {}

    def record(self, key: SeriesKey, milliseconds: float, received: int, sent: int) -> None:
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series()
        series.count += 1
        series.milliseconds += milliseconds
        series.received += received
        series.sent += sent
        series.buckets[bisect_left(DURATION_BOUNDS, milliseconds)] += 1

    def record_messages(self, key: SeriesKey, request: int, response: int) -> None:
        """Of a call that `record` has counted."""
        series = self.series[key]
        series.request_messages += request
        series.response_messages += response

    def collect(self) -> list[RequestSeries]:
        labels = self.labels
        return [
            RequestSeries(
                gateway=labels.gateway,
                listener=labels.listener,
                route_kind=labels.route_kind,
                route=labels.route,
                rule=labels.rule,
                backend=labels.backend,
                code=status,
                flags=flags or "-",
                protocol="http" if grpc_status is None else "grpc",
                count=series.count,
                duration_buckets=tuple(series.buckets),
                duration_sum=series.milliseconds,
                request_bytes=series.received,
                response_bytes=series.sent,
                grpc_status=grpc_status or "",
                parties=labels.parties,
                request_messages=series.request_messages,
                response_messages=series.response_messages,
            )
            for (status, flags, _, grpc_status), series in self.series.items()
        ]


class CounterLabels:
    """Whose traffic it is."""

    __slots__ = ("backend", "gateway", "listener", "parties", "route", "route_kind", "rule")

    def __init__(self, gateway: str, listener: str, route_kind: str = "", route: str = "", rule: str = "", backend: str = "") -> None:
        self.gateway, self.listener, self.route_kind, self.route, self.rule, self.backend = (
            gateway,
            listener,
            route_kind,
            route,
            rule,
            backend,
        )
        self.parties: Parties | None = None
        """Both ends of it, where Workloads are known."""

    def between(self, parties: Parties | None) -> CounterLabels:
        """The same, of what passes between these."""
        labels = CounterLabels(self.gateway, self.listener, self.route_kind, self.route, self.rule, self.backend)
        labels.parties = parties
        return labels

    @property
    def names(self) -> Names:
        """All of it, as a key."""
        return f"{self.gateway}/{self.listener}", f"{self.route}/{self.rule}", self.backend, self.parties

    @property
    def ends(self) -> tuple[str, str, str]:
        """Who says so, the source and the destination as NAMESPACE/WORKLOAD; '' for what is not known."""
        parties = self.parties
        if parties is None:
            return "", "", ""
        return parties.reporter, _called(parties.source), _called(parties.destination)


    @property
    def texts(self) -> tuple[tuple[bytes, str], ...]:
        """What is known of it, each with a name."""
        named = (
            (b"gateway", self.gateway), (b"listener", self.listener), (b"route", f"{self.route_kind}/{self.route}" if self.route else ""),
            (b"rule", self.rule), (b"backend", self.backend),
            *zip((b"reporter", b"source", b"destination"), self.ends, strict=True),
        )  # fmt: skip
        return tuple([(name, text) for name, text in named if text])


def _called(party: Party) -> str:
    return "" if party.workload == UNKNOWN else f"{party.namespace}/{party.workload}"


NO_LABELS: Final = CounterLabels("", "")
"""Of what came to no listener."""


def labels_among(labels: CounterLabels, held: int, known: Callable[[CounterLabels], bool]) -> CounterLabels:
    """What to count under where the labels are new and so many label sets are held: from MOST_LABELS on the gateway and the backend alone,
    from twice as many on nothing, unless they are `known`."""
    if held < MOST_LABELS:
        return labels
    parties = labels.parties.summed_up() if labels.parties is not None else None
    of_backend = CounterLabels(labels.gateway, OTHER, OTHER, OTHER, OTHER, labels.backend).between(parties)
    if held < 2 * MOST_LABELS or known(of_backend):
        return of_backend
    return CounterLabels(OTHER, OTHER, OTHER, OTHER, OTHER, OTHER)
