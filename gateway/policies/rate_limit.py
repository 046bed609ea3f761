"""Rate limits of a listener (ListenerPolicy.rateLimits): which of them a request counts for, and whether it is over one.

Each count is a token bucket kept as one number, the time at which it is full again (GCRA): a request moves it on by the time
that one token takes to come back, and may not move it further away than a burst takes. The numbers stand in memory that all
workers of a proxy share, so a limit holds for the proxy as a whole, whichever worker a connection came to.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Final, NamedTuple

from gateway.http.head import Fields, RequestHead
from gateway.ir.rate_limit import RateLimit

FLAG: Final = "RL"
"""In the access log: the request was over a rate limit."""
BUCKETS: Final = 128 * 1024
"""Counts that a proxy keeps, of all limits together. Beyond it those that are full again, or nearest to it, are forgotten."""
BYTES: Final = BUCKETS * 16
"""Of the memory of Buckets."""

_WAYS: Final = 8
"""Places in which the count of a key may stand."""
_SLACK: Final = 1e-6
"""Seconds by which a sum of intervals may be off."""


class Buckets:
    """Counts by key, in two arrays of one piece of memory: whose a place is, and when its bucket is full again.

    Workers write without locks. A number is read and written whole, so the worst that two of them do to each other is that one of
    two requests that come at the same moment is not counted.
    """

    __slots__ = ("_full", "_keys", "_sets")

    def __init__(self, memory: memoryview) -> None:
        """`memory` is zeroed or was used like this before; its length is a multiple of 128."""
        half = len(memory) // 2
        self._keys = memory[:half].cast("Q")
        self._full = memory[half:].cast("d")
        self._sets = len(self._keys) // _WAYS

    def find(self, key: int) -> tuple[int, float]:
        """A place for the key, and when its bucket is full; 0.0 for a key that has no place yet."""
        first = key % self._sets * _WAYS
        keys = self._keys[first : first + _WAYS].tolist()
        if key in keys:
            place = first + keys.index(key)
            return place, self._full[place]
        full = self._full[first : first + _WAYS].tolist()
        return first + full.index(min(full)), 0.0

    def put(self, place: int, key: int, full: float) -> None:
        """`place` was found for the key just now."""
        self._keys[place] = key
        self._full[place] = full


class Spent(NamedTuple):
    """A token that a request takes: when the bucket is full then."""

    limit: Limit
    place: int
    key: int
    full: float


class Exceeded(NamedTuple):
    """The request is over a limit for so many seconds."""

    limit: Limit
    wait: float

    def fields(self) -> Fields:
        """Of a 429: when to come again (RFC 9110 10.2.3), and the limit."""
        seconds = max(ceil(self.wait), 1)
        state = b'"%b";r=0;t=%d' % (self.limit.name, seconds)
        return [(b"retry-after", b"%d" % seconds), (b"ratelimit-policy", self.limit.policy), (b"ratelimit", state)]

    @property
    def reason(self) -> str:
        return f"over the rate limit {self.limit.name.decode()}"


class Limit:
    """One limit, compiled. `name` and `policy` are as they stand in fields (draft-ietf-httpapi-ratelimit-headers-09)."""

    __slots__ = ("_by", "_hash", "_header", "_prefix_length", "announce", "interval", "name", "policy", "rule", "window")

    def __init__(self, rule: RateLimit, scope: str, secret: bytes) -> None:
        """`scope` keeps limits of the same name apart; `secret` keeps clients from choosing each other's places. Raises ValueError."""
        if rule.requests < 1 or rule.period < 1 or rule.burst < 1:
            raise ValueError(f"rate limit {rule.name}: requests, period and burst must be above zero")
        if not rule.name.isascii() or not rule.name.isprintable() or '"' in rule.name or "\\" in rule.name:
            raise ValueError(f"rate limit {rule.name!r}: the name must be printable ASCII without quotes and backslashes")
        self.name = rule.name.encode("ascii")
        self.interval = rule.period / 1000 / rule.requests
        self.window = self.interval * rule.burst
        self.rule, self.announce = rule, rule.announce
        self._by, self._header, self._prefix_length = rule.by, rule.header.encode("ascii"), rule.ipv6_prefix_length
        seconds = rule.period * rule.burst // rule.requests // 1000
        self.policy = b'"%b";q=%d%b' % (self.name, rule.burst, b";w=%d" % seconds if seconds else b"")
        self._hash = blake2b(f"{scope}\0{rule.name}\0".encode(), digest_size=8, key=secret)

    def key(self, head: RequestHead, address: bytes, route: str) -> int:
        """Whose count it is. Requests without the header share one, or leaving it out would be a way around the limit."""
        match self._by:
            case "ClientAddress":
                whose = network_of(address, self._prefix_length)
            case "Header":
                whose = head.get(self._header) or b""
            case "Route":
                whose = route.encode()
            case "Listener":
                whose = b""
        digest = self._hash.copy()
        digest.update(whose)
        return int.from_bytes(digest.digest(), "big") or 1

    def after(self, full: float, now: float) -> float:
        """When a bucket that is full at `full` is full again after one more request at `now`. A time beyond what this limit can have
        come to is that of a limit before it was changed, and counts as none."""
        if full <= now or full - now > self.window + _SLACK:
            full = now
        return full + self.interval

    def over(self, full: float, now: float) -> float:
        """Seconds by which the bucket would be overdrawn; 0.0 or less for not at all."""
        return full - now - self.window - _SLACK

    def state(self, full: float, now: float) -> bytes:
        """What is left, and in how many seconds there is one more."""
        left = max((self.window - (full - now)) / self.interval + _SLACK, 0.0)
        return b'"%b";r=%d;t=%d' % (self.name, int(left), ceil((1 - left % 1) * self.interval))


