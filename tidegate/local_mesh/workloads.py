"""The life of one workload: its sidecar, then its init containers, then its containers, and whether the application accepts.

    sidecar starts ─> it is ready ─> init containers, one after another ─> containers ─> a connection is taken at each port: ready

It ends in the other order, so that the application can still call others while it finishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.api.local_pod import LocalContainer
from tidegate.local_mesh.objects import Workload
from tidegate.local_mesh.programs import Command, Program, RestartPolicy
from tidegate.local_mesh.variables import Surroundings, command_line, environment, inherited

ADMIN_PORT: Final = 15000
METRICS_PORT: Final = 15020
HEALTH_PORT: Final = 15021

ENDED: Final = "ended"

_PROGRAMS: Final = {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))}
"""Where programs are found: first those that were installed with us."""
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_FIRST_LOOK: Final = 0.05
_LONGEST_LOOK: Final = 1.0
"""Seconds between two questions whether somebody is ready, at first and in the long run."""
_DEADLINE: Final = 1.0
_GRACE: Final = 5.0
"""Seconds that a sidecar gets beyond its drain."""


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """What all sidecars are started with besides what is their workload's: where the controller is, and options as on the command line."""

    controller: str
    options: tuple[str, ...] = ()
    drain_timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Surrounding:
    """What a workload is told and tells. `files` are the roots and the token of its sidecar; `ask` gives what its containers may ask for;
    `targets` the ports that Services lead to; `accepts` is told at which of them the application accepts."""

    files: tuple[Path, Path] | None
    ask: Callable[[], Surroundings]
    targets: Callable[[], frozenset[int]]
    accepts: Callable[[frozenset[int]], None]
    message: Callable[[str], None]


