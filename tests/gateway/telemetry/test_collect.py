"""A worker's numbers are gathered without holding up its requests."""

from __future__ import annotations

import asyncio

import msgspec

from gateway.proxy.core import Core
from gateway.telemetry.collect import requests_in_steps
from gateway.telemetry.counters import CounterLabels
from gateway.telemetry.statistics import RequestSeries


def test_the_series_of_many_rules_are_gathered_in_steps() -> None:
    """One step a rule; a rule that gets its first request meanwhile counts in the next answer."""
    loop = asyncio.new_event_loop()
    try:
        core = Core(loop)
        for number in range(100):
            core.counters_for(CounterLabels("default/g", "http", "HTTPRoute", f"default/r{number}", "0", "default/s:80")).record(
                (200, "", b"1.1", None), 1.0, 10, 20
            )
        steps = requests_in_steps(core)
        taken = 0
        while True:
            try:
                next(steps)
            except StopIteration as done:
                encoded = done.value
                break
            core.counters_for(CounterLabels("default/g", "http", "HTTPRoute", f"default/new{taken}", "0", "default/s:80"))
            taken += 1
    finally:
        loop.close()
    assert taken == 100
    found = [msgspec.json.decode(series, type=RequestSeries) for series in encoded]
    assert [series.route for series in found] == [f"default/r{number}" for number in range(100)]
    assert {series.count for series in found} == {1}