class RateLimits:
    """All limits of a listener."""

    __slots__ = ("_buckets", "limits")

    def __init__(self, limits: Iterable[Limit], buckets: Buckets) -> None:
        self.limits, self._buckets = tuple(limits), buckets

    def take(self, head: RequestHead, address: bytes, route: str, now: float) -> list[Spent] | Exceeded:
        """Counts a request for every limit that it concerns, or for none of them if it is over one. `now` is a clock that all workers
        share, in seconds."""
        spent: list[Spent] = []
        for limit in self.limits:
            if not counts(limit.rule, route):
                continue
            key = limit.key(head, address, route)
            place, full = self._buckets.find(key)
            full = limit.after(full, now)
            over = limit.over(full, now)
            if over > 0:
                return Exceeded(limit, over)
            spent.append(Spent(limit, place, key, full))
        for each in spent:
            self._buckets.put(each.place, each.key, each.full)
        return spent


def counts(rule: RateLimit, route: str) -> bool:
    """Whether requests that this route serves count; '' for none."""
    return route in rule.routes if rule.routes else bool(route) or rule.by != "Route"


def announced(spent: list[Spent], now: float) -> Fields:
    """Fields of a response to a request that was let through, of the limits that announce themselves."""
    telling = [each for each in spent if each.limit.announce]
    if not telling:
        return []
    states = b", ".join([each.limit.state(each.full, now) for each in telling])
    return [(b"ratelimit-policy", b", ".join([each.limit.policy for each in telling])), (b"ratelimit", states)]


@lru_cache(maxsize=4096)
def network_of(address: bytes, prefix_length: int) -> bytes:
    """What stands for a client: an IPv4 address, or the first bits of an IPv6 address, of which one customer has very many."""
    try:
        parsed = ip_address(address.partition(b"%")[0].decode("ascii"))
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return parsed.ipv4_mapped.packed
        return b"%x/%d" % (int(parsed) >> (128 - prefix_length), prefix_length)
    return parsed.packed
