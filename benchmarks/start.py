"""From start to served: seconds, CPU and memory, with few and with many routes, from YAML in many files and in few, and from the snapshot.

The clock runs from the start of the program to the first answer of the last route. A start from the snapshot has the same files
beside it: what it takes until they have taken over is measured too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from measuring.backend import BODY, start_backend
from measuring.keep_alive import KeepAlive, TransportError
from measuring.large import HOST, LargeSite
from measuring.processes import START, Processes, free_ports
from measuring.script import (
    GOOD,
    WRONG,
    non_negative_integers,
    plain_options,
    positive_integer,
    run_script,
    writable_file,
    write_json,
)
from measuring.summary import Conditions, conditions, print_table, spread
from measuring.tidegate import Tidegate, start_tidegate
from measuring.usage import cpu_of, resident_of

APART, TOGETHER, SNAPSHOT = "one object a file", "1,000 objects a file", "snapshot"
SOURCES = (APART, TOGETHER, SNAPSHOT)


@dataclass(frozen=True, slots=True)
class Start:
    """One start. Wall and CPU time in seconds, memory in MiB; the worker is the first of them. `read` is when the files serve."""

    served: float
    read: float
    parent_cpu: float
    worker_cpu: float
    parent_memory: float
    worker_memory: float
    wrong: str


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Start to served: seconds, CPU seconds and memory of the parent and of a worker.")
    parser.add_argument("--routes", type=non_negative_integers, default=(1, 10_000), metavar="N,N", help="routes in the files (1,10000)")
    parser.add_argument("--rounds", type=positive_integer, default=3, metavar="N", help="starts for each; the median counts (3)")
    parser.add_argument("--workers", type=positive_integer, default=1, metavar="N", help="worker processes of Tidegate (1)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every start there")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    around = conditions()
    found: dict[tuple[int, str], list[Start]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-start-")))
        processes = stack.enter_context(Processes(folder))
        backend = start_backend(processes)
        for routes in options.routes:
            for source in SOURCES:
                ports = free_ports(2)
                site = LargeSite(folder / f"{routes} {source}", backend.ports[0], (ports[0], ports[1]), routes, together=source != APART)
                snapshots = folder / f"{routes} {source}" / "snapshots" if source == SNAPSHOT else None
                start(processes, site, routes, options.workers, snapshots)  # compiles the modules, writes the snapshot, does not count
                found[routes, source] = [start(processes, site, routes, options.workers, snapshots) for _ in range(options.rounds)]
    report(around, found, options)
    if options.json:
        starts = {f"{routes} {source}": each for (routes, source), each in found.items()}
        write_json(options.json, {"conditions": around, "options": plain_options(options), "starts": starts})
    return WRONG if any(each.wrong for starts in found.values() for each in starts) else GOOD


def start(processes: Processes, site: LargeSite, routes: int, workers: int, snapshots: Path | None) -> Start:
    """Starts, asks for the last route until it is served, takes the measure, waits for the files, and ends it."""
    begun = time.monotonic()
    tidegate = start_tidegate(processes, site.folder, workers, more=() if snapshots is None else ("--snapshot", str(snapshots)))
    wrong = ask_until_served(tidegate, site.port, f"/app-{routes - 1}" if routes else "")
    served = time.monotonic() - begun
    parent, worker = tidegate.program.pid, tidegate.workers()[0]
    used = (cpu_of([parent]).total, cpu_of([worker]).total)
    tidegate.wait_until_files_serve()
    read = time.monotonic() - begun
    measured = Start(served, read, *used, resident_of(parent) / 2**20, resident_of(worker) / 2**20, wrong)
    if snapshots is not None:
        wait_for_snapshot(snapshots)
    processes.end(tidegate.program)
    return measured


def ask_until_served(tidegate: Tidegate, port: int, path: str) -> str:
    """Returns at the first whole answer; what is wrong with it, '' if it is the backend's."""
    limit = time.monotonic() + START
    while time.monotonic() < limit:
        tidegate.program.check()
        try:
            with KeepAlive(port) as client:
                answer = client.get(HOST, path or "/")
        except TransportError:
            time.sleep(0.005)
            continue
        if not path:
            return "" if answer.status == 404 else f"without a route the answer is {answer.status}"
        return "" if (answer.status, answer.body) == (200, BODY) else f"{path} answers {answer.status} once the port is open"
    return f"nothing is served after {START:g} s"


def wait_for_snapshot(folder: Path) -> None:
    """Returns when there is one: the next start begins with it."""
    limit = time.monotonic() + START
    while not (folder / "current.snapshot").exists() and time.monotonic() < limit:
        time.sleep(0.01)


def report(around: Conditions, found: Mapping[tuple[int, str], Sequence[Start]], options: argparse.Namespace) -> None:
    """One line for each number of routes and source."""
    print(f"{around}\nworkers {options.workers}, starts {options.rounds} for each; median (lowest-highest)\n")
    headings = ("routes", "from", "s to served", "s to files", "parent CPU s", "worker CPU s", "parent MiB", "worker MiB")
    names = (("served", 2), ("read", 2), ("parent_cpu", 2), ("worker_cpu", 2), ("parent_memory", 1), ("worker_memory", 1))
    rows = [
        (str(routes), source, *(spread([getattr(each, name) for each in starts]).text(digits) for name, digits in names))
        for (routes, source), starts in found.items()
    ]
    print_table(headings, rows)
    for wrong in dict.fromkeys(each.wrong for starts in found.values() for each in starts if each.wrong):
        print(f"WRONG: {wrong}")


if __name__ == "__main__":
    sys.exit(run_script(main))
