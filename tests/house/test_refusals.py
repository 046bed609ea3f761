"""docs/mesh/refusals.md says what the mesh refuses and what is logged: every row names tests, and they exist."""

from __future__ import annotations

from pathlib import Path

from tests.house.markdown import code_of
from tests.house.test_features import functions_of, spans
from tests.house.tree import text_of

PAGE = Path("docs/mesh/refusals.md")


def rows() -> list[list[str]]:
    """The cells of each case."""
    lines = [line.removeprefix("| ").removesuffix(" |") for line in text_of(PAGE).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines if not line.startswith(("case |", "---"))]


def test_every_test_named_exists() -> None:
    """Each `FILE::TEST` is a function of that file."""
    named = {tuple(piece.text.split("::")) for piece in code_of(PAGE) if "::" in piece.text}
    assert named
    assert not sorted(f"{file}::{name}" for file, name in named if name not in functions_of(Path(file)))


def test_every_refusal_is_proved() -> None:
    """Each row has a case, what happens, what the log says, and at least one test."""
    found = rows()
    assert len(found) > 40
    assert not [cells for cells in found if len(cells) != 4 or not spans(cells[3])]
