"""Who may write statuses: leader election on a Lease (coordination.k8s.io/v1), as values. Time is handed in; nothing here waits or sends.

The rules are those of client-go. A record that has not changed for its duration, on the clock of the one who looks, may be taken. A
leader stops when it has not renewed for `deadline`, counted from before its last successful write was sent. Since `deadline` is less
than `duration`, a leader has stopped before another one may begin, as long as monotonic clocks run at about the same speed; wall clocks
do not matter. Writes name the resourceVersion that was read, so of two that take a Lease at once one gets a conflict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds: for how long a Lease is granted, within what its holder has to renew it, and how often it is looked at."""

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.retry < self.deadline < self.duration:
            raise ValueError(f"a lease needs retry < deadline < duration, not {self.retry:g}, {self.deadline:g}, {self.duration:g}")


@dataclass(frozen=True, slots=True)
class Record:
    """A Lease. `version` is its resourceVersion ("" for one that is not there yet); times are texts for people, never compared."""

    version: str = ""
    holder: str = ""
    duration: float = 0.0
    transitions: int = 0
    acquired: str = ""
    renewed: str = ""

    @classmethod
    def of(cls, lease: Mapping[str, Any]) -> "Record":
        """What a Lease of the API server says."""
        spec = lease.get("spec") or {}
        return cls(
            str(lease["metadata"].get("resourceVersion", "")),
            str(spec.get("holderIdentity") or ""),
            float(spec.get("leaseDurationSeconds") or 0),
            int(spec.get("leaseTransitions") or 0),
            str(spec.get("acquireTime") or ""),
            str(spec.get("renewTime") or ""),
        )

    def spec(self) -> dict[str, Any]:
        """Lease.spec."""
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": max(1, round(self.duration)),
            "leaseTransitions": self.transitions,
            "acquireTime": self.acquired,
            "renewTime": self.renewed,
        }
        return {name: value for name, value in spec.items() if value != ""}


class Candidate:
    """One who would lead. All times are of one monotonic clock, in seconds."""

    __slots__ = ("_identity", "_record", "_since", "_terms", "_until")

    def __init__(self, identity: str, terms: Terms) -> None:
        self._identity = identity
        self._terms = terms
        self._record = Record()
        self._since = -inf
        self._until = -inf

    @property
    def until(self) -> float:
        """When leading ends unless the Lease is renewed before."""
        return self._until

    def leads(self, now: float) -> bool:
        """Whether it may write."""
        return now < self._until

    def leader(self, now: float) -> str:
        """Who leads as far as is known here, "" if nobody does."""
        return self._record.holder if now < self._since + self._record.duration else ""

    def observed(self, record: Record, now: float) -> None:
        """The Lease was read; `Record()` for one that is not there. Whoever finds another's name on it leads no more."""
        if record != self._record:
            self._record, self._since = record, now
        if record.holder != self._identity:
            self._until = -inf

    def wants(self, now: float, stamp: str) -> Record | None:
        """What to write over the record that was observed last, None while another holds it. `stamp` is the time for people."""
        record = self._record
        if record.holder == self._identity:
            return replace(record, duration=self._terms.duration, renewed=stamp)
        if record.holder and now < self._since + record.duration:
            return None
        return Record(record.version, self._identity, self._terms.duration, record.transitions + bool(record.version), stamp, stamp)

    def wrote(self, record: Record, begun: float) -> None:
        """The server took what was wanted, now with a version; the request was begun at `begun`."""
        self._record, self._since = record, begun
        self._until = begun + self._terms.deadline

    def stops(self) -> None:
        """It leads no more, whatever the Lease says."""
        self._until = -inf

    def resigns(self, stamp: str) -> Record | None:
        """What to write so that another may lead at once; None when there is nothing to give back."""
        if self._record.holder != self._identity:
            return None
        return replace(self._record, holder="", duration=1.0, renewed=stamp)
