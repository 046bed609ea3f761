"""What was found, beside what it is to be (reference figures f, f2, f3, h3, i and i5 in part): one row a figure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.found import Applied, Attached, Edited, Found, Many
from cluster.programs import Usage

SERVED = (20.0, 75.0)
"""Milliseconds from the apply to served, median and p99."""
OURS = (8.0, 25.0)
"""Milliseconds from the event at a watch to served, median and p99."""
SETTLED = 1.0
"""Seconds until the number of attached routes is right."""
WRITES = 60
"""How often it is written on the way."""
CONTROLLER = 350.0
DATA_PLANE = 75.0
"""MiB."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure as text. `most` is what it may be; without it the figure has no goal."""

    figure: str
    value: float
    unit: str
    most: float | None = None

    def cells(self) -> tuple[str, str, str, str]:
        """For a table."""
        goal = "" if self.most is None else f"{self.most:g} {self.unit}".strip()
        verdict = "" if self.most is None else "held" if self.value <= self.most else "MISSED"
        return self.figure, f"{self.value:.{0 if self.value == int(self.value) else 1}f} {self.unit}".strip(), goal, verdict


def rows(found: Found) -> Iterator[Row]:
    """All figures."""
    if found.attached is not None:
        yield from _attached(found.attached)
    if found.applied is not None:
        yield from _applied("B", found.applied)
    if found.edited is not None:
        yield from _edited(found.edited)
    if found.many is not None:
        yield from _many(found.many)


def _attached(found: Attached) -> Iterator[Row]:
    yield Row(f"A  {found.routes} routes attached: settled after the last apply", found.settled, "s", SETTLED)
    yield Row("A  writes of the count while they come", found.writes, "", WRITES)
    yield Row("A  all deleted: settled after the first delete", found.gone, "s")
    yield Row("A  writes of the count while they go", found.writes_gone, "")


def _applied(name: str, found: Applied) -> Iterator[Row]:
    served, ours = (f"{name}  {found.routes} routes one by one: {what}" for what in ("apply answered to served", "event to served"))
    yield Row(f"{served}, median", found.served.median, "ms", SERVED[0])
    yield Row(f"{served}, p99", found.served.p99, "ms", SERVED[1])
    yield Row(f"{ours}, median", found.ours.median, "ms", OURS[0])
    yield Row(f"{ours}, p99", found.ours.p99, "ms", OURS[1])
    if found.timed.changes:
        for bound, most in (("0.01", None), ("0.025", 1.0)):
            what = f"{name}  {found.timed.changes} changes by the controller's clock: over {1000 * float(bound):g} ms from its event"
            yield Row(f"{what} until in place", found.timed.over(bound), "%", most)
    for what, times in (("the apply itself", found.apply), ("apply answered to event at a bare watch", found.watch)):
        yield Row(f"{name}  {what}, median", times.median, "ms")
        yield Row(f"{name}  {what}, p99", times.p99, "ms")
    yield Row(f"{name}  wrong answers and statuses", len(found.wrong), "", 0)
    yield from _usage(f"{name}  a route:", found.usage, found.routes)


def _usage(name: str, usage: tuple[Usage, ...], share: float) -> Iterator[Row]:
    for each in usage:
        yield Row(f"{name} CPU of {each.role} {each.pid}", 1000 * each.cpu / share, "ms")
        yield Row(f"{name} sent by {each.role} {each.pid}", each.sent / share, "bytes")


def _edited(found: Edited) -> Iterator[Row]:
    what = f"C  {found.edits} edits in {found.seconds:.0f} s, {found.beside} other routes"
    yield Row(f"{what}: errors and mixed answers", len(found.wrong), "", 0)
    yield Row("C  requests meanwhile", found.requests, "")
    yield Row("C  versions that were seen", found.versions_seen, "")


def _many(found: Many) -> Iterator[Row]:
    yield Row(f"D  {found.routes} routes: until all are attached", found.loaded, "s")
    yield from _usage("D  loading one of them:", found.loading, found.routes)
    for each in found.churning:
        yield Row(f"D  memory of {each.role} {each.pid}", each.resident, "MiB", CONTROLLER if each.role == "controller" else DATA_PLANE)
        yield Row(f"D  memory of {each.role} {each.pid}, highest so far", each.highest, "MiB")
    yield from _usage("D  a second of churn:", found.churning, found.churned)
    yield Row("D  wrong counts", len(found.wrong), "", 0)
    yield from _applied(f"B while {found.routes} churn", found.applied)
