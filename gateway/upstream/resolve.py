"""Names of ExternalName Services and of ServiceEntries: resolved off the loop, kept for a while, and the last good answer kept when DNS
fails.

Each question has a thread of its own that nobody waits for at the end: a server that is silent for half a minute holds up neither
the other names nor the process that drains.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from threading import Thread
from typing import Final, TypeVar

from gateway.net.addresses import is_address

FRESH: Final = 15.0
"""Seconds an answer is used before it is asked for again; the resolver of the system tells no time to live."""
OLD: Final = 60.0
"""Seconds after which an answer that nobody wanted meanwhile is asked for again before it is used: the address may be another's now."""
PATIENCE: Final = 1.0
"""Seconds to wait for the answer in place of an old one."""
FAILED: Final = 1.0
"""Seconds a failure is remembered: however many requests want a name that is not there, DNS is asked once a second."""
MOST_NAMES: Final = 1024
MOST_ADDRESSES: Final = 64
MOST_QUESTIONS: Final = 32
"""Names asked for at once; the others wait."""

Kept = TypeVar("Kept")

LookUp = Callable[[str], tuple[str, ...]]
"""From a name to its IP addresses, at least one; blocks. Raises OSError."""


def system_addresses(name: str) -> tuple[str, ...]:
    """What the resolver of the system says, without addresses that this host has no route to if it has one to others (RFC 6724 5, rule 1):
    a host without IPv6 must not be led to AAAA records in turn."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{name} is no name that DNS can have") from None
    addresses = tuple(dict.fromkeys(str(address[0]) for *_, address in found))[:MOST_ADDRESSES]
    if not addresses:
        raise OSError(f"{name} has no address")
    return tuple(filter(_is_routed, addresses)) or addresses


def _is_routed(address: str) -> bool:
    """Nothing is sent: a UDP socket that connects only looks up the route."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
    except OSError:
        return False
    return True


class _Answer:
    """Addresses of a name, when they were asked for, and whose turn it is."""

    __slots__ = ("addresses", "asked", "turn")

    def __init__(self, addresses: tuple[str, ...], asked: float) -> None:
        self.addresses, self.asked, self.turn = addresses, asked, -1

    def next(self) -> tuple[str, ...]:
        """All of them, from the one on whose turn it is."""
        turn = self.turn = (self.turn + 1) % len(self.addresses)
        return self.addresses[turn:] + self.addresses[:turn]


class Resolver:
    """One per worker. Owner of the answers; a name is asked for once at a time, however many wait for it."""

    __slots__ = ("_answers", "_asking", "_failures", "_look_up", "_loop", "_questions")

    def __init__(self, loop: asyncio.AbstractEventLoop, look_up: LookUp = system_addresses) -> None:
        self._loop, self._look_up = loop, look_up
        self._answers: dict[str, _Answer] = {}
        self._failures: dict[str, tuple[float, str]] = {}
        """When and why, of names that have no answer."""
        self._asking: dict[str, asyncio.Task[tuple[str, ...]]] = {}
        self._questions = asyncio.Semaphore(MOST_QUESTIONS)

    async def address(self, name: str) -> str:
        """An IP address for a name or an address; of several answers each in its turn. Raises OSError when there never was an answer."""
        return (await self.addresses(name))[0]

    async def addresses(self, name: str) -> tuple[str, ...]:
        """The same with the other answers behind it, for one who gets nowhere by the first. Raises OSError likewise."""
        return (name,) if is_address(name) else (await self._answer(name)).next()

    def current(self, name: str) -> tuple[str, ...]:
        """The last good answer for a name, none if there never was one; an old one is asked for again in the background."""
        known = self._answers.get(name)
        if known is None:
            return (name,) if is_address(name) else ()
        if self._loop.time() - known.asked > FRESH:
            self._ask(name)
        return known.addresses

    async def _answer(self, name: str) -> _Answer:
        known = self._answers.get(name)
        now = self._loop.time()
        if known is None:
            failed, why = self._failures.get(name, (-FAILED, ""))
            if now - failed < FAILED:
                raise OSError(why)
            addresses = await asyncio.shield(self._ask(name))
            return self._answers.get(name) or _Answer(addresses, now)
        if now - known.asked > FRESH:
            asking = self._ask(name)  # in the background: the last good answer serves meanwhile
            if now - known.asked > OLD:
                await asyncio.wait((asking,), timeout=PATIENCE)
                known = self._answers.get(name, known)
        return known

    def _ask(self, name: str) -> asyncio.Task[tuple[str, ...]]:
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = self._loop.create_task(self._resolve(name))
            task.add_done_callback(lambda done: self._answered(name, done))
        return task

    def _answered(self, name: str, task: asyncio.Task[tuple[str, ...]]) -> None:
        del self._asking[name]
        if task.cancelled():
            return
        now = self._loop.time()
        error = task.exception()
        known = self._answers.pop(name, None)
        self._failures.pop(name, None)
        if error is None:
            known = known or _Answer((), now)
            known.addresses = task.result()
        if known is not None:
            known.asked = now
            _keep(self._answers, name, known)
        else:
            _keep(self._failures, name, (now, str(error)))

    async def _resolve(self, name: str) -> tuple[str, ...]:
        async with self._questions:
            answer: asyncio.Future[tuple[str, ...]] = self._loop.create_future()
            try:
                Thread(target=self._look_up_for, args=(name, answer), name="name resolution", daemon=True).start()
            except RuntimeError as error:
                raise OSError(f"{name} cannot be asked for: {error}") from None
            return await answer

    def _look_up_for(self, name: str, answer: asyncio.Future[tuple[str, ...]]) -> None:
        """In the thread of the question."""
        addresses: tuple[str, ...] = ()
        failure: OSError | None = None
        try:
            addresses = self._look_up(name)
        except OSError as error:
            failure = error
        try:
            self._loop.call_soon_threadsafe(_settle, answer, addresses, failure)
        except RuntimeError:
            pass  # the loop has ended meanwhile


def _settle(answer: asyncio.Future[tuple[str, ...]], addresses: tuple[str, ...], failure: OSError | None) -> None:
    if answer.done():
        return
    if failure is None:
        answer.set_result(addresses)
    else:
        answer.set_exception(failure)


def _keep(kept: dict[str, Kept], name: str, value: Kept) -> None:
    """As the latest; the one that was kept first goes when there are too many."""
    if len(kept) >= MOST_NAMES:
        kept.pop(next(iter(kept)))
    kept[name] = value
