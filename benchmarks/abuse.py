"""Floods of HTTP/2 (reference S4): after how many events each proxy ends the connection, what its memory grows by, and how others fare.

For some seconds a client floods the proxy, again and again where the connection is ended, while another asks at a fixed rate over HTTP/1.1.
Its p99 is compared with that beside a client that sends good requests over HTTP/2 in the same way. The flood comes from a thread of the
lowest priority: what it costs the core that it shares with the other client is not the proxy's doing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from measuring.attacked import ATTACKED, Attacked
from measuring.backend import start_backend
from measuring.configuration import ROOT
from measuring.load import put
from measuring.processes import Processes, cores, on_core
from measuring.script import GOOD, NOT_MEASURED, WRONG, CannotMeasure, positive_integer, run_script, writable_file, write_json
from measuring.summary import conditions, print_table
from measuring.usage import descendants_of, resident_of

sys.path.insert(0, str(ROOT))  # the floods and their client belong to the tests

from tests.attacks.http2_client import Http2Client
from tests.attacks.http2_row import get
from tests.attacks.rows.http2_abuse import ABUSES, MOST_EVENTS, MOST_GROWTH, Abuse

OURS = "tidegate"
MOST_TIMES = 2.0
"""p99 of others over that beside good requests."""
RATE = 500
EVENTS_PER_SECOND = 5_000
"""Of the flood, in bursts of AT_ONCE: so many that client, backend and the other client have room on their core."""
AT_ONCE = 50
MOST = 10_000
"""Events on one connection, whether it is ended or not."""
PLAIN = Abuse("good requests", "for comparison", lambda number: get(stream=2 * number + 1), ends=False, events=MOST)


@dataclass(frozen=True, slots=True)
class Storm:
    """One flood on one proxy. `events` before the first connection was ended, None if it never was; growth in bytes; p99 in ms."""

    events: int | None
    growth: int
    p99_ms: float
    trouble: str


Found = dict[str, dict[str, Storm]]


def main() -> int:
    options = arguments()
    now = conditions()
    proxy_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    with tempfile.TemporaryDirectory(prefix="tidegate-abuse-") as name, Processes(Path(name)) as processes:
        found, missing = measure(processes, options, proxy_core, load_core)
    report(found)
    for name, reason in missing.items():
        print(f"{name}: not measured: {reason}")
    print(now)
    if options.json is not None:
        write_json(options.json, {"conditions": now, "storms": found})
    if not found:
        return NOT_MEASURED
    faults = list(failures(found.get(OURS, {})))
    print("".join(f"{fault}\n" for fault in faults), end="")
    return WRONG if faults else GOOD


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxies", nargs="+", choices=list(ATTACKED), default=list(ATTACKED), metavar="NAME", help="which (default: all)")
    parser.add_argument("--seconds", type=positive_integer, default=2, metavar="N", help="of each flood on each proxy (2)")
    parser.add_argument("--only", metavar="WORD", default="", help="floods whose name has this word (all)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write the figures as JSON")
    return parser.parse_args()


def measure(processes: Processes, options: argparse.Namespace, proxy_core: int, load_core: int) -> tuple[Found, dict[str, str]]:
    """Storms by proxy and flood, and why a proxy was left out."""
    backend = start_backend(processes, load_core)
    found: Found = {}
    missing: dict[str, str] = {}
    abuses = [PLAIN, *(abuse for abuse in ABUSES if options.only in abuse.name)]
    flooding = ThreadPoolExecutor(1, initializer=_stand_back)
    for name in options.proxies:
        try:
            with on_core(proxy_core):
                attacked = ATTACKED[name](processes, backend.ports[0])
        except CannotMeasure as reason:
            missing[name] = str(reason)
            continue
        found[name] = {}
        for abuse in abuses:
            found[name][abuse.name] = storm(flooding, attacked, abuse, options.seconds, load_core)
            print(f"{name}: {abuse.name}: {found[name][abuse.name]}", file=sys.stderr, flush=True)
        processes.end(attacked.program)
    return found, missing


def _stand_back() -> None:
    """Lowest priority for this thread alone, and so not for the programs that others start."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def storm(flooding: ThreadPoolExecutor, attacked: Attacked, abuse: Abuse, seconds: int, core: int) -> Storm:
    """The flood and the client beside it, for so long."""
    asked = {"port": attacked.port, "connections": 8, "seconds": seconds, "rate": RATE}
    flooded: Future[tuple[int | None, int, str]] = flooding.submit(asyncio.run, floods(attacked, abuse, seconds))
    load = put("pace", asked, seconds, core)
    first, growth, trouble = flooded.result()
    return Storm(first, growth, load.p99_ms, trouble or load.trouble)


