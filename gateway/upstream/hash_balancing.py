"""Requests with the same key go to the same endpoint, over a ring of points or a Maglev table.

Both are functions of the endpoints' labels and weights alone, so that all workers and proxies agree. Who comes or goes changes the
endpoint of few keys. Who is left out for a while stays in the table, and its keys walk on to the next entry. A table is built in
small steps; until it is done the one before serves, or the endpoint that scores highest for the key.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b
from math import gcd
from typing import Final, Generic, Protocol, TypeVar

from gateway.upstream.balancing import NONE_EXCLUDED

KEY_BITS: Final = 64
_OWNER_BITS: Final = 20
_OWNERS: Final = (1 << _OWNER_BITS) - 1
MOST_ENDPOINTS: Final = 1 << _OWNER_BITS
POINTS: Final = 256
"""Of an endpoint of the least weight on a ring whose size nobody set: shares then differ by some six percent."""
MOST_POINTS: Final = 65_536
SMALL_TABLE: Final = 16_381
"""Entries of a Maglev table for up to MOST_IN_SMALL endpoints whose size nobody set, a hundred for each: shares differ by one percent."""
SMALLEST_TABLE: Final = 64
LARGE_TABLE: Final = 65_537
MOST_IN_SMALL: Final = 160
_STEP: Final = 1_024
"""Entries looked at before a step ends, some tenth of a millisecond."""


class Hashed(Protocol):
    """An endpoint; `label` is address:port."""

    @property
    def label(self) -> bytes: ...

    weight: int


H = TypeVar("H", bound=Hashed)

Start = Callable[[Iterator[None]], None]
"""Runs an iterator to its end, at once or little by little."""


class Table(Protocol):
    """Numbers of endpoints by key."""

    def walk(self, key: int) -> Iterator[int]:
        """The endpoint of a key, then those to whom the key passes while others are left out; any may come more than once."""


class Ring(Table):
    """Points in the order of their hashes; a key belongs to the first point that is not before it. Each point holds its endpoint's
    number in its last bits."""

    __slots__ = ("points",)

    def __init__(self, points: array[int]) -> None:
        self.points = points

    def walk(self, key: int) -> Iterator[int]:
        points = self.points
        start = bisect_left(points, key)
        for place in range(start, len(points)):
            yield points[place] & _OWNERS
        for place in range(start):
            yield points[place] & _OWNERS


class Maglev(Table):
    """An endpoint's number for each entry; a key belongs to its remainder."""

    __slots__ = ("entries",)

    def __init__(self, entries: array[int]) -> None:
        self.entries = entries

    def walk(self, key: int) -> Iterator[int]:
        entries = self.entries
        start = key % len(entries)
        for place in range(start, len(entries)):
            yield entries[place]
        for place in range(start):
            yield entries[place]


Build = Callable[[tuple[Hashed, ...], int], Iterator[Table | None]]
"""Builds a table of a size (0: by number of endpoints) in steps; the last gives the table, those before it None."""


