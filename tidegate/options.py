"""The options of `tidegate run`, and what can be wrong with them before anything is started."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.translate.options import HIGHEST_PORT, Options
from gateway.options import AccessLog
from tidegate.local_mesh.numbers import DEFAULT_BLOCK, MeshBlock, complaints
from tidegate.local_mesh.workloads import SidecarSettings

CORES: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Those that this process may use."""

DEFAULT_CLASS: Final = "tidegate"
"""Gateways of this class are served even if --class names another, unless an object says whose it is."""


_LEAST_MEMORY: Final = 48 << 20
"""Bytes that a worker has when it starts, with room for a little traffic."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """See `tidegate run --help`. Seconds where a time is meant; `admin` None for no admin server, its port 0 for any."""

    paths: tuple[Path, ...]
    workers: int = CORES
    admin: tuple[str, int] | None = ("127.0.0.1", 15000)
    bind: str = "127.0.0.1"
    port_offset: int = 0
    class_name: str = DEFAULT_CLASS
    root_namespace: str = "istio-system"
    drain_delay: float = 0.0
    drain_timeout: float = 30.0
    access_log: AccessLog = "json"
    otlp_endpoint: str = ""
    trace_sampling: float = 1.0
    demo_backends: bool = False
    snapshot: Path | None = None
    mesh: bool = False
    """Whether Pods of the files are run on this machine, with sidecars."""
    mesh_block: str = DEFAULT_BLOCK
    """The loopback addresses that they have."""
    memory_limit: int = 0
    """Bytes for all workers together; 0 for the limit of the container, or what the machine has."""

    def translation(self, admin: tuple[str, int] | None) -> Options:
        """What translation takes of them; `admin` with the port that was bound."""
        classes = tuple(dict.fromkeys((DEFAULT_CLASS, self.class_name)))
        # What goes to no Service is not brought to sidecars of this machine, so that nothing is said about it.
        return Options(
            classes, self.bind, self.port_offset, admin, self.root_namespace, mesh=self.mesh, outbound="RegistryOnly"
        )

    def block(self) -> MeshBlock:
        """The addresses of the mesh. Raises ValueError, of which `complaints` tells."""
        return MeshBlock.parse(self.mesh_block)

    def sidecars(self) -> SidecarSettings:
        """What sidecars of this machine are started with; where they reach us comes later."""
        options = {
            "--access-log": self.access_log,
            "--drain-delay": "0s",
            "--drain-timeout": f"{self.drain_timeout:g}s",
            "--otlp-endpoint": self.otlp_endpoint,
            "--trace-sampling": f"{self.trace_sampling:g}",
        }
        given = tuple(part for option, value in options.items() if value for part in (option, value))
        return SidecarSettings("", given, self.drain_timeout)

    def complaints(self) -> tuple[str, ...]:
        """What is wrong, each with the option and the remedy. Paths are not judged: what is not there yet may come."""
        return tuple(self._complaints())

    def _complaints(self) -> Iterator[str]:
        if not self.paths:
            yield "no PATH is given: name the files or folders that hold your Gateways and routes"
        if self.workers < 1:
            yield f"--workers {self.workers}: at least one process must serve; give 1 or more"
        if not _is_address(self.bind):
            yield f"--bind {self.bind}: this is no IP address; give one of this host, or 0.0.0.0 for all"
        if 0 < self.memory_limit < self.workers * _LEAST_MEMORY:
            least = f"{_LEAST_MEMORY >> 20}Mi"
            yield f"--memory-limit {self.memory_limit}: {self.workers} workers need more than they would start with; give {least} for each"
        if not 0 <= self.port_offset <= HIGHEST_PORT:
            yield f"--port-offset {self.port_offset}: give a number from 0 to {HIGHEST_PORT}"
        if self.admin is not None and not (_is_address(self.admin[0]) and 0 <= self.admin[1] <= HIGHEST_PORT):
            yield f"--admin {self.admin[0]}:{self.admin[1]}: give an IP address and a port, as in 127.0.0.1:15000"
        if self.mesh:
            yield from complaints(self.mesh_block, snapshot=self.snapshot is not None, demo_backends=self.demo_backends)
        for name, seconds in (("--drain-delay", self.drain_delay), ("--drain-timeout", self.drain_timeout)):
            if not 0 <= seconds < float("inf"):
                yield f"{name} {seconds:g}: give a number of seconds, 0 or more"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
