"""Budgets of frames that cost and carry nothing: bounded at once and over time, and refilled by work (RFC 9113 10.5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.http2.floods import BURST, RATE, RESET_RATE, RESETS_FOR_ANSWER, UPDATES_FOR_WORK, Budget


def taken(budget: Budget, now: float, work: int = 0) -> int:
    """How many there are at one moment."""
    count = 0
    while budget.take(now, work):
        count += 1
    return count


def test_a_burst_is_bounded() -> None:
    """Whatever comes at once."""
    assert taken(Budget(5.0), 5.0) == BURST


def test_time_refills_it() -> None:
    """By the rate, and never to more than the burst."""
    budget = Budget(0.0)
    taken(budget, 0.0)
    assert taken(budget, 0.5) == RATE / 2
    assert taken(budget, 1_000.0) == BURST


def test_work_refills_it_once() -> None:
    """By the share of each piece of work done since the last frame, not of all that was ever done."""
    budget = Budget(0.0, RATE, UPDATES_FOR_WORK)
    taken(budget, 0.0)
    assert taken(budget, 0.0, work=3) == 3 * UPDATES_FOR_WORK
    assert taken(budget, 0.0, work=3) == 0
    assert taken(budget, 0.0, work=5) == 2 * UPDATES_FOR_WORK


def test_two_answers_pay_for_a_reset() -> None:
    """CVE-2023-44487: whoever resets more than it lets be answered is soon out of budget."""
    budget = Budget(0.0, RESET_RATE, RESETS_FOR_ANSWER)
    taken(budget, 0.0)
    assert [budget.take(0.0, work) for work in range(1, 7)] == [False, True, False, True, False, True]


@given(st.lists(st.tuples(st.floats(0, 0.1), st.integers(0, 3)), max_size=200))
def test_never_more_than_is_due(steps: list[tuple[float, int]]) -> None:
    """Over any sequence of pauses and work: the burst, and what time and work have earned."""
    budget, now, work, count = Budget(0.0), 0.0, 0, 0
    for pause, done in steps:
        now, work = now + pause, work + done
        count += taken(budget, now, work)
        assert count <= BURST + now * RATE + work + 1e-6
