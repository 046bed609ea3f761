"""Heartbeats: when a worker is silent, when it is given up, and what happens to one whose loop stands still."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import watchdog
from gateway.descriptors import Beat
from gateway.watchdog import HUNG_AFTER, INTERVAL, SILENT_AFTER, START_LIMIT, Pulse
from tests.gateway.test_parent import backend, data_plane
from tests.running import run


def looked(pulse: Pulse, times: int) -> Pulse:
    for _ in range(times):
        pulse.passed(INTERVAL)
    return pulse


def begun(beat: Beat = "serving") -> Pulse:
    pulse = Pulse()
    pulse.heard(beat)
    return pulse


def test_a_worker_is_silent_after_a_second_and_hung_after_five() -> None:
    """Design 2: others serve for it after a second; issue 4: it is killed when its heartbeat is older than 5 s."""
    pulse = begun()
    assert not looked(pulse, int(SILENT_AFTER / INTERVAL) - 1).silent
    assert looked(pulse, 1).silent
    assert not looked(pulse, int((HUNG_AFTER - SILENT_AFTER) / INTERVAL) - 1).hung
    assert looked(pulse, 1).hung


def test_a_heartbeat_ends_the_silence() -> None:
    """Whatever came before."""
    pulse = looked(begun(), 19)
    pulse.heard("serving")
    assert (pulse.silent, pulse.hung, pulse.silence) == (False, False, 0)


def test_an_interpreter_has_its_own_limit() -> None:
    """Before the first heartbeat nobody is silent, and only a start that takes very long is given up."""
    pulse = looked(Pulse(), int(START_LIMIT / INTERVAL) - 1)
    assert (pulse.silent, pulse.hung) == (False, False)
    assert looked(pulse, 1).hung


def test_a_worker_serves_once_it_says_so() -> None:
    """One that has not put its first batch in place gets no connections."""
    assert not begun("starting").serving
    assert (begun("serving").serving, begun("serving").full) == (True, False)


def test_a_worker_that_is_full_serves_but_takes_no_more() -> None:
    """The last step of the overload ladder: it accepts nothing, so nothing that was accepted for another is handed to it."""
    assert (begun("full").serving, begun("full").full) == (True, True)


def test_who_was_given_up_is_not_given_up_again() -> None:
    """It is told once, however long the system takes to end it."""
    pulse = looked(begun(), 100)
    pulse.given_up = True
    assert not looked(pulse, 100).hung


@given(st.lists(st.floats(0, 1_000), max_size=5))
def test_time_in_which_nobody_listened_is_not_held_against_a_worker(pauses: list[float]) -> None:
    """A parent that was busy, or a machine that stood still: no number of such looks counts for more than two intervals each."""
    pulse = begun()
    for pause in pauses:
        pulse.passed(pause)
    assert pulse.silence <= len(pauses) * 2 * INTERVAL
    assert not pulse.hung


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets after how many seconds a worker is hung."""

    def patience(seconds: float) -> None:
        monkeypatch.setattr(watchdog, "HUNG_AFTER", seconds)

    return patience


@pytest.mark.slow
def test_a_stopped_worker_is_killed_and_started_anew(impatient: Callable[[float], None]) -> None:
    """R5, the fault "worker hang": SIGSTOP. It is told with process, silence and the last revision that it had in place."""
    impatient(1.5)

    async def test() -> None:
        async with data_plane(1) as plane:
            await plane.publish(backend("a"))
            pid = (await plane.pids())["worker-0"]
            os.kill(pid, signal.SIGSTOP)
            while len(plane.messages) < 2:
                plane.said.clear()
                await plane.said.wait()
            assert plane.messages == [
                f"worker-0 (process {pid}) has been silent for 2 s, the last revision that it acknowledged is 2: it is killed",
                f"worker-0 (process {pid}) was killed by signal SIGKILL; starting it anew in 0.1 s",
            ]
            await plane.publish(backend("b"))
            assert (await plane.explain())["worker-0"]["keys"] == ["a", "b"]

    run(test)


@pytest.mark.slow
def test_a_worker_that_blocks_its_loop_is_killed_and_told(impatient: Callable[[float], None]) -> None:
    """A fault of ours in the loop, met while a batch is applied: the last revision told is the one before it."""
    impatient(1.5)

    async def test() -> None:
        async with data_plane(1) as plane:
            await plane.publish(backend("a"))
            plane.publisher.publish([backend("hang")], ())
            while not plane.messages:
                plane.said.clear()
                await plane.said.wait()
            assert plane.messages[0].endswith("the last revision that it acknowledged is 2: it is killed")
            await plane.publish(remove=(("Backend", "hang"),))
            assert "worker-0" in await plane.pids()

    run(test)


@pytest.mark.slow
def test_a_worker_that_hangs_before_it_has_anything_is_told_so(impatient: Callable[[float], None]) -> None:
    """Its first batch may never be its last word."""
    impatient(1.5)

    async def test() -> None:
        async with data_plane(1) as plane:
            plane.publisher.publish([backend("hang")], ())
            while not plane.messages:
                plane.said.clear()
                await plane.said.wait()
            assert plane.messages[0].endswith("the last revision that it acknowledged is 0: it is killed")
            await plane.publish(remove=(("Backend", "hang"),))

    run(test)


@pytest.mark.slow
def test_a_worker_that_only_rested_goes_on(impatient: Callable[[float], None]) -> None:
    """Silence that ends before the limit costs nobody anything."""
    impatient(20.0)

    async def test() -> None:
        async with data_plane(1) as plane:
            await plane.publish(backend("a"))
            (worker,) = plane.workers._workers
            pid = (await plane.pids())["worker-0"]
            os.kill(pid, signal.SIGSTOP)
            while not worker.silent:  # noqa: ASYNC110  # it is noticed at an interval, too
                await asyncio.sleep(INTERVAL)
            os.kill(pid, signal.SIGCONT)
            await plane.publish(backend("b"))
            assert (await plane.pids())["worker-0"] == pid
            assert plane.messages == []

    run(test)
