"""CPU microseconds per gRPC call and per message of a stream, each of 100 bytes: Tidegate beside Envoy, nginx and HAProxy.

See README.md for how to read the table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from measuring.calls import MESSAGE
from measuring.comparing import Stage, Workload, add_arguments, compare
from measuring.h2load import PACKAGE, load, once
from measuring.load import FOLDER, Load, program, put
from measuring.processes import Processes, free_ports, path_of, wait_for_port
from measuring.script import CannotMeasure, run_script

UNARY, STREAMS = "unary", "streams"
GOALS = {UNARY: 0.75, STREAMS: 0.9}
"""Of Envoy's."""
STREAMS_OF_CALLS = 16
STREAMS_OF_MESSAGES = 100


def main() -> int:
    options = arguments()
    path_of("h2load", PACKAGE)

    def set_up(processes: Processes, core: int) -> Stage:
        (port,) = free_ports(1)
        backend = processes.start("backend", program("echo", {"grpc": port}), core, working_folder=FOLDER)
        wait_for_port(backend, port)
        body = processes.folder / "message"
        body.write_bytes(MESSAGE)
        workloads = {UNARY: unary(options.connections, body), STREAMS: messages()}
        return Stage(backend, (port,), tuple(workloads[kind] for kind in options.kinds), "grpc")

    heading = f"unary: h2load, {STREAMS_OF_CALLS} calls a connection; streams: 1 connection, {STREAMS_OF_MESSAGES} calls, us a message"
    return compare(options, set_up, heading)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per gRPC call and message: Tidegate beside Envoy, nginx and HAProxy.")
    add_arguments(parser, connections=8)
    kinds = (UNARY, STREAMS)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds, help="calls of one message, messages of long calls (both)")
    return parser.parse_args()


def unary(connections: int, body: Path) -> Workload:
    """A message there and one back."""
    options: Sequence[str] = (f"--data={body}", "--header=content-type: application/grpc", "--header=te: trailers")

    def load_with(port: int, seconds: float, core: int) -> Load:
        return load(_url(port), connections, STREAMS_OF_CALLS, seconds, core, options)

    return Workload("gRPC unary", "http2", load_with, lambda port: once(_url(port), options), GOALS[UNARY])


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/echo.Echo/Unary"


def messages() -> Workload:
    """Messages both ways in calls that last."""
    asked = {"connections": 1, "streams": STREAMS_OF_MESSAGES}

    def load_with(port: int, seconds: float, core: int) -> Load:
        return put("calls", asked | {"port": port, "seconds": seconds}, seconds, core)

    def check(port: int) -> str:
        try:
            return put("calls", {"port": port, "connections": 1, "streams": 1, "seconds": 0.1}, 0.1, None).trouble
        except CannotMeasure as error:
            return str(error)

    return Workload("gRPC stream messages", "http2", load_with, check, GOALS[STREAMS], logged=False)


if __name__ == "__main__":
    sys.exit(run_script(main))
