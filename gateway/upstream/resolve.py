"""Names of ExternalName Services: resolved off the loop, kept for a while, and the last good answer kept when DNS fails."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Final

FRESH: Final = 15.0
"""Seconds an answer is used before it is asked for again; the resolver of the system tells no time to live."""
MOST_NAMES: Final = 1024
MOST_ADDRESSES: Final = 64


class Resolver:
    """One per worker. Owner of the answers; a name is asked for once at a time, however many wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answers: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._turns: dict[str, int] = {}
        self._asking: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def address(self, name: str) -> str:
        """An IP address for a name or an address; of several answers each in its turn. Raises OSError when there never was an answer."""
        try:
            ip_address(name)
        except ValueError:
            addresses = await self._addresses(name)
            turn = self._turns[name] = self._turns.get(name, -1) + 1
            return addresses[turn % len(addresses)]
        return name

    async def _addresses(self, name: str) -> tuple[str, ...]:
        known = self._answers.get(name)
        if known is not None:
            if self._loop.time() - known[0] > FRESH:
                self._ask(name)  # in the background: the last good answer serves meanwhile
            return known[1]
        return await asyncio.shield(self._ask(name))

    def _ask(self, name: str) -> asyncio.Task[tuple[str, ...]]:
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = self._loop.create_task(self._resolve(name))
            task.add_done_callback(lambda done: self._answered(name, done))
        return task

    def _answered(self, name: str, task: asyncio.Task[tuple[str, ...]]) -> None:
        del self._asking[name]
        now = self._loop.time()
        if not task.cancelled() and task.exception() is None:
            if len(self._answers) >= MOST_NAMES:
                self._answers.pop(next(iter(self._answers)))
            self._answers[name] = (now, task.result())
        elif name in self._answers:
            self._answers[name] = (now, self._answers[name][1])

    async def _resolve(self, name: str) -> tuple[str, ...]:
        found = await self._loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        addresses = tuple(dict.fromkeys(str(address[0]) for *_, address in found))[:MOST_ADDRESSES]
        if not addresses:
            raise OSError(f"{name} has no address")
        return addresses
