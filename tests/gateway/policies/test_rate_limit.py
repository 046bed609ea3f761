"""Rate limits: token buckets kept as one number each, in memory that several workers share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.head import RequestHead
from gateway.ir.rate_limit import RateLimit
from gateway.policies.rate_limit import BYTES, Buckets, Exceeded, Limit, RateLimits, Spent, announced, network_of
from gateway.shared_memory import make_shared_file, own_memory, shared_memory

SECRET = b"secret of the tests"
CLIENT = b"192.0.2.1"
PARAMETERS = re.compile(rb'"[A-Za-z0-9-]+"(?:;[a-z]+=[0-9]+)+(?:, "[A-Za-z0-9-]+"(?:;[a-z]+=[0-9]+)+)*')
"""A list of strings with integer parameters (RFC 9651 3.1), as far as we use it."""


def rule(name: str = "limit", requests: int = 10, period: int = 1000, burst: int | None = None, **more: object) -> RateLimit:
    return RateLimit(name, requests, period, burst or requests, **more)  # type: ignore[arg-type]  # fields by name


def limits(*rules: RateLimit, buckets: Buckets | None = None) -> RateLimits:
    return RateLimits([Limit(each, "default/web/http", SECRET) for each in rules], buckets or Buckets(own_memory(BYTES)))


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    found = RequestHead(b"GET", b"/", None, b"example.com", b"example.com")
    found.fields = list(fields)
    return found


def passes(
    rates: RateLimits, now: float = 1000.0, client: bytes = CLIENT, route: str = "default/route", *fields: tuple[bytes, bytes]
) -> bool:
    return not isinstance(rates.take(head(*fields), client, route, now), Exceeded)


def granted(rates: RateLimits, moments: Iterable[float]) -> list[float]:
    """The moments of a client's requests that were let through."""
    return [now for now in moments if passes(rates, now)]


def test_a_burst_passes_at_once_and_then_one_each_interval() -> None:
    """`burst` requests at once; then `requests` each `period`, evenly."""
    rates = limits(rule(requests=2, period=1000, burst=4))
    assert [passes(rates) for _ in range(5)] == [True] * 4 + [False]
    assert [passes(rates, 1000 + passed) for passed in (0.49, 0.5, 0.51, 0.99, 1.0)] == [False, True, False, False, True]
    assert [passes(rates, 1100.0) for _ in range(5)] == [True] * 4 + [False]


@given(st.integers(1, 50), st.integers(1, 5000), st.integers(1, 20), st.lists(st.floats(0, 3), max_size=60))
def test_no_stretch_of_time_has_more_than_the_limit(requests: int, period: int, burst: int, gaps: list[float]) -> None:
    """In any stretch of time no more pass than a burst and what comes back meanwhile."""
    interval = period / 1000 / requests
    moments = [500.0]
    for gap in gaps:
        moments.append(moments[-1] + gap * interval)
    times = granted(limits(rule(requests=requests, period=period, burst=burst)), moments)
    for first, begin in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + (times[last] - begin + 2e-6) / interval + 1e-3  # clocks are good for a microsecond


@given(st.integers(1, 50), st.integers(1, 5000), st.integers(1, 20))
def test_whoever_keeps_to_the_rate_always_passes(requests: int, period: int, burst: int) -> None:
    """A client that waits an interval between two requests is never over the limit, whatever rounding does."""
    interval = period / 1000 / requests
    moments = [86_400.0 + place * interval for place in range(200)]
    assert granted(limits(rule(requests=requests, period=period, burst=burst)), moments) == moments


@given(st.integers(1, 50), st.integers(1, 100_000), st.integers(1, 20))
def test_retry_after_is_when_a_request_passes(requests: int, period: int, burst: int) -> None:
    """After Retry-After seconds, and not a second before what is left of them, a request passes (RFC 9110 10.2.3)."""
    rates = limits(rule(requests=requests, period=period, burst=burst))
    for _ in range(burst):
        assert passes(rates)
    refused = rates.take(head(), CLIENT, "", 1000.0)
    assert isinstance(refused, Exceeded)
    seconds = int(dict(refused.fields())[b"retry-after"])
    assert seconds == max(ceil(refused.wait), 1)
    assert refused.wait - 1e-3 < 0.001 or not passes(rates, 1000.0 + refused.wait - 1e-3)
    assert passes(rates, 1000.0 + seconds)


