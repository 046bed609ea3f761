"""The benchmark scripts start, explain themselves, and refuse bad arguments before they spend time. Nothing is measured here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
NAMES = (
    "http1.py", "http2.py", "grpc.py", "tcp.py", "udp.py", "connections.py", "bodies.py", "workers.py", "memory.py", "mesh.py",
    "mesh_memory.py", "figures.py", "changes.py", "start.py", "scale.py", "attacks.py", "abuse.py", "amplification.py", "propagation.py",
)


def called(script: str, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"COLUMNS": "200", "LANG": "C.UTF-8", "PATH": path or ""}
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("script", NAMES)
def test_a_script_explains_itself(script: str) -> None:
    """`--help` names every option with what it means, whatever is installed."""
    answer = called(script, "--help")
    assert answer.returncode == 0, answer.stderr
    assert "--json FILE" in answer.stdout
    assert answer.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("http1.py", ("--rounds", "0"), "argument --rounds: '0' is not a whole number of 1 or more"),
        ("http1.py", ("--seconds", "2.5"), "argument --seconds: '2.5' is not a whole number of 1 or more"),
        ("http1.py", ("--only", "tidegate,apache"), "argument --only: there is no proxy 'apache': choose from tidegate,"),
        ("http1.py", ("--json", "/nowhere/result.json"), "argument --json: '/nowhere/result.json' cannot be written"),
        ("http2.py", ("--streams", "0"), "argument --streams: '0' is not a whole number of 1 or more"),
        ("http2.py", ("--backend", "http3"), "argument --backend: invalid choice: 'http3'"),
        ("grpc.py", ("--kinds", "bidi"), "argument --kinds: invalid choice: 'bidi'"),
        ("tcp.py", ("--kinds", "udp"), "argument --kinds: invalid choice: 'udp'"),
        ("connections.py", ("--kind", "quic"), "argument --kind: invalid choice: 'quic'"),
        ("bodies.py", ("--sizes", "2"), "argument --sizes: invalid choice: 2"),
        ("workers.py", ("--rate", "0"), "argument --rate: '0' is not a whole number of 1 or more"),
        ("memory.py", ("--only", "haproxy"), "argument --only: invalid choice: 'haproxy'"),
        ("mesh.py", ("--only", "linkerd"), "argument --only: there is no pair 'linkerd': choose from tidegate,"),
        ("mesh_memory.py", ("--name", "envoy"), "argument --name: invalid choice: 'envoy'"),
        ("figures.py", ("http3",), "there is no script 'http3': choose from http1, http2"),
        ("changes.py", ("--in-place", "1,many"), "argument --in-place: '1,many' is not a list of whole numbers"),
        ("changes.py", ("--apart", "nan"), "argument --apart: 'nan' is not a number above 0"),
        ("start.py", ("--routes", "-1"), "argument --routes: "),
        ("propagation.py", ("--only", "AE"), "argument --only: 'AE' holds more than the letters A, B, C and D"),
        ("start.py", ("--workers", "none"), "argument --workers: 'none' is not a whole number of 1 or more"),
    ],
)
def test_a_bad_argument_is_refused_with_what_is_wrong(script: str, arguments: tuple[str, ...], said: str) -> None:
    """An argument that makes no sense ends the script with 2 before anything is started, and the message names the option and the value."""
    answer = called(script, *arguments)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.slow
def test_a_missing_program_is_named_with_the_remedy(tmp_path: Path) -> None:
    """Without the load generator nothing can be measured: status 2 and the target that installs it, no traceback."""
    answer = called("http1.py", path=str(tmp_path))
    assert answer.returncode == 2
    assert answer.stderr == "cannot measure: wrk is not installed: `make peers` does it as root, or install the Debian package wrk\n"
