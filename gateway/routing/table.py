"""The routes of one listener: from a request's head to the entry that serves it.

Hostnames are searched from the most specific, in each the paths that match in order of precedence (see `entry`), and the first
entry whose predicates all hold is the answer. What host and path alone decide is kept in bounded caches, so the usual request
costs one look-up. A table never changes; an editor makes the next one beside it from copies of no more than the dicts on the way.

Rules say the hostnames of their routes as written, and stand in the table whatever their namespaces. The listener's hostname and the
namespaces that it takes routes from judge them when a request is searched for, so that a change of these is no work for each rule.
"""

from __future__ import annotations

from typing import Any, Final, Generic, NamedTuple

from gateway.http.head import RequestHead
from gateway.ir.hostnames import covering
from gateway.ir.rule import HttpRule
from gateway.routing.entry import Entry, Payload, Rank, order_of
from gateway.routing.hosts import HostTable
from gateway.routing.paths import Group, HostPaths
from gateway.routing.predicates import Parameters

CACHE_ENTRIES: Final = 8192
"""Requests remembered at least; two for each rule where there are more rules, since a cache that is too small for what is asked in turn
never hits."""
LONGEST_CACHED: Final = 256


_EVERY: Final = frozenset((b"",))
_NOTHING: Final[dict[tuple[bytes, bytes], Any]] = {}
"""The one empty dict of all tables without requests: a mesh has many of them. Whoever keeps something makes its own."""


class Placed(NamedTuple, Generic[Payload]):
    """A rule in a table: the hostnames of its route, as written, and an entry for each of its matches."""

    hostnames: tuple[bytes, ...]
    entries: tuple[Entry[Payload], ...]


class RouteTable(Generic[Payload]):
    """Begins empty; `edit` makes the next one. It is asked for hosts that the listener's hostname covers, and for no others."""

    __slots__ = ("_certain", "_found", "_hosts", "_most", "_rules", "_widest", "hostname", "namespaces")

    def __init__(self, hostname: bytes = b"", namespaces: frozenset[str] | None = None) -> None:
        self.hostname: Final = hostname
        """The listener's."""
        self.namespaces: Final = namespaces
        """Those that it takes routes from, None for all; entries of others are passed over."""
        self._widest: Final = frozenset(wider.encode() for wider in covering(hostname.decode())) if hostname else _EVERY
        """Hostnames that cover the whole of the listener's: what is left of them there is that one, so that none comes before another."""
        self._hosts: HostTable[HostPaths[Payload]] = HostTable()
        self._rules: dict[str, Placed[Payload]] = {}
        self._certain: dict[tuple[bytes, bytes], Entry[Payload]] = _NOTHING
        """What host and path alone decide."""
        self._found: dict[tuple[bytes, bytes], tuple[Group[Payload], ...]] = _NOTHING
        """What they leave open."""
        self._most = CACHE_ENTRIES

    def __len__(self) -> int:
        return len(self._rules)

    def __contains__(self, key: str) -> bool:
        return key in self._rules

    def match(self, head: RequestHead) -> Entry[Payload] | None:
        """The entry that serves the request, None where none does (404)."""
        path = head.path
        if len(path) <= LONGEST_CACHED:
            entry = self._certain.get((head.host, path))
            if entry is not None:
                return entry
        groups = self.find(head.host, path)
        if not groups:
            return None
        parameters = Parameters(head.query)
        for group in groups:
            for entry in group:
                for predicate in entry.predicates:
                    if not predicate.holds(head, parameters):
                        break
                else:
                    return entry
        return None

    def find(self, host: bytes, path: bytes) -> tuple[Group[Payload], ...]:
        """The entries whose hostname and path match, in order of precedence; a group has one rank of paths."""
        if len(path) > LONGEST_CACHED or len(host) > LONGEST_CACHED:
            return self._search(host, path)
        key = (host, path)
        groups = self._found.get(key)
        if groups is None:
            if len(self._found) + len(self._certain) >= self._most:
                self._found, self._certain = {}, {}
            groups = self._search(host, path)
            if groups and groups[0][0].plain:
                self._certain = self._certain or {}
                self._certain[key] = groups[0][0]
            else:
                self._found = self._found or {}
                self._found[key] = groups
        return groups

    def _search(self, host: bytes, path: bytes) -> tuple[Group[Payload], ...]:
        levels = self._hosts.levels(host)
        if len(levels) == 1:
            groups = tuple(levels[0].groups(path))
        elif levels and levels[-2].hostname in self._widest:
            groups = self._merged(levels, path)
        else:
            groups = tuple(group for paths in levels for group in paths.groups(path))
        return groups if self.namespaces is None else _taken(groups, self.namespaces)

    def _merged(self, levels: tuple[HostPaths[Payload], ...], path: bytes) -> tuple[Group[Payload], ...]:
        """The groups of levels of which the last are equal in precedence: these are merged by rank, each entry once."""
        found: list[Group[Payload]] = []
        by_rank: dict[Rank, dict[Entry[Payload], None]] = {}
        for paths in levels:
            if paths.hostname not in self._widest:
                found += paths.groups(path)
                continue
            for group in paths.groups(path):
                by_rank.setdefault(group[0].rank, {}).update(dict.fromkeys(group))
        return (*found, *(tuple(sorted(by_rank[rank], key=order_of)) for rank in sorted(by_rank)))

    def hostnames(self, host: bytes) -> tuple[bytes, ...]:
        """The hostnames that are served there and cover the host, the most specific first."""
        levels = (paths.hostname for paths in self._hosts.levels(host))
        return tuple(dict.fromkeys(self.hostname if hostname in self._widest else hostname for hostname in levels))

    def placed(self) -> tuple[Placed[Payload], ...]:
        """Every rule, in no order."""
        return tuple(self._rules.values())

    def contents(self) -> list[object]:
        """All that it holds: whoever keeps this may let go of the table at once, and then of its contents bit by bit."""
        return [*self._rules.values(), *self._hosts.values()]

    def within(self, hostname: bytes, namespaces: frozenset[str] | None) -> RouteTable[Payload]:
        """The same contents, shared and judged by another hostname and other namespaces of the listener."""
        if (hostname, namespaces) == (self.hostname, self.namespaces):
            return self
        table: RouteTable[Payload] = RouteTable(hostname, namespaces)
        table._hosts, table._rules, table._most = self._hosts, self._rules, self._most
        return table

    def edit(self) -> RouteTableEditor[Payload]:
        return RouteTableEditor(self._hosts.copy(), self._rules.copy(), self.hostname, self.namespaces)


