"""Gathers a worker's numbers into the value that goes to the parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.telemetry.statistics import RequestSeries, Sample, Statistics

if TYPE_CHECKING:
    from gateway.proxy.core import Core
    from gateway.proxy.open_port import OpenPort
    from gateway.telemetry.access_log import AccessLog
    from gateway.telemetry.pauses import Pauses


def collect(core: Core, ports: Sequence[OpenPort], log: AccessLog | None, pauses: Pauses) -> Statistics:
    """Request series of all rules, counters and gauges of the process."""
    requests: list[RequestSeries] = []
    for counters in core.counters.values():
        requests += counters.collect()
    samples = [
        Sample("tidegate_access_log_dropped_lines_total", (), log.dropped if log is not None else 0),
        Sample("tidegate_gc_pauses_total", (), pauses.count),
        Sample("tidegate_gc_pause_seconds_total", (), pauses.seconds),
        *_by_reason("tidegate_requests_refused_total", core.refusals),
        *_by_reason("tidegate_mirrors_dropped_total", core.mirrors_dropped),
    ]
    failures: dict[str, int] = {}
    for opened in ports:
        for reason, count in opened.handshake_failures.items():
            failures[reason] = failures.get(reason, 0) + count
    samples += _by_reason("tidegate_handshakes_failed_total", failures)
    gauges = [
        Sample("tidegate_connections", (("port", str(opened.port.number)),), len(opened.port.connections))
        for opened in ports
    ]  # fmt: skip
    return Statistics(tuple(requests), tuple(samples), tuple(gauges))


def _by_reason(name: str, counts: dict[str, int]) -> list[Sample]:
    return [Sample(name, (("reason", reason),), count) for reason, count in counts.items()]
