"""The lock files hold everything that is installed, by hash, and say nothing about where it comes from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.lock_files import lock_files, pins_of
from tests.house.tree import ROOT

NAMES = ("bench.txt", "build.txt", "dev.txt", "lock.txt", "runtime.txt")
SHA256 = re.compile(r"sha256:[0-9a-f]{64}")

every_lock_file = pytest.mark.parametrize("file", lock_files(), ids=lambda file: file.name)


def test_the_lock_files_are_those_of_make_lock() -> None:
    """`make lock` writes every file of requirements/*.txt, and there is no other."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert tuple(file.name for file in lock_files()) == NAMES
    assert all(f"--output-file requirements/{name}" in makefile for name in NAMES)


@every_lock_file
def test_a_lock_file_names_no_place(file: Path) -> None:
    """A lock holds no URL, no path and no option of an index: it installs from wherever the machine is set up for."""
    text = file.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*(?:-i|-f|-e|--(?!hash=))", text, re.MULTILINE)
    assert all(pin.requirement.url is None for pin in pins_of(file))


@every_lock_file
def test_every_line_is_pinned_and_hashed(file: Path) -> None:
    """Each line of a lock pins one version and carries SHA-256 hashes, so that pip's hash mode takes the file."""
    pins = pins_of(file)
    assert pins
    assert all(pin.version for pin in pins)
    assert not [pin.name for pin in pins if not pin.hashes or not all(SHA256.fullmatch(value) for value in pin.hashes)]


def test_the_lock_files_agree() -> None:
    """A package has one version in all lock files, so that they install into one environment in any order."""
    versions: dict[str, set[str]] = {}
    for file in lock_files():
        for pin in pins_of(file):
            versions.setdefault(pin.name, set()).add(str(pin.version))
    assert not {name: found for name, found in versions.items() if len(found) > 1}


@pytest.mark.parametrize(("lock", "extras"), [("runtime.txt", ()), ("dev.txt", ("test", "dev")), ("bench.txt", ("bench",))])
def test_a_lock_file_satisfies_the_metadata(lock: str, extras: tuple[str, ...]) -> None:
    """Each requirement of pyproject.toml is pinned in its lock file, at a version that the requirement allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = list(project["dependencies"])
    for extra in extras:
        declared += project["optional-dependencies"][extra]
    pinned = {pin.name: pin.version for pin in pins_of(ROOT / "requirements" / lock)}
    wanted = [requirement for requirement in map(Requirement, declared) if requirement.name != project["name"]]
    missing = [str(requirement) for requirement in wanted if canonicalize_name(requirement.name) not in pinned]
    assert not missing, "run make lock"
    assert not [str(requirement) for requirement in wanted if pinned[canonicalize_name(requirement.name)] not in requirement.specifier]
