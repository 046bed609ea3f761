"""Every fuzz target on its corpus and on what hypothesis makes of it; `make fuzz` drives the same targets by coverage, for longer."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.corpus import FOLDER, TARGETS, mutated, seeds, target

every_target = pytest.mark.parametrize("name", TARGETS)


@every_target
@pytest.mark.slow
def test_no_claim_fails_on_the_corpus(name: str) -> None:
    """Seeds, and every input that ever broke a claim (reference S9)."""
    run = target(name)
    for data in seeds(name):
        try:
            run(data)
        except Exception as fault:
            raise AssertionError(f"{data!r}") from fault


@every_target
@pytest.mark.slow
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_no_claim_fails_near_the_corpus(name: str, random: Random) -> None:
    """Seeds with bytes changed, cut, repeated and joined."""
    target(name)(mutated(name, random))


@every_target
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300))
def test_no_claim_fails_on_anything(name: str, data: bytes) -> None:
    """Bytes without any sense."""
    target(name)(data)


def test_every_target_has_a_corpus() -> None:
    """A file of seeds for each target, of at least three, and none without a target."""
    assert {file.stem for file in (FOLDER / "corpora").glob("*.txt")} == set(TARGETS)
    assert all(len(seeds(name)) >= 3 for name in TARGETS)
