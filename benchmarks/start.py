"""From start to ready: CPU seconds and memory of the parent and of a worker, with few and with many routes, one object a file."""

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
from measuring.keep_alive import KeepAlive
from measuring.processes import Processes, free_ports
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
from measuring.site import Site, host_of
from measuring.summary import Conditions, conditions, print_table, spread
from measuring.tidegate import start_tidegate
from measuring.usage import cpu_of, resident_of


@dataclass(frozen=True, slots=True)
class Start:
    """One start. CPU and wall time in seconds, memory in MiB; the worker is the first of them."""

    seconds: float
    parent_cpu: float
    worker_cpu: float
    parent_memory: float
    worker_memory: float
    wrong: str


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Start to ready: CPU seconds and memory of the parent and of a worker.")
    parser.add_argument("--routes", type=non_negative_integers, default=(1, 10_000), metavar="N,N", help="routes in the files (1,10000)")
    parser.add_argument("--rounds", type=positive_integer, default=3, metavar="N", help="starts for each; the median counts (3)")
    parser.add_argument("--workers", type=positive_integer, default=1, metavar="N", help="worker processes of Tidegate (1)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every start there")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    around = conditions()
    found: dict[int, list[Start]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-start-")))
        processes = stack.enter_context(Processes(folder))
        backend = start_backend(processes)
        for routes in options.routes:
            site = Site(folder / f"routes-{routes}", backend.ports, free_ports(1)[0])
            for number in range(routes):
                site.add_route(number)
            start(processes, site, routes, options.workers)  # compiles the modules, and does not count
            found[routes] = [start(processes, site, routes, options.workers) for _ in range(options.rounds)]
    report(around, found, options.workers)
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "starts": found})
    return WRONG if any(each.wrong for starts in found.values() for each in starts) else GOOD


def start(processes: Processes, site: Site, routes: int, workers: int) -> Start:
    """Starts, waits until it is ready, takes the measure, asks for the last route, and ends it."""
    begun = time.monotonic()
    tidegate = start_tidegate(processes, site.folder, workers)
    tidegate.wait_until_ready()
    seconds = time.monotonic() - begun
    parent, worker = tidegate.program.pid, tidegate.workers()[0]
    measured = Start(
        seconds,
        cpu_of([parent]).total,
        cpu_of([worker]).total,
        resident_of(parent) / 2**20,
        resident_of(worker) / 2**20,
        served(site, routes),
    )
    processes.end(tidegate.program)
    return measured


def served(site: Site, routes: int) -> str:
    """Asks for the last route; what is wrong with the answer."""
    if not routes:
        return ""
    with KeepAlive(site.port) as client:
        answer = client.get(host_of(routes - 1), f"/{routes - 1}")
    return "" if (answer.status, answer.body) == (200, BODY) else f"route {routes - 1} answers {answer.status} once it is said to be ready"


def report(around: Conditions, found: Mapping[int, Sequence[Start]], workers: int) -> None:
    """One line for each number of routes."""
    rounds = max(map(len, found.values()), default=0)
    print(f"{around}\nworkers {workers}, starts {rounds} for each size; median (lowest-highest)\n")
    headings = ("routes", "s to ready", "parent CPU s", "worker CPU s", "parent MiB", "worker MiB")
    names = (("seconds", 2), ("parent_cpu", 2), ("worker_cpu", 2), ("parent_memory", 1), ("worker_memory", 1))
    rows = [
        (str(routes), *(spread([getattr(each, name) for each in starts]).text(digits) for name, digits in names))
        for routes, starts in found.items()
    ]
    print_table(headings, rows)
    for each in (each for starts in found.values() for each in starts if each.wrong):
        print(f"WRONG: {each.wrong}")


if __name__ == "__main__":
    sys.exit(run_script(main))
