"""docs/faults.md says what holds when something breaks: every row names tests, and they exist."""

from __future__ import annotations

from pathlib import Path

from tests.house.markdown import code_of
from tests.house.test_features import functions_of, spans
from tests.house.tree import ROOT, text_of

PAGE = Path("docs/faults.md")
FOLDER = Path("tests/faults")


def rows() -> list[list[str]]:
    """The cells of each fault."""
    lines = [line.strip("| ") for line in text_of(PAGE).splitlines() if line.startswith("|")]
    return [line.split(" | ") for line in lines if not line.startswith(("fault |", "---"))]


def named() -> set[tuple[Path, str]]:
    """File and function of each test that the page names; without a folder the file is one of the faults."""
    found = set()
    for piece in code_of(PAGE):
        file, colons, name = piece.text.partition("::")
        if colons:
            found.add((Path(file) if "/" in file else FOLDER / file, name))
    return found


def test_every_test_named_exists() -> None:
    """Each `FILE::TEST` is a function of that file."""
    assert not sorted(f"{file}::{name}" for file, name in named() if name not in functions_of(file))


def test_every_fault_is_proved() -> None:
    """Each row has a fault, what holds, and at least one test; none stands twice."""
    found = rows()
    assert len(found) > 50
    assert not [cells for cells in found if len(cells) != 3 or not spans(cells[2])]
    assert len({(cells[0], cells[1]) for cells in found}) == len(found)


def test_every_fault_that_is_injected_is_told() -> None:
    """What tests/faults break is on the page."""
    files = sorted(FOLDER / file.name for file in (ROOT / FOLDER).glob("test_*.py"))
    broken = {(file, name) for file in files for name in functions_of(file) if name.startswith("test_")}
    assert not sorted(f"{file}::{name}" for file, name in broken - named())
