"""Floods of HTTP/2 (reference S4): after how many events each proxy ends the connection, what its memory grows by, and how others fare.

A client floods the proxy, again and again where the connection is ended, while another asks at a fixed rate over HTTP/1.1 and is answered
by a backend of its own. Its p99 is compared with that beside a client that sends good requests over HTTP/2 in the same way, which is
measured between every few floods. What measures, and its backend, have their core before what floods: only what the proxy
does can make them wait. `control` is Tidegate with each flood going to a process beside it that only reads: what is seen there is noise.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from measuring.attacked import ATTACKED, Attacked, BackendPorts
from measuring.backend import Backend, start_backend
from measuring.configuration import ROOT
from measuring.load import FOLDER, program, put
from measuring.processes import Processes, cores, free_ports, on_core, put_ahead, wait_for_port
from measuring.script import GOOD, NOT_MEASURED, WRONG, CannotMeasure, positive_integer, run_script, writable_file, write_json
from measuring.summary import conditions, print_table, spread
from measuring.usage import descendants_of, resident_of

sys.path.insert(0, str(ROOT))  # the floods and their client belong to the tests

from tests.attacks.http2_client import Http2Client
from tests.attacks.http2_row import get
from tests.attacks.rows.http2_abuse import ABUSES, MOST_EVENTS, MOST_GROWTH, Abuse

OURS = "tidegate"
CONTROL = "control"
MOST_TIMES = 2.0
"""p99 of others over that beside good requests, median of the rounds."""
RATE = 500
EVENTS_PER_SECOND = 5_000
"""Of the flood, in bursts of AT_ONCE: so many that client, backend and the other client have room on their core."""
AT_ONCE = 50
MOST = 10_000
"""Events on one connection, whether it is ended or not."""
EVERY = 4
"""Floods between two measurements of good requests."""
HELD = 0.05
"""Seconds that what only reads leaves a connection, which is about as long as a proxy needs to end a flood."""
BEFORE = 0.2
"""Seconds that a flood lasts longer than the load beside it, which has to start."""
PLAIN = Abuse("good requests", "for comparison", lambda number: get(stream=2 * number + 1), ends=False, events=MOST)
QUIET = Abuse("no flood", "for comparison", lambda number: b"", ends=False, events=0)


@dataclass(frozen=True, slots=True)
class Sight:
    """One flood on one proxy, once. `events` before the first connection was ended, None if it never was; growth in bytes; p99 in ms."""

    events: int | None
    growth: int
    p99_ms: float
    trouble: str


@dataclass(slots=True)
class Storm:
    """One flood on one proxy in every round. `times` are p99 over that beside good requests."""

    sights: list[Sight] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def events(self) -> int | None:
        """The most, None if a round never saw the end."""
        seen = [sight.events for sight in self.sights]
        return None if None in seen else max(events for events in seen if events is not None)

    @property
    def growth(self) -> int:
        return max(sight.growth for sight in self.sights)

    @property
    def trouble(self) -> str:
        return "; ".join(dict.fromkeys(sight.trouble for sight in self.sights if sight.trouble))


Found = dict[str, dict[str, Storm]]


def main() -> int:
    options = arguments()
    now = conditions()
    proxy_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    put_forward()
    with tempfile.TemporaryDirectory(prefix="tidegate-abuse-") as name, Processes(Path(name)) as processes:
        (Path(name) / "others").mkdir()
        with Processes(Path(name) / "others") as beside:
            place = Place(processes, proxy_core, load_core, *backends(processes, beside, load_core))
            found, missing = measure(place, options)
    report(found)
    for name, reason in missing.items():
        print(f"{name}: not measured: {reason}")
    print(now)
    if options.json is not None:
        write_json(options.json, {"conditions": now, "storms": found})
    if not found:
        return NOT_MEASURED
    wrong = failures(found.get(OURS, {}))
    for line in wrong:
        print(line, file=sys.stderr)
    return WRONG if wrong else GOOD


def put_forward() -> None:
    """This process and what it starts take their core before whatever else runs on this machine. Raises CannotMeasure."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    except PermissionError:
        raise CannotMeasure("programs have to be put before others, which only root, or a process with CAP_SYS_NICE, may ask for") from None


def arguments() -> argparse.Namespace:
    names = [*ATTACKED, CONTROL]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxies", nargs="+", choices=names, default=names, metavar="NAME", help="which (default: all)")
    parser.add_argument("--rounds", type=positive_integer, default=3, metavar="N", help="of all floods on each proxy (3)")
    parser.add_argument("--seconds", type=positive_integer, default=1, metavar="N", help="of each flood in a round (1)")
    parser.add_argument("--only", metavar="WORD", default="", help="floods whose name has this word (all)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write the figures as JSON")
    return parser.parse_args()


@dataclass(frozen=True, slots=True)
class Place:
    """Where it all runs."""

    processes: Processes
    proxy_core: int
    load_core: int
    backend: Backend
    others: Backend


def backends(processes: Processes, beside: Processes, core: int) -> tuple[Backend, Backend]:
    """What answers the floods, and what answers the others."""
    flooded, others = start_backend(processes, core), start_backend(beside, core)
    put_ahead(others.program.pid, *descendants_of(others.program.pid))
    return flooded, others


