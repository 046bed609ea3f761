"""The score of the attack table: Tidegate beside Envoy, nginx and HAProxy, each with its configuration of `configurations/attacks-*`.

Every row of `tests/attacks` goes to each proxy once, whole, on a connection of its own, in front of a backend that records all bytes.
Some rows demand what the RFCs leave to the recipient, and how a peer scores says nothing of how it serves; see README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

from measuring.attacked import ATTACKED, Attacked, BackendPorts
from measuring.http2_verdicts import judge_http2
from measuring.processes import Processes
from measuring.script import GOOD, NOT_MEASURED, WRONG, CannotMeasure, run_script, writable_file, write_json
from measuring.summary import conditions, print_table
from measuring.verdicts import Backend, Verdict, judge

from tests.attacks import http2_table, table
from tests.attacks.http2_row import Http2Attack, Http2Row, Http2Served
from tests.attacks.row import AnyRow

ATTACKS: Mapping[str, Sequence[AnyRow | Http2Row]] = {
    **table.ATTACKS,
    **{f"HTTP/2 {group}": rows for group, rows in http2_table.ATTACKS.items()},
}
LEGAL: Mapping[str, Sequence[AnyRow | Http2Row]] = {
    **table.LEGAL,
    **{f"HTTP/2 {group}": rows for group, rows in http2_table.LEGAL.items()},
}

OPTIONS_OF_OURS = (b"rejecting.example", b"redirecting.example", b"unescaping.example")
"""Hosts of rows about options that only Tidegate is given: not compared."""
OURS = "tidegate"


def main() -> int:
    options = arguments()
    now = conditions()
    with tempfile.TemporaryDirectory(prefix="tidegate-attacks-") as name, Processes(Path(name)) as processes:
        found, versions, missing = asyncio.run(compare(processes, options.proxies))
    report(found, versions, options.failures)
    for name, reason in missing.items():
        print(f"{name}: not measured: {reason}")
    print(now)
    if options.json is not None:
        write_json(options.json, {"conditions": now, "score": {name: score(verdicts) for name, verdicts in found.items()}})
    if not found:
        return NOT_MEASURED
    return WRONG if any(verdict.fault for group in found.get(OURS, {}).values() for verdict in group) else GOOD


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxies", nargs="+", choices=list(ATTACKED), default=list(ATTACKED), metavar="NAME", help="which (default: all)")
    parser.add_argument("--failures", action="store_true", help="also print each row that a proxy failed, and how")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write the score as JSON")
    return parser.parse_args()


Groups = dict[str, list[Verdict]]


async def compare(processes: Processes, names: Sequence[str]) -> tuple[dict[str, Groups], dict[str, str], dict[str, str]]:
    """Verdicts by proxy and group of rows, versions, and why a proxy was left out."""
    found: dict[str, Groups] = {}
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in names:
        async with Backend().serving() as backend:
            try:
                attacked = ATTACKED[name](processes, BackendPorts(backend.port))
            except CannotMeasure as reason:
                missing[name] = str(reason)
                continue
            versions[name] = attacked.version
            print(f"{name}: all rows", file=sys.stderr, flush=True)
            found[name] = {group: [verdict async for verdict in verdicts(group, attacked, backend)] for group in (*ATTACKS, *LEGAL)}
            processes.end(attacked.program)
    return found, versions, missing


async def verdicts(group: str, attacked: Attacked, backend: Backend) -> AsyncIterator[Verdict]:
    """Of all rows of a group."""
    legal = group in LEGAL
    for row in LEGAL[group] if legal else ATTACKS[group]:
        if isinstance(row, Http2Attack | Http2Served):
            yield await judge_http2(row, legal, ("127.0.0.1", attacked.http2_port), backend)
        elif not any(host in row.sent for host in OPTIONS_OF_OURS):
            yield await judge(row, legal, ("127.0.0.1", attacked.port), backend)


def score(groups: Mapping[str, Sequence[Verdict]]) -> dict[str, tuple[int, int]]:
    """Rows passed and rows, by group and for both halves of the table."""
    by_group = {group: (sum(not verdict.fault for verdict in found), len(found)) for group, found in groups.items()}
    halves = {"all attacks": ATTACKS, "all legal": LEGAL}
    sums = {half: tuple(map(sum, zip(*[by_group[group] for group in members], strict=True))) for half, members in halves.items()}
    return by_group | {half: (passed, rows) for half, (passed, rows) in sums.items()}


def report(found: Mapping[str, Groups], versions: Mapping[str, str], failures: bool) -> None:
    if not found:
        return
    scores = {name: score(groups) for name, groups in found.items()}
    headings = ("rows", "number", *[name if name == OURS else f"{name} {versions[name]}" for name in found])
    groups = next(iter(scores.values()))
    print_table(headings, [(group, str(groups[group][1]), *[str(by_group[group][0]) for by_group in scores.values()]) for group in groups])
    print()
    for line in failed_rows(found) if failures else ():
        print(line)


def failed_rows(found: Mapping[str, Groups]) -> Iterator[str]:
    for name, groups in found.items():
        for group, group_verdicts in groups.items():
            for verdict in group_verdicts:
                if verdict.fault:
                    yield f"{name}: {group}: {verdict.row.name}: {verdict.fault}"


if __name__ == "__main__":
    sys.exit(run_script(main))
