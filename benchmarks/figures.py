"""All figures of the data plane, one script after the other, each with its table and with what it aims at."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring.script import GOOD, positive_integer, run_script, writable_file, write_json

FOLDER = Path(__file__).resolve().parent
SCRIPTS: dict[str, tuple[str, ...]] = {
    "http1": ("http1.py", "--tls"),
    "http2": ("http2.py",),
    "http2-backends": ("http2.py", "--backend", "http2"),
    "grpc": ("grpc.py",),
    "tcp": ("tcp.py",),
    "udp": ("udp.py",),
    "connections": ("connections.py",),
    "bodies": ("bodies.py",),
    "workers": ("workers.py",),
    "memory": ("memory.py",),
    "mesh": ("mesh.py",),
    "mesh-memory": ("mesh_memory.py",),
}
"""By name, in their order: the script, and the options it is run with."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(SCRIPTS)} (all); each has more options of its own")
    parser.add_argument("--rounds", type=positive_integer, metavar="N", help="rounds of each; the median counts (each its own default)")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write every round there")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in SCRIPTS]:
        parser.error(f"there is no script {unknown[0]!r}: choose from {', '.join(SCRIPTS)}")
    return options


def main() -> int:
    options = arguments()
    codes, found = [GOOD], {}
    with tempfile.TemporaryDirectory(prefix="tidegate-figures-") as folder:
        for name in dict.fromkeys(options.names or SCRIPTS):
            result = Path(folder) / f"{name}.json"
            script, *given = SCRIPTS[name]
            command = [sys.executable, str(FOLDER / script), *given, "--json", str(result)]
            if options.rounds:
                command += ["--rounds", str(options.rounds)]
            print(f"\n== {name}: benchmarks/{' '.join(SCRIPTS[name])}\n", flush=True)
            codes.append(_run(command))
            if result.exists():
                found[name] = json.loads(result.read_text(encoding="utf-8"))
    if options.json:
        write_json(options.json, found)
    return max(codes)


def _run(command: list[str]) -> int:
    """Its exit code. What interrupts this script, Ctrl-C or SIGTERM, ends that one too, which then ends what it has started."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise


if __name__ == "__main__":
    sys.exit(run_script(main))