def measure(place: Place, options: argparse.Namespace) -> tuple[Found, dict[str, str]]:
    """Storms by proxy and flood, and why a proxy was left out."""
    found: Found = {}
    missing: dict[str, str] = {}
    flooding = ThreadPoolExecutor(1, initializer=_stand_back)
    for name in options.proxies:
        try:
            attacked = start(place, name)
        except CannotMeasure as reason:
            missing[name] = str(reason)
            continue
        storms = found[name] = {}
        for _ in range(options.rounds):
            sights: list[tuple[Abuse, Sight]] = []
            for abuse in in_order([abuse for abuse in ABUSES if options.only in abuse.name]):
                sights.append((abuse, look_at(flooding, attacked, abuse, options.seconds, place.load_core)))
                print(f"{name}: {abuse.name}: {sights[-1][1]}", file=sys.stderr, flush=True)
            add_round(storms, sights)
        place.processes.end(attacked.program)
    return found, missing


def start(place: Place, name: str) -> Attacked:
    """A proxy, or what is measured as noise. Raises CannotMeasure."""
    ports = BackendPorts(place.backend.ports[0], place.others.ports[0])
    with on_core(place.proxy_core):
        attacked = ATTACKED[OURS if name == CONTROL else name](place.processes, ports)
        if name != CONTROL:
            return attacked
        (port,) = free_ports(1)
        sink = place.processes.start("sink", program("sink", {"port": port, "seconds": HELD}), working_folder=FOLDER)
        wait_for_port(sink, port)
        return replace(attacked, http2_port=port)


def in_order(abuses: Sequence[Abuse]) -> Iterator[Abuse]:
    """With what they are compared with, before and after every few."""
    yield QUIET
    for at in range(0, len(abuses), EVERY):
        yield PLAIN
        yield from abuses[at : at + EVERY]
    yield PLAIN


def add_round(storms: dict[str, Storm], sights: Sequence[tuple[Abuse, Sight]]) -> None:
    """Each flood is compared with the median of the round's good requests, since a disturbance of the machine shows in one of them."""
    usual = median(sight.p99_ms for abuse, sight in sights if abuse is PLAIN)
    for abuse, sight in sights:
        storm = storms.setdefault(abuse.name, Storm())
        storm.sights.append(sight)
        storm.times.append(sight.p99_ms / usual)


def _stand_back() -> None:
    """Lowest priority for this thread alone, and so not for the programs that others start."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def look_at(flooding: ThreadPoolExecutor, attacked: Attacked, abuse: Abuse, seconds: int, core: int) -> Sight:
    """The flood and the client beside it, for so long."""
    asked = {"port": attacked.port, "path": "/others", "connections": 8, "seconds": seconds, "rate": RATE, "ahead": True}
    flooded: Future[tuple[int | None, int, str]] | None = None
    if abuse is not QUIET:
        flooded = flooding.submit(asyncio.run, floods(attacked, abuse, seconds + BEFORE))
    load = put("pace", asked, seconds, core)
    first, growth, trouble = flooded.result() if flooded is not None else (None, 0, "")
    return Sight(first, growth, load.p99_ms, trouble or load.trouble)


async def floods(attacked: Attacked, abuse: Abuse, seconds: float) -> tuple[int | None, int, str]:
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

    async def keep(self, events: int = 1) -> None:
        """After each event, or after what counts as so many."""
        before, self._events = self._events, self._events + events
        if self._events // AT_ONCE != before // AT_ONCE:
            await asyncio.sleep(self._begun + self._events / EVENTS_PER_SECOND - time.monotonic())


def frames_of(sent: bytes) -> int:
    """Of HTTP/2: each frame before the first event costs a proxy as much as one after it."""
    at = number = 0
    while at < len(sent):
        at += 9 + int.from_bytes(sent[at : at + 3], "big")
        number += 1
    return number


async def flood(attacked: Attacked, abuse: Abuse, pids: Sequence[int], pace: Pace) -> tuple[int, bool, int]:
    """One connection: events sent, whether it was ended, and the most bytes that the proxy held."""
    number = most = 0
    with await Http2Client.connect(("127.0.0.1", attacked.http2_port), None if abuse.reads else 65_536) as client:
        await client.open(*abuse.settings)
        going = await client.send([abuse.opening])
        await pace.keep(frames_of(abuse.opening))
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
    found = []
    for name, storm in storms.items():
        if name not in by_name:
            continue
        if by_name[name].ends and (storm.events is None or storm.events > MOST_EVENTS):
            found.append(f"{name}: ended after {storm.events} events, not {MOST_EVENTS}")
        if storm.growth > MOST_GROWTH:
            found.append(f"{name}: memory grew by {storm.growth / 2**20:.1f} MiB")
        if median(storm.times) > MOST_TIMES:
            found.append(f"{name}: others waited {spread(storm.times).text(1)} times as long")
        if storm.trouble:
            found.append(f"{name}: {storm.trouble}")
    return found


def report(found: Found) -> None:
    if not found:
        return
    names = list(next(iter(found.values())))
    print("events until the end; MiB more; p99 of others in ms; how many times that beside good requests, median and range of the rounds")
    print_table(("flood", *found), [(name, *[cell(storms[name]) for storms in found.values()]) for name in names])
    print()


def cell(storm: Storm) -> str:
    events = "-" if storm.events is None else str(storm.events)
    p99 = median(sight.p99_ms for sight in storm.sights)
    return f"{events}; {storm.growth / 2**20:.1f}; {p99:.1f}; {spread(storm.times).text(1)}" + (" !" if storm.trouble else "")


if __name__ == "__main__":
    sys.exit(run_script(main))
