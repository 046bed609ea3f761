"""Paths: the entries of one hostname, by exact path, regular expression and prefix.

Entries of one path stand in one group, in order. Only prefixes of as many segments as some prefix has are probed, and nothing
beyond the longest value is looked at: a path of thousands of segments costs what a short one does. Regular expressions are the
exception, RE2 being linear in the path.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final, Generic

from gateway.routing.entry import Entry, Payload, Rank, order_of
from gateway.routing.expressions import Expression, ExpressionSet

Group = tuple[Entry[Payload], ...]

SET_SIZE: Final = 64
"""Expressions asked together. One edit compiles one set anew, on the next request: half a millisecond."""


def _rank_of_group(group: Group[Payload]) -> Rank:
    return group[0].rank


def _with(group: Group[Payload], entry: Entry[Payload]) -> Group[Payload]:
    place = bisect_left(group, entry.order, key=order_of)
    return (*group[:place], entry, *group[place:])


def _without(group: Group[Payload], entry: Entry[Payload]) -> Group[Payload]:
    place = bisect_left(group, entry.order, key=order_of)
    return (*group[:place], *group[place + 1 :])


_NOTHING: Final[dict[bytes, Any]] = {}
"""Never changed: most hosts have paths of one kind."""


class HostPaths(Generic[Payload]):
    """Shared ones are never edited; `copy` gives one that its maker may edit before it shares it."""

    __slots__ = ("_depths", "_exact", "_expressions", "_longest_exact", "_longest_prefix", "_numbers", "_prefixes", "hostname")

    def __init__(self, hostname: bytes) -> None:
        self.hostname: Final = hostname
        self._exact: dict[bytes, Group[Payload]] = _NOTHING
        self._prefixes: dict[bytes, Group[Payload]] = _NOTHING
        self._expressions: ExpressionPaths[Payload] | None = None
        self._depths: tuple[int, ...] = ()
        """The numbers of segments that prefixes have, ascending; '/' has none."""
        self._numbers: tuple[int, ...] = ()
        """How many prefixes there are of each depth."""
        self._longest_exact = self._longest_prefix = 0
        """Upper bounds: a removal leaves them."""

    def __bool__(self) -> bool:
        return bool(self._exact or self._prefixes or self._expressions)

    def groups(self, path: bytes) -> list[Group[Payload]]:
        """The groups whose path matches, in order of precedence."""
        found = self._prefix_groups(path)
        if self._expressions is not None:
            found += self._expressions.groups(path)
            found.sort(key=_rank_of_group, reverse=True)
        if len(path) <= self._longest_exact:
            exact = self._exact.get(path)
            if exact is not None:
                found.append(exact)
        found.reverse()
        return found

    def _prefix_groups(self, path: bytes) -> list[Group[Payload]]:
        """Shortest first. Prefixes match whole segments, so '/a' covers '/a', '/a/' and '/a/b', not '/ab'."""
        found: list[Group[Payload]] = []
        prefixes, longest, length = self._prefixes, self._longest_prefix, len(path)
        end = depth = 0
        for wanted in self._depths:
            while depth < wanted:
                if end == length:
                    return found
                end = path.find(b"/", end + 1, longest + 1)
                if end < 0:
                    end = length
                if end > longest:
                    return found
                depth += 1
            group = prefixes.get(path[:end] or b"/")
            if group is not None:
                found.append(group)
        return found

    def copy(self) -> HostPaths[Payload]:
        copy: HostPaths[Payload] = HostPaths(self.hostname)
        copy._exact, copy._prefixes = self._exact.copy(), self._prefixes.copy()
        copy._expressions = self._expressions and self._expressions.copy()
        copy._depths, copy._numbers = self._depths, self._numbers
        copy._longest_exact, copy._longest_prefix = self._longest_exact, self._longest_prefix
        return copy

    def put(self, entry: Entry[Payload]) -> None:
        """For the maker of this table, before it is shared."""
        path = entry.path
        if entry.expression is not None:
            if self._expressions is None:
                self._expressions = ExpressionPaths()
            self._expressions.put(entry, entry.expression)
        elif entry.prefix is None:
            self._exact = self._exact or {}
            self._exact[path] = _with(self._exact.get(path, ()), entry)
            self._longest_exact = max(self._longest_exact, len(path))
        else:
            if path not in self._prefixes:
                self._count(path, 1)
            self._prefixes = self._prefixes or {}
            self._prefixes[path] = _with(self._prefixes.get(path, ()), entry)
            self._longest_prefix = max(self._longest_prefix, len(path))

    def remove(self, entry: Entry[Payload]) -> None:
        """For the maker of this table, before it is shared. The entry must be there."""
        if entry.expression is not None:
            if self._expressions is not None:
                self._expressions.remove(entry, entry.expression.pattern)
                self._expressions = self._expressions or None
            return
        groups = self._exact if entry.prefix is None else self._prefixes
        group = _without(groups[entry.path], entry)
        if group:
            groups[entry.path] = group
            return
        del groups[entry.path]
        if entry.prefix is not None:
            self._count(entry.prefix, -1)

    def _count(self, prefix: bytes, change: int) -> None:
        depth = 0 if prefix == b"/" else prefix.count(b"/")
        place = bisect_left(self._depths, depth)
        end = place + (depth in self._depths)
        number = sum(self._numbers[place:end]) + change
        if not number or place == end:
            self._depths = self._depths[:place] + ((depth,) if number else ()) + self._depths[end:]
        self._numbers = self._numbers[:place] + ((number,) if number else ()) + self._numbers[end:]


class ExpressionPaths(Generic[Payload]):
    """Entries by pattern. Patterns keep their set while others come and go; those that are gone are compacted away in time."""

    __slots__ = ("_groups", "_placed", "_sets")

    def __init__(self) -> None:
        self._groups: dict[str, Group[Payload]] = {}
        self._placed: dict[str, Expression] = {}
        """All that stand in a set, those of no group any more included."""
        self._sets: list[ExpressionSet] = []

    def __bool__(self) -> bool:
        return bool(self._groups)

    def groups(self, path: bytes) -> list[Group[Payload]]:
        """In no order; entries of one rank, such as those of patterns of one length, stand in one group."""
        by_rank: dict[Rank, list[Entry[Payload]]] = {}
        for expressions in self._sets:
            for expression in expressions.matching(path):
                for entry in self._groups.get(expression.pattern, ()):
                    by_rank.setdefault(entry.rank, []).append(entry)
        return [tuple(sorted(entries, key=order_of)) for entries in by_rank.values()]

    def copy(self) -> ExpressionPaths[Payload]:
        copy: ExpressionPaths[Payload] = ExpressionPaths()
        copy._groups, copy._placed, copy._sets = self._groups.copy(), self._placed.copy(), self._sets.copy()
        return copy

    def put(self, entry: Entry[Payload], expression: Expression) -> None:
        pattern = expression.pattern
        self._groups[pattern] = _with(self._groups.get(pattern, ()), entry)
        if pattern not in self._placed:
            if len(self._placed) >= 2 * len(self._groups) + SET_SIZE:
                self._compact()
            self._place(expression)

    def remove(self, entry: Entry[Payload], pattern: str) -> None:
        group = _without(self._groups[pattern], entry)
        if group:
            self._groups[pattern] = group
        else:
            del self._groups[pattern]

    def _place(self, expression: Expression) -> None:
        self._placed[expression.pattern] = expression
        last = self._sets[-1].expressions if self._sets else ()
        if last and len(last) < SET_SIZE and expression.ascii and last[-1].ascii:
            self._sets[-1] = ExpressionSet((*last, expression))
        else:
            self._sets.append(ExpressionSet((expression,)))
        if len(last) == SET_SIZE - 1:
            self._sets[-1].prepare()

    def _compact(self) -> None:
        placed, self._placed, self._sets = self._placed, {}, []
        for pattern, expression in placed.items():
            if pattern in self._groups:
                self._place(expression)
