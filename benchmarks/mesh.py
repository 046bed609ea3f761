"""Two sidecars with mutual TLS between two Pods, HTTP/1.1 kept alive: CPU of the pair per request, and the latency that it adds at a fixed
rate. Tidegate beside Envoy as Istio configures it, in one run, in network namespaces with the same capture rules (as root).

See READING.md for how to read the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from measuring.backend import BODY
from measuring.comparing import OURS, REFERENCE, WARM_UP, take_log
from measuring.keep_alive import KeepAlive, TransportError
from measuring.load import Load, put
from measuring.processes import Processes, cores, path_of
from measuring.script import (
    GOOD,
    NOT_MEASURED,
    WRONG,
    CannotMeasure,
    plain_options,
    positive_integer,
    run_script,
    writable_file,
    write_json,
)
from measuring.sidecars import PAIRS, Pair, Site
from measuring.summary import conditions, print_table, spread
from measuring.usage import Busy, Bystanders, cpu_of, descendants_of
from measuring.wrk import load

GOAL = 0.8
"""CPU of the pair over that of a pair of Envoys, at most."""
DIRECT = "direct"
NAMES = tuple(name for name in PAIRS if name != DIRECT)


@dataclass(frozen=True, slots=True)
class Paced:
    """At the fixed rate: CPU microseconds of the pair for one request, and latency from when each was due."""

    microseconds: float
    median_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Round:
    """One pair once. CPU microseconds for one request under full load: of the caller's proxy and of the callee's; none without proxies."""

    microseconds: tuple[float, ...]
    requests_per_second: float
    paced: Paced
    trouble: str
    disturbed_by: tuple[Busy, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one pair, and what is told of them: beside the reference and over no proxies at all, round by round."""

    name: str
    version: str
    rounds: tuple[Round, ...]
    direct: tuple[Round, ...]
    reference: tuple[Round, ...]

    @property
    def trouble(self) -> str:
        return next((found.trouble for found in self.rounds if found.trouble), "")

    def full(self) -> list[float]:
        return [sum(found.microseconds) for found in self.rounds]

    def ratios(self) -> list[float]:
        """Of CPU under full load."""
        pairs = zip(self.rounds, self.reference, strict=False)
        return [sum(mine.microseconds) / sum(theirs.microseconds) for mine, theirs in pairs if not theirs.trouble]

    def paced_ratios(self) -> list[float]:
        """Of CPU at the rate."""
        pairs = zip(self.rounds, self.reference, strict=False)
        return [mine.paced.microseconds / theirs.paced.microseconds for mine, theirs in pairs if not theirs.trouble]

    def added(self, which: str) -> list[float]:
        """Milliseconds that the pair adds to a median or a percentile."""
        return [getattr(found.paced, which) - getattr(bare.paced, which) for found, bare in zip(self.rounds, self.direct, strict=True)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU and added latency of two sidecars with mutual TLS: Tidegate beside Envoy.")
    parser.add_argument("--rounds", type=positive_integer, default=5, metavar="N", help="rounds with all pairs; the median counts (5)")
    parser.add_argument("--seconds", type=positive_integer, default=5, metavar="N", help="of full load, and at the rate, in each (5)")
    parser.add_argument("--connections", type=positive_integer, default=16, metavar="N", help="kept-alive connections of the caller (16)")
    parser.add_argument("--rate", type=positive_integer, default=1_000, metavar="N", help="requests a second for latency (1000)")
    parser.add_argument("--only", type=_names, default=NAMES, metavar="NAMES", help=f"some of {','.join(NAMES)}")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every round there")
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"there is no pair {unknown[0]!r}: choose from {','.join(NAMES)}")
    return names


def main() -> int:
    options = arguments()
    path_of("wrk", "wrk")
    around = conditions()
    proxy_core, load_core = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-mesh-")))
        processes = stack.enter_context(Processes(folder))
        os.sched_setaffinity(0, {load_core})
        pairs, missing = start(Site(processes, proxy_core, load_core), (DIRECT, *options.only))
        rounds = [{pair.name: measured(pairs, pair, options, load_core, number) for pair in pairs} for number in range(options.rounds + 1)]
    os.sched_setaffinity(0, {proxy_core, load_core})
    rows = list(_rows(pairs, rounds[1:]))
    print(f"{around}\nboth proxies on core {proxy_core}, load and application on core {load_core}; ", end="")
    print(f"{options.connections} connections, {options.rounds} rounds of {options.seconds} s; median (lowest-highest)\n")
    report(rows, missing, options.rate)
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "rows": rows, "missing": missing})
    return WRONG if any(row.trouble for row in rows) else GOOD if len(rows) > 1 else NOT_MEASURED


def start(site: Site, names: Sequence[str]) -> tuple[list[Pair], dict[str, str]]:
    """The pairs; also why one could not be started. Tidegate itself must start."""
    pairs, missing = [], {}
    for name in names:
        try:
            pairs.append(PAIRS[name](site))
        except CannotMeasure as reason:
            if name in (DIRECT, OURS):
                raise
            missing[name] = str(reason)
    return pairs, missing


def measured(pairs: Sequence[Pair], pair: Pair, options: argparse.Namespace, core: int, number: int) -> Round:
    """See measure. Raises CannotMeasure when a proxy has ended."""
    try:
        return measure(pairs, pair, options, core, number)
    except ProcessLookupError as error:
        raise CannotMeasure(f"{pair.name}: {error}; the proxies said:{''.join(each.said() for each in pair.proxies)}") from None


