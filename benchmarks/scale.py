"""10,000 routes against one: CPU per request, memory of a worker, and what a change costs the requests beside it.

Part "requests": two Tidegates side by side, one with one route and one with many, in turn under the same load, each with one Service.
"One path" and "all paths in turn" differ in what the processor's caches hold: the second is the worst case. 4,000 segments are 8 kB,
so that only the ratio to 8 kB in one segment says what segments cost.
Part "changes": a connection asks all the time while one route, the hostname of a listener (which all routes follow, having none), or the
label by which a second listener takes the routes of their namespace changes; how long until the change is served, how long until statuses
say it, and how long did the slowest request take? "Nothing" says what the machine does to a request by itself.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring.backend import start_backend
from measuring.keep_alive import KeepAlive, TransportError
from measuring.large import HOST, SERVICES, LargeSite
from measuring.processes import Processes, cores, free_ports
from measuring.script import (
    GOOD,
    WRONG,
    CannotMeasure,
    plain_options,
    positive_integer,
    run_script,
    writable_file,
    write_json,
)
from measuring.summary import Percentiles, conditions, percentiles, print_table, spread
from measuring.tidegate import Build, Tidegate, start_tidegate
from measuring.usage import cpu_of, resident_of
from measuring.wrk import load

SEGMENTS = 4_000
CONNECTIONS = 32
SERVED_WITHIN = 30.0
PAUSE = 0.0005
"""Seconds between two requests of the connection that asks all the time."""
SETTLE = 0.5
"""Seconds that are still looked at after a change of every rule is served: old tables are let go of."""
AFTER_ONE = 0.02
QUIET_TIMES = 20
"""Turns of SETTLE in which nothing changes: what the machine does by itself."""

ONE_PATH, ALL_PATHS, SHORT_PATH = "one path", "all paths in turn", "a short path"
LONG_PATH, LONG_SEGMENT = f"{SEGMENTS:,} segments", "as many bytes in one segment"
LOADS = (ONE_PATH, ALL_PATHS, SHORT_PATH, LONG_SEGMENT, LONG_PATH)


@dataclass(frozen=True, slots=True)
class Served:
    """A site with so many routes, and the Tidegate that serves it."""

    routes: int
    site: LargeSite
    tidegate: Tidegate

    @property
    def worker(self) -> int:
        """Its process id."""
        return self.tidegate.workers()[0]


@dataclass(frozen=True, slots=True)
class Requests:
    """CPU microseconds a request with one route and with many, by round; memory in MiB, before the load and after it."""

    one: Mapping[str, list[float]]
    many: Mapping[str, list[float]]
    memory_one: tuple[float, float]
    memory_many: tuple[float, float]
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """One kind of change. Milliseconds: from the rename to served and to the program's word of it, and of each request meanwhile."""

    what: str
    routes: int
    until_served: Percentiles
    until_told: Percentiles
    requests: Percentiles
    memory: float
    wrong: tuple[str, ...]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="10,000 routes against one: CPU per request, memory, and requests beside changes.")
    parser.add_argument("--only", choices=("requests", "changes"), help="one of the two parts")
    parser.add_argument("--routes", type=positive_integer, default=10_000, metavar="N", help="routes of the large site (10000)")
    parser.add_argument("--rounds", type=positive_integer, default=5, metavar="N", help="rounds of load; the median counts (5)")
    parser.add_argument("--seconds", type=positive_integer, default=4, metavar="N", help="seconds of load for each figure (4)")
    parser.add_argument("--edits", type=positive_integer, default=300, metavar="N", help="edits of one route (300)")
    parser.add_argument("--large-changes", type=positive_integer, default=20, metavar="N", help="changes of every rule, of each kind (20)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write what was found there")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    around = conditions()
    requests: Requests | None = None
    changes: list[Changes] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-scale-")))
        processes = stack.enter_context(Processes(folder))
        core, load_core = cores()
        backend = start_backend(processes, load_core)
        if options.only != "changes":
            one = stack.enter_context(serving(processes, "one", backend.ports[0], Size(1, 1), core))
            many = stack.enter_context(serving(processes, "many", backend.ports[0], Size(options.routes, 1), core))
            requests = measure_requests(one, many, options, load_core)
        for routes in (1, options.routes) if options.only != "requests" else ():
            with serving(processes, f"changed-{routes}", backend.ports[0], Size(routes, SERVICES), None) as served:
                changes += measure_changes(served, options)
    print(f"{around}\n")
    report(requests, changes)
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "requests": requests, "changes": changes})
    wrong = [text for found in (requests, *changes) if found is not None for text in found.wrong]
    for text in dict.fromkeys(wrong):
        print(f"WRONG: {text}")
    return WRONG if wrong else GOOD


