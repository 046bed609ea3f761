"""A Publisher for each Gateway, and for each namespace of the mesh: what a change means for it is published there, and its proxies are
served by it.

Every replica of the controller has all of them. Revisions count anew in each; a proxy that comes over says by digest what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final

from controller.publish import Publisher
from controller.scopes import ScopedChange, Scopes
from gateway.ir.batch import AnyResource
from gateway.ir.value import Identity
from gateway.ir.workload import called

_REMEMBERED: Final = 1_000
"""Scopes of which it is known that they were there."""


class Publishers:
    """Owner of the publishers by scope, which is the key of a Gateway (namespace/name).

    `problem` is told what a log should know, `moved` the scope in which a subscriber acknowledged something or went away.
    """

    def __init__(self, problem: Callable[[str], None], moved: Callable[[str], None] = lambda scope: None) -> None:
        self._problem = problem
        self._moved = moved
        self._scopes = Scopes()
        self._publishers: dict[str, Publisher] = {}
        self._gone: dict[str, None] = {}
        self._opened = asyncio.Event()

    def __iter__(self) -> Iterator[str]:
        """The scopes that are there."""
        return iter(tuple(self._publishers))

    def publish(self, set: Iterable[AnyResource], remove: Iterable[Identity]) -> dict[str, int]:
        """One change of everything; returns the new revision of each scope in which something differs.

        A scope is there from the change that sets its Gateway to the one that removes it, which ends its subscribers' streams.
        """
        division = self._scopes.change(set, remove)
        for scope in division.closed:
            self._publishers.pop(scope).close()
            self._gone[scope] = None
        while len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        for scope in division.opened:
            self._gone.pop(scope, None)
            self._publishers[scope] = Publisher(partial(self._tell, scope), partial(self._moved, scope))
        changes: dict[str, ScopedChange] = {**division.opened, **division.changed}
        revisions = {scope: self._publishers[scope].publish(change.set, change.remove) for scope, change in changes.items()}
        if division.opened:
            self._opened.set()
            self._opened.clear()
        return revisions

    def send_away(self) -> None:
        """Every subscriber's stream ends after what is on its way, and they come again or go elsewhere."""
        for publisher in self._publishers.values():
            publisher.close()

    def publisher(self, scope: str) -> Publisher | None:
        """Of a scope that is there."""
        return self._publishers.get(scope)

    def is_gone(self, scope: str) -> bool:
        """Whether a scope was there, is not any more, and is not too long forgotten: its last proxies may still ask for it."""
        return scope in self._gone

    async def opened(self, scope: str, timeout: float) -> Publisher | None:
        """As `publisher`, but waits so many seconds for the scope: a Pod may be up before this replica has seen its Gateway."""
        try:
            async with asyncio.timeout(timeout):
                while scope not in self._publishers:
                    await self._opened.wait()
        except TimeoutError:
            pass
        return self._publishers.get(scope)

    async def acknowledged(self, revisions: Mapping[str, int], timeout: float) -> None:
        """Returns once the subscribers of these scopes have these revisions in place, or after so many seconds. Where there are none nobody
        is waited for."""
        publishers = {self._publishers[scope]: revision for scope, revision in revisions.items() if scope in self._publishers}
        waiting = [publisher.acknowledged(revision) for publisher, revision in publishers.items() if publisher.subscribers]
        try:
            async with asyncio.timeout(timeout):
                await asyncio.gather(*waiting)
        except TimeoutError:
            pass

    def _tell(self, scope: str, problem: str) -> None:
        self._problem(f"{called(scope)}: {problem}")
