"""What the tests find. Times in milliseconds, unless they are said to be seconds."""

from __future__ import annotations

from dataclasses import dataclass

from measuring.summary import Percentiles

from cluster.change_times import Timed
from cluster.programs import Usage


@dataclass(frozen=True, slots=True)
class Attached:
    """Test A. `settled` and `gone`: seconds from the last apply, and from the first delete, to the last count; with the writes of each."""

    routes: int
    settled: float
    writes: int
    gone: float
    writes_gone: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """Test B. `apply` from the request to its answer, `served` from that answer to the first 200, `watch` from that answer to the event
    at a bare watch (below 0 where the event is first), `ours` from that event to the first 200; `timed` what the controllers say of it."""

    routes: int
    apply: Percentiles
    watch: Percentiles
    ours: Percentiles
    served: Percentiles
    looked_at: int
    timed: Timed
    usage: tuple[Usage, ...]
    seconds: float
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edited:
    """Test C, with so many other routes in place."""

    edits: int
    beside: int
    seconds: float
    requests: int
    versions_seen: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """Test D: what the processes took to load, and then in some seconds of churn alone; and test B while it went on."""

    routes: int
    loaded: float
    loading: tuple[Usage, ...]
    churned: float
    churning: tuple[Usage, ...]
    applied: Applied
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Of one run; None for a test that was not chosen."""

    attached: Attached | None = None
    applied: Applied | None = None
    edited: Edited | None = None
    many: Many | None = None

    @property
    def wrong(self) -> tuple[str, ...]:
        """All that was wrong."""
        texts: list[str] = []
        for each in (self.attached, self.applied, self.edited, self.many, self.many and self.many.applied):
            texts += each.wrong if each is not None else ()
        return tuple(texts)
