"""Follows a controller for as long as the process lives: connects, subscribes, and after every end connects again.

What is live stays live while the controller is away, for however long. A connection is tried again after a random time of a range that
grows, so that hundreds of proxies that have lost their controller in one moment do not come back in one moment.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Set
from typing import Final, NoReturn, TypeAlias

from msgspec.structs import replace

from gateway.ir.batch import Batch, Rejection, Subscribe
from gateway.ir.value import Identity
from gateway.subscribe import Moved, Reply, StreamError, Subscription

SHORTEST: Final = 0.1
LONGEST: Final = 5.0
"""Seconds between two tries."""
FIRST_RANGE: Final = 1.0
"""Seconds over which the first tries of all proxies spread."""
STABLE_AFTER: Final = 10.0
"""Seconds after which the end of a connection is a new story, and the range starts anew."""
SILENCE: Final = 5.0
"""Seconds without a word after which a controller is given up, though its connection stands: one that works asks for the time every
second (controller.heartbeats), and one that stands still would keep us from what the others know."""

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect: TypeAlias = Callable[[str], Awaitable[Stream]]
"""A connection on which a Subscription may begin, to a replica of the controller (HOST:PORT) or to any (""); its reader takes lines of
subscribe.LINE_LIMIT. It gives up by itself, with an error
whose message says what is wrong, and notices when the other end has vanished (mesh.link)."""
Apply: TypeAlias = Callable[[Batch, Set[Identity]], Awaitable[tuple[Rejection, ...]]]
"""See DataPlane.take."""
Introduce: TypeAlias = Callable[[], Awaitable[Subscribe]]
"""What a connection begins with."""


class Follower:
    """Owner of the one connection to the controller there is.

    since        when it was made (seconds since the epoch), None while there is none
    connections  how many there were
    problem      why there is none; '' while there is one
    """

    def __init__(self, connect: Connect, introduce: Introduce, apply: Apply, reply: Reply, message: Callable[[str], None]) -> None:
        self._connect = connect
        self._introduce = introduce
        self._apply = apply
        self._reply = reply
        self._message = message
        self._subscription: Subscription | None = None
        self._acknowledges = False
        self._range = FIRST_RANGE
        self.since: float | None = None
        self.connections = 0
        self.problem = "it has not been reached yet"

    async def run(self) -> NoReturn:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            ending = await self._follow()
            if ending != self.problem:
                self._message(f"the controller {ending}; what is live stays, and it is tried again")
            self.problem = ending
            if loop.time() - began > STABLE_AFTER:
                self._range = FIRST_RANGE
            await asyncio.sleep(random.uniform(SHORTEST, self._range))
            self._range = min(self._range * 2, LONGEST)

    def report(self, rejected: tuple[Rejection, ...]) -> None:
        """Tells the controller what stands now, if it has been told anything on this connection; if not, it will be."""
        if self._subscription is not None and self._acknowledges:
            self._subscription.report(rejected)

    async def _follow(self) -> str:
        """The replica that leads, or if it cannot be reached any other; returns how that ended."""
        try:
            return await self._live()
        except Moved as moved:
            leader = moved.address
        if not leader:  # that one is out of touch with the cluster; the next may be another
            try:
                return await self._live()
            except Moved as moved:
                leader = moved.address
        if not leader:
            return await self._live(anywhere=True)
        connections = self.connections
        try:
            ending = await self._live(leader)
            return ending if self.connections > connections else await self._live(anywhere=True)
        except Moved as moved:
            return f"sends us from replica to replica, at last to {moved.address}"

    async def _live(self, address: str = "", *, anywhere: bool = False) -> str:
        """One connection from start to end; returns how it ended. Raises Moved."""
        try:
            reader, writer = await self._connect(address)
        except Exception as error:  # whatever goes wrong is told, and is over some day
            return f"cannot be reached: {error or type(error).__name__}"
        self._subscription = Subscription(reader, writer, self._take, self._reply, SILENCE)
        self._acknowledges = False
        self.since = time.time()
        self.connections += 1
        self.problem = ""
        self._message(f"connected to the controller, at the replica that leads, {address}" if address else "connected to the controller")
        try:
            introduction = await self._introduce()
            await self._subscription.run(replace(introduction, anywhere=anywhere))
        except Moved:
            raise  # to whoever decides where to go next
        except StreamError as error:
            return f"cannot be followed: {error}"
        except Exception as error:
            return f"was lost, which is a fault of Tidegate: {type(error).__name__}: {error}"
        finally:
            self._subscription = None
            self.since = None
        return "has closed the connection"

    async def _take(self, batch: Batch) -> tuple[Rejection, ...]:
        assert self._subscription is not None
        rejected = await self._apply(batch, self._subscription.unreadable)
        self._acknowledges = True
        return rejected
