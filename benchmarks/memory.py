"""Memory of a process that serves: idle, and with many silent connections after one request each, plain and TLS.

Access log, metrics and deadlines are on. Every measurement has a process of its own. See README.md for how to read the table.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from http1 import check
from measuring.backend import Backend, start_backend
from measuring.comparing import OURS
from measuring.configuration import Certificate, make_certificate
from measuring.connected import connections_of
from measuring.holding import held
from measuring.processes import Processes, cores
from measuring.proxies import PROXIES, Surroundings
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
from measuring.summary import conditions, print_table, spread
from measuring.usage import resident_of

IDLE = 40.0
"""MiB of a worker, at most."""
EACH = {False: 4.0, True: 40.0}
"""KiB a connection, at most; by TLS."""
NAMES = tuple(name for name in PROXIES if name != "haproxy")
"""HAProxy takes its memory when it starts: what it has while it runs says nothing."""
CONNECTIONS = min(10_000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 64) // 2)
"""A worker takes no more than half of the descriptors that it may have: each client may need one to a backend."""
SETTLE = 1.0
"""Seconds between the last request and the look, in which logs are written."""


@dataclass(frozen=True, slots=True)
class Held:
    """One process. `idle` in MiB, `each` in KiB a connection."""

    idle: float
    each: float
    trouble: str


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one proxy."""

    name: str
    tls: bool
    rounds: tuple[Held, ...]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Memory of a process that serves: idle, and with many silent connections.")
    parser.add_argument("--rounds", type=positive_integer, default=3, metavar="N", help="processes for each; the median counts (3)")
    parser.add_argument("--connections", type=positive_integer, default=CONNECTIONS, metavar="N", help=f"silent ones ({CONNECTIONS})")
    parser.add_argument("--only", choices=NAMES, nargs="+", default=NAMES, metavar="NAME", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--kind", choices=("plain", "tls", "both"), default="both", help="which connections (both)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every round there")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    around = conditions()
    kinds = {"plain": (False,), "tls": (True,), "both": (False, True)}[options.kind]
    rows, missing = list[Row](), dict[str, str]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-memory-")))
        processes = stack.enter_context(Processes(folder))
        proxy_core, load_core = cores()
        os.sched_setaffinity(0, {load_core})
        measure = Measure(start_backend(processes, load_core), make_certificate(folder), proxy_core, options.connections)
        for tls in kinds:
            for name in options.only:
                try:
                    rows.append(Row(name, tls, tuple(measure.once(name, tls=tls) for _ in range(options.rounds))))
                except CannotMeasure as reason:
                    if name == OURS:
                        raise
                    missing[name] = str(reason)
    print(f"{around}\n{options.connections} connections after one request each, {options.rounds} processes each; median (lowest-highest)\n")
    report(rows)
    for name, why in missing.items():
        print(f"{name}: not measured: {why}")
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "rows": rows, "missing": missing})
    return WRONG if any(found.trouble for row in rows for found in row.rounds) else GOOD if rows else NOT_MEASURED


@dataclass(frozen=True, slots=True)
class Measure:
    """What all measurements share."""

    backend: Backend
    certificate: Certificate
    core: int
    connections: int

    def once(self, name: str, *, tls: bool) -> Held:
        """A process from its start to its end."""
        with tempfile.TemporaryDirectory(prefix="tidegate-memory-") as folder, Processes(Path(folder)) as processes:
            proxy = PROXIES[name](Surroundings(processes, self.core, self.backend.ports, self.certificate))
            port = proxy.ports["tls" if tls else "plain"]
            trouble = check(port, tls=tls)
            time.sleep(SETTLE)
            before = sum(map(resident_of, proxy.serving))
            with held(port, self.connections, tls=tls, core=None):
                time.sleep(SETTLE)
                after = sum(map(resident_of, proxy.serving))
                there = sum(connections_of(proxy.serving, port))
            if there != self.connections:
                trouble = trouble or f"{there} of {self.connections} connections are left"
            found = Held(before / 2**20, (after - before) / self.connections / 1024, trouble)
            print(f"{name}{' tls' if tls else ''}: {found.idle:.1f} MiB, {found.each:.2f} KiB each {trouble}", file=sys.stderr, flush=True)
            return found


def report(rows: Sequence[Row]) -> None:
    """The table, and whether the goals are held."""
    cells = [
        (
            f"{row.name} tls" if row.tls else row.name,
            spread([found.idle for found in row.rounds]).text(1),
            spread([found.each for found in row.rounds]).text(2),
        )
        for row in rows
        if not any(found.trouble for found in row.rounds)
    ]
    print_table(("proxy", "MiB idle", "KiB a connection"), cells)
    print()
    for row in rows:
        if trouble := next((found.trouble for found in row.rounds if found.trouble), ""):
            print(f"{row.name}: no figure: {trouble}")
        elif row.name == OURS:
            idle, each = spread([found.idle for found in row.rounds]).median, spread([found.each for found in row.rounds]).median
            kind = "TLS" if row.tls else "plain"
            print(f"goal: a worker idle at most {IDLE:g} MiB: {idle:.1f}, {'held' if idle <= IDLE else 'MISSED'}")
            print(f"goal: a {kind} connection at most {EACH[row.tls]:g} KiB: {each:.2f}, {'held' if each <= EACH[row.tls] else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(run_script(main))