class RunningWorkload:
    """Owner of the processes of one workload. Used once. `state` is in words."""

    def __init__(self, workload: Workload, settings: SidecarSettings, around: Surrounding) -> None:
        self.workload = workload
        self._settings = settings
        self._around = around
        self._accepting: frozenset[int] = frozenset()
        self._ending = False
        self._changed = asyncio.Event()
        self._sidecar = None if around.files is None else self._program("sidecar", self._sidecar_command, "Always")
        self._current: list[Program] = []
        self.state = "its sidecar is starting" if self._sidecar is not None else "starting"

    async def run(self) -> None:
        """Until everything of it has ended. Cancelled, all processes end at once."""
        async with asyncio.TaskGroup() as tasks:
            if self._sidecar is not None:
                tasks.create_task(self._sidecar.run())
            await self._run_application()
            if self._sidecar is not None and not self._ending and self.state == ENDED:
                await self._sidecar.stop(self._settings.drain_timeout + _GRACE)  # as kubelet ends it after the last container

    async def stop(self) -> None:
        """The application first, with the grace that its Pod has; `run` returns."""
        self._ending = True
        self._changed.set()
        grace = float(self.workload.pod.spec.termination_grace_period_seconds)
        await asyncio.gather(*(program.stop(grace) for program in self._current))
        if self._sidecar is not None:
            await self._sidecar.stop(self._settings.drain_timeout + _GRACE)

    @property
    def restarts(self) -> int:
        """Of its containers, since each ran well."""
        return sum(program.restarts for program in self._current)

    async def _run_application(self) -> None:
        if self._sidecar is not None and not await self._wait_for_sidecar():
            return
        beside = []
        for container in self.workload.pod.spec.init_containers:
            if container.restart_policy == "Always":
                beside.append(container)
            elif not await self._initialise(container):
                return
        if self._ending:
            return
        self.state = "running"
        programs = self._current = [self._container(container) for container in (*beside, *self.workload.pod.spec.containers)]
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            await asyncio.gather(*(program.run() for program in programs))
            watching.cancel()
        self._accept(frozenset())
        self.state = ENDED

    async def _initialise(self, container: LocalContainer) -> bool:
        """Whether an init container has ended well, after as many tries as its Pod allows it."""
        self.state = f"init container {container.name} runs"
        policy: RestartPolicy = "Never" if self.workload.pod.spec.restart_policy == "Never" else "OnFailure"
        program = self._container(container, policy)
        self._current = [program]
        if self._ending:
            return False
        done = await program.run()
        if not done and not self._ending:
            self.state = f"init container {container.name} failed"
            self._around.message(f"{self.workload.name}: {self.state}; nothing else of the Pod is started until it is changed")
        return done and not self._ending

    # readiness

    async def _watch(self) -> None:
        """Follows at which ports the application accepts: asked until it does, and anew after one of its processes has ended."""
        pause, starts = _FIRST_LOOK, 0
        while True:
            self._changed.clear()
            if starts != sum(program.starts for program in self._current):
                pause, starts = _FIRST_LOOK, sum(program.starts for program in self._current)
                self._accept(frozenset())
            if not all(program.running for program in self._current):
                self._accept(frozenset())
                await self._changed.wait()
                continue
            targets = self._around.targets()
            missing = targets - self._accepting
            found = {port for port in sorted(missing) if await accepts(self.workload.application, port)}
            if starts == sum(program.starts for program in self._current) and all(program.running for program in self._current):
                self._accept((self._accepting & targets) | found)
            if found or not missing:
                pause = _FIRST_LOOK
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if missing == found else pause):
                    await self._changed.wait()
            pause = min(pause * 2, _LONGEST_LOOK)

    def reconsider(self) -> None:
        """Services may lead elsewhere than before."""
        self._changed.set()

    def _accept(self, ports: frozenset[int]) -> None:
        if ports != self._accepting:
            self._accepting = ports
            self._around.accepts(ports)

    async def _wait_for_sidecar(self) -> bool:
        """Until the sidecar is ready; False if it is not to be any more."""
        pause = _FIRST_LOOK
        while not self._ending:
            if await answers_ready(self.workload.block.pod, HEALTH_PORT):
                return True
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            pause = min(pause * 1.5, _LONGEST_LOOK)
        return False

    # programs

    def _container(self, container: LocalContainer, policy: RestartPolicy | None = None) -> Program:
        spec = self.workload.pod.spec
        alone = len(spec.containers) + len(spec.init_containers) == 1
        title = self.workload.name if alone else f"{self.workload.name} {container.name}"

        def command() -> Command:
            around = self._around.ask()
            variables = environment(container, around)
            own = {**inherited(os.environ), **_PROGRAMS, **variables}
            return Command(command_line(container, variables), own, container.working_dir, self._told(title))

        restart: RestartPolicy = "Always" if container.restart_policy == "Always" else spec.restart_policy
        return Program(title, command, policy or restart, self._around.message, self._changed.set)

    def _program(self, part: str, command: Callable[[], Command], policy: RestartPolicy) -> Program:
        return Program(f"{self.workload.name} {part}", command, policy, self._around.message, self._changed.set)

    def _told(self, title: str) -> Callable[[str], None]:
        return lambda line: self._around.message(f"{title}: {line}")

    def _sidecar_command(self) -> Command:
        """It writes its access log and what it has to say where we do."""
        path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
        arguments = (sys.executable, "-P", "-m", "tidegate", "sidecar", *self._sidecar_options())
        return Command(arguments, {**inherited(os.environ), "PYTHONPATH": path})

    def _sidecar_options(self) -> Iterator[str]:
        assert self._around.files is not None
        roots, token = self._around.files
        block = self.workload.block
        yield from ("--workload", self.workload.name, "--pod-address", block.application, "--loopback", str(block))
        yield from ("--controller", self._settings.controller, "--ca", str(roots), "--token", str(token))
        for option, port in (("--admin", ADMIN_PORT), ("--health", HEALTH_PORT), ("--metrics", METRICS_PORT)):
            yield from (option, f"{block.pod}:{port}")
        yield from self._settings.options


async def accepts(address: str, port: int) -> bool:
    """Whether a connection is taken there, as a tcpSocket probe finds out."""
    try:
        async with asyncio.timeout(_DEADLINE):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


async def answers_ready(address: str, port: int) -> bool:
    """Whether /healthz/ready is 200 there."""
    try:
        async with asyncio.timeout(_DEADLINE):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write(f"GET /healthz/ready HTTP/1.1\r\nhost: {address}:{port}\r\nconnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):
        return False
