"""The load over HTTP/2: h2load, one thread, some connections, each with so many requests under way at any time."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from measuring.load import Load
from measuring.processes import on_core, path_of
from measuring.script import CannotMeasure
from measuring.summary import percentiles

PACKAGE = "nghttp2-client"
_PATIENCE = 30.0
_MOST_TIMES = 2_000_000


def load(url: str, connections: int, streams: int, seconds: float, core: int | None, options: Sequence[str] = ()) -> Load:
    """Puts a proxy under load; `options` are more of h2load's. Raises CannotMeasure when it fails."""
    asked = ["--clients", str(connections), "--max-concurrent-streams", str(streams), "--duration", f"{round(seconds)}s"]
    return _run([*asked, *options, url], seconds, core)


def once(url: str, options: Sequence[str] = ()) -> str:
    """One request; what is wrong with its answer, '' if nothing is."""
    try:
        found = _run(["--requests", "1", *options, url], 0.0)
    except CannotMeasure as error:
        return str(error)
    return found.trouble or ("" if found.requests == 1 else "a request was not answered")


def _run(words: list[str], seconds: float, core: int | None = None) -> Load:
    with tempfile.TemporaryDirectory(prefix="tidegate-h2load-") as folder, on_core(core):
        log = Path(folder) / "times"
        command = [path_of("h2load", PACKAGE), "--threads", "1", f"--log-file={log}", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=seconds + _PATIENCE)
        except subprocess.TimeoutExpired:
            raise CannotMeasure(f"h2load does not end by itself: {' '.join(command)}") from None
        finally:
            process.kill()
            process.wait()
        return read(output, log.read_bytes() if log.exists() else b"")


def read(output: str, log: bytes) -> Load:
    """From what h2load prints, and from its log: a line for each request with its start, status and microseconds."""
    total = re.search(r"finished in ([\d.]+)(us|ms|s|m), ([\d.]+) req/s", output)
    counts = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    if total is None or counts is None:
        raise CannotMeasure(f"h2load gave no result: {output.strip() or 'nothing'}")
    times = [int(line.split(b"\t")[2]) / 1000 for line in log.splitlines()[:_MOST_TIMES]]
    found = percentiles(times) if times else None
    good = re.search(r"status codes: (\d+) 2xx", output)
    ends = zip(counts.groups()[2:], ("failed", "errored", "timed out"), strict=True)
    wrong = [f"{number} {what}" for number, what in ends if number != "0"]
    if good is None or int(good[1]) < int(counts[2]):
        wrong.append(f"only {good[1] if good else 0} of {counts[2]} answers are 2xx")
    seconds = float(total[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[total[2]]
    done = int(counts[2])
    return Load(
        requests=done,
        seconds=seconds,
        requests_per_second=done / seconds if seconds else 0.0,
        median_ms=found.median if found is not None else 0.0,
        p99_ms=found.p99 if found is not None else 0.0,
        trouble=", ".join(wrong) or ("" if done else "no request was answered"),
    )
