"""The life of a serving process: how it begins to be the one that everybody speaks to, what signals do to it, and how it ends.

    start ─> (the program before hands its sockets over) ─> serving ─> drained          SIGTERM, SIGINT; twice: at once
                                                                  └──> replaced ─> left   SIGUSR2

What is served, and from where it is read, is no concern of this module.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from gateway.admin import AdminServer
from gateway.parent import Workers
from gateway.succession import Predecessor
from tidegate.forwarder import Followed
from tidegate.options import RunOptions
from tidegate.replacement import Replacement

GOOD: Final = 0
CUT_OFF: Final = 1

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
IDLE_GRACE: Final = 10.0
"""Seconds in which a connection that waits may bring one more request to a program that has been replaced."""

Serves = Callable[[], Awaitable[str]]
"""Returns once all workers have what the sources say: why no other program should be given up for it, '' if one may."""


class Lifecycle:
    """Owner of the signals, of the admin server's life, and of the way to the programs before and after this one."""

    def __init__(self, options: RunOptions, workers: Workers, message: Callable[[str], None], predecessor: Predecessor | None) -> None:
        self._options = options
        self._workers = workers
        self._message = message
        self._predecessor = predecessor
        self.replacement = Replacement(workers, message)
        self._on_terminal = os.isatty(2)
        self._signals = 0
        self._replaced = False
        self._ending = asyncio.Event()
        self._hurried = asyncio.Event()
        self.reread = asyncio.Event()
        """Set by SIGHUP; whoever reads the sources clears it, and reads all of them again."""
        self.mesh_at_once: asyncio.Event | None = None
        """Of a mesh of local processes: set by the second signal, for their end."""

    @property
    def draining(self) -> bool:
        """Whether no traffic should be sent here any more."""
        return self._signals > 0

    async def run(
        self, admin: AdminServer, listening: socket.socket | None, work: Sequence[Coroutine[Any, Any, None]], serves: Serves
    ) -> int | Followed:
        """Has the workers serve, and does `work` beside them, until the end: GOOD, CUT_OFF, or what this process is to follow from now on.

        Owns `listening`, the socket of the admin server, which has none if that is None.
        """
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._workers.run())
                background = [tasks.create_task(one) for one in (*work, self._take_over(admin, listening, serves))]
                replacing = tasks.create_task(self._be_replaced(admin, listening))
                await self._ending.wait()
                replacing.cancel()  # no other program takes over from one that was told to end
                clean = await (self._leave(background) if self._replaced else self._drain())
                await serving
                for task in background:
                    task.cancel()
        finally:
            if self.replacement.followed is None:  # else signals are passed on until the very end
                for number in SIGNALS:
                    loop.remove_signal_handler(number)
            await admin.close()
            if listening is not None:
                listening.close()  # if the server never had it
        if self.replacement.followed is not None:
            return self.replacement.followed
        return GOOD if clean and (self._signals == 1 or self._replaced) else CUT_OFF

    async def _take_over(self, admin: AdminServer, listening: socket.socket | None, serves: Serves) -> None:
        """At once, or when the program that this one replaces has stopped accepting."""
        if self._predecessor is not None:
            obstacle = await serves()
            if obstacle:
                self._predecessor.refuse(obstacle)
                return  # it is told to end now
            await self._predecessor.take_over()
            self._predecessor.close()
            self._predecessor = None
            self._message("this program serves now, instead of the one that started it")
        if listening is not None:
            await admin.start(listening)

    async def _be_replaced(self, admin: AdminServer, listening: socket.socket | None) -> None:
        await self.replacement.replaced(listening, admin.close)
        self._replaced = True
        seconds = IDLE_GRACE + self._options.drain_timeout
        self._message(f"replaced: what is under way here is finished, for {seconds:g} s at most")
        self._ending.set()

    async def _drain(self) -> bool:
        return await self._workers.drain(self._options.drain_delay, self._options.drain_timeout)

    async def _leave(self, background: Sequence[asyncio.Task[None]]) -> bool:
        """The end of a program that has been replaced: sources and ports are its successor's, what is under way is its own."""
        for task in background:
            task.cancel()
        async with asyncio.TaskGroup() as tasks:
            hurrying = tasks.create_task(self._hurry())
            clean = await self._workers.drain(IDLE_GRACE, self._options.drain_timeout, accepting=False)
            hurrying.cancel()
        return clean

    async def _hurry(self) -> None:
        await self._hurried.wait()
        await self._workers.hurry()

    def _signalled(self, number: int) -> None:
        """See "Signals" in docs/cli.md."""
        name = signal.Signals(number).name
        if self.replacement.followed is not None:
            self.replacement.followed.pass_on(number)
        if number in (signal.SIGTERM, signal.SIGINT) or (number == signal.SIGHUP and self._is_hung_up()):
            self._end(name)
        elif self.replacement.followed is not None or self._ending.is_set():
            return
        elif number == signal.SIGUSR2:
            self._ask_for_replacement()
        elif not self.reread.is_set():
            self.reread.set()
            self._message(f"{name}: all files are read again")

    def _ask_for_replacement(self) -> None:
        if self._options.mesh:
            self._message("SIGUSR2: a mesh of local processes is not replaced in place; end it and start it anew")
        elif self._predecessor is None:
            self.replacement.ask()
        else:
            self._message("SIGUSR2: this program has not taken over yet, and is not replaced before")

    def _is_hung_up(self) -> bool:
        """Whether the terminal that this program was started on is gone."""
        return self._on_terminal and not os.isatty(2)

    def _end(self, name: str) -> None:
        self._signals += 1
        if self._signals == 1:
            seconds = self._options.drain_delay + self._options.drain_timeout
            self._message(f"{name}: draining, for {seconds:g} s at most; once more ends at once")
            self._hurried.set()
            self._ending.set()
        elif self._signals == 2:
            self._message(f"{name}: ending at once")
            self._workers.stop()
            if self.mesh_at_once is not None:
                self.mesh_at_once.set()
