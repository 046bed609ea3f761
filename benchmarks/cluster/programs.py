"""What the controller and the data planes cost, from /proc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from measuring.usage import cpu_of, resident_of

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process: CPU seconds and bytes sent by its Pod, MiB resident now and at most."""

    pid: int
    role: str
    cpu: float
    sent: int
    resident: float
    highest: float


def usages() -> tuple[Usage, ...]:
    """Of every process of Tidegate in the box since it started, controllers first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (role := _role(entry)):
            pid = int(entry.name)
            try:
                found.append(Usage(pid, role, cpu_of([pid]).total, _sent(entry), resident_of(pid) / _MEBIBYTE, _highest(entry)))
            except (OSError, ProcessLookupError):
                continue  # it has ended since
    return tuple(sorted(found, key=lambda usage: (usage.role, usage.pid)))


def since(before: tuple[Usage, ...]) -> tuple[Usage, ...]:
    """As `usages`, with CPU and bytes since an earlier moment."""
    known = {usage.pid: usage for usage in before}
    return tuple(
        replace(usage, cpu=usage.cpu - known[usage.pid].cpu, sent=usage.sent - known[usage.pid].sent)
        for usage in usages()
        if usage.pid in known
    )


def _role(process: Path) -> str:
    """`controller` or `gateway`, '' for anything else."""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    if b"tidegate" not in words:
        return ""
    return next((role for role in ("controller", "gateway") if role.encode() in words), "")


def _highest(process: Path) -> float:
    for line in (process / "status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _sent(process: Path) -> int:
    """Of the Pod's network namespace, without loopback."""
    lines = (process / "net/dev").read_text(encoding="utf-8").splitlines()[2:]
    return sum(int(line.split(":")[1].split()[8]) for line in lines if line.split(":")[0].strip() != "lo")
