"""Programs that a script starts: each on the core it is meant for, and all of them ended by their ids when the script ends.

They live in sessions of their own, so that Ctrl-C reaches the script alone, which then ends them in order.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from measuring.script import CannotMeasure
from measuring.usage import descendants_of, started_at

GRACE = 10.0
"""Seconds that a program gets to end after SIGTERM."""
START = 60.0
"""Seconds that a program gets until it is ready."""


@dataclass(frozen=True, slots=True)
class Program:
    """One that runs. `messages` is the file with its standard error."""

    name: str
    process: subprocess.Popen[bytes]
    messages: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def children(self) -> tuple[int, ...]:
        """The processes below it."""
        return descendants_of(self.pid)

    def check(self) -> None:
        """Raises CannotMeasure if it has ended."""
        if self.process.poll() is not None:
            raise CannotMeasure(f"{self.name} ended with status {self.process.returncode}; it said:{self.said()}")

    def said(self) -> str:
        """Its last messages, for an error."""
        last = self.messages.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-8:]
        return "".join(f"\n    {line}" for line in last) or " nothing"


class Processes:
    """Owner of all programs that were started; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs: list[Program] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ignored = [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            while self._programs:
                self.end(self._programs[-1])
        finally:
            for number, action in zip((signal.SIGINT, signal.SIGTERM), ignored, strict=True):
                signal.signal(number, action)

    def start(
        self,
        name: str,
        command: Sequence[str],
        core: int | None = None,
        output: Path | None = None,
        environment: Mapping[str, str] | None = None,
        working_folder: Path | None = None,
    ) -> Program:
        """Starts a program, on one core if one is given; its standard output goes to the end of a file, or nowhere."""
        messages = self.folder / f"{name}.messages"
        with on_core(core), messages.open("wb") as errors, (output or Path(os.devnull)).open("ab") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                cwd=working_folder or self.folder,
                env=environment,
                start_new_session=True,
            )
        program = Program(name, process, messages)
        self._programs.append(program)
        return program

    def end(self, program: Program) -> None:
        """SIGTERM; then SIGKILL to what is still there of it and its children, each by its id."""
        self._programs.remove(program)
        below = [(pid, started) for pid in program.children() if (started := _start_of(pid)) is not None]
        program.process.terminate()
        try:
            program.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            program.process.kill()
            program.process.wait()
        for pid, started in below:
            if _start_of(pid) == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _start_of(pid: int) -> int | None:
    try:
        return started_at(pid)
    except ProcessLookupError:
        return None


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started inside runs on this core alone."""
    usual = os.sched_getaffinity(0)
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        yield
    finally:
        os.sched_setaffinity(0, usual)


def cores() -> tuple[int, int]:
    """The core of what is measured, and the core of load and backend. Raises CannotMeasure."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise CannotMeasure("two cores are needed, one for the proxy and one for the load; this process may use one")
    return usable[0], usable[1]


def put_ahead(*pids: int) -> None:
    """They run as soon as they have something to do, whatever else wants their core. Raises CannotMeasure."""
    try:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        raise CannotMeasure(
            "what measures has to run ahead of what floods, which only root, or a process with CAP_SYS_NICE, may ask for"
        ) from None


def path_of(command: str, package: str) -> str:
    """The path of a program of the system. Raises CannotMeasure if it is not installed."""
    found = shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise CannotMeasure(f"{command} is not installed: `make peers` does it as root, or install the Debian package {package}")
    return found


def free_ports(number: int) -> tuple[int, ...]:
    """Ports of 127.0.0.1 that nobody has at this moment, all different."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(number):
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            found.append(taken.getsockname()[1])
        return tuple(found)


def wait_for_port(program: Program, port: int) -> None:
    """Returns when the program takes connections. Raises CannotMeasure."""
    limit = time.monotonic() + START
    while time.monotonic() < limit:
        program.check()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise CannotMeasure(f"{program.name} takes no connections on port {port} after {START:g} s")
