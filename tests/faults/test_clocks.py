"""The wall clock jumps: by an administrator, a time server, a machine that slept. Only what is written as a time may follow it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.programs import Program
from tests.wire.backends import Conversation, Scripted
from tests.wire.flights import Connection
from tests.wire.serving import TO_EXAMPLE, service

pytestmark = pytest.mark.slow

SHIFTED = """\
import os, time

def shifted(real):
    def read():
        with open(os.environ["WALL_CLOCK_SHIFT"]) as shift:
            return real() + type(real())(shift.read()) * (10**9 if real is nanoseconds else 1)
    return read

seconds, nanoseconds = time.time, time.time_ns
time.time, time.time_ns = shifted(seconds), shifted(nanoseconds)
"""
"""Python reads a module sitecustomize before any other: in the program and in its workers the wall clock is off by what a file says."""

HANGING = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: hanging}
spec:
  parentRefs: [{name: web}]
  rules:
  - matches: [{path: {value: /hanging}}]
    timeouts: {request: 100ms}
    backendRefs: [{name: hanging, port: 80}]
"""


def test_a_wall_clock_that_jumps(tmp_path: Path, scripted: Callable[..., Scripted]) -> None:
    """Faults, "clock jump of an hour": forward and back, connections stay open, timeouts end what they should and nothing else, changes are
    followed; the access log has the new time."""
    customised, folder, shift = tmp_path / "python", tmp_path / "config", tmp_path / "shift"
    customised.mkdir()
    folder.mkdir()
    (customised / "sitecustomize.py").write_text(SHIFTED)
    shift.write_text("0")

    def hanging(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.read_head()

    backend = scripted(hanging)
    for name, text in (("hanging", HANGING), ("service", _versioned(service("hanging", backend.port)))):
        (folder / f"{name}.yaml").write_text(text)
    path = os.pathsep.join(filter(None, (str(customised), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "WALL_CLOCK_SHIFT": str(shift)}
    program = Program(folder, stdout=subprocess.PIPE, env=environment)
    kept = Connection(("127.0.0.1", program.port))
    try:
        for number, seconds in enumerate((3600, -3600, 86_400 * 365, 0)):
            shift.write_text(str(seconds))
            asked = f"/jump-{number}"
            assert [_ask(kept, asked), _ask(kept, "/hanging"), _ask(kept, asked)] == [302, 504, 302]
            logged = _line(program, asked)
            moment = datetime.fromisoformat(logged["time"])
            assert abs(moment - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(minutes=10)
            assert 0 <= logged["duration_ms"] < 60_000
            assert program.page("/healthz/ready").status_code == 200
        assert program.end() == 0
    finally:
        kept.close()
        program.close()
        assert program.process.stdout is not None
        program.process.stdout.close()


def _versioned(text: str) -> str:
    documents = [json.loads(document) for document in text.split("\n---\n")]
    versions = {"Service": "v1", "EndpointSlice": "discovery.k8s.io/v1"}
    return "\n---\n".join(json.dumps({"apiVersion": versions[document["kind"]], **document}) for document in documents)


def _ask(connection: Connection, path: str) -> int:
    connection.send("GET", path, TO_EXAMPLE)
    return connection.response()[0]


def _line(program: Program, path: str) -> dict[str, Any]:
    """The first line of the access log for this path."""
    assert program.process.stdout is not None
    while True:
        line: dict[str, Any] = json.loads(program.process.stdout.readline())
        if line["path"] == path:
            return line
