"""What the admin pages of `tidegate run` tell, gathered from its parts when somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from controller.publish import Publisher
from controller.sources.problems import Problem
from controller.status import to_json
from controller.translate.statuses import Status
from gateway.ir.batch import AnyResource
from gateway.parent import Workers
from gateway.telemetry.statistics import Sample, Statistics, Totals, merge
from tidegate.certificates import Expiries
from tidegate.gathering import gather
from tidegate.local_mesh.mesh import LocalMesh
from tidegate.show import Configuration

_EXPLAIN_TIMEOUT = 5.0


class Standing(Protocol):
    """What changes while the data plane lives."""

    @property
    def ready(self) -> str:
        """'' when traffic may come, otherwise why not."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What cannot be used of the files."""

    def message(self, text: str) -> None:
        """Something a user or a log should know."""

    @property
    def snapshot(self) -> str:
        """Why a snapshot is served instead of the files, and from when it is; '' where the files are served."""

    @property
    def snapshot_failures(self) -> int:
        """How often a snapshot could not be written."""


class Subject:
    """See gateway.pages.Subject. Also the observer's half that counts the ends of workers."""

    def __init__(
        self, standing: Standing, publisher: Publisher, workers: Workers, configuration: Configuration, mesh: LocalMesh | None = None
    ) -> None:
        self._mesh = mesh
        self._standing = standing
        self._publisher = publisher
        self._workers = workers
        self._configuration = configuration
        self._totals = Totals()
        self._ended = 0
        self.expiries = Expiries(lambda: publisher.resources, standing.message)

    def ended(self, worker: str) -> None:
        """A worker process is no more: what it counted stays counted."""
        self._totals.ended(worker)
        self._ended += 1

    def not_ready(self) -> str:
        return self._standing.ready

    def configuration(self) -> tuple[int, Iterable[AnyResource]]:
        return self._publisher.revision, self._publisher.resources.values()

    async def statistics(self) -> Statistics:
        """The workers' numbers, and the parent's own."""
        parts = await gather(self._publisher, self._totals)
        return await asyncio.to_thread(merge, (*parts, self._own()))

    async def explain(self, argument: bytes) -> bytes | None:
        """The first answer is as good as any: all workers have the same tables. What a workload asks is its sidecar's to say."""
        if self._mesh is not None and (answer := await self._mesh.explain(argument)) is not None:
            return answer
        answers = await self._publisher.ask("explain", argument, _EXPLAIN_TIMEOUT, first=True)
        return next((bytes(answer) for answer in answers.values()), None)

    def status(self) -> bytes:
        """Revision, workers with theirs, every object with its status as Kubernetes has it, problems, what is ignored."""
        configuration = self._configuration
        found = {
            "revision": self._publisher.revision,
            "snapshot": self._standing.snapshot,
            "workers": [{"name": worker.name, "revision": worker.revision} for worker in self._publisher.subscribers],
            "objects": [self._object(status) for _, status in sorted(configuration.statuses.items())],
            "problems": self._standing.problems,
            "ignored": [_named(key) | {"reason": reason} for key, reason in configuration.ignored()],
            "rejected": [
                {"kind": kind, "key": key, "reasons": reasons} for (kind, key), reasons in sorted(self._publisher.rejections().items())
            ],
        }
        return msgspec.json.encode(found | ({} if self._mesh is None else self._mesh.status()))

    def _object(self, status: Status) -> dict[str, Any]:
        place = self._configuration.place(status.object)
        where = {} if place is None else {"file": place.file, "line": place.line}
        return _named(status.object) | where | {"generation": status.generation, "status": to_json(status)}

    def _own(self) -> Statistics:
        kinds: dict[str, int] = {}
        for kind, _ in self._publisher.resources:
            kinds[kind] = kinds.get(kind, 0) + 1
        return Statistics(
            counters=(
                Sample("tidegate_snapshot_failures_total", (), self._standing.snapshot_failures),
                Sample("tidegate_connections_handed_over_total", (), self._workers.handed),
                Sample("tidegate_worker_ends_total", (), self._ended),
            ),
            gauges=(
                Sample("tidegate_snapshot_served", (), int(bool(self._standing.snapshot))),
                Sample("tidegate_revision", (), self._publisher.revision),
                Sample("tidegate_applied_revision", (), self._publisher.applied),
                Sample("tidegate_workers", (), self._workers.running),
                *(Sample("tidegate_resources", (("kind", kind),), count) for kind, count in sorted(kinds.items())),
                Sample("tidegate_resources_rejected", (), len(self._publisher.rejections())),
                Sample("tidegate_problems", (), len(self._standing.problems)),
                *self.expiries.samples(),
            ),
        )


def _named(key: tuple[str, str, str]) -> dict[str, Any]:
    return {"kind": key[0], "namespace": key[1], "name": key[2]}
