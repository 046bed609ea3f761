"""CPU microseconds per datagram of 100 bytes there and back: Tidegate beside Envoy's udp_proxy.

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
from measuring.relay import check
from measuring.script import run_script


def main() -> int:
    options = arguments()

    def set_up(processes: Processes, core: int) -> Stage:
        echo = start_echo(processes, core)
        return Stage(echo.program, echo.ports, (datagrams(options.connections),), "layer4")

    return compare(options, set_up, "datagrams of 100 bytes there and back, us a pair")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU microseconds per datagram there and back: Tidegate beside Envoy.")
    add_arguments(parser, connections=32)
    return parser.parse_args()


def datagrams(clients: int) -> Workload:
    """One under way for each client; there is no goal, the figure is printed beside Envoy's."""
    asked = {"kind": "udp", "connections": clients}

    def load(port: int, seconds: float, core: int) -> Load:
        return put("relay", asked | {"port": port, "seconds": seconds}, seconds, core)

    return Workload("UDP datagrams", "udp", load, partial(check, kind="udp"), logged=False)


if __name__ == "__main__":
    sys.exit(run_script(main))
