"""Tidegates that each round of a comparison starts anew: a process takes some per cent more or less than the next one of the same program,
as long as it lives, so rounds of one start agree with each other and not with those of the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from measuring.backend import Backend
from measuring.comparing import take_log
from measuring.configuration import Certificate, fill
from measuring.load import Load
from measuring.processes import Processes, free_ports
from measuring.tidegate import Build, Tidegate, start_tidegate
from measuring.usage import Busy, Bystanders, cpu_of


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all rounds have in common."""

    processes: Processes
    certificate: Certificate
    backend: Backend
    proxy_core: int
    load_core: int


@dataclass(frozen=True, slots=True)
class Subject:
    """A Tidegate that runs."""

    tidegate: Tidegate
    port: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What the workers of one subject took: seconds of CPU for so many requests."""

    seconds: float
    requests: int
    median_ms: float
    trouble: str
    disturbed_by: tuple[Busy, ...]


def serve(surroundings: Surroundings, workers: int, build: Build) -> Subject:
    """Starts a Tidegate and waits for it."""
    processes = surroundings.processes
    folder = processes.folder / build.name
    folder.mkdir()
    plain, tls = free_ports(2)
    ports = {"PLAIN_PORT": plain, "TLS_PORT": tls, "BACKEND_PORT": surroundings.backend.ports[0], "BACKEND_PROTOCOL": ""}
    fill("tidegate.yaml", folder, surroundings.certificate.values() | ports)
    tidegate = start_tidegate(processes, folder, workers, surroundings.proxy_core, build)
    tidegate.wait_until_ready()
    return Subject(tidegate, plain)


def under_load(surroundings: Surroundings, subjects: Sequence[Subject], subject: Subject, load: Callable[[], Load]) -> Turn:
    """One subject under a load, while the others rest."""
    backend, workers = surroundings.backend.program, subject.tidegate.workers()
    ours = [pid for each in subjects for pid in (each.tidegate.program.pid, *each.tidegate.workers())]
    bystanders = Bystanders((*ours, backend.pid, *backend.children()))
    before = cpu_of(workers)
    found = load()
    taken = cpu_of(workers) - before
    disturbed = bystanders.busy(found.seconds)
    trouble = found.trouble or take_log(subject.tidegate.log, found.requests)
    return Turn(taken.total, found.requests, found.median_ms, trouble, tuple(disturbed))


def end(surroundings: Surroundings, subjects: Sequence[Subject]) -> None:
    """Ends the subjects of a round."""
    for subject in subjects:
        surroundings.processes.end(subject.tidegate.program)