def test_each_client_has_a_count_of_its_own() -> None:
    """by ClientAddress, which is the default; an IPv6 /64 is one client, and so is an IPv4 address in either form."""
    rates = limits(rule(requests=1))
    assert [passes(rates, client=client) for client in (b"192.0.2.1", b"192.0.2.2", b"192.0.2.1")] == [True, True, False]
    assert [passes(rates, client=client) for client in (b"2001:db8::1", b"2001:db8:0:0:ffff::2", b"2001:db8:0:1::1")] == [True, False, True]
    assert not passes(rates, client=b"::ffff:192.0.2.2")
    assert network_of(b"fe80::1%eth0", 64) == network_of(b"fe80::2", 64)
    assert network_of(b"2001:db8::1", 128) != network_of(b"2001:db8::2", 128)
    assert network_of(b"unix", 64) == b"unix"


def test_each_value_of_a_header_has_a_count_of_its_own() -> None:
    """by Header: the value counts, whoever sends it; requests without the header share one count."""
    rates = limits(rule(requests=1, by="Header", header="x-key"))
    for key in ((b"X-Key", b"a"), (b"x-key", b"b")):
        assert passes(rates, 1000.0, CLIENT, "", key)
        assert not passes(rates, 1000.0, b"192.0.2.9", "", key)
    assert [passes(rates, client=client) for client in (b"192.0.2.1", b"192.0.2.2")] == [True, False]


def test_each_route_has_a_count_of_its_own() -> None:
    """by Route: whoever asks; what no route matches is not counted."""
    rates = limits(rule(requests=1, by="Route"))
    assert [passes(rates, route=route) for route in ("a/b", "a/c", "a/b", "", "")] == [True, True, False, True, True]


def test_a_listener_may_have_one_count() -> None:
    """by Listener: all requests, of all clients, to all routes and to none."""
    rates = limits(rule(requests=3, by="Listener"))
    assert [passes(rates, client=client, route=route) for client, route in ((b"a", "x"), (b"b", ""), (b"c", "y"), (b"d", "z"))] == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_limit_may_be_for_some_routes() -> None:
    """Requests of other routes, and of none, neither count nor are they refused."""
    rates = limits(rule(requests=1, by="Listener", routes=("a/b", "a/c")))
    assert [passes(rates, route=route) for route in ("a/x", "", "a/b", "a/c", "a/x")] == [True, True, True, False, True]


def test_a_refused_request_counts_for_no_limit() -> None:
    """A request that is over one limit takes nothing from the others."""
    rates = limits(rule("wide", requests=3, by="Listener"), rule("narrow", requests=1))
    assert [passes(rates, client=client) for client in (b"a", b"a", b"a", b"b", b"c", b"d")] == [True, False, False, True, True, False]


def test_limits_of_the_same_name_in_other_listeners_are_apart() -> None:
    """Two listeners with one policy count each for itself."""
    buckets = Buckets(own_memory(BYTES))
    one, other = (RateLimits([Limit(rule(requests=1), scope, SECRET)], buckets) for scope in ("default/web/http", "default/web/https"))
    assert [passes(one), passes(other), passes(one), passes(other)] == [True, True, False, False]


def test_workers_share_their_counts() -> None:
    """Two maps of one file are one memory: a limit holds for the proxy and not for each of its workers."""
    descriptor = make_shared_file(BYTES)
    one, other = (limits(rule(requests=2), buckets=Buckets(shared_memory(descriptor))) for _ in range(2))
    assert [passes(one), passes(other), passes(one), passes(other)] == [True, True, False, False]


