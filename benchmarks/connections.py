"""CPU microseconds per new connection with one request, plain and with a full TLS handshake: Tidegate beside Envoy, nginx and HAProxy.

See README.md for how to read the table.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from measuring.backend import start_backend
from measuring.comparing import Stage, Workload, add_arguments, compare
from measuring.dial import exchange, trusting
from measuring.load import Load, put
from measuring.processes import Processes
from measuring.script import run_script

GOALS = {False: 1.2, True: 2.2}
"""Of Envoy's; by TLS."""


def main() -> int:
    options = arguments()
    modes = {"plain": (False,), "tls": (True,), "both": (False, True)}[options.kind]

    def set_up(processes: Processes, core: int) -> Stage:
        backend = start_backend(processes, core)
        return Stage(backend.program, backend.ports, tuple(dialling(tls, options.connections) for tls in modes))

    return compare(options, set_up, "a new connection a request, TLS 1.3 without resumption, ECDSA P-256")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per new connection with one request: Tidegate beside its peers.")
    add_arguments(parser, connections=32)
    parser.add_argument("--kind", choices=("plain", "tls", "both"), default="both", help="which connections (both)")
    return parser.parse_args()


def dialling(tls: bool, connections: int) -> Workload:
    """One request a connection."""

    def load(port: int, seconds: float, core: int) -> Load:
        return put("dial", {"port": port, "tls": tls, "connections": connections, "seconds": seconds}, seconds, core)

    return Workload("new tls connection" if tls else "new connection", "tls" if tls else "plain", load, partial(check, tls=tls), GOALS[tls])


def check(port: int, *, tls: bool) -> str:
    """Asks once; what is wrong with the answer, '' if nothing is."""
    try:
        for connection, _ in exchange(port, trusting() if tls else None):
            connection.setblocking(True)
    except OSError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(run_script(main))
