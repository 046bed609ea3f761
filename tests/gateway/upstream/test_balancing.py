"""Weights of backends (HTTPBackendRef.weight) and turns of endpoints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.balancing import RoundRobin, WeightedChoice


@dataclass(eq=False)
class Endpoint:
    name: str
    ready: bool = True
    terminating: bool = False


def endpoints(names: str) -> list[Endpoint]:
    return [Endpoint(name) for name in names]


def turns(balancer: RoundRobin[Endpoint], count: int) -> str:
    return "".join(endpoint.name if endpoint else "-" for endpoint in (balancer.pick() for _ in range(count)))


@given(st.lists(st.integers(0, 50), max_size=6))
def test_shares_are_weights(weights: list[int]) -> None:
    """Every backend gets weight/sum of evenly spread draws, one of weight 0 gets none."""
    choice = WeightedChoice(list(enumerate(weights)))
    total = sum(weights)
    assert choice.total == total
    drawn = Counter(choice.choose((draw + 0.5) / total) for draw in range(total))
    assert drawn == Counter({index: weight for index, weight in enumerate(weights) if weight})
    assert {index: round(share * total) for index, share in choice.shares()} == dict(drawn)


@given(st.lists(st.integers(1, 1_000_000), min_size=1, max_size=16), st.floats(0, 1, exclude_max=True))
def test_every_draw_chooses(weights: list[int], draw: float) -> None:
    """No draw in [0, 1) falls beside the weights, up to the API's largest (1,000,000)."""
    chosen = WeightedChoice(list(enumerate(weights))).choose(draw)
    below = sum(weights[:chosen])
    # A product of doubles may round up to the next weight's bound: one part in 2**53 either way is no error.
    assert below <= draw * sum(weights) <= below + weights[chosen]


def test_the_only_choice_needs_no_draw() -> None:
    """One backend with a weight is named, whatever else stands in the list with weight 0."""
    assert WeightedChoice([("a", 1)]).only == "a"
    assert WeightedChoice([("z", 0), ("a", 7), ("y", 0)]).only == "a"
    assert WeightedChoice([("a", 1), ("b", 1)]).only is None


@pytest.mark.parametrize("weights", [[], [("a", 0)], [("a", 0), ("b", 0)]])
def test_nothing_to_choose(weights: list[tuple[str, int]]) -> None:
    """An empty list and weights of 0 have a total of 0, which callers answer 500."""
    choice = WeightedChoice(weights)
    assert (choice.total, choice.only, choice.shares()) == (0, None, [])
    with pytest.raises(IndexError):
        choice.choose(0.5)


def test_negative_weights() -> None:
    """A weight is never negative (BackendRef.weight)."""
    with pytest.raises(ValueError, match="negative"):
        WeightedChoice([("a", -1)])


def test_conformance_shares() -> None:
    """70/30/0, as in the conformance test HTTPRouteWeight."""
    shares = WeightedChoice([("v1", 70), ("v2", 30), ("v3", 0)]).shares()
    assert [(name, Fraction(share).limit_denominator(100)) for name, share in shares] == [("v1", Fraction(7, 10)), ("v2", Fraction(3, 10))]


def test_in_turn() -> None:
    """Every endpoint gets its turn, beginning where the start says."""
    assert turns(RoundRobin(endpoints("abc")), 7) == "abcabca"
    assert turns(RoundRobin(endpoints("abc"), start=10**9 + 1), 4) == "cabc"


def test_no_endpoint() -> None:
    """Without endpoints, or with none that is ready, there is nobody to ask."""
    assert RoundRobin[Endpoint]().pick() is None
    assert RoundRobin([Endpoint("a", ready=False)]).pick() is None


def test_terminating_endpoints_are_the_last_resort() -> None:
    """A terminating endpoint gets new traffic only while no endpoint is ready."""
    going, ready, dead = Endpoint("g", terminating=True), Endpoint("r"), Endpoint("d", ready=False)
    assert turns(RoundRobin([going, ready, dead]), 3) == "rrr"
    assert turns(RoundRobin([going, dead]), 2) == "gg"
    assert turns(RoundRobin([Endpoint("n", ready=False, terminating=True)]), 1) == "n"


@given(st.integers(0, 10), st.sets(st.integers(0, 4)))
def test_excluded_endpoints_are_passed_over(start: int, excluded: set[int]) -> None:
    """A pick never gives what is excluded, and gives something as long as there is anything else."""
    all_endpoints = endpoints("abcde")
    balancer = RoundRobin(all_endpoints, start)
    exclude = {all_endpoints[index] for index in excluded}
    for _ in range(7):
        endpoint = balancer.pick(exclude)
        assert (endpoint is None) == (len(exclude) == 5)
        assert endpoint not in exclude


def test_a_pick_with_exclusions_moves_the_turn_by_one() -> None:
    """Retries do not upset the turns of others."""
    a, b, c = endpoints("abc")
    balancer = RoundRobin([a, b, c])
    assert balancer.pick((a,)) is b
    assert turns(balancer, 3) == "bca"


def test_an_update_keeps_the_turn() -> None:
    """After a change the next is whoever would have been next, so that frequent changes do not favour the first."""
    a, b, c, d = endpoints("abcd")
    balancer = RoundRobin([a, b, c])
    assert turns(balancer, 1) == "a"
    balancer.update([d, a, b, c])
    assert turns(balancer, 4) == "bcda"
    balancer.update([c, d, a])
    assert turns(balancer, 3) == "cda"
    balancer.update([])
    assert balancer.pick() is None
    balancer.update([a, b])
    assert turns(balancer, 2) == "ab"


@given(st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=6), st.integers(1, 8))
def test_turns_over_changes(sets: list[set[int]], picks: int) -> None:
    """Whatever changes, only present endpoints are picked, and between two changes no two get more than one turn apart."""
    pool = endpoints("abcdef")
    balancer = RoundRobin[Endpoint]()
    for present in sets:
        balancer.update([pool[index] for index in sorted(present)])
        picked = turns(balancer, picks)
        counts = [picked.count(pool[index].name) for index in sorted(present)]
        assert sum(counts) == picks
        assert max(counts) - min(counts) <= 1
        if len(present) > 1:
            assert all(one != other for one, other in pairwise(picked))
