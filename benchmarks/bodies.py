"""CPU microseconds per request with a large body, down and up: Tidegate beside Envoy, nginx and HAProxy.

See README.md for how to read the table.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import partial

from measuring.comparing import Stage, Workload, add_arguments, compare
from measuring.load import FOLDER, Load, program, put
from measuring.move import Mover
from measuring.moved import zeros
from measuring.processes import Processes, free_ports, wait_for_port
from measuring.script import run_script

GOAL = 1.1
"""Of Envoy's."""
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Body:
    """What is moved."""

    kind: str
    mebibytes: int

    def __str__(self) -> str:
        return {"known": "download", "chunked": "chunked download", "upload": "upload"}[self.kind] + f" {self.mebibytes} MiB"


BODIES = tuple(Body(kind, size) for size in (1, 64) for kind in ("known", "chunked", "upload"))


def main() -> int:
    options = arguments()
    bodies = [body for body in BODIES if body.mebibytes in options.sizes and body.kind in options.kinds]

    def set_up(processes: Processes, core: int) -> Stage:
        (port,) = free_ports(1)
        backend = processes.start("backend", program("moved", {"port": port}), core, working_folder=FOLDER)
        wait_for_port(backend, port)
        return Stage(backend, (port,), tuple(moving(body, options.connections) for body in bodies))

    return compare(options, set_up, "large bodies")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per request with a large body: Tidegate beside its peers.")
    add_arguments(parser, connections=8)
    parser.add_argument("--sizes", nargs="+", type=int, choices=(1, 64), default=(1, 64), help="MiB of a body (both)")
    kinds = ("known", "chunked", "upload")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds, help="downloads of known length, in chunks, uploads (all)")
    return parser.parse_args()


def moving(body: Body, connections: int) -> Workload:
    """Bodies of one kind and size."""
    asked = {"kind": body.kind, "size": body.mebibytes * MEBIBYTE, "connections": connections}

    def load(port: int, seconds: float, core: int) -> Load:
        return put("move", asked | {"port": port, "seconds": seconds}, seconds, core)

    return Workload(str(body), "plain", load, partial(check, body=body), GOAL)


def check(port: int, *, body: Body) -> str:
    """Moves one; what is wrong, '' if nothing is."""
    try:
        Mover(port, body.kind, body.mebibytes * MEBIBYTE, zeros()).once()
    except OSError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(run_script(main))
