"""Golden tests: each file in goldens/ is a claim, said by its name and proved by the pair of input and output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controller.translate.golden import GOLDENS, output

INPUTS = sorted(GOLDENS.glob("*.in.yaml"))


def output_of(path: Path) -> Path:
    """The file that an input's output stands in."""
    return path.with_name(path.name.removesuffix(".in.yaml") + ".out.yaml")


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name.removesuffix(".in.yaml"))
def test_golden(path: Path, request: pytest.FixtureRequest) -> None:
    """The objects of an input over those of base.yaml give the resources and statuses of its output, and nothing else."""
    found = output(path.read_text(encoding="utf-8"))
    golden = output_of(path)
    if request.config.getoption("--rewrite-goldens"):
        golden.write_text(found, encoding="utf-8")
    assert golden.is_file(), f"no output for {path.name}: run pytest with --rewrite-goldens and read what it writes"
    assert found == golden.read_text(encoding="utf-8")


def test_no_output_is_an_orphan() -> None:
    """Every output belongs to an input, and nothing else lies in the folder."""
    expected = {path for source in INPUTS for path in (source, output_of(source))}
    assert {path for path in GOLDENS.iterdir() if path not in expected} == set()


def test_inputs_are_short() -> None:
    """An input has fewer than 40 lines, so that it can be read at a glance."""
    lines = {path.name: path.read_text(encoding="utf-8").count("\n") for path in INPUTS}
    assert {name: count for name, count in lines.items() if count >= 40} == {}


def test_outputs_hold_no_secrets() -> None:
    """No private key and no certificate stands in an output."""
    telling = [path.name for path in GOLDENS.glob("*.out.yaml") if "-----BEGIN" in path.read_text(encoding="utf-8")]
    assert telling == []
