"""What becomes of a Pod: each file of goldens/ with a Pod, and the Pod with its sidecar, or why it stays as it is.

Whatever comes out of a Pod is injected already: giving it in again changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.injection.inject import inject
from mesh.injection.review import patch
from tests.mesh.injection.pods import SETTINGS, applied

GOLDENS = Path(__file__).parent / "goldens"
INPUTS = sorted(GOLDENS.glob("*.in.yaml"))


def output_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".in.yaml") + ".out.yaml")


def told(raw: dict[str, Any]) -> str:
    result = inject(raw, raw["metadata"]["namespace"], SETTINGS)
    parts = {
        "reason": result.reason,
        "warnings": list(result.warnings),
        "pod": result.pod if result.pod != raw else None,
    }
    return yaml.safe_dump({name: part for name, part in parts.items() if part}, sort_keys=False, width=130)


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name.removesuffix(".in.yaml"))
def test_golden(path: Path, request: pytest.FixtureRequest) -> None:
    """The Pod of a file becomes that of its output, by the JSON Patch that the API server gets, and stays so the second time."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = told(raw)
    golden = output_of(path)
    if request.config.getoption("--rewrite-goldens"):
        golden.write_text(found, encoding="utf-8")
    assert golden.is_file(), f"no output for {path.name}: run make golden and read what it writes"
    assert found == golden.read_text(encoding="utf-8")
    result = inject(raw, raw["metadata"]["namespace"], SETTINGS)
    assert raw == yaml.safe_load(path.read_text(encoding="utf-8")), "what was given in has changed"
    assert applied(raw, list(patch(raw, result.pod))) == result.pod
    assert inject(result.pod, raw["metadata"]["namespace"], SETTINGS).pod == result.pod


def test_no_output_is_an_orphan() -> None:
    """Every output belongs to a Pod, and nothing else lies in the folder."""
    assert set(GOLDENS.iterdir()) == {path for source in INPUTS for path in (source, output_of(source))}