def _taken(groups: tuple[Group[Payload], ...], namespaces: frozenset[str]) -> tuple[Group[Payload], ...]:
    """The entries of these namespaces alone; no group is empty."""
    kept = (tuple(entry for entry in group if entry.namespace in namespaces) for group in groups)
    return tuple(group for group in kept if group)


class RouteTableEditor(Generic[Payload]):
    """Makes the next table in as many steps as its user likes; the table it began from serves on, unchanged."""

    __slots__ = ("_finished", "_hostname", "_hosts", "_namespaces", "_own", "_rules")

    def __init__(
        self, hosts: HostTable[HostPaths[Payload]], rules: dict[str, Placed[Payload]], hostname: bytes, namespaces: frozenset[str] | None
    ) -> None:
        """Takes over hosts and rules; the others are those of the new table."""
        self._hosts: Final = hosts
        self._rules: Final = rules
        self._hostname: Final = hostname
        self._namespaces: Final = namespaces
        self._own: Final[set[bytes]] = set()
        """Hostnames whose paths, if there are any, were copied or made by this editor."""
        self._finished = False

    def put(self, rule: HttpRule, hostnames: tuple[str, ...], payload: Payload) -> None:
        """Takes the place of what was put for the rule's key.

        Raises ValueError, with the field, for a match that cannot be built; nothing has changed then.
        """
        entries = tuple(Entry(rule, index, payload) for index in range(len(rule.matches)))
        self.remove(rule.key)
        names = tuple(dict.fromkeys(hostname.lower().encode() for hostname in hostnames))
        for name in names:
            paths = self._paths(name)
            for entry in entries:
                paths.put(entry)
        if names and entries:
            self._rules[rule.key] = Placed(names, entries)

    def remove(self, key: str) -> None:
        """Nothing happens where nothing was put for the key."""
        if self._finished:
            raise RuntimeError("this editor has finished its table; ask the table for another")
        placed = self._rules.pop(key, None)
        if placed is None:
            return
        for name in placed.hostnames:
            paths = self._paths(name)
            for entry in placed.entries:
                paths.remove(entry)
            if not paths:
                self._hosts.remove(name)

    def finish(self) -> RouteTable[Payload]:
        """The new table; the editor can do no more."""
        self._finished = True
        table: RouteTable[Payload] = RouteTable(self._hostname, self._namespaces)
        table._hosts, table._rules = self._hosts, self._rules
        table._most = max(CACHE_ENTRIES, 2 * len(self._rules))
        return table

    def _paths(self, hostname: bytes) -> HostPaths[Payload]:
        """Those of the hostname, not shared with any other table."""
        paths = self._hosts.get(hostname)
        if paths is None:
            paths = HostPaths(hostname)
        elif hostname in self._own:
            return paths
        else:
            paths = paths.copy()
        self._own.add(hostname)
        self._hosts.put(hostname, paths)
        return paths
