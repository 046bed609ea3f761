"""CPU microseconds per HTTP/1.1 request: Tidegate beside Envoy, nginx and HAProxy, all in one run.

Every round measures each proxy in turn, on one core, with the load and the backend on another. The figure is the CPU time of the
processes that serve, from the kernel, divided by the requests that were answered; see README.md for how to read the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from measuring.backend import BODY, Backend, start_backend
from measuring.configuration import make_certificate
from measuring.keep_alive import KeepAlive, TransportError
from measuring.processes import Processes, cores, path_of
from measuring.proxies import PROXIES, Proxy, Surroundings
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
from measuring.summary import Spread, conditions, print_table, spread
from measuring.usage import Busy, Bystanders, cpu_of, resident_of
from measuring.wrk import load

REFERENCE = "envoy"
"""The proxy that ratios are made to."""
UNLOGGED = 1_000
"""Lines of the access log that may still be in a proxy's buffer when its load ends."""
WARM_UP = 2.0
SATURATED = 0.9
"""Share of its core from which a proxy counts as saturated."""


@dataclass(frozen=True, slots=True)
class Round:
    """One proxy under load once. Microseconds are for one request."""

    microseconds: float
    user: float
    system: float
    beside: float
    requests: int
    requests_per_second: float
    median_ms: float
    p99_ms: float
    core_share: float
    resident: int
    trouble: str
    disturbed_by: tuple[Busy, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one proxy, plain or with TLS."""

    name: str
    version: str
    rounds: tuple[Round, ...]
    ratio: Spread | None
    """Its microseconds over the reference's, round by round."""

    @property
    def trouble(self) -> str:
        return "; ".join(dict.fromkeys(found.trouble for found in self.rounds if found.trouble))

    @property
    def core_share(self) -> float:
        return spread([found.core_share for found in self.rounds]).median


class Comparison:
    """The proxies that run, and how they are measured."""

    def __init__(self, backend: Backend, load_core: int, options: argparse.Namespace) -> None:
        self._backend = backend
        self._load_core = load_core
        self._options = options

    def measure(self, proxy: Proxy, *, tls: bool, seconds: float) -> Round:
        """One proxy under load for some seconds."""
        port = proxy.tls_port if tls else proxy.plain_port
        trouble = check(port, tls=tls)
        bystanders = Bystanders((*proxy.serving, *proxy.beside, self._backend.program.pid, *self._backend.program.children()))
        serving, beside = cpu_of(proxy.serving), cpu_of(proxy.beside)
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
        found = load(url, self._options.connections, seconds, self._load_core)
        serving, beside = cpu_of(proxy.serving) - serving, cpu_of(proxy.beside) - beside
        disturbed_by = bystanders.busy(found.seconds)
        trouble = trouble or found.trouble or take_log(proxy.log, found.requests)
        each = 1e6 / max(found.requests, 1)
        return Round(
            microseconds=serving.total * each,
            user=serving.user * each,
            system=serving.system * each,
            beside=beside.total * each,
            requests=found.requests,
            requests_per_second=found.requests_per_second,
            median_ms=found.median_ms,
            p99_ms=found.p99_ms,
            core_share=serving.total / found.seconds,
            resident=sum(map(resident_of, proxy.serving)),
            trouble=trouble,
            disturbed_by=disturbed_by,
        )


def check(port: int, *, tls: bool) -> str:
    """Asks once; what is wrong with the answer, '' if nothing is."""
    try:
        with KeepAlive(port, tls=tls) as client:
            answer = client.get("127.0.0.1", "/")
    except TransportError as error:
        return str(error)
    return "" if (answer.status, answer.body) == (200, BODY) else f"a request was answered with {answer.status} and {answer.body[:60]!r}"


def take_log(log: Path, requests: int) -> str:
    """Empties an access log after a round; says so if lines are missing."""
    lines = 0
    with log.open("r+b") as content:
        while block := content.read(1 << 20):
            lines += block.count(b"\n")
        content.truncate(0)
    return "" if lines >= requests - UNLOGGED else f"the access log has {lines} lines for {requests} requests"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per HTTP/1.1 request: Tidegate beside Envoy, nginx and HAProxy.")
    parser.add_argument("--rounds", type=positive_integer, default=5, metavar="N", help="rounds with all proxies; the median counts (5)")
    parser.add_argument("--seconds", type=positive_integer, default=5, metavar="N", help="how long each proxy is under load in a round (5)")
    parser.add_argument("--connections", type=positive_integer, default=32, metavar="N", help="keep-alive connections of wrk (32)")
    parser.add_argument("--only", type=_names, default=tuple(PROXIES), metavar="NAMES", help=f"some of {','.join(PROXIES)}")
    parser.add_argument("--tls", action="store_true", help="also with TLS 1.3 (ECDSA P-256) from the load to the proxy")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every round there")
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in PROXIES]:
        raise argparse.ArgumentTypeError(f"there is no proxy {unknown[0]!r}: choose from {','.join(PROXIES)}")
    return names


