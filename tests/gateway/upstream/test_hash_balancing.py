"""Balancing by hash: the same key, the same endpoint; few keys move when endpoints come and go; who is left out is walked past."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.hash_balancing import (
    LARGE_TABLE,
    SMALL_TABLE,
    Build,
    HashBalancer,
    Maglev,
    Ring,
    build_maglev,
    build_ring,
)

BUILDS = pytest.mark.parametrize("build", [build_ring, build_maglev])
RANDOM = Random(3)
KEYS = [RANDOM.getrandbits(64) for _ in range(4000)]


@dataclass(eq=False)
class Endpoint:
    label: bytes
    weight: int = 1


def endpoints(count: int, *weights: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(b"10.0.0.%d:80" % number, weights[number] if number < len(weights) else 1) for number in range(count))


def at_once(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def balancer_of(build: Build, members: tuple[Endpoint, ...], size: int = 0) -> HashBalancer[Endpoint]:
    balancer = HashBalancer[Endpoint](build, size, Random(1).random, at_once)
    balancer.update(members, members)
    return balancer


def owners(balancer: HashBalancer[Endpoint], keys: list[int] = KEYS) -> list[bytes]:
    return [endpoint.label for key in keys if (endpoint := balancer.pick(key=key)) is not None]


@BUILDS
def test_a_key_has_one_endpoint(build: Build) -> None:
    """In all processes: whatever the order in which endpoints are listed."""
    members = endpoints(7)
    found = owners(balancer_of(build, members))
    assert owners(balancer_of(build, members)) == found
    assert owners(balancer_of(build, members[::-1])) == found
    assert len(found) == len(KEYS)


@BUILDS
def test_shares_follow_weights(build: Build) -> None:
    """Each endpoint has about its weight's part of the keys: within a quarter on a ring, which is uneven by nature."""
    members = endpoints(5, 1, 2, 3, 4, 10)
    counts = Counter(owners(balancer_of(build, members)))
    for member in members:
        assert counts[member.label] == pytest.approx(len(KEYS) * member.weight / 20, rel=0.25)


