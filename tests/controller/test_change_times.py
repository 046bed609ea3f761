"""Changes are timed from the event to their effect in all proxies, each once for each Gateway."""

from __future__ import annotations

from controller.change_times import ChangeTimes


def counted(times: ChangeTimes) -> dict[str, float]:
    return dict(times.buckets())


def test_a_change_is_counted_once_its_revision_is_in_place() -> None:
    """Until then it is in no bucket; afterwards in all whose upper end it does not exceed."""
    times = ChangeTimes()
    times.published("one/web", 7, 100.0)
    times.applied("one/web", 6, 100.004)
    assert counted(times)["+Inf"] == 0
    times.applied("one/web", 8, 100.008)
    times.applied("one/web", 9, 100.009)
    found = counted(times)
    assert (found["0.005"], found["0.01"], found["+Inf"]) == (0, 1, 1)
    assert abs(times.total - 0.008) < 1e-9


def test_gateways_are_timed_apart() -> None:
    """Revisions of one Gateway say nothing about those of another."""
    times = ChangeTimes()
    times.published("one/web", 1, 100.0)
    times.published("two/web", 5, 100.0)
    times.applied("two/web", 5, 100.2)
    found = counted(times)
    assert (found["0.1"], found["0.25"], found["+Inf"]) == (0, 1, 1)


def test_what_nobody_waits_for_any_more_is_not_timed() -> None:
    """The proxies went away before they had it: whoever comes later took no part in it."""
    times = ChangeTimes()
    times.published("one/web", 1, 100.0)
    times.forget("one/web")
    times.applied("one/web", 1, 200.0)
    assert counted(times)["+Inf"] == 0


def test_one_that_took_longer_than_all_bounds_is_counted_in_the_last_bucket() -> None:
    """The buckets are cumulative, and the last one counts everything (Prometheus exposition, Histograms)."""
    times = ChangeTimes()
    times.published("one/web", 1, 100.0)
    times.applied("one/web", 1, 160.0)
    assert (counted(times)["10.0"], counted(times)["+Inf"]) == (0, 1)


def test_what_waits_is_bounded() -> None:
    """A proxy that never acknowledges holds no memory beyond a thousand changes."""
    times = ChangeTimes()
    for revision in range(1, 5_001):
        times.published("one/web", revision, 100.0)
    times.applied("one/web", 5_000, 100.1)
    assert counted(times)["+Inf"] == 1_000
