"""The load: wrk, one thread, keep-alive connections, each with one request under way at any time."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from measuring.load import Load
from measuring.processes import on_core, path_of
from measuring.script import CannotMeasure

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_PATIENCE = 30.0


def load(url: str, connections: int, seconds: float, core: int, script: Path | None = None) -> Load:
    """Puts a proxy under load; a script of wrk may choose the requests. Raises CannotMeasure when wrk fails."""
    options = {"--threads": "1", "--connections": str(connections), "--duration": f"{round(seconds)}s"}
    if script is not None:
        options["--script"] = str(script)
    command = [path_of("wrk", "wrk"), *(word for option in options.items() for word in option), "--latency", url]
    with on_core(core):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=seconds + _PATIENCE)
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"wrk does not end by itself: {' '.join(command)}") from None
    finally:
        process.kill()
        process.wait()
    return read(output)


def read(output: str) -> Load:
    """From what wrk prints. Raises CannotMeasure when there is no result in it."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    times = dict(re.findall(r"^\s+(50|99)%\s+(\S+)$", output, re.MULTILINE))
    if total is None or rate is None or len(times) < 2:
        raise CannotMeasure(f"wrk gave no result: {output.strip() or 'nothing'}")
    trouble = "; ".join(found.strip() for found in re.findall(r"Socket errors: .*|Non-2xx or 3xx responses: .*", output))
    if total[1] == "0":
        trouble = "no request was answered"
    return Load(
        int(total[1]),
        float(total[2]) * _UNITS[total[3]] / 1000,
        float(rate[1]),
        _milliseconds(times["50"]),
        _milliseconds(times["99"]),
        trouble,
    )


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]  # wrk always writes a unit
    return float(number) * _UNITS[unit]
