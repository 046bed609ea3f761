"""The routes of one listener: from a request's head to the entry that serves it.

Hostnames are searched from the most specific, in each the paths that match in order of precedence (see `entry`), and the first
entry whose predicates all hold is the answer. What host and path alone decide is kept in bounded caches, so the usual request
costs one look-up. A table never changes; an editor makes the next one beside it from copies of no more than the dicts on the way.
"""

from __future__ import annotations

from typing import Any, Final, Generic, NamedTuple

from gateway.http.head import RequestHead
from gateway.ir.rule import HttpRule
from gateway.routing.entry import Entry, Payload
from gateway.routing.hosts import HostTable
from gateway.routing.paths import Group, HostPaths
from gateway.routing.predicates import Parameters

CACHE_ENTRIES: Final = 8192
"""Requests remembered at least; two for each rule where there are more rules, since a cache that is too small for what is asked in turn
never hits."""
LONGEST_CACHED: Final = 256


_NOTHING: Final[dict[tuple[bytes, bytes], Any]] = {}
"""The one empty dict of all tables without requests: a mesh has many of them. Whoever keeps something makes its own."""


class Placed(NamedTuple, Generic[Payload]):
    """A rule in a table: the hostnames it serves there, and an entry for each of its matches."""

    hostnames: tuple[bytes, ...]
    entries: tuple[Entry[Payload], ...]


class RouteTable(Generic[Payload]):
    """Begins empty; `edit` makes the next one."""

    __slots__ = ("_certain", "_found", "_hosts", "_most", "_rules")

    def __init__(self) -> None:
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
        """The entries whose hostname and path match, in order of precedence; a group has one hostname and one rank of paths."""
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
            return tuple(levels[0].groups(path))
        return tuple(group for paths in levels for group in paths.groups(path))

    def hostnames(self, host: bytes) -> tuple[bytes, ...]:
        """The hostnames of the table that cover the host, the most specific first."""
        return tuple(paths.hostname for paths in self._hosts.levels(host))

    def placed(self) -> tuple[Placed[Payload], ...]:
        """Every rule, in no order."""
        return tuple(self._rules.values())

    def contents(self) -> list[object]:
        """All that it holds: whoever keeps this may let go of the table at once, and then of its contents bit by bit."""
        return [*self._rules.values(), *self._hosts.values()]

    def edit(self) -> RouteTableEditor[Payload]:
        return RouteTableEditor(self._hosts.copy(), self._rules.copy())


class RouteTableEditor(Generic[Payload]):
    """Makes the next table in as many steps as its user likes; the table it began from serves on, unchanged."""

    __slots__ = ("_finished", "_hosts", "_own", "_rules")

    def __init__(self, hosts: HostTable[HostPaths[Payload]], rules: dict[str, Placed[Payload]]) -> None:
        """Takes over both arguments."""
        self._hosts: Final = hosts
        self._rules: Final = rules
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
        table: RouteTable[Payload] = RouteTable()
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
