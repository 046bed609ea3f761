"""From samples to what is printed: medians with their spread, percentiles, aligned tables, and the conditions of a run."""

from __future__ import annotations

import datetime
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring.configuration import ROOT


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a few rounds and how far they lie apart."""

    median: float
    lowest: float
    highest: float

    def text(self, digits: int) -> str:
        """For a table."""
        return f"{self.median:.{digits}f} ({self.lowest:.{digits}f}-{self.highest:.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Of one value or more."""
    return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of many samples, in their unit."""

    samples: int
    median: float
    p90: float
    p99: float
    highest: float

    def cells(self, digits: int = 2) -> tuple[str, ...]:
        """For a table: median, p90, p99, highest."""
        return tuple(f"{value:.{digits}f}" for value in (self.median, self.p90, self.p99, self.highest))


def percentiles(values: Sequence[float]) -> Percentiles:
    """By nearest rank, of one value or more."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[math.ceil(share * len(ordered)) - 1]

    return Percentiles(len(ordered), statistics.median(ordered), at(0.9), at(0.99), ordered[-1])


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    for row in (headings, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a figure means nothing without."""

    commit: str
    time: str
    machine: str
    python: str
    load_average: tuple[float, float, float]

    def __str__(self) -> str:
        load = " ".join(f"{value:.2f}" for value in self.load_average)
        return f"commit {self.commit}; {self.time}; {self.machine}; {self.python}; load average before {load}"


def conditions() -> Conditions:
    """As they are now."""
    cpu = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return Conditions(
        commit=_commit(),
        time=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        load_average=os.getloadavg(),
    )


def _lines(file: str) -> list[str]:
    return Path(file).read_text(encoding="utf-8").splitlines()


def _commit() -> str:
    """Short, with a note when the working tree holds anything else."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return f"{commit} and uncommitted changes" if _git("status", "--porcelain") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