def test_a_changed_limit_does_not_hold_anyone_for_longer_than_it_says() -> None:
    """What was counted for a longer period under the same name does not lock a client out of a shorter one."""
    buckets = Buckets(own_memory(BYTES))
    before, after = limits(rule(requests=1, period=3_600_000), buckets=buckets), limits(rule(requests=5), buckets=buckets)
    assert [passes(before), passes(before)] == [True, False]
    assert passes(after)


@given(st.lists(st.tuples(st.integers(1, 1 << 63), st.floats(0, 1e6)), max_size=200))
def test_a_count_stays_where_it_was_put(entries: list[tuple[int, float]]) -> None:
    """What was put for a key is found again, unless others needed the place."""
    buckets = Buckets(own_memory(BYTES))
    for key, full in entries:
        place, _ = buckets.find(key)
        buckets.put(place, key, full)
        assert buckets.find(key) == (place, full)


def test_memory_is_bounded() -> None:
    """Of more keys than there are places the counts nearest to full are forgotten, and nothing grows."""
    memory = own_memory(128)  # one set of eight
    buckets = Buckets(memory)
    for key in range(1, 9):
        buckets.put(buckets.find(key)[0], key, 100.0 + key)
    place, full = buckets.find(99)
    assert full == 0.0
    buckets.put(place, 99, 200.0)
    assert [buckets.find(key)[1] for key in (1, 2, 8, 99)] == [0.0, 102.0, 108.0, 200.0]


def test_fields_of_a_refusal() -> None:
    """RateLimit-Policy and RateLimit as lists of strings with parameters (draft-ietf-httpapi-ratelimit-headers-09 3, 4)."""
    rates = limits(rule("by-client", requests=10, period=60_000, burst=5))
    for _ in range(5):
        assert passes(rates)
    refused = rates.take(head(), CLIENT, "", 1000.0)
    assert isinstance(refused, Exceeded)
    assert dict(refused.fields()) == {
        b"retry-after": b"6",
        b"ratelimit-policy": b'"by-client";q=5;w=30',
        b"ratelimit": b'"by-client";r=0;t=6',
    }
    assert refused.reason == "over the rate limit by-client"


def test_what_is_left_is_announced_where_the_limit_says_so() -> None:
    """`announce`: what is left, and when there is one more; a window below a second is not told, since it is in whole seconds."""
    telling = rule("a", requests=10, period=60_000, burst=5, announce=True), rule("c", requests=9, period=100, announce=True)
    rates = limits(telling[0], rule("b"), telling[1])
    spent = rates.take(head(), CLIENT, "", 1000.0)
    assert isinstance(spent, list)
    fields = dict(announced(spent, 1000.0))
    assert fields == {b"ratelimit-policy": b'"a";q=5;w=30, "c";q=9', b"ratelimit": b'"a";r=4;t=6, "c";r=8;t=1'}
    assert all(PARAMETERS.fullmatch(value) for value in fields.values())
    assert announced([each for each in spent if each.limit.name == b"b"], 1000.0) == []


@given(st.integers(1, 50), st.integers(1, 100_000), st.integers(1, 20), st.integers(1, 20))
def test_what_is_announced_can_be_had(requests: int, period: int, burst: int, taken: int) -> None:
    """As many requests pass as are announced to be left, and no more."""
    rates = limits(rule(requests=requests, period=period, burst=burst))
    spent: list[Spent] | Exceeded = []
    for _ in range(min(taken, burst)):
        spent = rates.take(head(), CLIENT, "", 1000.0)
    assert isinstance(spent, list)
    state = re.fullmatch(rb'"limit";r=(\d+);t=(\d+)', spent[0].limit.state(spent[0].full, 1000.0))
    assert state is not None
    left = int(state[1])
    assert left == burst - min(taken, burst)
    assert [passes(rates) for _ in range(left + 1)] == [True] * left + [False]


@pytest.mark.parametrize("bad", [rule(requests=0, burst=1), rule(period=0), rule('a"b'), rule("ä"), rule("a\nb")])
def test_a_limit_that_cannot_be_is_refused(bad: RateLimit) -> None:
    """Resources may come from elsewhere: numbers must be above zero, and a name must be able to stand in a field."""
    with pytest.raises(ValueError, match="rate limit"):
        limits(bad)
