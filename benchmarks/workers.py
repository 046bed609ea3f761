"""What a second worker costs at a fixed rate of requests, and how evenly connections spread over the two.

One Tidegate with one worker and one with two, on the same core, take turns. Each round starts both anew, since what a process takes depends
on where its memory happens to lie, as long as it lives. See README.md for how to read the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from http1 import check
from measuring.anew import Subject, Surroundings, Turn, end, serve, under_load
from measuring.backend import start_backend
from measuring.comparing import WARM_UP, take_log
from measuring.configuration import make_certificate
from measuring.connected import connections_of
from measuring.holding import held
from measuring.load import put
from measuring.processes import Processes, cores
from measuring.script import GOOD, WRONG, plain_options, positive_integer, run_script, writable_file, write_json
from measuring.summary import conditions, print_table, spread
from measuring.tidegate import Build
from measuring.usage import Busy

GOAL = 1.15
"""CPU of two workers over that of one, at most."""
APART = 0.2
"""Share of the mean by which a worker's connections may differ from it."""


@dataclass(frozen=True, slots=True)
class Round:
    """CPU microseconds for one request with one worker and with two, and the median latency."""

    microseconds: tuple[float, float]
    median_ms: tuple[float, float]
    trouble: str
    disturbed_by: tuple[Busy, ...]

    @property
    def ratio(self) -> float:
        return self.microseconds[1] / self.microseconds[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU of two workers beside one at a fixed rate, and how connections spread.")
    parser.add_argument("--rounds", type=positive_integer, default=5, metavar="N", help="rounds; the median counts (5)")
    parser.add_argument("--seconds", type=positive_integer, default=10, metavar="N", help="how long each is under load in a round (10)")
    parser.add_argument("--rate", type=positive_integer, default=5_000, metavar="N", help="requests a second (5000)")
    parser.add_argument("--connections", type=positive_integer, default=64, metavar="N", help="kept-alive connections of the load (64)")
    parser.add_argument("--spread", type=positive_integer, default=1_000, metavar="N", help="connections that are counted (1000)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every round there")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    around = conditions()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-workers-")))
        processes = stack.enter_context(Processes(folder))
        proxy_core, load_core = cores()
        os.sched_setaffinity(0, {load_core})
        backend = start_backend(processes, load_core)
        certificate = make_certificate(folder)
        surroundings = Surroundings(processes, certificate, backend, proxy_core, load_core)
        rounds = [measure(surroundings, options, f"round-{number}") for number in range(options.rounds)]
        shares = count(serve(surroundings, 2, Build("spread-2")), options.spread, load_core)
    print(f"{around}\n{options.rate} requests a second on {options.connections} connections, workers on core {proxy_core}, ", end="")
    print(f"load and backend on core {load_core}; {options.rounds} rounds of {options.seconds} s; median (lowest-highest)\n")
    report(rounds, shares)
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "rounds": rounds, "shares": shares})
    return WRONG if any(found.trouble for found in rounds) else GOOD


def measure(surroundings: Surroundings, options: argparse.Namespace, part: str) -> Round:
    """Each subject once, after a load that does not count."""
    subjects = [serve(surroundings, workers, Build(f"{part}-{workers}")) for workers in (1, 2)]
    core = surroundings.load_core
    turns, troubles = list[Turn](), list[str]()
    for subject in subjects:
        troubles.append(check(subject.port, tls=False))
        asked = {"port": subject.port, "connections": options.connections, "rate": options.rate}
        warm = put("pace", asked | {"seconds": WARM_UP}, WARM_UP, core)
        troubles += (warm.trouble, take_log(subject.tidegate.log, warm.requests))
        paced = partial(put, "pace", asked | {"seconds": options.seconds}, options.seconds, core)
        turns.append(under_load(surroundings, subjects, subject, paced))
    end(surroundings, subjects)
    troubles += [turn.trouble for turn in turns]
    one, two = (1e6 * turn.seconds / max(turn.requests, 1) for turn in turns)
    print(f"one worker {one:.1f} us, two {two:.1f} us a request", file=sys.stderr, flush=True)
    disturbed = tuple(busy for turn in turns for busy in turn.disturbed_by)
    return Round((one, two), (turns[0].median_ms, turns[1].median_ms), next(filter(None, troubles), ""), disturbed)


def count(subject: Subject, connections: int, core: int) -> tuple[int, ...]:
    """How many of so many connections each worker gets."""
    with held(subject.port, connections, tls=False, core=core):
        return connections_of(subject.tidegate.workers(), subject.port)


def report(rounds: Sequence[Round], shares: Sequence[int]) -> None:
    """The table, and whether the goals are held."""
    rows = [
        (
            ("one worker", "two workers")[number],
            spread([found.microseconds[number] for found in rounds]).text(1),
            spread([found.median_ms[number] for found in rounds]).text(2),
        )
        for number in (0, 1)
    ]
    print_table(("", "us/request", "p50 ms"), rows)
    ratio = spread([found.ratio for found in rounds])
    print(f"goal: two workers take at most {GOAL:g} of one: {ratio.text(2)}, {'held' if ratio.median <= GOAL else 'MISSED'}")
    mean = sum(shares) / len(shares)
    even = all(abs(share - mean) <= APART * mean for share in shares)
    print(f"goal: of {sum(shares)} connections each gets the mean within {APART:.0%}: {shares}, {'held' if even else 'MISSED'}")
    for found in rounds:
        if found.trouble:
            print(f"no figure: {found.trouble}")
    if disturbed := [busy for found in rounds for busy in found.disturbed_by]:
        print(f"NOT QUIET: other processes were busy, the worst {max(disturbed, key=lambda busy: busy.share)}.")
        print("Do not cite these figures: end what else runs, and measure again.")


if __name__ == "__main__":
    sys.exit(run_script(main))
