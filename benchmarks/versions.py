"""What a request costs in this checkout and in another one, both up at once: did a change make requests dearer?

Keep-alive requests over HTTP/1.1 as in http1.py, in many short turns. Who begins changes from turn to turn, so that a machine that
becomes slower harms neither. A process takes some per cent more or less than the next one of the same program, as long as it lives: each
round starts all anew. This checkout is there twice, and what lies between the two is what the machine does. See README.md.
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

from http1 import check
from measuring.backend import Backend, start_backend
from measuring.comparing import take_log
from measuring.configuration import ROOT, Certificate, fill, make_certificate
from measuring.processes import Processes, cores, free_ports
from measuring.script import GOOD, WRONG, plain_options, positive_integer, run_script, writable_file, write_json
from measuring.summary import conditions, print_table, spread
from measuring.tidegate import Build, Tidegate, start_tidegate
from measuring.usage import Busy, Bystanders, cpu_of
from measuring.wrk import load

THIS, AGAIN, OTHER = "this", "this again", "other"


@dataclass(frozen=True, slots=True)
class Subject:
    """A Tidegate that runs, of one checkout."""

    name: str
    tidegate: Tidegate
    port: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all rounds have in common."""

    processes: Processes
    certificate: Certificate
    backend: Backend
    proxy_core: int
    load_core: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What one subject took in a turn, or in a round: seconds of its worker's CPU for so many requests."""

    seconds: float = 0.0
    requests: int = 0
    troubles: tuple[str, ...] = ()
    disturbed_by: tuple[Busy, ...] = ()

    def __add__(self, other: Taken) -> Taken:
        requests, troubles = self.requests + other.requests, self.troubles + other.troubles
        return Taken(self.seconds + other.seconds, requests, troubles, self.disturbed_by + other.disturbed_by)

    @property
    def microseconds(self) -> float:
        """For one request."""
        return 1e6 * self.seconds / max(self.requests, 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per HTTP/1.1 request: this checkout beside another.")
    parser.add_argument("other", type=checkout, metavar="FOLDER", help="the other checkout: git worktree add --detach FOLDER COMMIT")
    parser.add_argument("--rounds", type=positive_integer, default=7, metavar="N", help="how often all are started (7)")
    parser.add_argument("--turns", type=positive_integer, default=4, metavar="N", help="turns that each has in a round (4)")
    parser.add_argument("--seconds", type=positive_integer, default=1, metavar="N", help="how long a turn is (1)")
    parser.add_argument("--connections", type=positive_integer, default=32, metavar="N", help="connections at any time (32)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every turn there")
    return parser.parse_args()


def checkout(text: str) -> Path:
    """A folder with the program in it."""
    folder = Path(text).resolve()
    if not (folder / "tidegate" / "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"{folder} is no checkout of Tidegate: it has no tidegate/__main__.py")
    return folder


def main() -> int:
    options = arguments()
    around = conditions()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-versions-")))
        processes = stack.enter_context(Processes(folder))
        proxy_core, load_core = cores()
        os.sched_setaffinity(0, {load_core})
        backend = start_backend(processes, load_core)
        surroundings = Surroundings(processes, make_certificate(folder), backend, proxy_core, load_core)
        rounds = [measure(surroundings, options, number) for number in range(options.rounds)]
    print(f"{around}\nkeep-alive, small bodies, wrk; workers on core {proxy_core}, load and backend on core {load_core}; ", end="")
    print(f"{options.connections} connections, {options.rounds} rounds of {options.turns} turns of {options.seconds} s; ", end="")
    print("median (lowest-highest)\n")
    report(rounds)
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "rounds": rounds})
    return WRONG if any(taken.troubles for found in rounds for taken in found.values()) else GOOD


def measure(surroundings: Surroundings, options: argparse.Namespace, number: int) -> dict[str, Taken]:
    """Starts all, has each take its turns after one that does not count, and ends them."""
    roots = {THIS: ROOT, OTHER: options.other, AGAIN: ROOT}
    subjects = [serve(surroundings, name, root, number) for name, root in roots.items()]
    taken = dict.fromkeys(roots, Taken())
    for turn in range(options.turns + 1):
        for subject in subjects if (number + turn) % 2 else reversed(subjects):
            found = take_turn(surroundings, subjects, subject, options)
            if turn:
                taken[subject.name] += found
    for subject in subjects:
        surroundings.processes.end(subject.tidegate.program)
    print(", ".join(f"{name} {found.microseconds:.1f} us" for name, found in taken.items()), file=sys.stderr, flush=True)
    return taken


def serve(surroundings: Surroundings, name: str, root: Path, number: int) -> Subject:
    """Starts a checkout's Tidegate with one worker and waits for it."""
    processes = surroundings.processes
    build = Build(f"{name.replace(' ', '-')}-{number}", root)
    folder = processes.folder / build.name
    folder.mkdir()
    plain, tls = free_ports(2)
    ports = {"PLAIN_PORT": plain, "TLS_PORT": tls, "BACKEND_PORT": surroundings.backend.ports[0], "BACKEND_PROTOCOL": ""}
    fill("tidegate.yaml", folder, surroundings.certificate.values() | ports)
    tidegate = start_tidegate(processes, folder, 1, surroundings.proxy_core, build)
    tidegate.wait_until_ready()
    return Subject(name, tidegate, plain)


def take_turn(surroundings: Surroundings, subjects: Sequence[Subject], subject: Subject, options: argparse.Namespace) -> Taken:
    """One subject under load, while the others rest."""
    backend, workers = surroundings.backend.program, subject.tidegate.workers()
    trouble = check(subject.port, tls=False)
    ours = [pid for each in subjects for pid in (each.tidegate.program.pid, *each.tidegate.workers())]
    bystanders = Bystanders((*ours, backend.pid, *backend.children()))
    before = cpu_of(workers)
    found = load(f"http://127.0.0.1:{subject.port}/", options.connections, options.seconds, surroundings.load_core)
    taken = cpu_of(workers) - before
    disturbed = bystanders.busy(found.seconds)
    trouble = trouble or found.trouble or take_log(subject.tidegate.log, found.requests)
    return Taken(taken.total, found.requests, (trouble,) if trouble else (), tuple(disturbed))


def report(rounds: Sequence[dict[str, Taken]]) -> None:
    """The table. Ratios are made inside a round."""

    def ratio(name: str) -> str:
        return spread([found[THIS].microseconds / found[name].microseconds for found in rounds]).text(3)

    rows = [(name, spread([found[name].microseconds for found in rounds]).text(1), ratio(name)) for name in (THIS, OTHER, AGAIN)]
    print_table(("", "us/request", "this over it"), rows)
    all_taken = [taken for found in rounds for taken in found.values()]
    for trouble in dict.fromkeys(trouble for taken in all_taken for trouble in taken.troubles):
        print(f"no figure: {trouble}")
    if disturbed := [busy for taken in all_taken for busy in taken.disturbed_by]:
        print(f"NOT QUIET: other processes were busy, the worst {max(disturbed, key=lambda busy: busy.share)}.")
        print("Do not cite these figures: end what else runs, and measure again.")


if __name__ == "__main__":
    sys.exit(run_script(main))
