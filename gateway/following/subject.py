"""What the admin pages of a data plane tell that follows a controller, gathered from its parts when somebody asks."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from gateway.following.data_plane import DataPlane
from gateway.following.follower import Follower
from gateway.following.serving import Serving
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Listener
from gateway.telemetry.statistics import Sample, Statistics, merge


class State(Protocol):
    """What changes while the data plane lives."""

    @property
    def draining(self) -> bool:
        """Whether no traffic should be sent here any more."""

    @property
    def waiting(self) -> str:
        """What is missing, besides a configuration, before traffic may come; '' for nothing."""

    @property
    def snapshot(self) -> str:
        """Why a snapshot is served instead of what the controller wants, and from when it is; '' where it is the controller's."""

    @property
    def snapshot_failures(self) -> int:
        """How often a snapshot could not be written."""

    def samples(self) -> Iterable[Sample]:
        """Gauges of others."""


class Subject:
    """See gateway.pages.Subject. `names`: of the Gateway, of the Pod whose sidecar it is ('' for the one that it is not), and of the
    controller's place."""

    def __init__(self, names: tuple[str, str, str], state: State, data_plane: DataPlane, follower: Follower, serving: Serving) -> None:
        self._gateway, self._workload, self._controller = names
        self._state = state
        self._data_plane = data_plane
        self._follower = follower
        self._serving = serving

    def not_ready(self) -> str:
        if self._state.draining:
            return "draining"
        if self._data_plane.configured:
            return self._state.waiting
        return f"there is no configuration yet: the controller {self._follower.problem or 'is connected and has sent none'}"

    def configuration(self) -> tuple[int, Iterable[AnyResource]]:
        return self._data_plane.revision, self._data_plane.resources()

    async def statistics(self) -> Statistics:
        parts = await self._serving.statistics()
        return await asyncio.to_thread(merge, (*parts, self._own()))

    async def explain(self, argument: bytes) -> bytes | None:
        return await self._serving.explain(argument)

    def status(self) -> bytes:
        """Revision, connection, processes, listeners, how much there is, and what could not be done."""
        found = {
            "revision": self._data_plane.revision,
            "snapshot": self._state.snapshot,
            "workers": [{"name": process.name, "revision": self._revision(process.revision)} for process in self._serving.processes],
            "objects": [],
            "problems": [],
            "ignored": [],
            "rejected": [{"kind": one.kind, "key": one.key, "reasons": [one.reason]} for one in self._data_plane.rejections()],
            "gateway": self._gateway,
            "workload": self._workload,
            "controller": self._connection(),
            "listeners": [_listener(listener) for listener in self._data_plane.listeners()],
            "resources": {kind: count for kind, count in sorted(self._data_plane.desired.kinds.items()) if count},
        }
        return msgspec.json.encode(found)

    def _revision(self, standing: int) -> int:
        """Of a process, in the controller's numbers; 0 while it is behind, since those of its past are not kept."""
        return self._data_plane.revision if standing >= self._serving.revision else 0

    def _connection(self) -> dict[str, Any]:
        since = self._follower.since
        began = "" if since is None else datetime.datetime.fromtimestamp(since, datetime.UTC).isoformat(timespec="seconds")
        return {
            "address": self._controller,
            "since": began.replace("+00:00", "Z"),
            "connections": self._follower.connections,
            "problem": self._follower.problem,
        }

    def _own(self) -> Statistics:
        return Statistics(
            counters=(
                Sample("tidegate_snapshot_failures_total", (), self._state.snapshot_failures),
                Sample("tidegate_controller_connections_total", (), self._follower.connections),
            ),
            gauges=(
                Sample("tidegate_snapshot_served", (), int(bool(self._state.snapshot))),
                Sample("tidegate_controller_connected", (), int(self._follower.since is not None)),
                Sample("tidegate_revision", (), self._data_plane.revision),
                Sample("tidegate_applied_revision", (), self._data_plane.revision),
                *(Sample("tidegate_resources", (("kind", kind),), count) for kind, count in sorted(self._data_plane.desired.kinds.items())),
                Sample("tidegate_resources_rejected", (), len(self._data_plane.rejections())),
                *self._state.samples(),
            ),
        )


def _listener(listener: Listener) -> dict[str, Any]:
    return {
        "key": listener.key,
        "protocol": listener.protocol,
        "hostname": listener.hostname,
        "address": listener.address,
        "port": listener.port,
        "bind_port": listener.bind_port,
    }
