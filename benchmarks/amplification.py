"""What an attack costs the proxy in CPU, beside what it costs the client that sends it (reference S5: at most 20 times).

The client is the cheapest there is: bytes made beforehand, one write, one read until the answer is there. For scale, the first row is a
plain request. Peers run with their configurations of `configurations/attacks-*`.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring.attacked import ATTACKED, Attacked, BackendPorts
from measuring.backend import start_backend
from measuring.processes import Processes
from measuring.script import GOOD, NOT_MEASURED, WRONG, CannotMeasure, positive_number, run_script, writable_file, write_json
from measuring.summary import conditions, print_table
from measuring.usage import cpu_of, descendants_of

OURS = "tidegate"
MOST_TIMES = 20
LIMIT = 10.0
"""Seconds to wait for an answer."""
_HOST = b"Host: a.example\r\n"
_LAST = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Attack:
    """One unit of it: the bytes, and in how many writes they go. `kept`: the connection takes the next one too."""

    name: str
    sent: bytes
    kept: bool = True
    writes: int = 1


def _get(fields: bytes = b"", target: bytes = b"/") -> bytes:
    return b"GET %b HTTP/1.1\r\n%b%b\r\n" % (target, _HOST, fields)


def _chunked(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (_HOST, body)


ATTACKS = (
    Attack("plain request", _get()),
    Attack("plain request, new connection", _get(b"Connection: close\r\n"), kept=False),
    Attack("98 small fields", _get(b"".join(b"x%d: y\r\n" % number for number in range(98)))),
    Attack("98 cookies", _get(b"".join(b"Cookie: a%d=b\r\n" % number for number in range(98)))),
    Attack("48 KiB of fields", _get(b"".join(b"x%d: %b\r\n" % (number, b"v" * 8000) for number in range(6)))),
    Attack("Connection with 4,000 options", _get(b"Connection: " + b"x," * 4000 + b"\r\n")),
    Attack("path of 4,000 segments", _get(target=b"/a" * 4000)),
    Attack("path of 1,300 dot segments", _get(target=b"/a/.." * 1300 + b"/")),
    Attack("path of 2,600 escapes", _get(target=b"/" + b"%61" * 2600)),
    Attack("path of 8,000 raw bytes", _get(target=b"/" + b"\xff" * 8000)),
    Attack("1,000 chunks of one byte", _chunked(b"1\r\nx\r\n" * 1000 + _LAST)),
    Attack("4,000 bytes of extensions", _chunked(b"1;" + b"a" * 4000 + b"\r\nx\r\n" + _LAST)),
    Attack("99 trailers", _chunked(b"0\r\n" + b"".join(b"t%d: x\r\n" % number for number in range(99)) + b"\r\n")),
    Attack("head byte by byte", _get(), writes=len(_get())),
    Attack("head of 61 KiB, refused", _get(b"x: " + b"v" * 62_000 + b"\r\n"), kept=False),
    Attack("2,000 fields, refused", _get(b"a:\r\n" * 2000), kept=False),
    Attack("spaces before a bad byte, refused", _get(b"x: a" + b" " * 15_000 + b"\x01\r\n"), kept=False),
    Attack("no request at all, refused", b"\x00" * 100 + b"\r\n\r\n", kept=False),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds of one unit, of the proxy and of the client."""

    proxy: float
    client: float

    @property
    def times(self) -> float:
        return self.proxy / self.client


def main() -> int:
    options = arguments()
    now = conditions()
    with tempfile.TemporaryDirectory(prefix="tidegate-amplification-") as name, Processes(Path(name)) as processes:
        found, missing = measure(processes, options.proxies, options.seconds)
    report(found)
    for name, reason in missing.items():
        print(f"{name}: not measured: {reason}")
    print(now)
    if options.json is not None:
        write_json(options.json, {"conditions": now, "microseconds": found})
    if OURS not in found:
        return NOT_MEASURED
    dear = [name for name, cost in found[OURS].items() if cost.times > MOST_TIMES]
    for name in dear:
        print(f"{name}: over {MOST_TIMES} times the client's CPU")
    return WRONG if dear else GOOD


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxies", nargs="+", choices=list(ATTACKED), default=list(ATTACKED), metavar="NAME", help="which (default: all)")
    parser.add_argument("--seconds", type=positive_number, default=2.0, metavar="N", help="of each attack on each proxy (default: 2)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write the figures as JSON")
    return parser.parse_args()


Found = dict[str, dict[str, Cost]]


def measure(processes: Processes, names: Sequence[str], seconds: float) -> tuple[Found, dict[str, str]]:
    """Costs by proxy and attack, and why a proxy was left out."""
    backend = start_backend(processes)
    found: Found = {}
    missing: dict[str, str] = {}
    for name in names:
        try:
            attacked = ATTACKED[name](processes, BackendPorts(backend.ports[0]))
        except CannotMeasure as reason:
            missing[name] = str(reason)
            continue
        pids = descendants_of(attacked.program.pid) or (attacked.program.pid,)  # the workers, where there are some
        print(f"{name}: {len(ATTACKS)} attacks", file=sys.stderr, flush=True)
        found[name] = {attack.name: cost_of(attack, attacked, pids, seconds) for attack in ATTACKS}
        processes.end(attacked.program)
    return found, missing


def cost_of(attack: Attack, attacked: Attacked, pids: Sequence[int], seconds: float) -> Cost:
    """Over and over for so long, one after another."""
    client = Client(attacked.port)
    client.ask(attack)
    before, spent, units, end = cpu_of(pids), time.process_time(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        client.ask(attack)
        units += 1
    spent = time.process_time() - spent
    proxy = cpu_of(pids) - before
    client.close()
    return Cost(proxy.total / units * 1e6, spent / units * 1e6)


class Client:
    """One connection at a time, made again when the proxy has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, attack: Attack) -> None:
        """Sends a unit and waits for the head of an answer, or for the end of the connection."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=LIMIT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if attack.writes == 1:
                self._socket.sendall(attack.sent)
            else:
                for at in range(len(attack.sent)):
                    self._socket.send(attack.sent[at : at + 1])
            answered = self._socket.recv(65_536)
        except (BrokenPipeError, ConnectionResetError):
            answered = b""
        if not attack.kept or not answered or b"close\r\n" in answered:
            self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def report(found: Found) -> None:
    headings = ("us of the proxy, times the client's", *found)
    by_attack = [(attack.name, [costs[attack.name] for costs in found.values()]) for attack in ATTACKS]
    rows = [(name, *[f"{cost.proxy:.0f} ({cost.times:.1f})" for cost in costs]) for name, costs in by_attack]
    print_table(headings, rows)
    print()


if __name__ == "__main__":
    sys.exit(run_script(main))
