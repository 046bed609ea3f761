"""SIGUSR2: the whole program is replaced by a new one, with new code from disk, and no connection is lost.

The running program starts the new one with the same arguments and environment, hands it all listening sockets, and goes on
serving until the new one serves too (gateway/succession.py). If that never happens, nothing has. Afterwards the process that
was started first stays, as a small one that passes signals on (forwarder.py), since whoever started it knows only its id.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from gateway.descriptors import Place
from gateway.parent import Workers
from gateway.succession import SuccessionFailed, Successor
from tidegate.forwarder import Followed, adopts_orphans

FRONT_VARIABLE: Final = "TIDEGATE_FRONT"
"""Environment variable with the writing end of the pipe to the process that stays."""


def command() -> tuple[str, ...]:
    """What starts this very program again, from what is on disk by then."""
    return (sys.executable, *sys.orig_argv[1:])


class Lineage:
    """Where this program stands among those that replaced each other. Made once, before anything that must not find the variable."""

    def __init__(self) -> None:
        self._to_front = _inherited(os.environ.pop(FRONT_VARIABLE, ""))
        self._from_successors: int | None = None
        self._is_front = self._to_front is None

    def legacy(self) -> tuple[Mapping[str, str], tuple[int, ...]]:
        """What a successor needs to tell the process that stays of its own successor: environment and descriptors."""
        if self._to_front is None and adopts_orphans():
            self._from_successors, self._to_front = os.pipe()
        if self._to_front is None:
            return {}, ()
        return {FRONT_VARIABLE: str(self._to_front)}, (self._to_front,)

    def replaced_by(self, process: int) -> Followed | None:
        """Tells the process that stays; what is to be followed if that is this one."""
        if not self._is_front:
            assert self._to_front is not None
            os.write(self._to_front, b"%d\n" % process)
            return None
        if self._to_front is not None:
            os.close(self._to_front)  # the pipe ends with the last program that can write to it
            self._to_front = None
        return Followed(process, -1 if self._from_successors is None else self._from_successors)


def _inherited(number: str) -> int | None:
    """The descriptor; None for what is none, so that a variable that somebody else has set does no harm."""
    try:
        os.set_inheritable(int(number), False)
    except (OSError, ValueError):
        return None
    return int(number)


class Replacement:
    """Owner of the attempts to be replaced. `opened` and `closed` are told of places that change while one lasts."""

    def __init__(self, workers: Workers, message: Callable[[str], None]) -> None:
        self._workers = workers
        self._message = message
        self._lineage = Lineage()
        self._asked = asyncio.Event()
        self._told = False
        self._successor: Successor | None = None
        self.followed: Followed | None = None
        """The program that serves now, if this process is to stay in front of it."""

    def ask(self) -> None:
        """Begins an attempt, unless one is under way."""
        if self._asked.is_set() and not self._told:
            self._told = True
            self._message("SIGUSR2: the program is being replaced already")
        self._asked.set()

    def opened(self, place: Place) -> None:
        if self._successor is not None:
            self._successor.hand(place, self._workers.sockets(place))

    def closed(self, place: Place) -> None:
        if self._successor is not None:
            self._successor.forget(place)

    async def replaced(self, admin: socket.socket | None, retire: Callable[[], Awaitable[None]]) -> None:
        """Returns when a new program serves and everything is its own. `admin` is the listening socket of the admin server, which
        `retire` has ended when the new one may begin."""
        while True:
            await self._asked.wait()
            try:
                if await self._attempt(admin, retire):
                    return
            except Exception as error:  # serving goes on, whatever becomes of an attempt
                self._message(f"SIGUSR2: replacing the program failed, which is a fault of Tidegate: {type(error).__name__}: {error}")
            finally:
                self._successor = None
            self._told = False
            self._asked.clear()

    async def _attempt(self, admin: socket.socket | None, retire: Callable[[], Awaitable[None]]) -> bool:
        environment, descriptors = self._lineage.legacy()
        try:
            successor = Successor.start(command(), {**os.environ, **environment}, descriptors)
        except OSError as error:
            self._message(f"SIGUSR2: no new program could be started: {error.strerror or error}; this one goes on")
            return False
        self._message(f"SIGUSR2: process {successor.process} starts to take over; until it serves, this one goes on")
        self._successor = successor
        try:
            for place in self._workers.places():
                self.opened(place)
            if admin is not None:
                successor.hand_admin(admin)
            successor.complete()
            await successor.ready()
        except SuccessionFailed as failure:
            await successor.end()
            self._message(f"process {successor.process} does not take over: {failure}; this one goes on")
            return False
        except BaseException:
            await successor.end()
            raise
        self.followed = self._lineage.replaced_by(successor.process)
        await retire()
        await successor.leave_it_all()
        return True
