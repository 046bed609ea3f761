"""docs/features.md maps the features of the conformance suite to tests: what it names exists, and it claims what we claim."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.translate.classes import SUPPORTED_FEATURES
from tests.house.markdown import code_of
from tests.house.tree import ROOT, syntax_of, text_of

PAGE = Path("docs/features.md")
WIRE = Path("tests/wire")
GOLDENS = Path("tests/controller/translate/goldens")
CORE = frozenset({"Gateway", "HTTPRoute", "ReferenceGrant"})
"""Claimed, and proved by the table of the suite's tests instead of a row of their own."""


def rows(*heads: str) -> Iterator[list[str]]:
    """The cells of each row of the tables whose first columns are these."""
    inside = False
    for line in text_of(PAGE).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif tuple(cells[: len(heads)]) == heads:
            inside = True
        elif inside and not set(cells[0]) <= {"-"}:
            yield cells


def functions_of(file: Path) -> set[str]:
    """The functions of a module, none if there is no such file."""
    if not (ROOT / file).is_file():
        return set()
    return {node.name for node in syntax_of(file).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_test_named_exists() -> None:
    """Each `FILE::TEST` is a function of that file; without a folder the file is a wire test."""
    missing = []
    for piece in code_of(PAGE):
        file, colons, name = piece.text.partition("::")
        if colons:
            path = Path(file) if "/" in file else WIRE / file
            if name not in functions_of(path):
                missing.append(f"{PAGE}:{piece.line} {piece.text}")
    assert not missing


def test_every_golden_named_exists() -> None:
    """Each name in a column of goldens is a golden."""
    named = {name for head in (("feature", "state"), ("test of the suite",)) for row in rows(*head) for name in spans(row[-1])}
    assert named
    assert not sorted(name for name in named if not (ROOT / GOLDENS / f"{name}.in.yaml").is_file())


def test_what_is_said_to_work_is_what_is_claimed() -> None:
    """The features with state "yes" are those that a GatewayClass is told to support; the others say which issue brings them."""
    states = {row[0]: row[1] for row in rows("feature", "state")}
    assert {feature for feature, state in states.items() if state == "yes"} | CORE == set(SUPPORTED_FEATURES)
    assert not {feature: state for feature, state in states.items() if state != "yes" and not re.match(r"not yet: issue \d+", state)}


@pytest.mark.parametrize("head", [("feature", "state"), ("test of the suite",)], ids=["features", "core"])
def test_what_works_is_proved(head: tuple[str, ...]) -> None:
    """Every row of something that works names a test or a golden, and no row stands twice."""
    found = list(rows(*head))
    assert len({row[0] for row in found}) == len(found)
    assert not [row[0] for row in found if "not yet" not in row[1] and not spans(" ".join(row[-2:]))]