@pytest.mark.slow
@BUILDS
@given(count=st.integers(2, 12), leaving=st.integers(0, 11))
def test_few_keys_move_when_an_endpoint_goes(build: Build, count: int, leaving: int) -> None:
    """On a ring only its own keys move, since an endpoint has the same points however many others there are; in a Maglev table a few
    others too, less than a tenth."""
    members = endpoints(count)
    gone = members[leaving % count]
    keys, size = KEYS[:800], 1_021 if build is build_maglev else 0
    before = owners(balancer_of(build, members, size), keys)
    after = owners(balancer_of(build, tuple(member for member in members if member is not gone), size), keys)
    moved = sum(one != other for one, other in zip(before, after, strict=True) if one != gone.label)
    assert gone.label not in after
    assert moved <= (len(keys) // 10 if build is build_maglev else 0)


@pytest.mark.slow
@BUILDS
@given(out=st.sets(st.integers(0, 5), max_size=5))
def test_who_is_left_out_is_walked_past(build: Build, out: set[int]) -> None:
    """While endpoints are unhealthy their keys go to others, the keys of the others stay, and all come back."""
    members = endpoints(6)
    balancer = balancer_of(build, members, 1_021)
    keys = KEYS[:300]
    before = owners(balancer, keys)
    left = tuple(member for number, member in enumerate(members) if number not in out)
    balancer.update(members, left)
    labels = {member.label for member in left}
    meanwhile = owners(balancer, keys)
    assert set(meanwhile) <= labels
    assert all(one == other for one, other in zip(before, meanwhile, strict=True) if one in labels)
    balancer.update(members, members)
    assert owners(balancer, keys) == before


@pytest.mark.slow
@BUILDS
@given(excluded=st.sets(st.integers(0, 3)))
def test_excluded_endpoints_are_walked_past(build: Build, excluded: set[int]) -> None:
    """A retry goes on to the next one of the key; with all excluded there is none."""
    members = endpoints(4)
    balancer = balancer_of(build, members, 251)
    exclude = {members[number] for number in excluded}
    for key in KEYS[:50]:
        picked = balancer.pick(exclude, key)
        assert (picked is None) == (len(exclude) == 4)
        assert picked not in exclude
        if members_first := balancer.pick(key=key):
            assert picked is members_first or members_first in exclude


@BUILDS
def test_without_a_key_all_get_some(build: Build) -> None:
    """A request that has none of what is hashed goes anywhere."""
    balancer = balancer_of(build, endpoints(3))
    assert len({picked.label for _ in range(60) if (picked := balancer.pick()) is not None}) == 3


@BUILDS
def test_nobody_to_ask(build: Build) -> None:
    """Without endpoints there is nobody."""
    balancer = balancer_of(build, ())
    assert balancer.pick(key=1) is None
    balancer.update(endpoints(1), endpoints(1))
    assert balancer.pick(key=1) is not None
    balancer.update((), ())
    assert balancer.pick(key=1) is None


class Later:
    """Building that waits until it is told to."""

    def __init__(self) -> None:
        self.building: list[Iterator[None]] = []

    def __call__(self, steps: Iterator[None]) -> None:
        self.building.append(steps)


@BUILDS
def test_requests_are_served_while_a_table_is_built(build: Build) -> None:
    """Before the first table each key has an endpoint of its own all the same; afterwards the old table serves until the new one is done,
    without the endpoints that are gone."""
    later = Later()
    balancer = HashBalancer[Endpoint](build, 0, Random(1).random, later)
    members = endpoints(4)
    balancer.update(members, members)
    meanwhile = owners(balancer)
    assert owners(balancer) == meanwhile
    assert len(set(meanwhile)) == 4
    at_once(later.building.pop())
    before = owners(balancer)
    assert before == owners(balancer_of(build, members))
    balancer.update(members[1:], members[1:])
    outdated = owners(balancer)
    assert members[0].label not in outdated
    assert all(one == other for one, other in zip(before, outdated, strict=True) if one != members[0].label)
    at_once(later.building.pop())
    assert owners(balancer) == owners(balancer_of(build, members[1:]))


@BUILDS
def test_a_table_is_built_once_for_its_members(build: Build) -> None:
    """Not for health, not for the same members again; one that is out of date before it is done is given up."""
    later = Later()
    balancer = HashBalancer[Endpoint](build, 0, Random(1).random, later)
    members = endpoints(4)
    balancer.update(members, members)
    balancer.update(members, members[:2])
    balancer.update(members, members)
    stale = later.building.pop()
    assert not later.building
    assert not balancer.is_built
    next(stale)
    balancer.update(members[:3], members[:3])
    at_once(later.building.pop())
    assert balancer.is_built
    found = owners(balancer)
    at_once(stale)
    assert owners(balancer) == found


@BUILDS
def test_an_endpoint_of_another_weight_gets_another_share(build: Build) -> None:
    """A weight that changes in place is a new table."""
    members = endpoints(2)
    balancer = balancer_of(build, members)
    members[0].weight = 9
    balancer.update(members, members)
    assert Counter(owners(balancer))[members[0].label] > 0.8 * len(KEYS)


@pytest.mark.parametrize(("count", "size", "entries"), [(1, 0, SMALL_TABLE), (160, 0, SMALL_TABLE), (161, 0, LARGE_TABLE), (3, 251, 251)])
def test_sizes_of_maglev_tables(count: int, size: int, entries: int) -> None:
    """A prime of a hundred entries an endpoint at least, or what is set; every entry has an owner, and all have as many as they should."""
    *_, table = build_maglev(endpoints(count), size)
    assert isinstance(table, Maglev)
    assert len(table.entries) == entries
    counts = Counter(table.entries)
    assert set(counts) == set(range(count))
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(
    ("members", "size", "points"),
    [
        (endpoints(3), 0, 3 * 256),
        (endpoints(2, 10, 30), 0, 4 * 256),
        (endpoints(300), 0, 300 * 128),
        (endpoints(3), 1_024, 3 * 512),
        (endpoints(4), 1_024, 4 * 256),
        (endpoints(2, 1, 999_999), 0, 65_536),
    ],
)
def test_sizes_of_rings(members: tuple[Endpoint, ...], size: int, points: int) -> None:
    """256 points for the least weight, or as many as the size that is set asks for; where the limit is reached fewer, but one at least."""
    *_, ring = build_ring(members, size)
    assert isinstance(ring, Ring)
    assert len(ring.points) == pytest.approx(points, abs=1)
    assert list(ring.points) == sorted(ring.points)


@BUILDS
def test_steps_are_small(build: Build) -> None:
    """The loop gets to serve requests often while a large table is built."""
    assert sum(1 for _ in build(endpoints(200), 65_537)) > 100
