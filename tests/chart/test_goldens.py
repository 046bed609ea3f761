"""What the chart renders: each file of values in goldens/ with the objects that come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chart.helm import needs_helm, template

GOLDENS = Path(__file__).parent / "goldens"
INPUTS = sorted(GOLDENS.glob("*.values.yaml"))


def output_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".values.yaml") + ".out.yaml")


@needs_helm
@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name.removesuffix(".values.yaml"))
def test_golden(path: Path, request: pytest.FixtureRequest) -> None:
    """The values of a file give the objects of its output, and nothing else."""
    found = template("--values", str(path))
    golden = output_of(path)
    if request.config.getoption("--rewrite-goldens"):
        golden.write_text(found, encoding="utf-8")
    assert golden.is_file(), f"no output for {path.name}: run make golden and read what it writes"
    assert found == golden.read_text(encoding="utf-8")


def test_no_output_is_an_orphan() -> None:
    """Every output belongs to a file of values, and nothing else lies in the folder."""
    assert set(GOLDENS.iterdir()) == {path for source in INPUTS for path in (source, output_of(source))}