def build_ring(members: tuple[Hashed, ...], size: int = 0) -> Iterator[Table | None]:
    """Points for each endpoint by weight: as many for the unit of weight however many endpoints there are, and only where a limit is
    reached half of it, so that whoever stays keeps its points."""
    unit = gcd(*(member.weight for member in members))
    units = sum(member.weight // unit for member in members)
    if units > (size or MOST_POINTS):
        counts = [max(1, member.weight * (size or MOST_POINTS) // (units * unit)) for member in members]
    else:
        points = 1 << (-(-size // units) - 1).bit_length() if size else POINTS
        while not size and points > 1 and points * units > MOST_POINTS:
            points //= 2
        counts = [points * (member.weight // unit) for member in members]
    buckets: list[list[int]] = [[] for _ in range(256)]
    for number, (member, count) in enumerate(zip(members, counts, strict=True)):
        for first in range(0, count, 8):
            digest = blake2b(b"%b#%d" % (member.label, first // 8), digest_size=64).digest()
            for at in range(0, 8 * min(8, count - first), 8):
                buckets[digest[at]].append(int.from_bytes(digest[at : at + 8], "big") & ~_OWNERS | number)
            if first % _STEP == _STEP - 8:
                yield None
        yield None
    ring = array("Q")
    for bucket in buckets:
        bucket.sort()
        ring.extend(bucket)
        yield None
    yield Ring(ring)


def build_maglev(members: tuple[Hashed, ...], size: int = 0) -> Iterator[Table | None]:
    """Each endpoint takes the next free entry of its own order, in turn and as often as its weight says (Maglev, section 3.4)."""
    size = size or (SMALL_TABLE if len(members) <= MOST_IN_SMALL else LARGE_TABLE)
    entries = array("i", [-1]) * size
    places, skips = [], []
    for member in members:
        digest = blake2b(member.label, digest_size=16).digest()
        places.append(int.from_bytes(digest[:8], "big") % size)
        skips.append(int.from_bytes(digest[8:], "big") % (size - 1) + 1)
    weights = [member.weight for member in members]
    heaviest = max(weights)
    credits = [0] * len(members)
    left, looked = size, 0
    while True:
        for number, weight in enumerate(weights):
            if not number % _STEP:
                yield None
            credits[number] += weight
            if credits[number] < heaviest:
                continue
            credits[number] -= heaviest
            place, skip = places[number], skips[number]
            while entries[place] >= 0:
                place = (place + skip) % size
                looked += 1
                if not looked % _STEP:
                    yield None
            entries[place] = number
            places[number] = (place + skip) % size
            left -= 1
            if not left:
                yield Maglev(entries)
                return


class HashBalancer(Generic[H]):
    """Owner of the table."""

    __slots__ = (
        "_build", "_built", "_draw", "_eligible", "_members", "_size", "_start", "_table", "_wanted", "candidates",
    )  # fmt: skip

    keyed: Final = True
    counted: Final = False

    def __init__(self, build: Build, size: int, draw: Callable[[], float], start: Start) -> None:
        """`draw` gives a number, uniform in [0, 1), for requests without a key; `start` builds a table when the members have changed."""
        self._build, self._size, self._draw, self._start = build, size, draw, start
        self.candidates: tuple[H, ...] = ()
        self._eligible: frozenset[H] = frozenset()
        self._wanted: tuple[tuple[H, int], ...] = ()
        """The members as they are now, with their weights."""
        self._built: tuple[tuple[H, int], ...] = self._wanted
        """Those of the table."""
        self._members: tuple[H, ...] = ()
        self._table: Table | None = None

    @property
    def is_built(self) -> bool:
        """Whether the table is that of the members as they are now."""
        return self._built is self._wanted

    def build_now(self) -> None:
        """For those who serve nobody meanwhile."""
        for _ in self._steps():
            pass

    def update(self, members: tuple[H, ...], candidates: tuple[H, ...]) -> None:
        self.candidates, self._eligible = candidates, frozenset(candidates)
        wanted = tuple((member, member.weight) for member in sorted(members[:MOST_ENDPOINTS], key=_label))
        if wanted != self._wanted:
            self._wanted = wanted
            self._start(self._steps())

    def pick(self, exclude: Collection[object] = NONE_EXCLUDED, key: int | None = None) -> H | None:
        """Without a key any endpoint, evenly."""
        if key is None:
            key = int(self._draw() * (1 << KEY_BITS))
        if self._table is not None:
            members, eligible = self._members, self._eligible
            for number in self._table.walk(key):
                endpoint = members[number]
                if endpoint in eligible and endpoint not in exclude:
                    return endpoint
        left = [endpoint for endpoint in self.candidates if endpoint not in exclude]
        salt = key.to_bytes(8, "big")
        return max(left, key=lambda endpoint: blake2b(endpoint.label, digest_size=8, salt=salt).digest(), default=None)

    def _steps(self) -> Iterator[None]:
        """Ends early when the members change meanwhile."""
        wanted = self._wanted
        members = tuple(member for member, _ in wanted)
        if not members:
            self._members, self._table, self._built = (), None, wanted
            return
        for table in self._build(members, self._size):
            if self._wanted is not wanted:
                return
            if table is not None:
                self._members, self._table, self._built = members, table, wanted
            yield


def _label(endpoint: Hashed) -> bytes:
    return endpoint.label