@dataclass(frozen=True, slots=True)
class Size:
    """Of a site. Requests are compared over one Service, since many have more connections to keep, with many routes or with few."""

    routes: int
    services: int


@contextmanager
def serving(processes: Processes, name: str, backend_port: int, size: Size, core: int | None) -> Iterator[Served]:
    """One worker with so many routes, ready."""
    first, second = free_ports(2)
    site = LargeSite(processes.folder / name, backend_port, (first, second), size.routes, services=size.services)
    site.edit_route(0)
    tidegate = start_tidegate(processes, site.folder, 1, core, Build(f"tidegate-{name}"))
    try:
        tidegate.wait_until_ready()
        tidegate.wait_until_acknowledged()
        yield Served(size.routes, site, tidegate)
    finally:
        processes.end(tidegate.program)


def measure_requests(one: Served, many: Served, options: argparse.Namespace, core: int) -> Requests:
    """Each load on both, in turn; the first round does not count."""
    folder = one.site.folder.parent
    paths = {
        ONE_PATH: "/app-0",
        ALL_PATHS: "",
        SHORT_PATH: "/app-0/a",
        LONG_SEGMENT: f"/app-0/{'a' * (2 * SEGMENTS - 3)}",
        LONG_PATH: f"/app-0{'/a' * (SEGMENTS - 1)}",
    }
    found: dict[int, dict[str, list[float]]] = {one.routes: {}, many.routes: {}}
    wrong: list[str] = []
    before = {served.routes: resident_of(served.worker) / 2**20 for served in (one, many)}
    for number in range(options.rounds + 1):
        for served in (one, many):
            for name in LOADS:
                script = write_script(folder, paths[name], served.routes)
                cost, trouble = cost_of(served, script, options.seconds, core)
                if trouble:
                    wrong.append(f"{served.routes} routes, {name}: {trouble}")
                if number:
                    found[served.routes].setdefault(name, []).append(cost)
    after = {served.routes: resident_of(served.worker) / 2**20 for served in (one, many)}
    memory = {routes: (before[routes], after[routes]) for routes in before}
    return Requests(found[one.routes], found[many.routes], memory[one.routes], memory[many.routes], tuple(wrong))


def write_script(folder: Path, path: str, routes: int) -> Path:
    """What wrk asks for: this path, or for '' those of all routes, round and round."""
    paths = 1 if path else routes
    asked = f'"{path}"' if path else '"/app-" .. number'
    file = folder / "requests.lua"
    file.write_text(
        f"local requests, number = {{}}, 0\n"
        f"init = function() for number = 0, {paths - 1} do "
        f'requests[number] = wrk.format(nil, {asked}, {{["Host"] = "{HOST}"}}) end end\n'
        f"request = function() number = (number + 1) % {paths}; return requests[number] end\n",
        encoding="utf-8",
    )
    return file


def cost_of(served: Served, script: Path, seconds: int, core: int) -> tuple[float, str]:
    """CPU microseconds of the worker for a request, and what went wrong."""
    before = cpu_of([served.worker]).total
    found = load(f"http://127.0.0.1:{served.site.port}/", CONNECTIONS, seconds, core, script)
    return 1e6 * (cpu_of([served.worker]).total - before) / max(found.requests, 1), found.trouble


