"""CPU microseconds per message of 100 bytes there and back, over TCP and in WebSockets: Tidegate beside Envoy and HAProxy.

See README.md for how to read the table.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from measuring.comparing import Stage, Workload, add_arguments, compare
from measuring.echoing import start_echo
from measuring.load import Load, put
from measuring.processes import Processes
from measuring.proxies import Port
from measuring.relay import check
from measuring.script import run_script

GOAL = 1.3
"""Of HAProxy's."""
PORTS: dict[str, Port] = {"tcp": "plain", "websocket": "websocket"}
NAMES = {"tcp": "TCP messages", "websocket": "WebSocket messages"}


def main() -> int:
    options = arguments()

    def set_up(processes: Processes, core: int) -> Stage:
        echo = start_echo(processes, core)
        return Stage(echo.program, echo.ports, tuple(messages(kind, options.connections) for kind in options.kinds), "layer4")

    return compare(options, set_up, "messages of 100 bytes there and back, us a message")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per message over TCP and in WebSockets: Tidegate beside its peers.")
    add_arguments(parser, connections=32)
    parser.add_argument("--kinds", nargs="+", choices=tuple(PORTS), default=tuple(PORTS), help="what carries the messages (both)")
    return parser.parse_args()


def messages(kind: str, connections: int) -> Workload:
    """On connections that stay."""
    asked = {"kind": kind, "connections": connections}

    def load(port: int, seconds: float, core: int) -> Load:
        return put("relay", asked | {"port": port, "seconds": seconds}, seconds, core)

    return Workload(NAMES[kind], PORTS[kind], load, partial(check, kind=kind), GOAL, reference="haproxy", logged=False)


if __name__ == "__main__":
    sys.exit(run_script(main))
