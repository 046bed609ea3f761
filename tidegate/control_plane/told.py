"""What the control plane tells whoever asks: health, metrics for Prometheus, and the status page that `tidegate status` shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

import msgspec
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from controller.change_times import ChangeTimes
from controller.publish import Publisher
from controller.sources.kube.changes import Refusal
from controller.sources.kube.source import Reading
from controller.status import to_json
from controller.status_writer import StatusWriter
from controller.store import Key
from controller.translate.statuses import Ignored, Status
from gateway.admin import Page, Request, Serve
from gateway.ir.workload import mesh_namespace
from tidegate.control_plane.outside import Outside
from tidegate.served import served

_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


class Subject(Protocol):
    """The control plane."""

    @property
    def ready(self) -> str:
        """'' when proxies may come, otherwise why not."""

    @property
    def leading(self) -> bool:
        """Whether this replica writes."""

    @property
    def leader(self) -> str:
        """The name of the replica that leads as far as is known here, '' for none."""

    @property
    def writer(self) -> StatusWriter: ...

    @property
    def times(self) -> ChangeTimes: ...

    def readings(self) -> Iterable[Reading]:
        """How each list and watch is doing."""

    def publishers(self) -> Mapping[str, Publisher]:
        """The configuration of each Gateway, by namespace/name, and of each namespace of the mesh, by its scope."""

    def statuses(self) -> Mapping[Key, Status]:
        """What was last said of each object."""

    def refusals(self) -> Iterable[Refusal]:
        """Objects that cannot be read."""

    def ignored(self) -> Iterable[Ignored]:
        """What has no effect, and why."""

    def complaints(self) -> Iterable[tuple[Key, str]]:
        """Objects that this one keeps and cannot, and what is in the way."""

    def outside(self) -> Iterable[Outside]:
        """What is not in the mesh, and why."""

    def resources(self) -> Iterable[tuple[str, str]]:
        """The kind and the key of all that is published."""


def health(subject: Subject) -> dict[str, Serve]:
    """The pages of the health port."""

    async def live(_: Request) -> Page:
        return Page(b"live\n")

    async def ready(_: Request) -> Page:
        reason = subject.ready
        return Page(f"not ready: {reason}\n".encode(), status=503) if reason else Page(b"ready\n")

    return {"/healthz/live": live, "/healthz/ready": ready}


def metrics(subject: Subject) -> dict[str, Serve]:
    """The page of the metrics port."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(_Collector(subject))

    async def served(_: Request) -> Page:
        return Page(generate_latest(registry), _PROMETHEUS)

    return {"/metrics": served}


def status(subject: Subject) -> dict[str, Serve]:
    """The page that `tidegate status` asks for."""

    async def served(_: Request) -> Page:
        return Page(msgspec.json.encode(_found(subject)) + b"\n", "application/json")

    return {"/status": served}


def _found(subject: Subject) -> dict[str, Any]:
    publishers = sorted(subject.publishers().items())
    gateways = [served(scope, publisher) for scope, publisher in publishers if mesh_namespace(scope) is None]
    mesh = [served(namespace, publisher) for scope, publisher in publishers if (namespace := mesh_namespace(scope)) is not None]
    problems = (*((refusal.key, refusal.problem) for refusal in subject.refusals()), *subject.complaints())
    return {
        "leading": subject.leading,
        "leader": subject.leader,
        "ready": subject.ready,
        "gateways": gateways,
        "mesh": mesh,
        "outside": [_named(each.object) | {"reason": each.reason, "remedy": each.remedy} for each in subject.outside()],
        "objects": [
            _named(key) | {"generation": found.generation, "status": to_json(found)} for key, found in sorted(subject.statuses().items())
        ],
        "problems": sorted((_named(key) | {"message": problem} for key, problem in problems), key=str),
        "ignored": [_named(key) | {"reason": reason} for key, reason in subject.ignored()],
    }


def _named(key: Key) -> dict[str, Any]:
    return {"kind": key[0], "namespace": key[1], "name": key[2]}


class _Collector:
    """Reads what there is when it is asked; nothing is counted twice."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        subject = self._subject
        yield _gauge("tidegate_controller_ready", "1 when configuration is served.", int(not subject.ready))
        yield _gauge("tidegate_controller_leading", "1 when this replica writes statuses and deploys.", int(subject.leading))
        yield from self._sources()
        yield from self._proxies()
        yield _counter("tidegate_controller_statuses_written", "Statuses written to the API server.", subject.writer.writes)
        yield _counter("tidegate_controller_status_conflicts", "Writes of statuses that came too late.", subject.writer.conflicts)
        yield _gauge("tidegate_controller_statuses_pending", "Statuses that may differ from the server's.", subject.writer.pending)
        times = HistogramMetricFamily("tidegate_controller_change_seconds", "From the event to its effect in all proxies of a Gateway.")
        times.add_metric([], list(subject.times.buckets()), subject.times.total)
        yield times
        kinds: dict[str, int] = {}
        for kind, _ in subject.resources():
            kinds[kind] = kinds.get(kind, 0) + 1
        resources = GaugeMetricFamily("tidegate_controller_resources", "Resources published, by kind.", labels=["kind"])
        for kind, count in sorted(kinds.items()):
            resources.add_metric([kind], count)
        yield resources

    def _sources(self) -> Iterator[Metric]:
        labels = ["kind", "namespace"]
        objects = GaugeMetricFamily("tidegate_controller_objects", "Objects that are watched.", labels=labels)
        refused = GaugeMetricFamily("tidegate_controller_objects_refused", "Objects that cannot be read.", labels=labels)
        silent = GaugeMetricFamily("tidegate_controller_watch_silent_seconds", "Since the API server said anything.", labels=labels)
        events = CounterMetricFamily("tidegate_controller_watch_events", "Events that came.", labels=labels)
        lists = CounterMetricFamily("tidegate_controller_lists", "Times that everything was listed.", labels=labels)
        for reading in self._subject.readings():
            place = [reading.kind, reading.namespace]
            objects.add_metric(place, reading.objects)
            refused.add_metric(place, reading.refused)
            silent.add_metric(place, reading.silent)
            events.add_metric(place, reading.figures.events)
            lists.add_metric(place, reading.figures.lists)
        yield from (objects, refused, silent, events, lists)

    def _proxies(self) -> Iterator[Metric]:
        labels = ["gateway"]
        proxies = GaugeMetricFamily("tidegate_controller_proxies", "Proxies that are connected.", labels=labels)
        behind = GaugeMetricFamily("tidegate_controller_proxies_behind", "Those that have not applied everything.", labels=labels)
        rejected = GaugeMetricFamily("tidegate_controller_resources_rejected", "Resources that proxies could not build.", labels=labels)
        for name, publisher in self._subject.publishers().items():
            standings = publisher.subscribers
            proxies.add_metric([name], len(standings))
            behind.add_metric([name], sum(standing.revision < publisher.revision for standing in standings))
            rejected.add_metric([name], len(publisher.rejections()))
        yield from (proxies, behind, rejected)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
