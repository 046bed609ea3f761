"""Memory of a sidecar: idle in a small cluster, and where it knows many Services more, each with two endpoints in Pods with sidecars.

`tidegate sidecar` under a real controller, each measurement with processes of its own (as root). PSS counts of what is shared with other
processes only this one's share; RSS, beside it, counts all of it. See READING.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring.pods import make_node
from measuring.processes import Processes, cores
from measuring.script import GOOD, plain_options, positive_integer, run_script, writable_file, write_json
from measuring.sidecars import Site, start_controller, start_sidecar, wait_until_ready
from measuring.summary import conditions, print_table, spread
from measuring.usage import proportional_of, resident_of

IDLE, FULL = 50.0, 60.0
"""MiB (PSS) of a sidecar, at most: idle, and with SERVICES known."""
SERVICES = 1_000
SETTLE = 5.0
"""Seconds between ready and the look, in which what was needed for the start is given back."""


@dataclass(frozen=True, slots=True)
class Row:
    """MiB of all rounds."""

    services: int
    proportional: tuple[float, ...]
    resident: tuple[float, ...]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Memory of a sidecar: idle, and with many Services known.")
    parser.add_argument("--rounds", type=positive_integer, default=3, metavar="N", help="processes for each; the median counts (3)")
    parser.add_argument("--services", type=positive_integer, default=SERVICES, metavar="N", help=f"Services that are known ({SERVICES})")
    parser.add_argument("--name", choices=("tidegate", "tidegate-compiled"), default="tidegate", help="plain or compiled (tidegate)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every round there")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    around = conditions()
    proxy_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    rows = [measure(options.name, services, options.rounds, (proxy_core, load_core)) for services in (0, options.services)]
    print(f"{around}\n{options.name}, {options.rounds} processes each, {SETTLE:g} s after ready; median (lowest-highest)\n")
    report(rows)
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "rows": rows})
    return GOOD


def measure(name: str, services: int, rounds: int, on: tuple[int, int]) -> Row:
    """Sidecars one after the other under one controller."""
    with tempfile.TemporaryDirectory(prefix="tidegate-mesh-memory-") as folder, Processes(Path(folder)) as processes:
        site = Site(processes, *on, services)
        node = make_node(processes, name)
        start_controller(site, node, name)
        proportional, resident = list[float](), list[float]()
        for _ in range(rounds):
            sidecar, _ = start_sidecar(site, node.caller, name, "caller")
            wait_until_ready(node.caller, sidecar)
            time.sleep(SETTLE)
            proportional.append(proportional_of(sidecar.pid) / 2**20)
            resident.append(resident_of(sidecar.pid) / 2**20)
            processes.end(sidecar)
            print(f"{services} Services: PSS {proportional[-1]:.1f} MiB, RSS {resident[-1]:.1f} MiB", file=sys.stderr, flush=True)
        return Row(services, tuple(proportional), tuple(resident))


def report(rows: Sequence[Row]) -> None:
    """The table, and whether the goals are held."""
    cells = [(f"{row.services}", spread(row.proportional).text(1), spread(row.resident).text(1)) for row in rows]
    print_table(("Services besides", "PSS MiB", "RSS MiB"), cells)
    print()
    for row, most in zip(rows, (IDLE, FULL), strict=True):
        found = spread(row.proportional).median
        print(f"goal: with {row.services} Services more at most {most:g} MiB: {found:.1f}, {'held' if found <= most else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(run_script(main))
