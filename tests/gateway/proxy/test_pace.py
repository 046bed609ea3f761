"""How a client keeps up: looks at plain numbers, at moments that the test chooses."""

from __future__ import annotations

from math import inf

import pytest

from gateway.ir.listener import ListenerOptions
from gateway.net.deadlines import GRAIN, NEVER
from gateway.proxy.limits import ConnectionLimits, PaceLimits, loosest_connections, loosest_pace
from gateway.proxy.pace import HALF_CLOSED, STALLED, Amounts, Fault, Pace, Waits

LIMITS = PaceLimits(body_timeout=30, send_timeout=30, tunnel_idle=3600, body_rate=240, send_rate=240, grace=10)
BODY, BEHIND, TUNNEL, ENDED = Waits(body=True), Waits(blocked=True), Waits(tunnel=True), Waits(ended=True)


def looked(pace: Pace, waits: Waits, *amounts: Amounts, apart: float = 1.0) -> list[str]:
    """The reasons of the faults at looks so far apart; '' for none."""
    faults = [pace.look(waits, amount, number * apart) for number, amount in enumerate(amounts)]
    return [fault.reason if fault is not None else "" for fault in faults]


def first_fault(waits: Waits, amounts: list[Amounts], limits: PaceLimits = LIMITS) -> tuple[int, str] | None:
    """The second in which a client that is looked at every second is at fault, and why."""
    reasons = looked(Pace(limits), waits, *amounts)
    return next(((second, reason) for second, reason in enumerate(reasons) if reason), None)


# bodies


def test_a_body_that_stops_is_stalled() -> None:
    """ListenerPolicy.timeouts.body: counted from the last byte."""
    assert first_fault(BODY, [Amounts(received=100_000)] * 60) == (30, "body stalled")
    later = [Amounts(received=100_000 * min(second, 5)) for second in range(60)]
    assert first_fault(BODY, later) == (35, "body stalled")


@pytest.mark.parametrize(("rate", "fault"), [(239, (11, "body too slow")), (240, None), (10_000, None)])
def test_a_body_has_a_least_rate(rate: int, fault: tuple[int, str] | None) -> None:
    """ListenerPolicy.minimumRates.body, after the grace; a client that keeps to it may take for ever."""
    assert first_fault(BODY, [Amounts(received=rate * second) for second in range(1000)]) == fault


