"""CPU time per request of several proxies in one run: every workload with every proxy in turn, round by round.

A first round does not count. The proxies share one core; load and backend have another. The figure is the CPU time of the processes
that serve, from the kernel, divided by the requests that were answered, and its ratio to the reference in the same round.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from measuring.configuration import make_certificate
from measuring.load import Load
from measuring.processes import Processes, Program, cores
from measuring.proxies import PROXIES, Kind, Port, Proxy, Surroundings
from measuring.script import (
    GOOD,
    NOT_MEASURED,
    WRONG,
    CannotMeasure,
    plain_options,
    positive_integer,
    writable_file,
    write_json,
)
from measuring.summary import Conditions, Spread, conditions, print_table, spread
from measuring.usage import Busy, Bystanders, cpu_of, resident_of

REFERENCE = "envoy"
"""The proxy that ratios are made to."""
OURS = "tidegate"
UNLOGGED = 1_000
"""Lines of the access log that may still be in a proxy's buffer when its load ends."""
WARM_UP = 2.0
SATURATED = 0.9
"""Share of its core from which a proxy counts as saturated."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What a proxy is put under, on one of its ports. `load` takes the port, seconds and the load's core; `check` takes the port, and says
    what is wrong. What is counted may be messages, of which no proxy logs each: then `logged` is off."""

    name: str
    port: Port
    load: Callable[[int, float, int], Load]
    check: Callable[[int], str]
    goal: float | None = None
    """The ratio to the reference that is aimed at; none is printed without."""
    reference: str = REFERENCE
    logged: bool = True


