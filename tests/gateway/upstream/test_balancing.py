"""Weights of backends (HTTPBackendRef.weight) and turns of endpoints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.balancing import Balancer, LeastRequest, RoundRobin, WeightedChoice, WeightedRoundRobin


@dataclass(eq=False)
class Endpoint:
    name: str
    weight: int = 1
    active: int = 0


def endpoints(names: str) -> list[Endpoint]:
    return [Endpoint(name) for name in names]


def weighted(**weights: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(name, weight) for name, weight in weights.items())


def turns(balancer: Balancer[Endpoint], count: int) -> str:
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
    """Without endpoints there is nobody to ask."""
    assert RoundRobin[Endpoint]().pick() is None
    assert WeightedRoundRobin[Endpoint]().pick() is None
    assert LeastRequest[Endpoint](Random(1).random).pick() is None


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
    balancer.update((), (d, a, b, c))
    assert turns(balancer, 4) == "bcda"
    balancer.update((), (c, d, a))
    assert turns(balancer, 3) == "cda"
    balancer.update((), ())
    assert balancer.pick() is None
    balancer.update((), (a, b))
    assert turns(balancer, 2) == "ab"


@given(st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=6), st.integers(1, 8))
def test_turns_over_changes(sets: list[set[int]], picks: int) -> None:
    """Whatever changes, only present endpoints are picked, and between two changes no two get more than one turn apart."""
    pool = endpoints("abcdef")
    balancer = RoundRobin[Endpoint]()
    for present in sets:
        balancer.update((), tuple(pool[index] for index in sorted(present)))
        picked = turns(balancer, picks)
        counts = [picked.count(pool[index].name) for index in sorted(present)]
        assert sum(counts) == picks
        assert max(counts) - min(counts) <= 1
        if len(present) > 1:
            assert all(one != other for one, other in pairwise(picked))


WEIGHTS = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def weighted_round_robin(candidates: tuple[Endpoint, ...]) -> WeightedRoundRobin[Endpoint]:
    balancer = WeightedRoundRobin[Endpoint]()
    balancer.update(candidates, candidates)
    return balancer


@given(WEIGHTS, st.integers(1, 3))
def test_in_turn_by_weight(weights: list[int], cycles: int) -> None:
    """In each cycle of as many picks as the weights sum up to, every endpoint has exactly its weight of them."""
    candidates = tuple(Endpoint("abcdef"[place], weight) for place, weight in enumerate(weights))
    balancer = weighted_round_robin(candidates)
    for _ in range(cycles):
        counts = Counter(turns(balancer, sum(weights)))
        assert counts == Counter({endpoint.name: endpoint.weight for endpoint in candidates})


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_turns_are_spread(weights: list[int]) -> None:
    """At any moment nobody is further from its share than half a turn, and half of what all others may be out by: no runs of one."""
    candidates = tuple(Endpoint("abcdef"[place], weight) for place, weight in enumerate(weights))
    balancer, total = weighted_round_robin(candidates), sum(weights)
    counts: Counter[str] = Counter()
    for picked in range(1, 2 * total + 1):
        counts[turns(balancer, 1)] += 1
        for endpoint in candidates:
            share = Fraction(endpoint.weight, total)
            assert abs(counts[endpoint.name] - picked * share) <= Fraction(1, 2) + share * len(weights) / 2 + Fraction(1, 10**6)


def test_a_heavy_endpoint_does_not_have_its_turns_in_a_row() -> None:
    """5, 1, 1: the light ones come in between."""
    assert turns(weighted_round_robin(weighted(a=5, b=1, c=1)), 14) == "aaabcaaaaabcaa"


def test_an_update_of_weighted_turns_keeps_the_waits() -> None:
    """Frequent changes do not starve an endpoint of little weight."""
    candidates = weighted(a=9, b=1)
    balancer = weighted_round_robin(candidates)
    picked = ""
    for _ in range(30):
        picked += turns(balancer, 1)
        balancer.update(candidates, candidates)
    assert picked.count("b") == 3


@given(st.sets(st.integers(0, 4)), st.booleans())
def test_weighted_balancers_pass_over_what_is_excluded(excluded: set[int], by_turns: bool) -> None:
    """A pick never gives what is excluded, and gives something as long as there is anything else."""
    candidates = weighted(a=3, b=1, c=7, d=1, e=2)
    balancer: Balancer[Endpoint] = WeightedRoundRobin() if by_turns else LeastRequest(Random(5).random)
    balancer.update(candidates, candidates)
    exclude = {candidates[index] for index in excluded}
    for _ in range(9):
        endpoint = balancer.pick(exclude)
        assert (endpoint is None) == (len(exclude) == 5)
        assert endpoint not in exclude


def test_excluded_turns_are_not_lost() -> None:
    """Who is passed over has its turn next."""
    a, b = candidates = weighted(a=2, b=1)
    balancer = weighted_round_robin(candidates)
    assert balancer.pick((a,)) is b
    assert turns(balancer, 2) == "aa"


def least_request(candidates: tuple[Endpoint, ...], seed: int = 1) -> LeastRequest[Endpoint]:
    balancer = LeastRequest[Endpoint](Random(seed).random)
    balancer.update(candidates, candidates)
    return balancer


@given(st.integers(0, 2**32), st.lists(st.integers(0, 9), min_size=2, max_size=6))
def test_the_less_busy_of_two(seed: int, active: list[int]) -> None:
    """Of the two that are drawn the one with fewer exchanges is taken, so that the busiest of all, if it is one, is never."""
    candidates = tuple(Endpoint("abcdef"[place], active=busy) for place, busy in enumerate(active))
    balancer = least_request(candidates, seed)
    busiest = max(active)
    for _ in range(20):
        picked = balancer.pick()
        assert picked is not None
        assert active.count(busiest) > 1 or picked.active < busiest


@given(st.integers(0, 2**32))
def test_two_draws_are_two_endpoints(seed: int) -> None:
    """With two endpoints both are compared, whatever their weights: the idle one is taken."""
    candidates = (Endpoint("busy", weight=1000, active=10_000), Endpoint("idle"))
    balancer = least_request(candidates, seed)
    assert [balancer.pick() for _ in range(5)] == [candidates[1]] * 5


def test_idle_endpoints_get_their_weights() -> None:
    """With exchanges that last for ever each endpoint ends up with its weight's part of them."""
    candidates = weighted(a=1, b=2, c=5)
    balancer = least_request(candidates)
    for _ in range(800):
        picked = balancer.pick()
        assert picked is not None
        picked.active += 1
    for endpoint in candidates:
        assert abs(endpoint.active - 100 * endpoint.weight) <= 15


def test_two_choices_keep_the_load_even() -> None:
    """A thousand exchanges among ten endpoints that take as long as they like: no endpoint is two above the mean ("power of two choices";
    drawing at random alone is off by a dozen)."""
    candidates = endpoints("abcdefghij")
    balancer, random = least_request(tuple(candidates)), Random(7)
    for _ in range(1000):
        picked = balancer.pick()
        assert picked is not None
        picked.active += 1
    assert max(endpoint.active for endpoint in candidates) <= 103
    busy = [endpoint for endpoint in candidates for _ in range(endpoint.active)]
    for _ in range(3000):
        busy.pop(random.randrange(len(busy))).active -= 1
        picked = balancer.pick()
        assert picked is not None
        picked.active += 1
        busy.append(picked)
    assert max(endpoint.active for endpoint in candidates) - min(endpoint.active for endpoint in candidates) <= 8
