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
from dataclasses import replace
from pathlib import Path

from http1 import check
from measuring.anew import Subject, Surroundings, Turn, end, serve, under_load
from measuring.backend import start_backend
from measuring.configuration import ROOT, make_certificate
from measuring.processes import Processes, cores
from measuring.script import GOOD, WRONG, plain_options, positive_integer, run_script, writable_file, write_json
from measuring.summary import conditions, print_table, spread
from measuring.tidegate import Build
from measuring.wrk import load

THIS, AGAIN, OTHER = "this", "this again", "other"


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
    return WRONG if any(turn.trouble for turns in rounds for found in turns.values() for turn in found) else GOOD


def measure(surroundings: Surroundings, options: argparse.Namespace, number: int) -> dict[str, list[Turn]]:
    """Starts all, has each take its turns after one that does not count, and ends them."""
    roots = {THIS: ROOT, OTHER: options.other, AGAIN: ROOT}
    subjects = {name: serve(surroundings, 1, Build(f"{name.replace(' ', '-')}-{number}", root)) for name, root in roots.items()}
    turns: dict[str, list[Turn]] = {name: [] for name in roots}
    for turn in range(options.turns + 1):
        for name in subjects if (number + turn) % 2 else reversed(subjects):
            found = take_turn(surroundings, tuple(subjects.values()), subjects[name], options)
            if turn:
                turns[name].append(found)
    end(surroundings, tuple(subjects.values()))
    print(", ".join(f"{name} {microseconds(found):.1f} us" for name, found in turns.items()), file=sys.stderr, flush=True)
    return turns


def take_turn(surroundings: Surroundings, subjects: Sequence[Subject], subject: Subject, options: argparse.Namespace) -> Turn:
    """One subject under wrk."""
    trouble = check(subject.port, tls=False)
    url = f"http://127.0.0.1:{subject.port}/"
    found = under_load(surroundings, subjects, subject, lambda: load(url, options.connections, options.seconds, surroundings.load_core))
    return replace(found, trouble=trouble or found.trouble)


def microseconds(turns: Sequence[Turn]) -> float:
    """For one request of all turns."""
    return 1e6 * sum(turn.seconds for turn in turns) / max(sum(turn.requests for turn in turns), 1)


def report(rounds: Sequence[dict[str, list[Turn]]]) -> None:
    """The table. Ratios are made inside a round."""

    def ratio(name: str) -> str:
        return spread([microseconds(turns[THIS]) / microseconds(turns[name]) for turns in rounds]).text(3)

    rows = [(name, spread([microseconds(turns[name]) for turns in rounds]).text(1), ratio(name)) for name in (THIS, OTHER, AGAIN)]
    print_table(("", "us/request", "this over it"), rows)
    every = [turn for turns in rounds for found in turns.values() for turn in found]
    for trouble in dict.fromkeys(turn.trouble for turn in every if turn.trouble):
        print(f"no figure: {trouble}")
    if disturbed := [busy for turn in every for busy in turn.disturbed_by]:
        print(f"NOT QUIET: other processes were busy, the worst {max(disturbed, key=lambda busy: busy.share)}.")
        print("Do not cite these figures: end what else runs, and measure again.")


if __name__ == "__main__":
    sys.exit(run_script(main))
