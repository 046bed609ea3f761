"""The part of a backend's requests that may be retries (XBackendTrafficPolicy.retryConstraint, GEP-3388)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ir.backend import RetryBudget as Options
from gateway.policies.retry_budget import RetryBudget, Window


def allowed(budget: RetryBudget, now: float, wanted: int) -> int:
    return sum(budget.take(now) for _ in range(wanted))


def asked(budget: RetryBudget, now: float, requests: int) -> None:
    for _ in range(requests):
        budget.request(now)


def test_a_fifth_of_the_requests_by_default() -> None:
    """Of 1,000 requests in the last 10 s 200 may be retries (the example of BackendTrafficPolicySpec.retryConstraint)."""
    budget = RetryBudget(Options(min_retries=0))
    asked(budget, 100.0, 1000)
    assert allowed(budget, 100.0, 500) == 200


def test_the_least_rate_holds_in_any_case() -> None:
    """With hardly any requests ten retries a second are allowed (RetryConstraint.minRetryRate)."""
    budget = RetryBudget(Options())
    assert allowed(budget, 100.0, 50) == 10
    assert allowed(budget, 100.5, 50) == 0
    assert allowed(budget, 101.1, 50) == 10


def test_requests_count_for_the_interval() -> None:
    """Older ones are forgotten (BudgetDetails.interval)."""
    budget = RetryBudget(Options(percent=50, interval=1_000, min_retries=0))
    asked(budget, 100.0, 100)
    assert allowed(budget, 100.5, 10) == 10
    assert allowed(budget, 101.2, 10) == 0
    asked(budget, 101.2, 100)
    assert allowed(budget, 101.2, 100) == 40  # ten more were in the last second


def test_no_budget_at_all() -> None:
    """0 percent and the least rate: just that."""
    budget = RetryBudget(Options(percent=0, min_retries=1, min_interval=1_000))
    asked(budget, 100.0, 1000)
    assert allowed(budget, 100.0, 5) == 1


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=20),
    st.integers(0, 100),
    st.integers(1, 5),
)
def test_never_more_than_the_budget(story: list[tuple[float, int, int]], percent: int, least: int) -> None:
    """Whenever a retry is allowed, there are too few of them for the budget before it, or fewer than the least rate lately."""
    budget, now = RetryBudget(Options(percent, 2_000, least, 1_000)), 100.0
    requests: list[float] = []
    retries: list[float] = []
    for passed, more, wanted in story:
        now += passed
        asked(budget, now, more)
        requests += [now] * more
        for _ in range(wanted):
            recent = sum(time > now - 0.9 for time in retries)
            within = sum(time > now - 1.8 for time in retries)
            everything = sum(time > now - 2.0 for time in requests)
            if budget.take(now):
                assert recent < least or within * 100 <= percent * (everything + 1)
                retries.append(now)


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 3)), max_size=60))
def test_a_window_holds_what_was_lately(story: list[tuple[float, int]]) -> None:
    """What happened in the last nine tenths is counted, what is older than the whole is not."""
    window, now = Window(1.0), 50.0
    times: list[float] = []
    for passed, more in story:
        now += passed
        for _ in range(more):
            window.add(now)
        times += [now] * more
        window.turn(now)
        assert sum(time > now - 0.9 for time in times) <= window.total <= sum(time >= now - 1.0 for time in times)


@pytest.mark.parametrize("now", [0.0, 1e9])
def test_any_clock_will_do(now: float) -> None:
    """Where the clock begins says nothing."""
    budget = RetryBudget(Options(min_retries=3))
    assert allowed(budget, now, 5) == 3
