"""Tidegate as a user starts it: `tidegate run FOLDER`, asked from outside through its admin server and nothing else."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring.configuration import ROOT
from measuring.processes import START, Processes, Program, free_ports
from measuring.script import CannotMeasure

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Tidegate:
    """Running: the parent is the program, its children are the workers."""

    program: Program
    admin_port: int
    log: Path

    def workers(self) -> tuple[int, ...]:
        """Their process ids."""
        return self.program.children()

    def status(self) -> dict[str, Any]:
        """The admin page /status."""
        found: dict[str, Any] = json.loads(self._get("/status"))
        return found

    def wait_until_ready(self) -> None:
        """Returns when the configuration is live. Raises CannotMeasure."""
        self._wait("it is not ready", lambda: self._get("/healthz/ready").startswith(b"ready"))

    def wait_until_files_serve(self) -> None:
        """Returns when what is served is what the files say, and no snapshot any more. Raises CannotMeasure."""
        self._wait("the files have not been read", lambda: bool(self.status()["objects"]))

    def wait_until_acknowledged(self) -> None:
        """Returns when every worker has put in place what was published last. Raises CannotMeasure."""
        self._wait("a worker has not acknowledged the last revision", self._is_acknowledged)

    def _is_acknowledged(self) -> bool:
        status = self.status()
        return all(worker["revision"] == status["revision"] for worker in status["workers"])

    def _wait(self, what: str, done: Callable[[], bool]) -> None:
        limit = time.monotonic() + START
        while time.monotonic() < limit:
            self.program.check()
            try:
                if done():
                    return
            except OSError:  # the admin server is not there yet, or answers 503
                pass
            time.sleep(0.005)
        raise CannotMeasure(f"tidegate: {what} after {START:g} s; see {self.program.messages.read_text(encoding='utf-8').strip()[-2000:]}")

    def _get(self, path: str) -> bytes:
        with NO_PROXY.open(f"http://127.0.0.1:{self.admin_port}{path}", timeout=START) as response:
            body: bytes = response.read()
            return body


COMPILED = ROOT / "build" / "compiled"
"""What `make compiled` makes."""


@dataclass(frozen=True, slots=True)
class Build:
    """What is started: under this name, by the modules in this folder."""

    name: str = "tidegate"
    root: Path = ROOT


THIS_COMMIT = Build()


def start_tidegate(
    processes: Processes, folder: Path, workers: int, core: int | None = None, build: Build = THIS_COMMIT, more: Sequence[str] = ()
) -> Tidegate:
    """Serves a folder; the access log goes to a file; `more` are further options. Returns before it is ready."""
    (admin_port,) = free_ports(1)
    log = processes.folder / f"{build.name}.log"
    options = ["--workers", str(workers), "--admin", f"127.0.0.1:{admin_port}", "--access-log", "json", "--drain-timeout", "2s", *more]
    command = [sys.executable, "-P", "-m", "tidegate", "run", str(folder), *options]
    program = processes.start(build.name, command, core, log, environment(processes.folder, build.root), build.root)
    return Tidegate(program, admin_port, log)


def environment(folder: Path, root: Path) -> dict[str, str]:
    """Ours without what would change options of Tidegate; compiled modules are kept, as an installation has them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "PYTHON"))}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONPATH": str(root)}
