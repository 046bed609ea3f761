"""Versions below these have known holes that reach a gateway: request smuggling, floods, certificate and token checks."""

from __future__ import annotations

import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.house.lock_files import lock_files, pins_of
from tests.house.tree import ROOT

FLOORS = {
    "aiohttp": Version("3.14.3"),
    "cryptography": Version("46.0.6"),
    "h11": Version("0.16.0"),
    "h2": Version("4.4.1"),
    "hpack": Version("4.2.0"),
    "pyjwt": Version("2.13.0"),
    "uvloop": Version("0.20"),
}


@pytest.mark.parametrize("name", FLOORS)
def test_what_is_installed_is_at_its_floor(name: str) -> None:
    """A package with a floor is installed at the floor or above, or not at all."""
    installed = [Version(found.version) for found in metadata.distributions() if canonicalize_name(found.metadata["Name"]) == name]
    assert all(version >= FLOORS[name] for version in installed)


def test_what_is_locked_is_at_its_floor() -> None:
    """No lock file pins a version below its floor."""
    low = [
        f"{file.name}: {pin.requirement}"
        for file in lock_files()
        for pin in pins_of(file)
        if pin.name in FLOORS and pin.version < FLOORS[pin.name]
    ]
    assert not low


def test_what_is_declared_refuses_what_is_below_its_floor() -> None:
    """A requirement of pyproject.toml has a lower bound, and with a floor the bound is not below it: other installers keep it too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *(entry for extra in project["optional-dependencies"].values() for entry in extra)]
    open_ended = []
    for requirement in map(Requirement, declared):
        floor = FLOORS.get(canonicalize_name(requirement.name))
        bounds = [Version(specifier.version) for specifier in requirement.specifier if specifier.operator in {">=", "=="}]
        if floor is not None and (not bounds or max(bounds) < floor):
            open_ended.append(f"{requirement}: at least {floor}")
    assert not open_ended


def test_the_floors_of_what_we_lock_are_looked_up() -> None:
    """The floors are compared with something: those of our own dependencies stand in the lock files."""
    locked = {pin.name for file in lock_files() for pin in pins_of(file)}
    assert {"cryptography", "h11", "h2", "hpack", "uvloop"} <= locked
