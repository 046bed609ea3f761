"""What `make fuzz` calls: each target for some seconds, led by coverage (atheris) where that is installed, otherwise at random.

    python -m tests.fuzz.run [--seconds N] [TARGET...]

An input that breaks a claim, takes over a second of CPU or over a GiB of memory ends the run: it is printed as the line to add to the
target's corpus, where `make test` then keeps it. What coverage found is kept between runs in .fuzz.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import traceback
from collections.abc import Callable
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from random import Random
from time import monotonic, process_time
from typing import Final, NoReturn

LONGEST_RUN: Final = 1.0
"""Seconds of CPU for one input."""
KEPT: Final = Path(".fuzz")
_OPTIONS: Final = ("-max_len=8192", "-timeout=20", "-rss_limit_mb=1024")


class TooSlow(Exception):
    """Seconds that one input took."""


def timed(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def once(data: bytes) -> None:
        began = process_time()
        run(data)
        took = process_time() - began
        if took > LONGEST_RUN:
            raise TooSlow(took)

    return once


def fuzz_by_coverage(name: str, seconds: int) -> NoReturn:
    """In this process, which ends with it: 0, or not for a finding."""
    import atheris

    with atheris.instrument_imports(include=["gateway", "controller"]):
        from tests.fuzz.corpus import seeds, target

        run = timed(target(name))
    found = KEPT / name
    found.mkdir(parents=True, exist_ok=True)
    for data in seeds(name):
        (found / blake2b(data, digest_size=10).hexdigest()).write_bytes(data)
    (KEPT / "findings").mkdir(exist_ok=True)
    options = (*_OPTIONS, f"-max_total_time={seconds}", f"-artifact_prefix={KEPT}/findings/{name}-")
    atheris.Setup([name, *options, str(found)], run)
    atheris.Fuzz()
    raise AssertionError("atheris.Fuzz() ends the process")


def fuzz_at_random(name: str, seconds: int) -> int:
    from tests.fuzz.corpus import mutated, target

    run, random, end, count = timed(target(name)), Random(), monotonic() + seconds, 0
    while monotonic() < end:
        data = mutated(name, random)
        try:
            run(data)
        except Exception:
            traceback.print_exc()
            _show(name, data)
            return 1
        count += 1
    print(f"{name}: {count} inputs, no finding")
    return 0


def _show(name: str, data: bytes) -> None:
    print(f"\nFINDING of {name}. This line in tests/fuzz/corpora/{name}.txt makes `make test` red until it is mended:\n{data!r}")


def fuzz(name: str, seconds: int) -> int:
    """The target in a process of its own; the finding, if there is one, is shown."""
    if find_spec("atheris") is None:
        return fuzz_at_random(name, seconds)
    before = set((KEPT / "findings").glob("*"))
    command = [sys.executable, "-m", "tests.fuzz.run", "--coverage", "--seconds", str(seconds), name]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode == 0:
        runs = [line for line in done.stdout.splitlines() if line.startswith("Done ")]
        print(f"{name}: {runs[-1] if runs else 'done'}, no finding", flush=True)
        return 0
    print("\n".join(line for line in done.stdout.splitlines() if not line.startswith(("INFO:", "WARNING:", "#", "0x"))))
    for finding in sorted(set((KEPT / "findings").glob("*")) - before):
        _show(name, finding.read_bytes())
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description="Drives the fuzz targets.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="names of tests/fuzz/targets; all of them by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--coverage", action="store_true", help="one target, in this process")
    arguments = parser.parse_args()
    if arguments.coverage:
        fuzz_by_coverage(arguments.targets[0], arguments.seconds)
    names = arguments.targets or sorted(file.stem for file in Path(__file__).with_name("targets").glob("*.py"))
    if find_spec("atheris") is None:
        print("atheris is not installed here: inputs are drawn at random, without coverage", file=sys.stderr)
    for name in names:
        if status := fuzz(name, arguments.seconds):
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
