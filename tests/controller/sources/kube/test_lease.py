"""Leader election as values: who may lead when, whatever is lost, late or paused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.sources.kube.lease import Candidate, Record, Terms

TERMS = Terms()


def holding(holder: str, version: str = "7") -> Record:
    return Record(version, holder, TERMS.duration, 3, "a", "b")


def leading(now: float = 100.0) -> Candidate:
    candidate = Candidate("me", TERMS)
    candidate.observed(Record(), now)
    wanted = candidate.wants(now, "t")
    assert wanted is not None
    candidate.wrote(replace(wanted, version="1"), now)
    return candidate


def test_a_lease_that_is_not_there_is_taken() -> None:
    """The first one creates the Lease: holder, duration, times, no transition."""
    candidate = Candidate("me", TERMS)
    candidate.observed(Record(), 5.0)
    assert candidate.wants(5.0, "t") == Record("", "me", 15.0, 0, "t", "t")
    assert not candidate.leads(5.0)


def test_a_held_lease_is_left_alone_for_its_duration() -> None:
    """Another's Lease is taken once it has not changed for as long as its own record says, and counts a transition."""
    candidate = Candidate("me", TERMS)
    candidate.observed(holding("other"), 5.0)
    candidate.observed(holding("other"), 19.9)
    assert candidate.wants(19.9, "t") is None
    assert candidate.wants(20.0, "t") == Record("7", "me", 15.0, 4, "t", "t")


def test_who_leads_is_known_as_long_as_the_lease_holds() -> None:
    """Whoever holds a Lease that has not run out, on the clock of the one who looks; nobody otherwise."""
    candidate = Candidate("me", TERMS)
    assert candidate.leader(5.0) == ""
    candidate.observed(holding("other"), 5.0)
    assert (candidate.leader(19.9), candidate.leader(20.0)) == ("other", "")
    assert leading(100.0).leader(101.0) == "me"


def test_a_renewed_lease_is_waited_for_again() -> None:
    """Any change of the record begins the wait anew, on the clock of the one who looks: the times in it are never compared."""
    candidate = Candidate("me", TERMS)
    candidate.observed(holding("other"), 5.0)
    candidate.observed(holding("other", "8"), 19.0)
    assert candidate.wants(33.9, "t") is None
    assert candidate.wants(34.0, "t") is not None


def test_a_lease_that_was_given_back_is_taken_at_once() -> None:
    """A record without holder is free."""
    candidate = Candidate("me", TERMS)
    candidate.observed(holding(""), 5.0)
    assert candidate.wants(5.0, "t") is not None


def test_a_leader_renews_and_leads_for_the_deadline_after_the_request_was_begun() -> None:
    """Leading lasts ten seconds from before the last write that came through; renewing keeps acquireTime and transitions."""
    candidate = leading(100.0)
    assert candidate.leads(109.9)
    assert not candidate.leads(110.0)
    assert candidate.wants(102.0, "later") == Record("1", "me", 15.0, 0, "t", "later")
    candidate.wrote(Record("2", "me", 15.0, 0, "t", "later"), 102.0)
    assert candidate.leads(111.9)


def test_a_leader_that_finds_another_name_stops_at_once() -> None:
    """Whoever reads another's name, or a Lease that is gone, does not lead, whatever the deadline says."""
    for record in (holding("other"), Record()):
        candidate = leading()
        candidate.observed(record, 101.0)
        assert not candidate.leads(101.0)


def test_giving_back() -> None:
    """Who holds the Lease gives it back with no holder; who does not has nothing to give."""
    candidate = leading()
    candidate.stops()
    assert not candidate.leads(100.0)
    assert candidate.resigns("t") == Record("1", "", 1.0, 0, "t", "t")
    candidate.observed(holding("other"), 101.0)
    assert candidate.resigns("t") is None


def test_records_are_those_of_the_api() -> None:
    """Lease.spec as coordination.k8s.io/v1 writes it, and back; empty times are left out, a Lease with an empty spec is free."""
    record = Record("7", "me", 15.0, 2, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:01.000000Z")
    assert Record.of({"metadata": {"resourceVersion": "7"}, "spec": record.spec()}) == record
    assert Record.of({"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": None}}) == Record("7")
    assert "acquireTime" not in Record(duration=15.0).spec()


def test_terms_that_would_allow_two_leaders_are_refused() -> None:
    """The deadline has to be shorter than the duration, and the retry shorter than the deadline."""
    with pytest.raises(ValueError, match="retry < deadline < duration"):
        Terms(duration=10.0, deadline=10.0)


# Two or three candidates, each with a clock of its own epoch; each step lets time pass and one of them do a part of its work.
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["read", "send", "arrive", "lose answer"]), st.floats(0.0, 6.0)), min_size=1, max_size=120
)


@pytest.mark.slow
@given(STEPS)
@settings(max_examples=200)
def test_two_never_lead_at_once(steps: list[tuple[int, str, float]]) -> None:
    """Whatever requests are late or lost and whoever is paused, there is one leader at most, as long as clocks run at one speed."""
    now, version = 0.0, 0
    stored = Record()
    candidates = [Candidate(f"c{index}", TERMS) for index in range(3)]
    sent: list[tuple[Record, float] | None] = [None, None, None]
    for index, what, pause in steps:
        now += pause
        local = now + 1000.0 * index
        candidate, request = candidates[index], sent[index]
        if what == "read":
            candidate.observed(stored, local)
        elif what == "send" and request is None:
            wanted = candidate.wants(local, f"{now}")
            sent[index] = (wanted, local) if wanted is not None else None
        elif what in ("arrive", "lose answer") and request is not None:
            wanted, begun = request
            sent[index] = None
            if wanted.version == stored.version:
                version += 1
                stored = replace(wanted, version=str(version))
                if what == "arrive":
                    candidate.wrote(stored, begun)
        assert sum(each.leads(now + 1000.0 * which) for which, each in enumerate(candidates)) <= 1
