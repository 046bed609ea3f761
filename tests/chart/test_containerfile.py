"""The image, as far as it can be judged by reading: no engine builds it here."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch

from controller.deploy.pods import USER
from tests.chart.helm import ROOT

TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text(encoding="utf-8"))
LINES = [line.split() for line in TEXT.splitlines() if line and not line.startswith("#")]
COPIED = [source for line in LINES if line[0] == "COPY" and not line[1].startswith("--from") for source in line[1:-1]]


def test_everything_that_is_copied_exists() -> None:
    """The sources of COPY are in the repository, and not kept from the build."""
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").split()
    sent = [pattern[1:] for pattern in ignored if pattern.startswith("!")]
    assert not [source for source in COPIED if not (ROOT / source).exists()]
    assert not [source for source in COPIED if not any(fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in sent)]


def test_every_package_is_copied() -> None:
    """The image holds all that pyproject.toml packages, and the files that it refers to."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (packages,) = re.findall(r"^include = (\[.*\])$", project, re.MULTILINE)
    assert {name.rstrip("*") for name in json.loads(packages)} <= set(COPIED)
    assert {"README.md", "LICENSE", "NOTICE", "pyproject.toml", "setup.py"} <= set(COPIED)


def test_what_is_installed_is_locked_by_hash() -> None:
    """pip takes what the lock files name, or the wheel that was built before; nothing else."""
    installs = [command for command in re.split(r"&&|\n", TEXT) if re.search(r"pip\S* .*\binstall\b", command)]
    assert len(installs) == 3
    assert all("--require-hashes" in command or "--no-deps --no-index" in command for command in installs)
    assert "TIDEGATE_COMPILE=1" in TEXT


def test_it_runs_as_the_user_of_the_pods() -> None:
    """Not root, by number, so that runAsNonRoot can be checked; the program is the entry point."""
    assert [line[1:] for line in LINES if line[0] == "USER"] == [[f"{USER}:{USER}"]]
    assert LINES[-1] == ["ENTRYPOINT", '["tidegate"]']
