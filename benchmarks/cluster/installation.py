"""Outside the box: starts one, installs Tidegate in it by the chart, and runs the driver inside."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from measuring.configuration import ROOT
from measuring.script import CannotMeasure

from cluster.found import Found
from cluster.objects import TIDEGATE

sys.path.insert(0, str(ROOT))  # the box belongs to the tests

from tests.box.cluster import PROGRAMS, Box, BoxError, started


@contextmanager
def installed(replicas: int, there: Path | None) -> Iterator[Box]:
    """A box with Tidegate, which ends with the context; or the one of a folder, where Tidegate is installed, which stays.

    Raises CannotMeasure.
    """
    if there is not None:
        yield Box(there)
        return
    if not (PROGRAMS / "box").exists():
        raise CannotMeasure("the box is not built: `make box-build` does it where Go is installed")
    folder = Path(tempfile.mkdtemp(prefix="tidegate-cluster-"))
    folder.chmod(0o755)  # Pods read keys there
    try:
        with started(folder) as box:
            chart = ("helm", "install", "tidegate", str(ROOT / "charts/tidegate"), "--namespace", TIDEGATE, "--create-namespace")
            box.run(*chart, "--set", f"controller.replicas={replicas}", "--wait", "--timeout", "90s")
            yield box
    except BoxError as error:
        raise CannotMeasure(str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def drive(box: Box, plan: dict[str, Any]) -> Found:
    """Runs the driver in a box. Raises CannotMeasure."""
    with tempfile.TemporaryDirectory(prefix="tidegate-driver-") as folder:
        result = Path(folder) / "found.json"
        paths = f"PYTHONPATH={ROOT / 'benchmarks'}:{ROOT}"
        command = ("env", paths, sys.executable, "-m", "cluster.driver", json.dumps(plan | {"result": str(result)}))
        with subprocess.Popen(box.command(*command)) as process:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                raise
        if status:
            raise CannotMeasure(f"the driver ended with {status}; what it said stands above")
        return msgspec.json.decode(result.read_bytes(), type=Found)


def plain(found: Found) -> dict[str, Any]:
    """As values of JSON."""
    return asdict(found)
