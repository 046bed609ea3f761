"""Changes under traffic: is every response the old or the new, and how long until a renamed file is served?

Part "edits": one live route is edited again and again under load; every response must come whole from one version of the route.
Part "routes": routes are added one by one beside many others; a connection that stays must see 404, then 200, and nothing else.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from measuring.backend import BODY, Backend, start_backend
from measuring.editing import Clients
from measuring.keep_alive import Answer, KeepAlive, TransportError
from measuring.processes import Processes, free_ports
from measuring.script import (
    GOOD,
    WRONG,
    non_negative_integers,
    plain_options,
    positive_integer,
    positive_number,
    run_script,
    writable_file,
    write_json,
)
from measuring.site import Site, host_of
from measuring.summary import Percentiles, conditions, percentiles, print_table
from measuring.tidegate import Build, Tidegate, start_tidegate

GAP = 0.0002
"""Seconds that a probe rests between the answer 404 and the next request."""
SERVED_WITHIN = 10.0
"""Seconds after which a route that still answers 404 counts as lost."""
EVERYWHERE = 8
"""Connections that look at the new routes once they are acknowledged; with a few workers, each has some of them."""
AT_THE_END = 2
"""Connections that look at all routes there are, at the end."""
SHOWN = 10
"""Wrong answers that are printed."""


@dataclass(frozen=True, slots=True)
class Edits:
    """What part "edits" found. Times in milliseconds."""

    edits: int
    requests: int
    versions_seen: int
    rename_to_served: Percentiles
    written_apart: Percentiles
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Routes:
    """What part "routes" found beside so many routes in place. Times in milliseconds."""

    in_place: int
    added: int
    rename_to_served: Percentiles
    between_probes: Percentiles
    looked_at: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Serving:
    """A site, and the Tidegate that serves it."""

    site: Site
    tidegate: Tidegate


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Changes of files under traffic: wrong answers, and the time from rename to served.")
    parser.add_argument("--only", choices=("edits", "routes"), help="one of the two parts")
    parser.add_argument("--edits", type=positive_integer, default=1_000, metavar="N", help="edits of the one live route (1000)")
    parser.add_argument("--apart", type=positive_number, default=5.0, metavar="MS", help="milliseconds between two edits (5)")
    parser.add_argument("--clients", type=positive_integer, default=4, metavar="N", help="keep-alive clients while it is edited (4)")
    parser.add_argument("--routes", type=positive_integer, default=3_000, metavar="N", help="routes added one by one, for each size (3000)")
    parser.add_argument(
        "--in-place", type=non_negative_integers, default=(1, 1_000, 10_000), metavar="N,N", help="routes already there (1,1000,10000)"
    )
    parser.add_argument("--workers", type=positive_integer, default=2, metavar="N", help="worker processes of Tidegate (2)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write what was found there")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    around = conditions()
    edits: Edits | None = None
    routes: list[Routes] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-changes-")))
        processes = stack.enter_context(Processes(folder))
        backend = start_backend(processes)
        if options.only != "routes":
            with serving(processes, backend, "edits", options.workers) as served:
                edits = measure_edits(served, backend, options)
        for in_place in options.in_place if options.only != "edits" else ():
            with serving(processes, backend, f"routes-{in_place}", options.workers, in_place) as served:
                routes.append(measure_routes(served, in_place, options.routes))
            print(f"{in_place} in place: done", file=sys.stderr, flush=True)
    print(f"{around}\n{options.workers} workers, nothing pinned\n")
    report(edits, routes)
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "edits": edits, "routes": routes})
    return WRONG if any(found.wrong for found in (edits, *routes) if found is not None) else GOOD


@contextmanager
def serving(processes: Processes, backend: Backend, name: str, workers: int, in_place: int = 0) -> Iterator[Serving]:
    """Tidegate with a site of its own and so many routes, ready."""
    (port,) = free_ports(1)
    site = Site(processes.folder / name, backend.ports, port)
    for number in range(in_place):
        site.add_route(number)
    site.edit_route(0)
    tidegate = start_tidegate(processes, site.folder, workers, build=Build(f"tidegate-{name}"))
    try:
        tidegate.wait_until_ready()
        tidegate.wait_until_acknowledged()
        yield Serving(site, tidegate)
    finally:
        processes.end(tidegate.program)


def measure_edits(served: Serving, backend: Backend, options: argparse.Namespace) -> Edits:
    """Edits the one route at a steady pace while the clients ask as fast as they can."""
    clients = Clients(served.site.port, backend.ports, options.clients)
    renamed = [time.monotonic()]
    with clients:
        due = time.monotonic()
        for edit in range(1, options.edits + 1):
            due += options.apart / 1000
            time.sleep(max(0.0, due - time.monotonic()))
            clients.newest = edit
            renamed.append(served.site.edit_route(edit))
        clients.wait_for(options.edits, SERVED_WITHIN)
    served.tidegate.program.check()
    times = clients.first_seen(options.edits)
    return Edits(
        edits=options.edits,
        requests=clients.requests,
        versions_seen=clients.versions_seen,
        rename_to_served=percentiles([1000 * (seen - renamed[edit]) for edit, seen in times.items()] or [float("nan")]),
        written_apart=percentiles([1000 * (later - earlier) for earlier, later in pairwise(renamed[1:])] or [0.0]),
        wrong=tuple(clients.wrong),
    )


def measure_routes(served: Serving, in_place: int, added: int) -> Routes:
    """Adds routes one by one; a probe asks for each until it is there, other connections look at all of them in between."""
    site, wrong = served.site, list[str]()
    times, between = list[float](), list[float]()
    looked = done = 0
    numbers = range(in_place, in_place + added)
    try:
        with KeepAlive(site.port) as probe:
            for number in numbers:
                expect(probe.get(host_of(number), f"/{number}"), 404, f"route {number} before it is there", wrong)
                renamed = site.add_route(number)
                at, gaps = ask_until_served(probe, number, renamed, wrong)
                times.append(1000 * (at - renamed))
                between += gaps
                if (number - in_place) % 100 == 99 or number == numbers[-1]:
                    served.tidegate.wait_until_acknowledged()
                    looked += look(site.port, EVERYWHERE, numbers[done : number - in_place + 1], wrong)
                    done = number - in_place + 1
            looked += look(site.port, AT_THE_END, range(in_place + added), wrong)
    except TransportError as error:
        wrong.append(str(error))
    return Routes(
        in_place,
        len(times),
        percentiles(times or [float("nan")]),
        percentiles(between or [float("nan")]),
        looked,
        tuple(wrong),
    )


def ask_until_served(probe: KeepAlive, number: int, begun: float, wrong: list[str]) -> tuple[float, list[float]]:
    """When the first 200 had come, and the milliseconds between one request and the next on the way to it."""
    gaps, sent = list[float](), begun
    while True:
        now = time.monotonic()
        gaps.append(1000 * (now - sent))
        sent = now
        answer = probe.get(host_of(number), f"/{number}")
        now = time.monotonic()
        if answer.status == 404 and now - begun < SERVED_WITHIN:
            time.sleep(GAP)
            continue
        expect(answer, 200, f"route {number}, {1000 * (now - begun):.0f} ms after it was put there", wrong)
        return now, gaps


def look(port: int, connections: int, numbers: Sequence[int], wrong: list[str]) -> int:
    """Asks for routes on several new connections; they must all be there. Returns the number of requests."""
    for _ in range(connections):
        with KeepAlive(port) as client:
            for number in numbers:
                expect(client.get(host_of(number), f"/{number}"), 200, f"route {number} after its batch was acknowledged", wrong)
    return connections * len(numbers)


def expect(answer: Answer, status: int, what: str, wrong: list[str]) -> None:
    """Notes an answer that is not what it must be."""
    if answer.status != status or (status == 200 and answer.body != BODY):
        wrong.append(f"{what}: {answer.status} instead of {status}, {answer.body[:60]!r}")


def report(edits: Edits | None, routes: Sequence[Routes]) -> None:
    """Tables; then what was wrong."""
    if edits is not None:
        print(f"{edits.edits} edits of one live route, {edits.written_apart.median:.2f} ms apart (median), {edits.requests} requests")
        headings = ("ms from rename to served", "median", "p90", "p99", "highest", "versions seen", "wrong")
        print_table(headings, [("one route, under load", *edits.rename_to_served.cells(), str(edits.versions_seen), str(len(edits.wrong)))])
        print()
    if routes:
        print("routes added one by one, one object a file, asked for on one keep-alive connection")
        columns = ("ms from rename to served", "median", "p90", "p99", "highest", "added", "looked at", "wrong")
        print_table(columns, list(map(_row, routes)))
        gap = max(found.between_probes.median for found in routes)
        print(f"Asked for each {gap:.2f} ms (median), answer included: the times are too long by that much at most.")
        print("The kernel queues the event of a rename within rename(2): from the event it is no longer than from the rename.\n")
    for found in (edits, *routes):
        for text in found.wrong[:SHOWN] if found is not None else ():
            print(f"WRONG: {text}")


def _row(found: Routes) -> tuple[str, ...]:
    counts = (str(found.added), str(found.looked_at), str(len(found.wrong)))
    return (f"{found.in_place} routes in place", *found.rename_to_served.cells(), *counts)


if __name__ == "__main__":
    sys.exit(run_script(main))
