"""The backend that gives back messages, running."""

from __future__ import annotations

from dataclasses import dataclass

from measuring.load import FOLDER, program
from measuring.processes import Processes, Program, free_ports, wait_for_port


@dataclass(frozen=True, slots=True)
class Echoing:
    """Its ports are for TCP, WebSockets and UDP."""

    program: Program
    ports: tuple[int, int, int]


def start_echo(processes: Processes, core: int) -> Echoing:
    """Starts it and waits for it. Raises CannotMeasure."""
    tcp, websocket, udp = free_ports(3)
    started = processes.start("backend", program("echo", {"tcp": tcp, "websocket": websocket, "udp": udp}), core, working_folder=FOLDER)
    for port in (tcp, websocket):
        wait_for_port(started, port)
    return Echoing(started, (tcp, websocket, udp))
