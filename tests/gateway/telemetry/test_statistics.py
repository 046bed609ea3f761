"""Sums over workers, which never fall."""

from __future__ import annotations

import msgspec
import pytest

from gateway.telemetry import statistics as statistics_module
from gateway.telemetry.counters import DURATION_BOUNDS
from gateway.telemetry.statistics import OTHER, RequestSeries, Sample, Statistics, StreamSeries, Totals, merge


def series(count: int, *, backend: str = "default/s:80", code: int = 200) -> RequestSeries:
    buckets = (count, *(0 for _ in DURATION_BOUNDS))
    labels = ("default/g", "http", "HTTPRoute", "default/r", "0", backend, code, "-", "http")
    return RequestSeries(*labels, count, buckets, count * 0.25, count * 10, count * 20)


def test_series_and_counters_add_up_by_their_labels() -> None:
    """The sum of two workers holds each label set once; gauges add up as well."""
    one = Statistics((series(1), series(2, code=404)), (Sample("tidegate_a_total", (("reason", "x"),), 1),), (Sample("tidegate_g", (), 2),))
    counters = (Sample("tidegate_a_total", (("reason", "x"),), 2), Sample("tidegate_a_total", (), 5))
    two = Statistics((series(3),), counters, (Sample("tidegate_g", (), 3),))
    assert merge((one, two)) == Statistics(
        (series(4), series(2, code=404)),
        (Sample("tidegate_a_total", (("reason", "x"),), 3), Sample("tidegate_a_total", (), 5)),
        (Sample("tidegate_g", (), 5),),
    )


def test_what_a_dead_worker_counted_stays_counted() -> None:
    """A counter that falls would look like a restart, and rates would be wrong; gauges of the dead are gone."""
    totals = Totals()
    totals.told("worker-0", Statistics((series(5),), (Sample("tidegate_a_total", (), 5),), (Sample("tidegate_g", (), 5),)))
    totals.told("worker-1", Statistics((series(1),)))
    totals.ended("worker-0")
    totals.told("worker-0", Statistics((series(2),), (), (Sample("tidegate_g", (), 1),)))
    assert merge(totals.parts()) == Statistics((series(8),), (Sample("tidegate_a_total", (), 5),), (Sample("tidegate_g", (), 1),))


def test_what_is_kept_of_dead_workers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes come and go and workers die: the first series stay apart, then backends do, the rest is one, and no request is lost."""
    monkeypatch.setattr(statistics_module, "MOST_PAST", 2)
    totals = Totals()
    for number in range(6):
        totals.told("worker-0", Statistics((series(1, backend=f"default/s{number}:80"), series(1, backend="default/first:80"))))
        totals.ended("worker-0")
    found = [(one.route, one.backend, one.count) for one in merge(totals.parts()).requests]
    assert found == [
        ("default/r", "default/s0:80", 1),
        ("default/r", "default/first:80", 6),
        (OTHER, "default/s1:80", 1),
        (OTHER, "default/s2:80", 1),
        (OTHER, OTHER, 3),
    ]


def test_a_worker_that_does_not_answer_counts_with_what_it_told_last() -> None:
    """A busy worker's numbers are late, not gone."""
    totals = Totals()
    totals.told("worker-0", Statistics((series(5),)))
    assert merge(totals.parts()) == merge(totals.parts()) == Statistics((series(5),))


def test_a_worker_that_never_told_anything_may_end() -> None:
    """A worker that dies at its start has no numbers."""
    totals = Totals()
    totals.ended("worker-0")
    assert merge(totals.parts()) == Statistics()


def test_statistics_survive_the_stream() -> None:
    """They travel as JSON; what is something else (a failure) is not taken for empty statistics."""
    statistics = Statistics((series(1),), (Sample("tidegate_a_total", (("reason", "x"),), 1.5),))
    assert msgspec.json.decode(msgspec.json.encode(statistics), type=Statistics) == statistics
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"error":"KeyError"}', type=Statistics)


def test_streams_are_summed_over_workers_by_all_their_names() -> None:
    """Numbers of a worker that has ended stay."""
    one = StreamSeries("g/g", "l", "TCPRoute", "a/r", "0", "a/s:1", "tcp", "-", 3, 2, 10, 20)
    other = msgspec.structs.replace(one, flags="UF", opened=0, closed=1, received_bytes=0, sent_bytes=0)
    totals = Totals()
    totals.told("w0", Statistics(streams=(one, other)))
    totals.ended("w0")
    totals.told("w1", Statistics(streams=(one,)))
    assert merge(totals.parts()).streams == (msgspec.structs.replace(one, opened=6, closed=4, received_bytes=20, sent_bytes=40), other)
