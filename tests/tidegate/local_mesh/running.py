"""`tidegate run --mesh` as a process of its own on addresses that nobody has, and what is asked of it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.faults.waiting import until
from tests.tidegate.program import free_port

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "mesh-local"
LISTENER_PORT = 8080


def free_block() -> str:
    """The first two numbers of a network of loopback in which nothing listens where the first workloads would."""
    while True:
        prefix = f"127.{random.randrange(2, 255)}"
        try:
            for number in range(1, 6):
                with socket.socket() as probe:
                    probe.bind((f"{prefix}.{number}.1", 15000))
        except OSError:
            continue
        return prefix


class Mesh:
    """The process, a copy of its files, and the lines that it has shown. `prefix` is that of its addresses."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], prefix: str, port: int) -> None:
        self.folder, self.process, self.prefix, self.port = folder, process, prefix, port
        self.shown: list[str] = []
        self.admin = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def until(self, *parts: str) -> None:
        """Reads on until each of these has been shown, in whatever order."""
        assert self.process.stderr is not None
        missing = set(parts)
        for line in self.process.stderr:
            self.shown.append(line)
            if "admin at http://127.0.0.1:" in line:
                self.admin = line.strip().removeprefix("admin at ")
            missing -= {part for part in missing if part in line}
            if not missing:
                return
        raise AssertionError(f"{missing} was never shown, but {self.shown}")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.admin}/status").json()
        return found

    def revision(self) -> int:
        """Of what sidecars are to have."""
        return int(self.status()["mesh"][0]["revision"])

    def is_live(self, after: int) -> bool:
        """Whether all sidecars have in place what came after this revision."""
        (namespace,) = self.status()["mesh"]
        return namespace["revision"] > after and all(each["revision"] == namespace["revision"] for each in namespace["proxies"])

    def edit(self, file: str, before: str, after: str) -> None:
        """Changes a file, and returns when all sidecars have what follows in place."""
        path, revision = self.folder / file, self.revision()
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        until(lambda: self.is_live(revision), f"the edit of {file} was never live")

    def processes(self) -> list[str]:
        """The command lines of all processes that have to do with its addresses or files."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if f"{self.prefix}." in line or str(self.folder) in line:
                    found.append(line)
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit status."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=50)
        self.shown.append(rest)
        return self.process.returncode


@contextmanager
def started(folder: Path, *options: str) -> Iterator[Mesh]:
    """Of a copy of the example."""
    copy = folder / "mesh"
    shutil.copytree(EXAMPLE, copy)
    prefix, port = free_block(), next(port for port in iter(free_port, None) if port > LISTENER_PORT)
    command = [sys.executable, "-m", "tidegate", "run", "--mesh", str(copy), "--mesh-block", f"{prefix}.0.0/16"]
    command += ["--port-offset", str(port - LISTENER_PORT), "--admin", "127.0.0.1:0", "--workers", "1", *options]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TIDEGATE_WORKERS": "3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Mesh(copy, process, prefix, port)
    finally:
        process.kill()
        process.communicate()