def measure(pairs: Sequence[Pair], pair: Pair, options: argparse.Namespace, core: int, number: int) -> Round:
    """One pair under full load and at the rate. What it says of round 0 does not count."""
    seconds = options.seconds if number else min(WARM_UP, options.seconds)
    asked = {"address": pair.address, "port": pair.port, "connections": options.connections, "seconds": seconds, "rate": options.rate}
    full, spent, disturbed = Load(0, 0.0, 0.0, 0.0, 0.0, ""), list[float](), list[Busy]()
    with pair.node.caller.inside():
        trouble = check(pair)
        ours = [pid for each in pairs for pid in (*each.serving, *each.beside)]
        bystanders = Bystanders([found for pid in ours for found in (pid, *descendants_of(pid))])
        if pair.proxies:
            before = [cpu_of((pid,)).total for pid in pair.serving]
            full = load(f"http://{pair.address}:{pair.port}/", options.connections, seconds, core)
            spent = [cpu_of((pid,)).total - earlier for pid, earlier in zip(pair.serving, before, strict=True)]
            disturbed += bystanders.busy(full.seconds)
        before_pace = cpu_of(pair.serving).total
        paced = put("pace", asked, seconds, core)
        spent_pace = cpu_of(pair.serving).total - before_pace
    troubles = [trouble, full.trouble, paced.trouble, *(take_log(log, full.requests + paced.requests) for log in pair.logs)]
    found = Round(
        tuple(1e6 * each / max(full.requests, 1) for each in spent),
        full.requests_per_second,
        Paced(1e6 * spent_pace / max(paced.requests, 1), paced.median_ms, paced.p99_ms),
        next(filter(None, troubles), ""),
        tuple(disturbed),
    )
    if number:
        print(f"round {number}: {pair.name} {sum(found.microseconds):.1f} us {found.paced} {found.trouble}", file=sys.stderr, flush=True)
    return found


def check(pair: Pair) -> str:
    """Asks once; what is wrong with the answer, '' if nothing is."""
    try:
        with KeepAlive(pair.port, address=pair.address) as client:
            answer = client.get(pair.address, "/")
    except TransportError as error:
        return str(error)
    return "" if (answer.status, answer.body) == (200, BODY) else f"a request was answered with {answer.status} and {answer.body[:60]!r}"


def _rows(pairs: Sequence[Pair], rounds: Sequence[dict[str, Round]]) -> list[Row]:
    def of(name: str) -> tuple[Round, ...]:
        return tuple(each[name] for each in rounds if name in each)

    return [Row(pair.name, pair.version, of(pair.name), of(DIRECT), of(REFERENCE)) for pair in pairs]


def report(rows: Sequence[Row], missing: dict[str, str], rate: int) -> None:
    """Two tables, and whether the goals are held. A pair that answered wrongly has no figure."""
    good = [row for row in rows if not row.trouble]
    full = [_full_cells(row) for row in good if row.name != DIRECT]
    print_table(("full load", "us/request", "caller's", "callee's", f"of {REFERENCE}", "requests/s"), full)
    print()
    print_table((f"{rate} a second", "us/request", f"of {REFERENCE}", "p50 ms", "p99 ms", "p50 added", "p99 added"), _paced_cells(good))
    print()
    theirs = next((row for row in good if row.name == REFERENCE), None)
    for row in good:
        if row.name.startswith(OURS) and theirs is not None:
            _print_goals(row, theirs)
    for row in rows:
        if row.trouble:
            print(f"{row.name}: no figure: {row.trouble}")
    for name, reason in missing.items():
        print(f"{name}: not measured: {reason}")
    if disturbed := [busy for row in rows for found in row.rounds for busy in found.disturbed_by]:
        print(f"NOT QUIET: other processes were busy, the worst {max(disturbed, key=lambda busy: busy.share)}.")
        print("Do not cite these figures: end what else runs, and measure again.")


def _print_goals(row: Row, theirs: Row) -> None:
    for what, ratios in (("under full load", row.ratios()), ("at the rate", row.paced_ratios())):
        ratio = spread(ratios).median
        print(f"{row.name}: CPU {what} at most {GOAL:g} of {REFERENCE} is the goal: {ratio:.2f}, {'held' if ratio <= GOAL else 'MISSED'}")
    mine, bound = (spread(each.added("p99_ms")).median for each in (row, theirs))
    held = "held" if mine <= bound else "MISSED"
    print(f"{row.name}: added p99 no worse than {REFERENCE}'s is the goal: {mine:.2f} of {bound:.2f} ms, {held}")


def _title(row: Row) -> str:
    return row.name if row.version in ("", "this commit") else f"{row.name} {row.version}"


def _full_cells(row: Row) -> tuple[str, ...]:
    sides = [f"{spread([found.microseconds[side] for found in row.rounds]).median:.1f}" for side in (0, 1)]
    ratio = spread(row.ratios()).text(2) if row.ratios() else "-"
    rate = spread([found.requests_per_second for found in row.rounds]).median
    return (_title(row), spread(row.full()).text(1), *sides, ratio, f"{rate:.0f}")


def _paced_cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Cells of the table at the rate."""
    cells = []
    for row in rows:
        latencies = [f"{spread([getattr(found.paced, which) for found in row.rounds]).median:.2f}" for which in ("median_ms", "p99_ms")]
        added, spent, ratio = ["-", "-"], "-", "-"
        if row.name != DIRECT:
            added = [spread(row.added(which)).text(2) for which in ("median_ms", "p99_ms")]
            spent = spread([found.paced.microseconds for found in row.rounds]).text(1)
            ratio = spread(row.paced_ratios()).text(2) if row.paced_ratios() else "-"
        cells.append((_title(row), spent, ratio, *latencies, *added))
    return cells


if __name__ == "__main__":
    sys.exit(run_script(main))