def test_the_rate_is_an_average_and_the_timeout_bounds_a_pause() -> None:
    """A client may pause, and what came fast makes up for what comes slowly."""
    assert first_fault(BODY, [Amounts(received=7_000 * (second // 25)) for second in range(1000)]) is None
    assert first_fault(BODY, [Amounts(received=(24_000 if second else 0) + second) for second in range(200)]) == (101, "body too slow")


def test_a_byte_now_and_then_does_not_help() -> None:
    """Neither more often than the timeout nor just before it (R-U-Dead-Yet)."""
    for every in (1, 5, 15, 29):
        fault = first_fault(BODY, [Amounts(received=second // every) for second in range(200)])
        assert fault == (-(-11 // every) * every, "body too slow")


def test_time_in_which_it_was_not_read_is_not_the_clients() -> None:
    """A backend that does not take the body, or has not asked for it (Expect), stops its client."""
    pace = Pace(LIMITS)
    for second in range(500):
        held = second % 50 > 5
        assert pace.look(Waits(body=True, held=held), Amounts(received=100 * second), float(second)) is None or not held
    pace = Pace(LIMITS)
    assert all(pace.look(Waits(body=True, held=True), Amounts(), float(second)) is None for second in range(1000))
    assert [pace.look(BODY, Amounts(), float(second)) is None for second in (1000, 1001, 1009)] == [True] * 3


def test_zero_disables_each_limit() -> None:
    """Of ListenerPolicy.timeouts and minimumRates."""
    limits = PaceLimits.of(ListenerOptions(body_timeout=0, send_timeout=0, tunnel_idle_timeout=0, minimum_body_rate=0, minimum_send_rate=0))
    for waits in (BODY, BEHIND, TUNNEL):
        assert first_fault(waits, [Amounts()] * 5000, limits) is None


def test_a_backend_that_takes_nothing_is_not_waited_for_for_ever() -> None:
    """BackendPolicy.sendTimeout, while it holds up the client's body; one that takes a little now and then is slow, and may be."""
    stuck = Waits(body=True, held=True, backend=60.0)
    assert first_fault(stuck, [Amounts(received=1000, passed=10)] * 100) == (60, "backend stalled")
    assert first_fault(stuck, [Amounts(received=1000, passed=second // 50) for second in range(1000)]) is None
    assert first_fault(Waits(body=True, held=True, backend=inf), [Amounts()] * 1000) is None


# responses


def test_a_client_that_takes_nothing_is_stalled() -> None:
    """ListenerPolicy.timeouts.send."""
    assert first_fault(BEHIND, [Amounts(taken=7)] * 60) == (30, "response stalled")


@pytest.mark.parametrize(("rate", "fault"), [(239, (11, "response too slow")), (240, None)])
def test_a_response_has_a_least_rate(rate: int, fault: tuple[int, str] | None) -> None:
    """ListenerPolicy.minimumRates.send, while the client is behind."""
    assert first_fault(BEHIND, [Amounts(taken=rate * second) for second in range(1000)]) == fault


def test_a_client_that_has_caught_up_begins_anew() -> None:
    """Only what waits for it is measured."""
    pace = Pace(LIMITS)
    for second in range(1000):
        assert pace.look(BEHIND if second % 9 else Waits(), Amounts(taken=second), float(second)) is None


def test_a_closing_connection_is_not_waited_for_without_limit() -> None:
    """Where the timeout is disabled a fixed one holds: there is nobody whom a late end would serve."""
    limits = PaceLimits(send_timeout=inf, send_rate=0)
    assert first_fault(Waits(blocked=True, closing=True), [Amounts()] * 60, limits) == (int(STALLED), "response stalled")


# tunnels, ends


def test_a_tunnel_is_idle_when_nothing_passes_in_either_direction() -> None:
    """ListenerPolicy.timeouts.tunnelIdle."""
    limits = PaceLimits(tunnel_idle=20)
    assert first_fault(TUNNEL, [Amounts()] * 60, limits) == (20, "tunnel idle")
    for amounts in ([Amounts(received=second // 19) for second in range(200)], [Amounts(sent=second // 19) for second in range(200)]):
        assert first_fault(TUNNEL, amounts, limits) is None


def test_a_client_that_has_ended_its_side_is_waited_for_as_long_as_something_comes() -> None:
    """Decision 002: after half a minute without a byte for it, it is taken to be gone, which is no slowness."""
    fault = Pace(LIMITS)
    assert fault.look(ENDED, Amounts(), 0.0) is None
    assert fault.look(ENDED, Amounts(sent=1), HALF_CLOSED - 1) is None
    assert fault.look(ENDED, Amounts(sent=1), 2 * HALF_CLOSED - 2) is None
    assert fault.look(ENDED, Amounts(sent=1), 2 * HALF_CLOSED) == Fault("gone", "gone", "client ended its side and is taken to be gone")


# looks


@pytest.mark.parametrize(
    ("waits", "step"), [(BODY, 2.0), (BEHIND, 2.0), (ENDED, 2.0), (Waits(closing=True), 2.0), (TUNNEL, 900.0), (Waits(), NEVER)]
)
def test_who_is_waited_for_is_looked_at_again(waits: Waits, step: float) -> None:
    """Often enough that a limit is noticed soon, and never when nobody waits."""
    assert Pace(LIMITS).next_look(waits, 0.0) == step


@pytest.mark.parametrize(
    ("limits", "step"),
    [
        (PaceLimits(), 2.0),
        (PaceLimits(body_timeout=0.4), 0.1),
        (PaceLimits(send_timeout=1), 0.25),
        (PaceLimits(grace=2), 0.5),
        (PaceLimits(grace=0), 2.0),
        (PaceLimits(body_timeout=0.001), GRAIN),
    ],
)
def test_a_limit_is_noticed_at_most_a_quarter_late(limits: PaceLimits, step: float) -> None:
    """Two seconds at most, and not more often than the sweeper runs."""
    assert limits.step == step


# limits


def test_the_most_patient_listener_sets_the_limits_of_a_port() -> None:
    """Zero is no limit, the loosest of all."""
    strict = ListenerOptions(
        body_timeout=1, send_timeout=2, tunnel_idle_timeout=3, minimum_body_rate=500, minimum_send_rate=600, rate_grace=7,
        most_connections=8, most_connections_per_client=9, most_requests_per_connection=10,
    )  # fmt: skip
    loose = ListenerOptions(body_timeout=0, minimum_body_rate=0, most_connections=20)
    assert loosest_pace([strict]) == PaceLimits(0.001, 0.002, 0.003, 500, 600, 0.007)
    assert loosest_pace([strict, loose]) == PaceLimits(inf, 30, 3600, 0, 240, 10)
    assert loosest_connections([strict]) == ConnectionLimits(8, 9, 10)
    assert loosest_connections([strict, loose]) == ConnectionLimits(20, inf, inf)
    assert (loosest_pace([]), loosest_connections([])) == (PaceLimits(), ConnectionLimits())
