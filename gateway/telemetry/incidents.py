"""What goes wrong with backends, counted by backend; and how many endpoints are left out now. The number of series is bounded."""

from __future__ import annotations

from typing import Final

from gateway.telemetry.statistics import Labels, Sample

MOST_SERIES: Final = 1_000
"""Series of each kind that a worker gives a backend of their own; what comes later is summed up under OTHER."""
OTHER: Final = "_other"


class Incidents:
    """One per worker. A counter that has begun stays, so that no sum ever falls; a gauge of zero is dropped."""

    __slots__ = ("_counts", "_gauges")

    def __init__(self) -> None:
        self._counts: dict[str, dict[Labels, int]] = {}
        self._gauges: dict[str, dict[str, int]] = {}

    def count(self, name: str, backend: str, label: str = "", value: str = "") -> None:
        """One more; `label` is a second label beside `backend`, of few values."""
        counts = self._counts.setdefault(name, {})
        more = ((label, value),) if label else ()
        labels = (("backend", backend), *more)
        if labels not in counts and len(counts) >= MOST_SERIES:
            labels = (("backend", OTHER), *more)
        counts[labels] = counts.get(labels, 0) + 1

    def show(self, name: str, backend: str, value: int) -> None:
        """What a gauge is now."""
        gauges = self._gauges.setdefault(name, {})
        if value:
            gauges[backend] = value
        else:
            gauges.pop(backend, None)

    def counters(self) -> list[Sample]:
        return [Sample(name, labels, count) for name, counts in self._counts.items() for labels, count in counts.items()]

    def gauges(self) -> list[Sample]:
        samples = []
        for name, gauges in self._gauges.items():
            shown = list(gauges.items())
            rest = sum(value for _, value in shown[MOST_SERIES:])
            samples += [Sample(name, (("backend", backend),), value) for backend, value in shown[:MOST_SERIES]]
            samples += [Sample(name, (("backend", OTHER),), rest)] if rest else []
        return samples
