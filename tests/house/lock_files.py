"""Reads the lock files in requirements/: which packages they pin, at which version, under which marker, with which hashes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.house.tree import ROOT


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a lock: the requirement as written, and the hashes of every artefact that satisfies it."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> Version:
        """The version pinned; ValueError for a line that pins none, or several."""
        (specifier,) = self.requirement.specifier
        if specifier.operator != "==":
            raise ValueError(f"{self.requirement} pins no version")
        return Version(specifier.version)


def lock_files() -> tuple[Path, ...]:
    return tuple(sorted((ROOT / "requirements").glob("*.txt")))


def pins_of(file: Path) -> tuple[Pin, ...]:
    """The pins of a lock file, in its order: comments left out, continued lines joined."""
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return tuple(_pin(line) for line in lines if line and not line.startswith("#"))


def _pin(line: str) -> Pin:
    requirement, *options = line.split(" --")
    return Pin(Requirement(requirement.strip()), tuple(option.removeprefix("hash=").strip() for option in options))
