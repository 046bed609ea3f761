"""The options of `tidegate gateway` and `tidegate sidecar` as a value, and what can be wrong with them before anything is started."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, get_args

from gateway.ir.tracing import parse_sampling
from gateway.ir.workload import mesh_scope
from gateway.options import AccessLog
from mesh.loopback import WorkloadBlock
from mesh.probes import Probes, read_probes
from tidegate.addresses import parse_address, parse_place
from tidegate.binding import Place
from tidegate.data_plane.command_line import GATEWAY, SIDECAR
from tidegate.durations import parse_seconds
from tidegate.sizes import parse_size
from tidegate.tracing import parse_collector

Parsed = TypeVar("Parsed")

LEAST_MEMORY: Final = 48 << 20
"""Bytes that a serving process has when it starts, with room for a little traffic."""
_OPTIONS: Final = {option.key: option for option in (*GATEWAY, *SIDECAR)}
_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)")


class Complaint(Exception):
    """Something is wrong with the options: the option, what is wrong with it, and the remedy."""


@dataclass(frozen=True, slots=True)
class DataPlaneOptions:
    """See `tidegate gateway --help`. Seconds where a time is meant, bytes where a size is; 0 for a memory limit to be found out.

    Of a sidecar `gateway` is '', otherwise `workload` is.
    """

    gateway: str
    workload: str
    pod_address: str
    app_probes: Probes
    loopback: WorkloadBlock | None
    """Of a workload outside of any Pod."""
    controller: str
    ca: Path
    token: Path
    trust_domain: str
    name: str
    workers: int
    snapshot: Path | None
    admin: Place
    health: Place
    metrics: Place
    drain_delay: float
    drain_timeout: float
    access_log: AccessLog
    otlp_endpoint: str
    trace_sampling: float
    memory_limit: int

    @classmethod
    def of(cls, values: Mapping[str, str]) -> DataPlaneOptions:
        """Of values by the keys of the table. Raises Complaint."""
        reading = _Reading(values)
        workers = reading.take("workers", _count)
        memory = reading.take("memory_limit", _size)
        if 0 < memory < workers * LEAST_MEMORY:
            needed = f"give {LEAST_MEMORY >> 20}Mi for each"
            raise Complaint(f"--memory-limit {values['memory_limit']}: {workers} workers need more than they would start with; {needed}")
        workload = reading.take("workload", _workload, "")
        return cls(
            gateway=reading.take("gateway", _gateway, ""),
            workload=workload,
            pod_address=reading.take("pod_address", parse_address, ""),
            app_probes=reading.take("app_probes", read_probes, ()),
            loopback=reading.take("loopback", _loopback) if workload else None,
            controller=reading.take("controller", _controller),
            ca=reading.take("ca", _file),
            token=reading.take("token", _file),
            trust_domain=reading.take("trust_domain", _domain),
            name=workload or values["name"] or socket.gethostname(),
            workers=workers,
            snapshot=Path(values["snapshot"]) if values["snapshot"] else None,
            admin=reading.take("admin", parse_place),
            health=reading.take("health", parse_place),
            metrics=reading.take("metrics", parse_place),
            drain_delay=reading.take("drain_delay", _time),
            drain_timeout=reading.take("drain_timeout", _time),
            access_log=reading.take("access_log", _access_log),
            otlp_endpoint=reading.take("otlp_endpoint", parse_collector),
            trace_sampling=reading.take("trace_sampling", parse_sampling),
            memory_limit=memory,
        )

    @property
    def command(self) -> str:
        """Of the program that takes them."""
        return "tidegate sidecar" if self.workload else "tidegate gateway"

    @property
    def scope(self) -> str:
        """What is subscribed to."""
        return mesh_scope(self.workload.partition("/")[0]) if self.workload else self.gateway

    @property
    def served(self) -> str:
        """For whom this serves, in messages."""
        return f"Workload {self.workload}" if self.workload else f"Gateway {self.gateway}"


class _Reading:
    """Values on their way; what is wrong is told by the option's name and, where it came from there, that of its variable."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def take(self, key: str, parse: Callable[[str], Parsed], absent: Parsed | None = None) -> Parsed:
        """`absent` is the value of an option that this command does not have. Raises Complaint for what `parse` raises ValueError for."""
        if key not in self._values and absent is not None:
            return absent
        option = _OPTIONS[key]
        try:
            return parse(self._values[key])
        except ValueError as error:
            raise Complaint(f"{option.name} ({option.environment}): {error}") from None


def _gateway(text: str) -> str:
    return _key(text, "NAMESPACE/NAME of a Gateway; write for example default/web")


def _workload(text: str) -> str:
    return _key(text, "NAMESPACE/NAME of a Pod; write for example default/web-7d4b9c6f5-x2x8v")


def _key(text: str, what: str) -> str:
    namespace, _, name = text.partition("/")
    if not _LABEL.fullmatch(namespace) or not _SUBDOMAIN.fullmatch(name):
        raise ValueError(f"{text!r} is not {what}")
    return text


def _loopback(text: str) -> WorkloadBlock | None:
    return WorkloadBlock.parse(text) if text else None


def _controller(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not _HOST.fullmatch(host) or not port.isascii() or not port.isdecimal() or not 0 < int(port) <= 65_535:
        raise ValueError(f"{text!r} is not HOST:PORT; write for example tidegate-controller.tidegate-system.svc:15010")
    return text


def _file(text: str) -> Path:
    if not text:
        raise ValueError("name a file; it need not be there yet")
    return Path(text)


def _domain(text: str) -> str:
    if not _SUBDOMAIN.fullmatch(text):
        raise ValueError(f"{text!r} is not a trust domain; write a DNS name in lower case such as cluster.local")
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 1_024:
        raise ValueError(f"{text!r} is not a number of processes; give 1 or more")
    return int(text)


def _time(text: str) -> float:
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise ValueError(f"{error}; write for example 10s, 500ms or 1m30s") from None


def _size(text: str) -> int:
    try:
        return parse_size(text) if text else 0
    except ValueError as error:
        raise ValueError(f"{error}; write for example 512Mi or 2G") from None


def _access_log(text: str) -> AccessLog:
    for form in get_args(AccessLog):
        if form == text:
            return form  # type: ignore[no-any-return]  # get_args knows no types
    raise ValueError(f"{text!r} is none of {', '.join(get_args(AccessLog))}")
