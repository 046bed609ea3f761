"""Which traces are kept where no caller has decided."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tracing.sampling import SPACE, is_kept, threshold_of

identifiers = st.binary(min_size=16, max_size=16).map(lambda drawn: drawn.hex().encode())
percents = st.floats(0, 100)


@given(identifiers)
def test_all_and_none(trace_id: bytes) -> None:
    """100 percent keeps every trace, 0 percent none."""
    assert is_kept(trace_id, threshold_of(100))
    assert not is_kept(trace_id, threshold_of(0))


@given(identifiers, percents, percents)
def test_a_larger_share_keeps_what_a_smaller_one_keeps(trace_id: bytes, one: float, other: float) -> None:
    """So that of a trace through proxies of several shares the parts fit together."""
    smaller, larger = sorted((one, other))
    assert is_kept(trace_id, threshold_of(larger)) >= is_kept(trace_id, threshold_of(smaller))


@given(percents)
def test_the_share_of_all_ids_is_the_percentage(percent: float) -> None:
    """Of the numbers of 56 bits so many are kept, give or take one."""
    assert abs((SPACE - threshold_of(percent)) / SPACE - percent / 100) <= 1 / SPACE


@pytest.mark.parametrize("percent", [1.0, 12.5, 50.0])
def test_random_ids_are_kept_in_that_share(percent: float) -> None:
    """Of 20,000 drawn ids the share, within five standard deviations."""
    random = Random(7)
    threshold = threshold_of(percent)
    kept = sum(is_kept(b"%032x" % random.getrandbits(128), threshold) for _ in range(20_000))
    expected, deviation = 200 * percent, (20_000 * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(kept - expected) < 5 * deviation


@pytest.mark.parametrize("percent", [-1, 100.1, float("nan"), float("inf")])
def test_what_is_no_percentage_is_refused(percent: float) -> None:
    """ValueError, which names it."""
    with pytest.raises(ValueError, match="is not a percentage"):
        threshold_of(percent)
