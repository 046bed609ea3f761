"""The README's walk through a cluster, replayed: every command as it stands there, and what it shows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.box.cluster import Box

ROOT = Path(__file__).resolve().parents[2]
SECTION = "## In a cluster\n"

VARYING = (
    (re.compile(r"-[0-9a-f]{6,10}-[a-z0-9]{5}\b"), "-POD"),
    (re.compile(r"\b198\.1[89]\.\d+\.\d+\b"), "ADDRESS"),
    (re.compile(r"\brevision \d+"), "revision N"),
    (re.compile(r"\bHash=[0-9a-f]{64}\b"), "Hash=DIGEST"),
    (re.compile(r"\b(?:\d+m)?\d+s$"), "AGE"),
    (re.compile(r" +"), " "),
)
"""What differs from run to run, and what stands for it."""


def commands() -> Iterator[tuple[str, str]]:
    """Each command of the section, with what is shown below it."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition(SECTION)[2].partition("\n## ")[0]
    for block in re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = entry.partition("\n")
            yield command, output


def settled(text: str) -> list[str]:
    """The lines, without what varies."""
    lines = []
    for line in text.splitlines():
        line = line.strip()
        for pattern, word in VARYING:
            line = pattern.sub(word, line)
        lines.append(line)
    return lines


@pytest.fixture
def emptied(box: Box) -> Iterator[Box]:
    """The box, without what the walk leaves in it afterwards."""
    yield box
    examples = "kubectl delete -f examples/cluster -f examples/mesh --ignore-not-found"
    for command in (examples, "helm uninstall tidegate -n tidegate-system --wait"):
        subprocess.run(box.command("sh", "-c", command), cwd=ROOT, check=False)


def test_the_walk_through_a_cluster_is_what_happens(emptied: Box) -> None:
    """README, "In a cluster": installed by the chart, applied, asked, explained. Names of Pods, addresses, ages and revisions vary."""
    walk = list(commands())
    assert walk
    variables: list[str] = []
    for command, output in walk:
        if re.match(r"[A-Z]+=", command):
            variables.append(command)
            continue
        script = "\n".join((*variables, command))
        ended = subprocess.run(emptied.command("sh", "-c", script), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == 0, f"{command}:\n{ended.stdout}{ended.stderr}"
        assert settled(ended.stdout) == settled(output), command
