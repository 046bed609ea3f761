"""What a request costs in this checkout and in another one, both up at once: did a change make requests dearer?

Keep-alive requests over HTTP/1.1 as in http1.py, in many short turns. Who begins changes from round to round, so that a machine that
becomes slower harms neither; this checkout is there twice, and what lies between the two is what the machine does. See README.md.
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
from measuring.backend import start_backend
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
class Turn:
    """CPU microseconds of the worker for one request."""

    microseconds: float
    trouble: str
    disturbed_by: tuple[Busy, ...]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per HTTP/1.1 request: this checkout beside another.")
    parser.add_argument("other", type=checkout, metavar="FOLDER", help="the other checkout: git worktree add --detach FOLDER COMMIT")
    parser.add_argument("--rounds", type=positive_integer, default=20, metavar="N", help="turns that each has (20)")
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
        certificate = make_certificate(folder)
        roots = {THIS: ROOT, OTHER: options.other, AGAIN: ROOT}
        subjects = [serve(processes, certificate, backend.ports[0], name, root, proxy_core) for name, root in roots.items()]
        parts = (backend.program.pid, *backend.program.children())
        rounds = [measure(subjects, parts, options, load_core, number) for number in range(options.rounds + 1)][1:]
    print(f"{around}\nkeep-alive, small bodies, wrk; workers on core {proxy_core}, load and backend on core {load_core}; ", end="")
    print(f"{options.connections} connections, {options.rounds} rounds of {options.seconds} s; median (lowest-highest)\n")
    report(rounds)
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "rounds": rounds})
    return WRONG if any(turn.trouble for turns in rounds for turn in turns.values()) else GOOD


def serve(processes: Processes, certificate: Certificate, backend_port: int, name: str, root: Path, core: int) -> Subject:
    """Starts a checkout's Tidegate with one worker and waits for it."""
    folder = processes.folder / name
    folder.mkdir()
    plain, tls = free_ports(2)
    ports = {"PLAIN_PORT": plain, "TLS_PORT": tls, "BACKEND_PORT": backend_port, "BACKEND_PROTOCOL": ""}
    fill("tidegate.yaml", folder, certificate.values() | ports)
    tidegate = start_tidegate(processes, folder, 1, core, Build(name, root))
    tidegate.wait_until_ready()
    return Subject(name, tidegate, plain)


def measure(subjects: Sequence[Subject], parts: Sequence[int], options: argparse.Namespace, core: int, number: int) -> dict[str, Turn]:
    """Each subject once: forwards in even rounds, backwards in odd ones."""
    turns: dict[str, Turn] = {}
    ours = [pid for each in subjects for pid in (each.tidegate.program.pid, *each.tidegate.workers())]
    for subject in subjects if number % 2 == 0 else reversed(subjects):
        workers = subject.tidegate.workers()
        trouble = check(subject.port, tls=False)
        bystanders = Bystanders((*ours, *parts))
        before = cpu_of(workers)
        found = load(f"http://127.0.0.1:{subject.port}/", options.connections, options.seconds, core)
        taken = cpu_of(workers) - before
        disturbed = bystanders.busy(found.seconds)
        trouble = trouble or found.trouble or take_log(subject.tidegate.log, found.requests)
        turns[subject.name] = Turn(1e6 * taken.total / max(found.requests, 1), trouble, tuple(disturbed))
    print(", ".join(f"{name} {turns[name].microseconds:.1f} us" for name in (THIS, OTHER, AGAIN)), file=sys.stderr, flush=True)
    return turns


def report(rounds: Sequence[dict[str, Turn]]) -> None:
    """The table. Ratios are made inside a round."""

    def ratio(name: str) -> str:
        return spread([turns[THIS].microseconds / turns[name].microseconds for turns in rounds]).text(3)

    rows = [(name, spread([turns[name].microseconds for turns in rounds]).text(1), ratio(name)) for name in (THIS, OTHER, AGAIN)]
    print_table(("", "us/request", "this over it"), rows)
    turns = [turn for found in rounds for turn in found.values()]
    for trouble in dict.fromkeys(turn.trouble for turn in turns if turn.trouble):
        print(f"no figure: {trouble}")
    if disturbed := [busy for turn in turns for busy in turn.disturbed_by]:
        print(f"NOT QUIET: other processes were busy, the worst {max(disturbed, key=lambda busy: busy.share)}.")
        print("Do not cite these figures: end what else runs, and measure again.")


if __name__ == "__main__":
    sys.exit(run_script(main))