@dataclass(frozen=True, slots=True)
class Round:
    """One proxy under one workload once. Microseconds are for one request."""

    microseconds: float
    user: float
    system: float
    beside: float
    requests: int
    requests_per_second: float
    median_ms: float
    p99_ms: float
    core_share: float
    resident: int
    trouble: str
    disturbed_by: tuple[Busy, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one proxy under one workload."""

    name: str
    version: str
    workload: str
    goal: float | None
    reference: str
    rounds: tuple[Round, ...]
    ratio: Spread | None
    """Its microseconds over the reference's, round by round."""

    @property
    def trouble(self) -> str:
        return "; ".join(dict.fromkeys(found.trouble for found in self.rounds if found.trouble))

    @property
    def core_share(self) -> float:
        return spread([found.core_share for found in self.rounds]).median


@dataclass(frozen=True, slots=True)
class Stage:
    """A running backend and what is asked of it through the proxies."""

    backend: Program
    backend_ports: tuple[int, ...]
    workloads: tuple[Workload, ...]
    kind: Kind = "http"


def compare(options: argparse.Namespace, set_up: Callable[[Processes, int], Stage], heading: str) -> int:
    """Measures all workloads of a stage, which `set_up` makes on the core it gets, and reports. Returns the exit code."""
    around = conditions()
    proxy_core, load_core = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-benchmark-")))
        processes = stack.enter_context(Processes(folder))
        os.sched_setaffinity(0, {load_core})
        stage = set_up(processes, load_core)
        surroundings = Surroundings(processes, proxy_core, stage.backend_ports, make_certificate(folder), stage.kind)
        proxies, missing = start(surroundings, options.only)
        missing |= lacking(stage, proxies)
        rows = list(_rows(_run(stage, proxies, load_core, options)))
    os.sched_setaffinity(0, {proxy_core, load_core})
    report(around, rows, missing, f"{heading}; proxies on core {proxy_core}, load and backend on core {load_core}", options)
    return WRONG if any(row.trouble for row in rows) else GOOD if rows else NOT_MEASURED


def add_arguments(parser: argparse.ArgumentParser, connections: int) -> None:
    """Options of every comparison."""
    parser.add_argument("--rounds", type=positive_integer, default=5, metavar="N", help="rounds with all proxies; the median counts (5)")
    parser.add_argument("--seconds", type=positive_integer, default=5, metavar="N", help="how long each proxy is under load in a round (5)")
    parser.add_argument(
        "--connections", type=positive_integer, default=connections, metavar="N", help=f"connections at any time ({connections})"
    )
    parser.add_argument("--only", type=_names, default=tuple(PROXIES), metavar="NAMES", help=f"some of {','.join(PROXIES)}")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every round there")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in PROXIES]:
        raise argparse.ArgumentTypeError(f"there is no proxy {unknown[0]!r}: choose from {','.join(PROXIES)}")
    return names


def start(around: Surroundings, names: Sequence[str]) -> tuple[list[Proxy], dict[str, str]]:
    """Starts the proxies that were asked for; also why one could not be. Tidegate itself must start."""
    proxies, missing = [], {}
    for name in names:
        try:
            proxies.append(PROXIES[name](around))
        except CannotMeasure as reason:
            if name == OURS:
                raise
            missing[name] = str(reason)
    return proxies, missing


def lacking(stage: Stage, proxies: Sequence[Proxy]) -> dict[str, str]:
    """What of the stage a proxy has no port for."""
    pairs = [(proxy, load) for load in stage.workloads for proxy in proxies if proxy.port(load.port) is None]
    return {f"{proxy.name}, {load.name}": "it does not do this" for proxy, load in pairs}


def _run(stage: Stage, proxies: Sequence[Proxy], core: int, options: argparse.Namespace) -> list[tuple[Workload, Proxy, list[Round]]]:
    subjects: list[tuple[Workload, Proxy, list[Round]]] = [
        (load, proxy, []) for load in stage.workloads for proxy in proxies if proxy.port(load.port) is not None
    ]
    for number in range(options.rounds + 1):
        for workload, proxy, rounds in subjects:
            try:
                found = _measure(stage, workload, proxy, core, options.seconds if number else min(WARM_UP, options.seconds))
            except ProcessLookupError as error:
                raise CannotMeasure(f"{proxy.name}, {workload.name}: {error}; it said:{proxy.program.said()}") from None
            if number:
                rounds.append(found)
                said = f"{workload.name}: {proxy.name} {found.microseconds:.1f} us {found.trouble}"
                print(f"round {number}: {said}", file=sys.stderr, flush=True)
    return subjects


def _measure(stage: Stage, workload: Workload, proxy: Proxy, core: int, seconds: float) -> Round:
    """One proxy under one workload for some seconds."""
    port = proxy.port(workload.port)
    assert port is not None
    trouble = workload.check(port)
    bystanders = Bystanders((*proxy.serving, *proxy.beside, stage.backend.pid, *stage.backend.children()))
    serving, beside = cpu_of(proxy.serving), cpu_of(proxy.beside)
    found = workload.load(port, seconds, core)
    serving, beside = cpu_of(proxy.serving) - serving, cpu_of(proxy.beside) - beside
    disturbed_by = bystanders.busy(found.seconds)
    trouble = trouble or found.trouble or take_log(proxy.log, found.requests if workload.logged else 0)
    each = 1e6 / max(found.requests, 1)
    return Round(
        microseconds=serving.total * each,
        user=serving.user * each,
        system=serving.system * each,
        beside=beside.total * each,
        requests=found.requests,
        requests_per_second=found.requests_per_second,
        median_ms=found.median_ms,
        p99_ms=found.p99_ms,
        core_share=serving.total / found.seconds,
        resident=sum(map(resident_of, proxy.serving)),
        trouble=trouble,
        disturbed_by=disturbed_by,
    )


def take_log(log: Path, requests: int) -> str:
    """Empties an access log after a round; says so if lines are missing."""
    lines = 0
    with log.open("r+b") as content:
        while block := content.read(1 << 20):
            lines += block.count(b"\n")
        content.truncate(0)
    return "" if lines >= requests - UNLOGGED else f"the access log has {lines} lines for {requests} requests"


def _rows(subjects: Sequence[tuple[Workload, Proxy, list[Round]]]) -> Iterator[Row]:
    """With ratios to the reference of the same round and workload."""
    references = {workload.name: rounds for workload, proxy, rounds in subjects if proxy.name == workload.reference}
    for workload, proxy, rounds in subjects:
        reference = references.get(workload.name, ())
        ratios = [mine.microseconds / theirs.microseconds for mine, theirs in zip(rounds, reference, strict=False) if theirs.microseconds]
        ratio = spread(ratios) if ratios else None
        yield Row(proxy.name, proxy.version, workload.name, workload.goal, workload.reference, tuple(rounds), ratio)


def report(around: Conditions, rows: Sequence[Row], missing: dict[str, str], heading: str, options: argparse.Namespace) -> None:
    """A table a workload, and what a reader must know about it. A proxy that answered wrongly has no figure."""
    print(f"{around}\n{heading}; {options.connections} connections, ", end="")
    print(f"{options.rounds} rounds of {options.seconds} s; median (lowest-highest)\n")
    for workload in dict.fromkeys(row.workload for row in rows):
        _table(workload, [row for row in rows if row.workload == workload])
    for row in rows:
        if row.trouble:
            print(f"{row.name}, {row.workload}: no figure: {row.trouble}")
    for name, reason in missing.items():
        print(f"{name}: not measured: {reason}")
    disturbed = [found for row in rows for found in row.rounds if found.disturbed_by]
    unfilled = [f"{row.name} ({row.workload})" for row in rows if not row.trouble and row.core_share < SATURATED]
    if disturbed:
        total = sum(len(row.rounds) for row in rows)
        worst = max((busy for found in disturbed for busy in found.disturbed_by), key=lambda busy: busy.share)
        print(f"NOT QUIET: other processes were busy in {len(disturbed)} of {total} measurements, the worst {worst}.")
        print("Do not cite these figures: end what else runs, and measure again.")
    elif unfilled:
        print(f"not at saturation: {', '.join(unfilled)}. The load's core was full first, so requests/s are the load's; us/request holds.")
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "rows": rows, "missing": missing})


def _table(workload: str, rows: Sequence[Row]) -> None:
    headings = (
        workload,
        "us/request",
        "user",
        "system",
        "beside",
        f"of {rows[0].reference}",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "core",
        "MiB",
    )
    print_table(headings, [_cells(row) for row in rows if not row.trouble])
    for row in rows:
        if row.name.startswith(OURS) and not row.trouble and row.goal is not None and row.ratio is not None:
            held = "held" if row.ratio.median <= row.goal else "MISSED"
            print(f"{row.name}: at most {row.goal:g} of {row.reference} is the goal: {row.ratio.median:.2f}, {held}")
    print()


def _cells(row: Row) -> tuple[str, ...]:
    def median(name: str, digits: int) -> str:
        return f"{spread([getattr(found, name) for found in row.rounds]).median:.{digits}f}"

    return (
        row.name if row.version == "this commit" else f"{row.name} {row.version}",
        spread([found.microseconds for found in row.rounds]).text(1),
        median("user", 1),
        median("system", 1),
        median("beside", 1),
        row.ratio.text(2) if row.ratio is not None else "-",
        median("requests_per_second", 0),
        median("median_ms", 2),
        median("p99_ms", 2),
        f"{row.core_share:.0%}",
        f"{spread([found.resident / 2**20 for found in row.rounds]).median:.0f}",
    )
