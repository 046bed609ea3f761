"""The health of an endpoint, and who takes part: a state machine over what requests, probes and checks report (BackendPolicy.ejection)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ir.backend import Ejection
from gateway.upstream.health import FIRST_PROBE, JITTER, LAST_PROBE, Health, State, candidates_of, members_of

OPTIONS = Ejection(max_time=30_000)
"""5 bad answers in a row, 1 s, at most 30 s."""


def ejected(health: Health, now: float = 100.0, options: Ejection = OPTIONS) -> float:
    """The seconds for which five bad answers eject an endpoint that serves."""
    waits = [health.answered_badly(options, "answered 503", now, 0.0) for _ in range(5)]
    assert waits[:4] == [None] * 4
    assert waits[4] is not None
    return waits[4]


def tried(health: Health, now: float = 101.0) -> None:
    """Its ejection is over, and the request that decides begins."""
    health.ejection_over(now)
    health.try_out(now)


def test_an_endpoint_begins_healthy() -> None:
    """Nothing is held against it, and a good answer is no news."""
    health = Health()
    assert (health.healthy, health.suspect, health.reason) == (True, False, "")


def test_bad_answers_in_a_row_eject() -> None:
    """The fifth, and for the base time; until then it takes part (BackendPolicy.ejection.consecutiveErrors)."""
    health = Health()
    assert ejected(health) == 1.0
    assert (health.healthy, health.state) == (False, State.EJECTED)
    assert health.reason == "5 bad answers in a row, the last: answered 503"


def test_a_good_answer_in_between_begins_anew() -> None:
    """Only what comes in a row counts."""
    health = Health()
    for _ in range(4):
        health.answered_badly(OPTIONS, "reset", 100.0, 0.0)
    assert health.suspect
    health.answered_well(100.0)
    assert not health.suspect
    assert ejected(health) == 1.0


def test_ejection_can_be_turned_off() -> None:
    """0 bad answers: never."""
    health = Health()
    assert [health.answered_badly(Ejection(consecutive_errors=0), "reset", 100.0, 0.0) for _ in range(99)] == [None] * 99
    assert health.healthy


def test_one_request_decides_whether_it_is_back() -> None:
    """After the time it takes part, for one request; then no more until that is answered (half-open)."""
    health = Health()
    ejected(health)
    health.ejection_over(101.0)
    assert health.healthy
    health.try_out(101.0)
    assert not health.healthy
    health.answered_well(101.0)
    assert (health.healthy, health.suspect, health.reason) == (True, False, "")


def test_a_request_that_tells_nothing_leaves_it_to_the_next() -> None:
    """Such as one whose client left."""
    health = Health()
    ejected(health)
    tried(health)
    health.trial_void(101.0)
    assert (health.healthy, health.state) == (True, State.DUE)


def test_times_double_up_to_a_limit() -> None:
    """Each trial that fails costs twice the time: one bad answer is enough then (BackendPolicy.ejection.maxTime)."""
    health = Health()
    waits = [ejected(health)]
    for _ in range(7):
        tried(health)
        wait = health.answered_badly(OPTIONS, "answered 503", 101.0, 0.0)
        assert wait is not None
        waits.append(wait)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_times_go_on_doubling_for_who_fails_again_soon() -> None:
    """An endpoint that was well for less than the longest time is not trusted as one that never failed."""
    health = Health()
    ejected(health)
    tried(health)
    health.answered_well(102.0)
    assert ejected(health, 120.0) == 2.0
    tried(health, 122.0)
    health.answered_well(122.0)
    assert ejected(health, 153.0) == 1.0


@given(st.floats(0, 1, exclude_max=True))
def test_times_are_jittered(draw: float) -> None:
    """Shorter by up to a fifth, never longer, so that workers do not let it back in at one moment."""
    health = Health()
    for _ in range(4):
        health.answered_badly(OPTIONS, "reset", 100.0, draw)
    wait = health.answered_badly(OPTIONS, "reset", 100.0, draw)
    assert wait is not None
    assert 1 - JITTER <= wait <= 1
    probe = Health().connect_failed("refused", 100.0, draw)
    assert probe is not None
    assert FIRST_PROBE * (1 - JITTER) <= probe <= FIRST_PROBE


def test_a_failed_connect_puts_it_out_at_once() -> None:
    """One is enough; probes come after 0.1 s and then twice as long each time, up to a second."""
    health = Health()
    waits = [health.connect_failed("refused", 100.0, 0.0), *(health.probe_failed("refused", 0.0) for _ in range(6))]
    assert waits == [0.1, 0.2, 0.4, 0.8, LAST_PROBE, LAST_PROBE, LAST_PROBE]
    assert (health.healthy, health.state) == (False, State.PROBED)
    health.probed(104.0)
    assert (health.healthy, health.state) == (True, State.IN)


def test_who_connects_but_never_answers_is_probed_ever_more_seldom() -> None:
    """A probe that connects says less than an answer: until there is one the waits go on doubling (TLS may fail where TCP does not)."""
    health = Health()
    assert health.connect_failed("handshake", 100.0, 0.0) == 0.1
    health.probed(100.1)
    assert health.suspect
    assert health.connect_failed("handshake", 100.2, 0.0) == 0.2
    health.probed(100.3)
    health.answered_well(100.4)
    assert health.connect_failed("handshake", 100.5, 0.0) == 0.1


def test_connects_that_fail_while_it_is_out_change_nothing() -> None:
    """Requests that were under way report late."""
    health = Health()
    ejected(health)
    assert health.connect_failed("refused", 100.0, 0.0) is None
    assert health.state is State.EJECTED
    other = Health()
    other.connect_failed("refused", 100.0, 0.0)
    assert other.connect_failed("refused", 100.0, 0.0) is None
    assert other.answered_badly(OPTIONS, "reset", 100.0, 0.0) is None


def test_a_trial_that_does_not_connect_goes_on_after_the_probes() -> None:
    """An ejected endpoint to which no connection comes about has to stand its trial once it does."""
    health = Health()
    ejected(health)
    tried(health)
    assert health.connect_failed("refused", 101.0, 0.0) == 0.1
    health.probed(101.1)
    assert health.state is State.DUE


def test_checks_and_requests_both_must_find_it_healthy() -> None:
    """An endpoint that active checks find unwell is out, whatever requests say."""
    health = Health()
    health.checked = False
    assert not health.healthy
    health.checked = True
    ejected(health)
    assert not health.healthy


EVENTS = st.sampled_from(["refused", "probed", "bad", "good", "over", "trial", "void"])


@given(st.lists(EVENTS, max_size=40))
def test_any_story_ends_well(story: list[str]) -> None:
    """Whatever is reported in whatever order, an endpoint that is out waits for something that comes, and a good answer to its trial
    brings it back."""
    health, now, waiting = Health(), 100.0, False
    for event in story:
        now += 1.0
        match event, health.state:
            case "refused", _:
                waiting = health.connect_failed("refused", now, 0.5) is not None or waiting
            case "probed", State.PROBED:
                health.probed(now)
                waiting = False
            case "bad", _:
                waiting = health.answered_badly(OPTIONS, "reset", now, 0.5) is not None or waiting
            case "good", State.IN | State.TRIAL:
                health.answered_well(now)
            case "over", State.EJECTED:
                health.ejection_over(now)
                waiting = False
            case "trial", State.DUE:
                health.try_out(now)
            case "void", State.TRIAL:
                health.trial_void(now)
        assert waiting == (health.state in (State.PROBED, State.EJECTED))
        assert health.healthy == (health.state in (State.IN, State.DUE))
        assert health.suspect or health.state is State.IN
    if health.state is State.PROBED:
        health.probed(now)
    if health.state is State.EJECTED:
        health.ejection_over(now)
    if health.state is State.DUE:
        health.try_out(now)
    health.answered_well(now)
    assert (health.healthy, health.suspect) == (True, False)


@dataclass(eq=False)
class Endpoint:
    ready: bool = True
    terminating: bool = False
    weight: int = 1
    well: bool = True
    health: Health = field(default_factory=Health)

    def __post_init__(self) -> None:
        self.health.checked = self.well


def test_terminating_endpoints_are_the_last_resort() -> None:
    """A terminating endpoint gets new traffic only while no endpoint is ready (EndpointConditions)."""
    going, ready, dead = Endpoint(terminating=True), Endpoint(), Endpoint(ready=False)
    assert members_of([going, ready, dead]) == (ready,)
    assert members_of([going, dead]) == (going,)
    assert members_of([dead]) == ()


def test_an_endpoint_without_weight_takes_no_part() -> None:
    """Weight 0 is a way to empty it."""
    assert members_of([Endpoint(weight=0), Endpoint(weight=0, terminating=True)]) == ()


@pytest.mark.parametrize(
    ("unwell", "of", "threshold", "left"),
    [(0, 4, 50, 4), (1, 4, 50, 3), (2, 4, 50, 2), (3, 4, 50, 4), (1, 1, 50, 1), (1, 2, 50, 1), (2, 2, 50, 2), (3, 4, 0, 1), (4, 4, 0, 0),
     (1, 4, 100, 4), (3, 4, 25, 1)],
)  # fmt: skip
def test_panic(unwell: int, of: int, threshold: int, left: int) -> None:
    """If fewer than the given part are healthy, all take part: the last endpoint is never out (BackendPolicy.panicThreshold)."""
    members = tuple(Endpoint(well=number >= unwell) for number in range(of))
    assert len(candidates_of(members, threshold)) == left
