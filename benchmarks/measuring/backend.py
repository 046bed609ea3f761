"""The backend: nginx that answers from memory and costs next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

from measuring.configuration import fill
from measuring.processes import Processes, Program, free_ports, path_of, wait_for_port

BODY = b"hello from backend, this is a small body of text\n"
"""What it answers at any path but /edited and /large."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Running; all ports answer alike, `http2_port` with prior knowledge of HTTP/2."""

    program: Program
    ports: tuple[int, int]
    http2_port: int


def start_backend(processes: Processes, core: int | None = None) -> Backend:
    """Starts it and waits for it. Raises CannotMeasure."""
    first, second, http2 = free_ports(3)
    values = {"BACKEND_PORT": first, "SECOND_BACKEND_PORT": second, "HTTP2_BACKEND_PORT": http2}
    file = fill("backend.conf", processes.folder, values)
    (processes.folder / "backend.large").write_bytes(bytes(256 * 1024))
    command = [path_of("nginx", "nginx-light"), "-p", str(processes.folder), "-e", "backend.error", "-c", str(file)]
    program = processes.start("backend", command, core)
    wait_for_port(program, first)
    return Backend(program, (first, second), http2)
