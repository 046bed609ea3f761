"""What a load saw, and the loads that are programs of ours: each a module of this package, run as a process of its own on the load's core.

Such a module takes its arguments as one JSON object and prints what it saw as another.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring.processes import on_core
from measuring.script import CannotMeasure
from measuring.summary import percentiles

FOLDER = Path(__file__).resolve().parents[1]
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """`seconds` is how long it took itself; `trouble` is '' when all went well."""

    requests: int
    seconds: float
    requests_per_second: float
    median_ms: float
    p99_ms: float
    trouble: str


def program(module: str, arguments: Mapping[str, object]) -> list[str]:
    """The command of a module of this package."""
    return [sys.executable, "-m", f"measuring.{module}", json.dumps(arguments)]


def put(module: str, arguments: Mapping[str, object], seconds: float, core: int | None) -> Load:
    """Runs a load that reports `seconds`, `milliseconds` of each request, and `troubles`. Raises CannotMeasure."""
    said = _run(program(module, arguments), seconds + _PATIENCE, core)
    times: Sequence[float] = said["milliseconds"]
    found = percentiles(times) if times else None
    trouble = "; ".join(dict.fromkeys(said["troubles"])) or ("" if found is not None else "no request was answered")
    return Load(
        requests=len(times),
        seconds=said["seconds"],
        requests_per_second=len(times) / said["seconds"],
        median_ms=found.median if found is not None else 0.0,
        p99_ms=found.p99 if found is not None else 0.0,
        trouble=trouble,
    )


def _run(command: Sequence[str], patience: float, core: int | None) -> dict[str, Any]:
    with on_core(core):
        process = subprocess.Popen(
            command, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    try:
        output, errors = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"the load does not end by itself: {' '.join(command)}") from None
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise CannotMeasure(f"the load failed: {' '.join(command)}: {errors.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(output)
    return found