class Asking:
    """A thread that asks for one path on one connection all the time, and remembers how long each answer took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.milliseconds: list[float] = []
        self.wrong: list[str] = []

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _ask(self) -> None:
        try:
            with KeepAlive(self._port) as client:
                while not self._ending.is_set():
                    began = time.perf_counter()
                    status = client.get(HOST, "/app-0").status
                    self.milliseconds.append(1000 * (time.perf_counter() - began))
                    if status != 200:
                        self.wrong.append(f"/app-0 answers {status} while something else changes")
                    time.sleep(PAUSE)
        except TransportError as error:
            self.wrong.append(str(error))


def measure_changes(served: Served, options: argparse.Namespace) -> list[Changes]:
    """Quiet times first, as long as the changes will take, then each kind of change."""
    site = served.site
    large = options.large_changes

    def label(version: int) -> float:
        return site.label(bool(version % 2))

    def other_host_is_served(version: int) -> bool:
        return status_of(site.port, "other.example.com") == (200 if version % 2 else 404)

    def label_is_served(version: int) -> bool:
        return status_of(site.second_port, HOST) == (200 if version % 2 else 404)

    kinds = (
        Kind("nothing", QUIET_TIMES, lambda _: time.monotonic(), lambda _: True, SETTLE),
        Kind("one route", options.edits, site.edit_route, lambda version: says_version(site.port, version), AFTER_ONE),
        Kind("a listener's hostname", large, site.name_host, other_host_is_served, SETTLE),
        Kind("a namespace's label", large, label, label_is_served, SETTLE),
    )
    return [measure_kind(served, kind) for kind in kinds]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of change: makes a version (from 1) and returns when it was renamed; says whether that version is served."""

    what: str
    times: int
    make: Callable[[int], float]
    is_served: Callable[[int], bool]
    settle: float
    """Seconds before the next one."""


def measure_kind(served: Served, kind: Kind) -> Changes:
    """One change after another, each once the last is served, told and settled."""
    times: list[float] = []
    told: list[float] = []
    wrong: list[str] = []
    with Asking(served.site.port) as asking:
        for version in range(1, kind.times + 1):
            renamed = kind.make(version)
            limit = renamed + SERVED_WITHIN
            while not (done := kind.is_served(version)) and time.monotonic() < limit:
                time.sleep(PAUSE)
            times.append(1000 * (time.monotonic() - renamed))
            served.tidegate.wait_until_ready()  # which is answered once statuses are worked out
            told.append(1000 * (time.monotonic() - renamed))
            if not done:
                wrong.append(f"{kind.what}, version {version}: not served after {SERVED_WITHIN:g} s")
            time.sleep(kind.settle)
        served.tidegate.wait_until_acknowledged()
    if not asking.milliseconds:
        raise CannotMeasure(f"no request was answered beside changes: {asking.wrong}")
    memory = resident_of(served.worker) / 2**20
    wrong += dict.fromkeys(asking.wrong)
    return Changes(kind.what, served.routes, percentiles(times), percentiles(told), percentiles(asking.milliseconds), memory, tuple(wrong))


def says_version(port: int, version: int) -> bool:
    """Whether this version of the edited route answers."""
    with KeepAlive(port) as client:
        return client.get(HOST, "/edited").fields.get("x-version") == str(version)


def status_of(port: int, host: str) -> int:
    """What a new connection gets for the first route."""
    with KeepAlive(port) as client:
        return client.get(host, "/app-0").status


def report(requests: Requests | None, changes: Sequence[Changes]) -> None:
    """Two tables."""
    if requests is not None:
        rows = []
        for name in LOADS:
            ratio = spread([many / one for one, many in zip(requests.one[name], requests.many[name], strict=True)])
            rows.append((name, spread(requests.one[name]).text(1), spread(requests.many[name]).text(1), ratio.text(2)))
        print_table(("us of the worker per request", "one route", "many routes", "ratio"), rows)
        for other in (SHORT_PATH, LONG_SEGMENT):
            long = [one / two for one, two in zip(requests.many[LONG_PATH], requests.many[other], strict=True)]
            print(f"{LONG_PATH} against {other}, many routes: {spread(long).text(2)}")
        (one_before, one_after), (many_before, many_after) = requests.memory_one, requests.memory_many
        print(f"worker MiB: one route {one_before:.1f}, after the load {one_after:.1f}; many {many_before:.1f}, after {many_after:.1f}")
        print(f"more for many routes: {many_before - one_before:.1f} MiB, after the load {many_after - one_after:.1f} MiB\n")
    if changes:
        headings = (
            "routes", "changed", "times", "ms to served", "p99", "highest", "to told", "requests", "ms median", "p99", "highest", "MiB",
        )  # fmt: skip
        found: list[tuple[str, ...]] = []
        for each in changes:
            served = (*cells(each.until_served), f"{each.until_told.median:.0f}")
            found.append((str(each.routes), each.what, *served, *cells(each.requests), f"{each.memory:.1f}"))
        print_table(headings, found)


def cells(found: Percentiles) -> tuple[str, ...]:
    """How many, median, p99, highest."""
    return (str(found.samples), f"{found.median:.2f}", f"{found.p99:.2f}", f"{found.highest:.2f}")


if __name__ == "__main__":
    sys.exit(run_script(main))
