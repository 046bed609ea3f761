"""How much memory there is and how much of it is in use: of a control group with a limit, otherwise of this process.

A control group is what is killed when its limit is reached, with all processes in it, so its own sum counts and not ours.
What the kernel can take back at once (the inactive page cache) is not in use, as for Kubernetes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

MemoryShare = Callable[[], float]
"""Share of the limit that is in use."""

_UNLIMITED: Final = 1 << 60
"""Control groups of version 1 say "no limit" with a number about as high as there are."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def memory_share(limit: int, workers: int, root: Path = Path("/")) -> MemoryShare:
    """`limit` in bytes for this process; 0: the smallest limit of our control groups, else an equal part of what the machine has."""
    if not limit:
        group = _limited_group(root)
        if group is not None:
            return group
        limit = os.sysconf("SC_PHYS_PAGES") * _PAGE // workers
    return lambda: resident(root) / limit


def resident(root: Path = Path("/")) -> int:
    """Bytes of memory that this process has; 0 where the system does not tell."""
    try:
        return int((root / "proc/self/statm").read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0


def give_back() -> None:
    """Has the C library return what it has free, where it can: it keeps the memory of a burst otherwise, and the pressure with it."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], object] | None:
    import ctypes  # noqa: PLC0415  # a megabyte that only a process under pressure needs

    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return trim


def _limited_group(root: Path) -> MemoryShare | None:
    """The group, ours or one around it, with the smallest limit."""
    found: list[tuple[int, MemoryShare]] = []
    for version, folder in _folders(root):
        limit = _number(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        if limit is not None and 0 < limit < _UNLIMITED:
            usage = folder / ("memory.current" if version == 2 else "memory.usage_in_bytes")
            reclaimable = b"inactive_file" if version == 2 else b"total_inactive_file"
            found.append((limit, _share(limit, usage, folder / "memory.stat", reclaimable)))
    return min(found, key=lambda each: each[0])[1] if found else None


def _folders(root: Path) -> list[tuple[int, Path]]:
    """Version and folder of each group that holds memory, from ours outwards."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    folders: list[tuple[int, Path]] = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            version, base = 2, root / "sys/fs/cgroup"
        elif "memory" in controllers.split(","):
            version, base = 1, root / "sys/fs/cgroup/memory"
        else:
            continue
        # In a container the path may be that of the host, and the folder at the base ours.
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        folders += [(version, base.joinpath(*parts[:depth])) for depth in range(len(parts), -1, -1)]
    return folders


def _share(limit: int, usage: Path, statistics: Path, reclaimable: bytes) -> MemoryShare:
    def share() -> float:
        used = _number(usage)
        return 0.0 if used is None else max(used - _field(statistics, reclaimable), 0) / limit

    return share


def _number(file: Path) -> int | None:
    """None where there is none: no such file, or the word max."""
    try:
        return int(file.read_bytes())
    except (OSError, ValueError):
        return None


def _field(file: Path, name: bytes) -> int:
    """A number of a file with one name and number a line; 0 where it is not there."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name + b" ")), 0)
