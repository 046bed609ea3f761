"""Hostnames: from a request's host to what is kept for the most specific hostname that covers it.

An exact hostname comes before a wildcard, a longer wildcard before a shorter one, the empty hostname last. '*.example.com' stands
for one or more labels before the suffix (Gateway API, Listener.hostname). Only suffixes of as many labels as some wildcard has are
probed, so a host of any number of labels costs what the wildcards do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

Kept = TypeVar("Kept")

CACHE_ENTRIES: Final = 8192
LONGEST_CACHED: Final = 255


_NOTHING: Final[dict[bytes, Any]] = {}


def _nothing() -> dict[bytes, Any]:
    """The one empty dict of all tables, which have several and are many; whoever keeps something makes its own."""
    return _NOTHING


class HostTable(Generic[Kept]):
    """Values by hostname: b'a.example.com', b'*.example.com' or b'', lower case, ports and trailing dots taken off.

    Shared tables are never edited; `copy` gives one that its maker may edit before it shares it.
    """

    __slots__ = ("_any", "_chosen", "_depths", "_exact", "_levels", "_wildcards")

    def __init__(self, values: Mapping[bytes, Kept] | None = None) -> None:
        self._exact: dict[bytes, Kept] = _nothing()
        self._wildcards: dict[bytes, Kept] = _nothing()
        """By suffix, which begins with the dot."""
        self._depths: tuple[int, ...] = ()
        """Numbers of labels that suffixes have, ascending."""
        self._any: Kept | None = None
        self._chosen: dict[bytes, Kept] = _nothing()
        self._levels: dict[bytes, tuple[Kept, ...]] = _nothing()
        for hostname, value in (values or {}).items():
            self.put(hostname, value)

    def choose(self, host: bytes) -> Kept | None:
        """What is kept for the most specific hostname that covers the host, None where none does."""
        chosen = self._chosen.get(host)
        if chosen is not None:
            return chosen
        levels = self.levels(host)
        if not levels:
            return None
        if len(host) <= LONGEST_CACHED:
            if not 0 < len(self._chosen) < CACHE_ENTRIES:
                self._chosen = {}
            self._chosen[host] = levels[0]
        return levels[0]

    def levels(self, host: bytes) -> tuple[Kept, ...]:
        """What is kept for every hostname that covers the host, the most specific first."""
        levels = self._levels.get(host)
        if levels is not None:
            return levels
        exact = self._exact.get(host)
        found = [] if self._any is None else [self._any]
        if self._wildcards:
            self._collect_wildcards(host, found)
        if exact is not None:
            found.append(exact)
        found.reverse()
        levels = tuple(found)
        if len(host) <= LONGEST_CACHED:
            if not 0 < len(self._levels) < CACHE_ENTRIES:
                self._levels = {}
            self._levels[host] = levels
        return levels

    def _collect_wildcards(self, host: bytes, found: list[Kept]) -> None:
        """Appends the shortest suffix first."""
        start, depth = len(host), 0
        for wanted in self._depths:
            while depth < wanted:
                start = host.rfind(b".", 0, start)
                if start <= 0:
                    return
                depth += 1
            value = self._wildcards.get(host[start:])
            if value is not None:
                found.append(value)

    def get(self, hostname: bytes) -> Kept | None:
        """What is kept for this very hostname."""
        if not hostname:
            return self._any
        return self._wildcards.get(hostname[1:]) if hostname.startswith(b"*.") else self._exact.get(hostname)

    def values(self) -> tuple[Kept, ...]:
        """Everything that is kept, in no order."""
        return (*self._exact.values(), *self._wildcards.values(), *(() if self._any is None else (self._any,)))

    def copy(self) -> HostTable[Kept]:
        """A table of the same values, whose maker may edit it."""
        copy: HostTable[Kept] = HostTable()
        copy._exact = self._exact.copy() if self._exact else _nothing()
        copy._wildcards = self._wildcards.copy() if self._wildcards else _nothing()
        copy._depths, copy._any = self._depths, self._any
        return copy

    def _forget(self) -> None:
        self._chosen, self._levels = _nothing(), _nothing()

    def put(self, hostname: bytes, value: Kept) -> None:
        """For the maker of this table, before it is shared."""
        self._forget()
        if not hostname:
            self._any = value
        elif hostname.startswith(b"*."):
            self._wildcards = self._wildcards or {}
            self._wildcards[hostname[1:]] = value
            if hostname.count(b".") not in self._depths:
                self._depths = tuple(sorted((*self._depths, hostname.count(b"."))))
        else:
            self._exact = self._exact or {}
            self._exact[hostname] = value

    def remove(self, hostname: bytes) -> None:
        """For the maker of this table, before it is shared. A hostname that is not there is no error."""
        self._forget()
        if not hostname:
            self._any = None
        elif hostname.startswith(b"*."):
            self._wildcards.pop(hostname[1:], None)
            if not self._wildcards:
                self._depths = ()
        else:
            self._exact.pop(hostname, None)
