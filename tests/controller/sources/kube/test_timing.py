"""Pauses after failures, and limits of waiting that fit each other."""

from controller.sources.kube.timing import Backoff, Timing


def test_pauses_double_up_to_the_most_and_begin_anew_after_success() -> None:
    """Failures in a row wait 0.5, 1, 2 ... at most 30 s; one success and the next failure waits half a second again."""
    backoff = Backoff(0.5, 30.0, lambda _least, most: most)
    assert [backoff.next() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next() == 0.5


def test_pauses_are_jittered_and_never_longer_than_the_most() -> None:
    """Each pause is drawn between half and whole, so that clients of one outage do not come back at once."""
    drawn: list[tuple[float, float]] = []
    backoff = Backoff(0.5, 30.0, lambda least, most: drawn.append((least, most)) or least)
    assert [backoff.next() for _ in range(200)][-1] == 15.0
    assert all(least == most / 2 for least, most in drawn)
    assert len({Backoff(0.5, 30.0).next() for _ in range(20)}) > 1


def test_a_pause_is_at_least_what_the_server_asks_for() -> None:
    """Retry-After of a 429 or 503 is honoured where it is longer than our own pause (RFC 9110 10.2.3)."""
    backoff = Backoff(0.5, 30.0, lambda _least, most: most)
    assert backoff.next(7.0) == 7.0
    assert backoff.next(0.1) == 1.0


def test_a_stalled_watch_is_noticed_within_a_minute() -> None:
    """The server speaks at least two seconds before a watch's end; silence beyond that is noticed at most 60 s after its last word."""
    timing = Timing()
    assert timing.watch_longest - 2 < timing.watch_silence <= 60
    assert timing.connect + timing.read <= 60
