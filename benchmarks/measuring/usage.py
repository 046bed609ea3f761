"""CPU time and memory of processes, as the kernel counts them in /proc; and who else was busy on this machine."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
BUSY = 0.05
"""Share of a core from which another process disturbs a measurement."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds."""

    user: float
    system: float

    @property
    def total(self) -> float:
        return self.user + self.system

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.user + other.user, self.system + other.system)

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.user - other.user, self.system - other.system)


@dataclass(frozen=True, slots=True)
class Busy:
    """A process that has no part in the measurement and took this share of one core."""

    pid: int
    name: str
    share: float

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid}): {self.share:.0%} of a core"


@dataclass(frozen=True, slots=True)
class _Process:
    name: str
    parent: int
    started: int
    """In ticks since the machine's start; with the pid, it names a process for good."""
    own: Cpu
    reaped: Cpu
    """Of its children that have ended."""
    resident: int


def cpu_of(pids: Collection[int]) -> Cpu:
    """What processes have taken so far, their threads included. Raises ProcessLookupError when one is gone."""
    return sum((_read(pid).own for pid in pids), Cpu(0, 0))


def resident_of(pid: int) -> int:
    """Bytes in memory. Raises ProcessLookupError."""
    return _read(pid).resident


def proportional_of(pid: int) -> int:
    """Bytes in memory, of what is shared with other processes only its share (PSS). Raises ProcessLookupError."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"process {pid} is gone") from None
    return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))


def started_at(pid: int) -> int:
    """Tells a process from a later one of the same id. Raises ProcessLookupError."""
    return _read(pid).started


def descendants_of(pid: int) -> tuple[int, ...]:
    """Children, their children and so on."""
    children: dict[int, list[int]] = {}
    for child, process in _all():
        children.setdefault(process.parent, []).append(child)
    found = [pid]
    for each in found:
        found += children.get(each, ())
    return tuple(found[1:])


class Bystanders:
    """What processes without a part in the measurement take between two moments; `ours` are those that have one."""

    def __init__(self, ours: Collection[int]) -> None:
        self._ours = frozenset((*ours, os.getpid()))
        self._before = dict(_all())

    def busy(self, seconds: float) -> tuple[Busy, ...]:
        """Those that took more than BUSY of a core in the seconds since, with what they started and saw end."""
        found = []
        for pid, process in _all():
            if pid not in self._ours:
                share = (process.own + process.reaped - self._taken_before(pid, process)).total / seconds
                if share > BUSY:
                    found.append(Busy(pid, process.name, share))
        return tuple(sorted(found, key=lambda busy: -busy.share))

    def _taken_before(self, pid: int, process: _Process) -> Cpu:
        before = self._before.get(pid)
        if before is None or before.started != process.started:
            return Cpu(0, 0)
        return sum((was.own + was.reaped for was in self._gone_below(pid)), before.own + before.reaped)

    def _gone_below(self, pid: int) -> Iterator[_Process]:
        """What was below a process before and has ended since: what it had taken by then is not new to whoever saw it end."""
        for child, was in self._before.items():
            if was.parent == pid and not Path(f"/proc/{child}").exists():
                yield was
                yield from self._gone_below(child)


def _all() -> Iterator[tuple[int, _Process]]:
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                yield int(entry), _read(int(entry))
            except ProcessLookupError:
                continue  # it has ended since


def _read(pid: int) -> _Process:
    """/proc/PID/stat, see proc_pid_stat(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"process {pid} is gone") from None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    ticks = [int(field) / TICKS for field in fields[11:15]]
    return _Process(name, int(fields[1]), int(fields[19]), Cpu(*ticks[:2]), Cpu(*ticks[2:]), int(fields[21]) * PAGE)
