"""CPU microseconds per HTTP/1.1 request on kept-alive connections: Tidegate beside Envoy, nginx and HAProxy, all in one run.

See README.md for how to read the table.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from measuring.backend import BODY, start_backend
from measuring.comparing import Stage, Workload, add_arguments, compare
from measuring.keep_alive import KeepAlive, TransportError
from measuring.load import Load
from measuring.processes import Processes, path_of
from measuring.script import run_script
from measuring.wrk import load

GOALS = {False: 0.7, True: 0.75}
"""Of Envoy's; by TLS."""


def main() -> int:
    options = arguments()
    path_of("wrk", "wrk")
    modes = (False, True) if options.tls else (False,)

    def set_up(processes: Processes, core: int) -> Stage:
        backend = start_backend(processes, core)
        return Stage(backend.program, backend.ports, tuple(keep_alive(tls, options.connections) for tls in modes))

    return compare(options, set_up, "keep-alive, small bodies, wrk")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per HTTP/1.1 request: Tidegate beside Envoy, nginx and HAProxy.")
    add_arguments(parser, connections=32)
    parser.add_argument("--tls", action="store_true", help="also with TLS 1.3 (ECDSA P-256) from the load to the proxy")
    return parser.parse_args()


def keep_alive(tls: bool, connections: int) -> Workload:
    """Small requests on connections that stay."""

    def put(port: int, seconds: float, core: int) -> Load:
        return load(f"{'https' if tls else 'http'}://127.0.0.1:{port}/", connections, seconds, core)

    return Workload("keep-alive tls" if tls else "keep-alive", "tls" if tls else "plain", put, partial(check, tls=tls), GOALS[tls])


def check(port: int, *, tls: bool) -> str:
    """Asks once; what is wrong with the answer, '' if nothing is."""
    try:
        with KeepAlive(port, tls=tls) as client:
            answer = client.get("127.0.0.1", "/")
    except TransportError as error:
        return str(error)
    return "" if (answer.status, answer.body) == (200, BODY) else f"a request was answered with {answer.status} and {answer.body[:60]!r}"


if __name__ == "__main__":
    sys.exit(run_script(main))
