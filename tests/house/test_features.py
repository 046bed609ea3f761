"""docs/features.md maps the features of the conformance suite to tests: what it names exists, and it claims what we claim."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.translate.classes import CLUSTER_FEATURES, SUPPORTED_FEATURES
from tests.house.markdown import code_of
from tests.house.tree import ROOT, syntax_of, text_of

PAGE = Path("docs/features.md")
WIRE = Path("tests/wire")
GOLDENS = Path("tests/controller/translate/goldens")
SUITE = Path("tests/house/suite")
"""What the suite (v1.6.3) asks of a gateway: `profiles.tsv` has the features of its profiles, `tests.tsv` its tests with the features that
each asks for. Both are written anew when the suite changes."""
CORE = frozenset({"Gateway", "GRPCRoute", "HTTPRoute", "ReferenceGrant", "TCPRoute", "TLSRoute", "UDPRoute"})
"""Claimed, and proved by the tables of the suite's tests instead of a row of their own."""
BY_TEST = CORE | {"BackendTLSPolicy", "GRPCRouteNamedRouteRule", "ListenerSet", "TLSRouteModeMixed", "TLSRouteModeTerminate"}
"""A test that asks for nothing else has a row; all others are proved by the row of their feature."""
LEFT_OUT = re.compile(r"not yet: issue \d+|not asked: (\w+) is claimed").match


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


def table(file: str) -> list[list[str]]:
    """The rows of a table of the suite, without its head."""
    return [line.split("\t") for line in text_of(SUITE / file).splitlines()[1:]]


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
    """The features with state "yes" are those that a GatewayClass is told to support wherever Tidegate runs, "in a cluster" those that
    only a cluster adds; the others say which issue brings them."""
    states = {row[0]: row[1] for row in rows("feature", "state")}
    everywhere, there = ({feature for feature, state in states.items() if state in words} for words in (("yes",), ("yes", "in a cluster")))
    assert (everywhere | CORE, there | CORE) == (set(SUPPORTED_FEATURES), set(CLUSTER_FEATURES))
    assert not {feature: state for feature, state in states.items() if feature not in there and not LEFT_OUT(state)}


def test_all_is_claimed_in_a_cluster() -> None:
    """A GatewayClass in a cluster is told to support every feature of the suite's profiles for gateways, in the order of their names."""
    wanted = {feature for _, core, extended in table("profiles.tsv") for feature in (*core.split(","), *extended.split(",")) if feature}
    assert tuple(sorted(wanted)) == CLUSTER_FEATURES
    assert tuple(sorted(SUPPORTED_FEATURES)) == SUPPORTED_FEATURES


def test_no_feature_is_missing() -> None:
    """Every feature of the suite's profiles for gateways has a row, and every row is a feature of them."""
    wanted = {feature for _, core, extended in table("profiles.tsv") for feature in (*core.split(","), *extended.split(",")) if feature}
    assert {row[0] for row in rows("feature", "state")} | CORE == wanted


def test_no_test_of_the_suite_is_missing() -> None:
    """Every test has a row, unless it asks for a feature that has one of its own; no row is of a test that there is not."""
    tests = {name: set(features.split(",")) for name, features in table("tests.tsv")}
    found = {row[0] for row in rows("test of the suite")}
    assert not sorted(found - tests.keys())
    assert not sorted(name for name, features in tests.items() if features <= BY_TEST and name not in found)


def test_what_is_not_asked_is_claimed() -> None:
    """A test for those without a feature is passed over because we claim it."""
    reasons = [LEFT_OUT(row[1]) for row in rows("test of the suite")]
    assert not [reason[1] for reason in reasons if reason is not None and reason[1] not in (None, *SUPPORTED_FEATURES)]


@pytest.mark.parametrize("head", [("feature", "state"), ("test of the suite",)], ids=["features", "core"])
def test_what_works_is_proved(head: tuple[str, ...]) -> None:
    """Every row of something that works names a test or a golden, others say why not, and no row stands twice."""
    found = list(rows(*head))
    assert len({row[0] for row in found}) == len(found)
    assert not [row[0] for row in found if not LEFT_OUT(row[1]) and not spans(" ".join(row[-2:]))]
