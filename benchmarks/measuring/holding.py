"""Connections that are open and silent: `with held(...)` keeps a process of ours that holds them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from measuring.load import FOLDER, program
from measuring.processes import on_core
from measuring.script import CannotMeasure


@contextmanager
def held(port: int, connections: int, *, tls: bool, core: int | None) -> Iterator[None]:
    """So many connections, each after one request. Raises CannotMeasure."""
    command = program("hold", {"port": port, "tls": tls, "connections": connections})
    with on_core(core):
        process = subprocess.Popen(
            command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        try:
            line = process.stdout.readline()
            if not line:
                raise CannotMeasure(f"the connections could not be made: {process.stderr.read().strip()[-2000:]}")
            said = json.loads(line)
            if said["connections"] != connections:
                raise CannotMeasure(f"after {said['connections']} of {connections} connections: {said['trouble']}")
            yield
        finally:
            process.kill()
