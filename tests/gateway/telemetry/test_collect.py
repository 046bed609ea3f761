"""A worker's numbers are gathered without holding up its requests."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.proxy.core import Core
from gateway.proxy.rule import Account
from gateway.telemetry import counters as counters_module
from gateway.telemetry.collect import requests_in_steps, streams_in_steps
from gateway.telemetry.counters import CounterLabels
from gateway.telemetry.statistics import OTHER, RequestSeries


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


def test_label_sets_of_a_worker_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes that come and go for ever cost no more memory than the bound: those that come later count for their backend, then, with a
    backend that comes later too, for nobody. No request is lost, whoever has a label set keeps it, and the log still names the route."""
    monkeypatch.setattr(counters_module, "MOST_LABELS", 2)
    loop = asyncio.new_event_loop()
    try:
        core = Core(loop)
        for number in range(8):
            labels = CounterLabels("default/g", "http", "HTTPRoute", f"default/r{number}", "0", f"default/s{number // 3}:80")
            for each in (labels, CounterLabels("default/g", "http", "HTTPRoute", "default/r0", "0", "default/s0:80")):
                account = Account(core.counters_for(each), each)
                account.counters.record((200, "", b"1.1", None), 1.0, 10, 20)
                assert each.route.encode() in account.fragment
        found = [series for counters in core.counters.values() for series in counters.collect()]
    finally:
        loop.close()
    assert [(series.route, series.backend, series.count) for series in found] == [
        ("default/r0", "default/s0:80", 9),
        ("default/r1", "default/s0:80", 1),
        (OTHER, "default/s0:80", 1),
        (OTHER, "default/s1:80", 3),
        (OTHER, OTHER, 2),
    ]


def test_label_sets_of_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of requests; beyond twice the bound they count for nobody."""
    monkeypatch.setattr(counters_module, "MOST_LABELS", 1)
    loop = asyncio.new_event_loop()
    try:
        core = Core(loop)
        for number in range(5):
            labels = CounterLabels("default/g", "db", "TCPRoute", f"default/r{number}", "0", f"default/s{number}:80")
            account = core.stream_account(labels, "TCP")
            account.sums.opened += 1
            assert f"default/r{number}".encode() in account.fragment
        steps = streams_in_steps(core, ())
        found = []
        while not found:
            try:
                next(steps)
            except StopIteration as done:
                found = done.value
    finally:
        loop.close()
    assert [(series.route, series.backend, series.opened) for series in found] == [
        ("default/r0", "default/s0:80", 1),
        (OTHER, "default/s1:80", 1),
        (OTHER, OTHER, 3),
    ]