def main() -> int:
    options = arguments()
    path_of("wrk", "wrk")
    around = conditions()
    proxy_core, load_core = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-http1-")))
        processes = stack.enter_context(Processes(folder))
        os.sched_setaffinity(0, {load_core})
        backend = start_backend(processes, load_core)
        surroundings = Surroundings(processes, proxy_core, backend.ports[0], make_certificate(folder))
        proxies, missing = start(surroundings, options.only)
        comparison = Comparison(backend, load_core, options)
        modes = (False, True) if options.tls else (False,)
        rounds = run(comparison, [(proxy, tls) for tls in modes for proxy in proxies], options)
    rows = list(rows_of(rounds))
    print(f"{around}\nproxies on core {proxy_core}, wrk and backend on core {load_core}; {options.connections} connections, ", end="")
    print(f"{options.rounds} rounds of {options.seconds} s; median (lowest-highest)\n")
    report(rows, missing)
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "rows": rows, "missing": missing})
    return WRONG if any(row.trouble for row in rows) else GOOD if rows else NOT_MEASURED


def start(around: Surroundings, names: Sequence[str]) -> tuple[list[Proxy], dict[str, str]]:
    """Starts the proxies that were asked for; also why one could not be. Tidegate itself must start."""
    proxies, missing = [], {}
    for name in names:
        try:
            proxies.append(PROXIES[name](around))
        except CannotMeasure as reason:
            if name == "tidegate":
                raise
            missing[name] = str(reason)
    return proxies, missing


def run(comparison: Comparison, subjects: Sequence[tuple[Proxy, bool]], options: argparse.Namespace) -> dict[tuple[str, str], list[Round]]:
    """Measures round by round, after a round that does not count. By name and version."""
    for proxy, tls in subjects:
        comparison.measure(proxy, tls=tls, seconds=min(WARM_UP, options.seconds))
    rounds: dict[tuple[str, str], list[Round]] = {}
    for number in range(1, options.rounds + 1):
        for proxy, tls in subjects:
            found = comparison.measure(proxy, tls=tls, seconds=options.seconds)
            name = f"{proxy.name} tls" if tls else proxy.name
            rounds.setdefault((name, proxy.version), []).append(found)
            print(f"round {number}: {name} {found.microseconds:.1f} us {found.trouble}", file=sys.stderr, flush=True)
    return rounds


def rows_of(rounds: dict[tuple[str, str], list[Round]]) -> Iterator[Row]:
    """With ratios to the reference of the same round and mode."""
    by_name = {name: found for (name, _), found in rounds.items()}
    for (name, version), found in rounds.items():
        reference = by_name.get(f"{REFERENCE} tls" if name.endswith(" tls") else REFERENCE, ())
        ratios = [mine.microseconds / theirs.microseconds for mine, theirs in zip(found, reference, strict=False) if theirs.microseconds]
        yield Row(name, version, tuple(found), spread(ratios) if ratios else None)


def report(rows: Sequence[Row], missing: dict[str, str]) -> None:
    """The table, and what a reader must know about it. A proxy that answered wrongly has no figure."""
    headings = ("proxy", "us/request", "user", "system", "beside", f"of {REFERENCE}", "requests/s", "p50 ms", "p99 ms", "core", "MiB")
    print_table(headings, [_cells(row) for row in rows if not row.trouble])
    print()
    for row in rows:
        if row.trouble:
            print(f"{row.name}: no figure: {row.trouble}")
    for name, reason in missing.items():
        print(f"{name}: not measured: {reason}")
    disturbed = [found for row in rows for found in row.rounds if found.disturbed_by]
    unfilled = [row.name for row in rows if not row.trouble and row.core_share < SATURATED]
    if disturbed:
        total = sum(len(row.rounds) for row in rows)
        worst = max((busy for found in disturbed for busy in found.disturbed_by), key=lambda busy: busy.share)
        print(f"NOT QUIET: other processes were busy in {len(disturbed)} of {total} measurements, the worst {worst}.")
        print("Do not cite these figures: end what else runs, and measure again.")
    elif unfilled:
        print(f"not at saturation: {', '.join(unfilled)}. The load's core was full first, so requests/s are the load's; us/request holds.")


def _cells(row: Row) -> tuple[str, ...]:
    def median(name: str, digits: int) -> str:
        return f"{spread([getattr(found, name) for found in row.rounds]).median:.{digits}f}"

    return (
        row.name if row.version == "this commit" else f"{row.name} {row.version}",
        spread([found.microseconds for found in row.rounds]).text(1),
        median("user", 1),
        median("system", 1),
        median("beside", 1),
        row.ratio.text(2) if row.ratio is not None else "-",
        median("requests_per_second", 0),
        median("median_ms", 2),
        median("p99_ms", 2),
        f"{row.core_share:.0%}",
        f"{spread([found.resident / 2**20 for found in row.rounds]).median:.0f}",
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