async def floods(attacked: Attacked, abuse: Abuse, seconds: int) -> tuple[int | None, int, str]:
    """Events before the first connection was ended, what the proxy grew by, and what went wrong."""
    pids = descendants_of(attacked.program.pid) or (attacked.program.pid,)  # the workers, where there are some
    before = sum(map(resident_of, pids))
    first, growth, connections, trouble = None, 0, 0, ""
    pace = Pace(time.monotonic(), seconds)
    while not pace.over and not trouble:
        try:
            events, ended, grown = await flood(attacked, abuse, pids, pace)
        except (AssertionError, OSError) as fault:
            trouble = str(fault) or type(fault).__name__
            break
        growth = max(growth, grown - before)
        if not connections and ended:
            first = events
        connections += 1
    return first, growth, trouble


class Pace:
    """Holds a flood to its rate, over all its connections."""

    def __init__(self, begun: float, seconds: float) -> None:
        self._begun, self._end = begun, begun + seconds
        self._events = 0

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._end

    @property
    def left(self) -> float:
        """Seconds, never none."""
        return max(self._end - time.monotonic(), 0.1)

    async def keep(self) -> None:
        """After each event."""
        self._events += 1
        if self._events % AT_ONCE == 0:
            await asyncio.sleep(self._begun + self._events / EVENTS_PER_SECOND - time.monotonic())


async def flood(attacked: Attacked, abuse: Abuse, pids: Sequence[int], pace: Pace) -> tuple[int, bool, int]:
    """One connection: events sent, whether it was ended, and the most bytes that the proxy held."""
    number = most = 0
    with await Http2Client.connect(("127.0.0.1", attacked.http2_port), None if abuse.reads else 65_536) as client:
        await client.open(*abuse.settings)
        going = await client.send([abuse.opening])
        while going and number < (MOST if abuse.ends else abuse.events) and not pace.over:
            going = await client.send([abuse.event(number)], pace.left) and not (abuse.reads and client.look().ended)
            number += 1
            await pace.keep()
            if number % AT_ONCE == 0:
                most = max(most, sum(map(resident_of, pids)))
        most = max(most, sum(map(resident_of, pids)))
        return number, client.look().ended, most


def failures(storms: Mapping[str, Storm]) -> list[str]:
    """What of ours does not hold what reference S4 asks for."""
    by_name = {abuse.name: abuse for abuse in ABUSES}
    usual = storms[PLAIN.name].p99_ms if storms else 0.0
    found = []
    for name, storm in storms.items():
        if name == PLAIN.name:
            continue
        if by_name[name].ends and (storm.events is None or storm.events > MOST_EVENTS):
            found.append(f"{name}: ended after {storm.events} events, not {MOST_EVENTS}")
        if storm.growth > MOST_GROWTH:
            found.append(f"{name}: memory grew by {storm.growth / 2**20:.1f} MiB")
        if storm.p99_ms > MOST_TIMES * usual:
            found.append(f"{name}: others waited {storm.p99_ms / usual:.1f} times as long")
        if storm.trouble:
            found.append(f"{name}: {storm.trouble}")
    return found


def report(found: Found) -> None:
    if not found:
        return
    names = list(next(iter(found.values())))
    print("events until the end, MiB more, p99 of others in ms")
    print_table(("flood", *found), [(name, *[cell(storms[name]) for storms in found.values()]) for name in names])
    print()


def cell(storm: Storm) -> str:
    events = "-" if storm.events is None else str(storm.events)
    return f"{events}, {storm.growth / 2**20:.1f}, {storm.p99_ms:.1f}" + (" !" if storm.trouble else "")


if __name__ == "__main__":
    sys.exit(run_script(main))
