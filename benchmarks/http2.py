"""CPU microseconds per HTTP/2 request: Tidegate beside Envoy, nginx and HAProxy, to backends of HTTP/1.1 and of HTTP/2.

Prior knowledge on plain connections. See README.md for how to read the table.
"""

from __future__ import annotations

import argparse
import sys

from measuring.backend import start_backend
from measuring.comparing import Stage, Workload, add_arguments, compare
from measuring.h2load import PACKAGE, load, once
from measuring.load import Load
from measuring.processes import Processes, path_of
from measuring.proxies import Kind
from measuring.script import positive_integer, run_script

GOALS: dict[Kind, float] = {"http": 0.6, "http2": 0.75}
"""Of Envoy's, by what is spoken to the backend."""


def main() -> int:
    options = arguments()
    path_of("h2load", PACKAGE)
    kind: Kind = "http2" if options.backend == "http2" else "http"

    def set_up(processes: Processes, core: int) -> Stage:
        backend = start_backend(processes, core)
        ports = (backend.http2_port,) if kind == "http2" else backend.ports
        return Stage(backend.program, ports, (requests(kind, options.connections, options.streams),), kind)

    return compare(options, set_up, f"HTTP/2 to {options.backend}, small bodies, h2load, {options.streams} streams a connection")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per HTTP/2 request: Tidegate beside Envoy, nginx and HAProxy.")
    add_arguments(parser, connections=8)
    parser.add_argument("--streams", type=positive_integer, default=16, metavar="N", help="requests at any time on a connection (16)")
    parser.add_argument("--backend", choices=("http1", "http2"), default="http1", help="what the backend speaks (http1)")
    return parser.parse_args()


def requests(kind: Kind, connections: int, streams: int) -> Workload:
    """Small requests on connections that stay."""

    def put(port: int, seconds: float, core: int) -> Load:
        return load(f"http://127.0.0.1:{port}/", connections, streams, seconds, core)

    name = "HTTP/2 to HTTP/2" if kind == "http2" else "HTTP/2 to HTTP/1.1"
    return Workload(name, "http2", put, lambda port: once(f"http://127.0.0.1:{port}/"), GOALS[kind])


if __name__ == "__main__":
    sys.exit(run_script(main))
