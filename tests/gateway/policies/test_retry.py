"""Retries (HTTPRouteRetry, RFC 9110 9.2.2): what is tried again, how often, and after how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ir.rule import Retry
from gateway.policies.retry import IDEMPOTENT, REPLAY_LIMIT, Attempt, Failure, RetryPolicy

CODES = Retry(attempts=3, codes=(500, 503))
BARE = Retry(attempts=3)


def waits(
    retry: Retry | None, outcome: int | Failure, method: bytes = b"GET", sent: int = 100, retries: int = 0, replayable: bool = True
) -> float | None:
    return RetryPolicy.compile(retry).decide(Attempt(outcome, retries, method, sent, replayable), 0.5)


MATRIX: list[tuple[str, Retry | None, int | Failure, bytes, int, bool]] = [
    ("connect failure, no retry given", None, Failure.CONNECT, b"GET", 0, True),
    ("connect failure of a POST, no retry given", None, Failure.CONNECT, b"POST", 0, True),
    ("refused stream of a POST, no retry given", None, Failure.REFUSED, b"POST", 100, True),
    ("stale connection, no retry given", None, Failure.STALE, b"GET", 100, True),
    ("stale connection, POST not yet sent", None, Failure.STALE, b"POST", 0, True),
    ("stale connection, POST sent", None, Failure.STALE, b"POST", 100, False),
    ("reset, no retry given", None, Failure.RESET, b"GET", 100, False),
    ("timeout, no retry given", None, Failure.TIMEOUT, b"GET", 100, False),
    ("status, no retry given", None, 503, b"GET", 100, False),
    ("connect failure without codes", BARE, Failure.CONNECT, b"POST", 0, True),
    ("reset of an idempotent request without codes", BARE, Failure.RESET, b"PUT", 100, True),
    ("reset of a POST without codes, sent", BARE, Failure.RESET, b"POST", 1, False),
    ("reset of a POST without codes, not sent", BARE, Failure.RESET, b"POST", 0, True),
    ("reset of an unknown method without codes", BARE, Failure.RESET, b"BREW", 100, False),
    ("timeout without codes", BARE, Failure.TIMEOUT, b"GET", 100, True),
    ("timeout of a POST without codes", BARE, Failure.TIMEOUT, b"POST", 100, False),
    ("stale connection, POST sent, without codes", BARE, Failure.STALE, b"POST", 100, False),
    ("status without codes", BARE, 503, b"GET", 100, False),
    ("listed status", CODES, 503, b"GET", 100, True),
    ("listed status of a POST", CODES, 500, b"POST", 100, True),
    ("other status", CODES, 502, b"GET", 100, False),
    ("success", CODES, 200, b"GET", 100, False),
    ("connect failure with codes", CODES, Failure.CONNECT, b"POST", 0, True),
    ("reset of a POST with codes", CODES, Failure.RESET, b"POST", 100, True),
    ("stale connection, POST sent, with codes", CODES, Failure.STALE, b"POST", 100, True),
    ("timeout of a POST with codes", CODES, Failure.TIMEOUT, b"POST", 100, True),
]


@pytest.mark.parametrize(("retry", "outcome", "method", "sent", "expected"), [row[1:] for row in MATRIX], ids=[row[0] for row in MATRIX])
def test_what_is_tried_again(retry: Retry | None, outcome: int | Failure, method: bytes, sent: int, expected: bool) -> None:
    """Listed codes; connection errors and timeouts with a retry, but without codes only where a repetition does no harm; without a
    retry what failed before the backend saw the request, or on a connection that had gone stale."""
    assert (waits(retry, outcome, method, sent) is not None) is expected


@pytest.mark.parametrize(("retry", "most"), [(None, 1), (CODES, 3), (Retry(attempts=0), 0), (Retry(attempts=1), 1)])
def test_attempts_are_retries(retry: Retry | None, most: int) -> None:
    """attempts is the number of retries after the first try (HTTPRouteRetry.attempts); without a retry there is one."""
    made = [retries for retries in range(6) if waits(retry, Failure.CONNECT, sent=0, retries=retries) is not None]
    assert made == list(range(most))


@pytest.mark.parametrize("outcome", [503, *Failure])
def test_what_cannot_be_replayed_is_not_tried_again(outcome: int | Failure) -> None:
    """Once a part of the body is gone, no failure brings the request back: at most 64 KiB are kept."""
    assert waits(CODES, outcome, replayable=False) is None
    assert REPLAY_LIMIT == 65536


def test_idempotent_methods() -> None:
    """RFC 9110 9.2.2: the safe methods, PUT and DELETE."""
    assert {b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"} == IDEMPOTENT


def test_first_retry_without_backoff_goes_at_once() -> None:
    """A rule without backoff does not make its clients wait for the first retry, but backs off from the second."""
    assert waits(BARE, Failure.CONNECT) == 0.0
    assert waits(BARE, Failure.CONNECT, retries=1) == pytest.approx(0.025 * 1.25)
    assert waits(BARE, Failure.CONNECT, retries=2) == pytest.approx(0.050 * 1.25)


@given(st.integers(1, 60_000), st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_backoff_is_the_least_wait(backoff: int, retries: int, draw: float) -> None:
    """No retry goes before the backoff has passed (HTTPRouteRetry.backoff), none waits longer than ten times, none less than before."""
    policy = RetryPolicy.compile(Retry(attempts=200, codes=(503,), backoff=backoff))
    wait, later = (policy.decide(Attempt(503, count, b"GET", 1, True), draw) for count in (retries, retries + 1))
    assert wait is not None
    assert later is not None
    assert backoff / 1000 <= wait <= later <= backoff / 100 * (1 + 1e-9)


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_waits_differ_between_clients(one: float, other: float) -> None:
    """Jitter follows the draw, so that those who failed together do not return together."""
    policy = RetryPolicy.compile(Retry(attempts=1, codes=(503,), backoff=100))
    first, second = (policy.decide(Attempt(503, 0, b"GET", 1, True), draw) for draw in (min(one, other), max(one, other)))
    assert first is not None
    assert second is not None
    assert first <= second


@pytest.mark.parametrize("retry", [Retry(codes=(200,)), Retry(codes=(600,)), Retry(attempts=-1), Retry(backoff=-1)])
def test_refused_values(retry: Retry) -> None:
    """Codes are errors, numbers are not negative."""
    with pytest.raises(ValueError, match="retry"):
        RetryPolicy.compile(retry)


def test_rules_without_retry_share_one_policy() -> None:
    """Most rules have no retry, and none pays for it."""
    assert RetryPolicy.compile(None) is RetryPolicy.compile(None)
    assert not RetryPolicy.compile(None).codes
