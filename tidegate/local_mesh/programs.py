"""A program that is kept running: started, its lines passed on, restarted as its Pod's restartPolicy says, and ended by its process id.

Each is the leader of a session of its own, so that Ctrl-C reaches it by us alone, and whatever it has started ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from tidegate.local_mesh.variables import NotRunnable

RestartPolicy = Literal["Always", "OnFailure", "Never"]

LONGEST_PAUSE: Final = 30.0
_FIRST_PAUSE: Final = 1.0
_WELL_AFTER: Final = 60.0
"""Seconds that a program has run after which its restarts are counted anew."""
_LAST_LINES: Final = 1.0
"""Seconds for what a program that has ended has still written."""
_LONGEST_LINE: Final = 64 << 10
_LAUNCH: Final = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")))


@dataclass(frozen=True, slots=True)
class Command:
    """What is run, with the whole of its environment; `folder` '' for ours. `lines` is told each line that it writes; None where its
    output is ours."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: str = ""
    lines: Callable[[str], None] | None = None


def pause_before(restarts: int) -> float:
    """Seconds before a program is started again: none the first time, then 1, 2, 4 ... 30."""
    return 0.0 if restarts < 1 else min(_FIRST_PAUSE * 2.0 ** min(restarts - 1, 16), LONGEST_PAUSE)


class Program:
    """Owner of one process at a time. `command` is asked before each start, and may raise NotRunnable; `changed` is told that the process
    is another, or none.

    restarts  since it ran well
    starts    of all processes
    """

    def __init__(
        self,
        title: str,
        command: Callable[[], Command],
        policy: RestartPolicy,
        message: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._title = title
        self._command = command
        self._policy = policy
        self._message = message
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()
        self._told = ""
        self.restarts = 0
        self.starts = 0

    @property
    def running(self) -> bool:
        return self._process is not None

    async def run(self) -> bool:
        """Until it has ended and is not to be restarted, or was ended; whether it ended well. Cancelled, it ends the process at once."""
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            began, status = loop.time(), await self._once()
            if self._ending.is_set() or self._policy == "Never" or (self._policy == "OnFailure" and status == 0):
                return status == 0
            if loop.time() - began > _WELL_AFTER:
                self.restarts = 0
            pause = pause_before(self.restarts)
            self.restarts += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
        return False

    async def stop(self, grace: float) -> None:
        """SIGTERM, and after so many seconds SIGKILL. `run` returns."""
        self._ending.set()
        process = self._process
        if process is None:
            return
        _send(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            self._message(f"{self._title}: it has not ended within {grace:g} s of SIGTERM, and is killed")
            _kill_all(process)

    async def _once(self) -> int | None:
        """The exit status, None where it could not be started."""
        try:
            command = self._command()
            process = await self._start(command)
        except (NotRunnable, OSError) as problem:
            if str(problem) != self._told:
                self._told = str(problem)
                self._message(f"{self._title}: {problem}")
            return None
        self._told = ""
        self._process = process
        self.starts += 1
        self._changed()
        if self._ending.is_set():
            _send(process, signal.SIGTERM)
        reading = asyncio.get_running_loop().create_task(_read(process.stdout, command.lines))
        try:
            try:
                status = await process.wait()
            finally:
                _kill_all(process)
            await asyncio.wait((reading,), timeout=_LAST_LINES)
        finally:
            reading.cancel()
            self._process = None
            self._changed()
        if not self._ending.is_set():
            self._tell(status)
        return status

    async def _start(self, command: Command) -> asyncio.subprocess.Process:
        """Raises OSError."""
        own = command.lines is None
        return await asyncio.create_subprocess_exec(
            *_LAUNCH,
            str(os.getpid()),
            *command.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=None if own else asyncio.subprocess.PIPE,
            stderr=None if own else asyncio.subprocess.STDOUT,
            env=dict(command.environment),
            cwd=command.folder or None,
            start_new_session=True,
        )

    def _tell(self, status: int) -> None:
        how = f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
        is_over = self._policy == "Never" or (self._policy == "OnFailure" and status == 0)
        pause = pause_before(self.restarts)
        then = "" if is_over else f", and is started again {f'in {pause:g} s' if pause else 'at once'}"
        self._message(f"{self._title}: it {how}{then}")


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _kill_all(process: asyncio.subprocess.Process) -> None:
    """The process and whatever it has started in its session's first group, as the end of a container does."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _read(output: asyncio.StreamReader | None, lines: Callable[[str], None] | None) -> None:
    if output is None or lines is None:
        return
    rest = b""
    while chunk := await output.read(_LONGEST_LINE):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            lines(line.decode(errors="replace"))
        if len(rest) > _LONGEST_LINE:
            lines(rest.decode(errors="replace"))
            rest = b""
    if rest:
        lines(rest.decode(errors="replace"))
