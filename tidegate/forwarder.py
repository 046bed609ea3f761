"""What the process that was started first becomes when it has been replaced: a small one that stays in front of its successor.

Whoever started Tidegate (a terminal, a container, a supervisor) knows this process and no other. So it keeps its id, passes
signals on, and ends as the program that serves ends. When that one is replaced in turn it is told the new one's id over a pipe,
so that there are never more than these two. Run as a script by an interpreter without site packages: it imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

PASSED_ON = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2})

_SET_CHILD_SUBREAPER = 36
_TURNS = 3
_THIS = os.path.abspath(__file__)


class Followed:
    """The program that serves now. `news` is the reading end of a pipe on which each one writes its successor's id, a line each."""

    def __init__(self, process: int, news: int) -> None:
        self._process = process
        self._news = news
        self._line = b""
        if news >= 0:
            os.set_blocking(news, False)

    @property
    def process(self) -> int:
        """Its process id, by the last news."""
        while self._news >= 0:
            try:
                read = os.read(self._news, 4_096)
            except BlockingIOError:
                break
            if not read:
                os.close(self._news)
                self._news = -1
            *lines, self._line = (self._line + read).split(b"\n")
            for line in lines:
                self._process = int(line)
        return self._process

    @property
    def news(self) -> int:
        """The descriptor; -1 once nobody can write to it any more."""
        return self._news

    def pass_on(self, number: int) -> None:
        """Sends it a signal; one that is gone needs none."""
        try:
            os.kill(self.process, number)
        except ProcessLookupError:
            pass


def adopts_orphans() -> bool:
    """Makes this process the parent of what its children leave behind; whether the system can do that."""
    try:
        return bool(ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


async def become(followed: Followed) -> NoReturn:
    """Turns this process into the small one, while the loop that has passed signals on until now still runs: no signal is lost.

    From here on they are noted in a pipe, also those that another thread gets; afterwards this is the only thread, and they wait.
    """
    import asyncio  # which the small one does without

    late, noted = os.pipe()
    os.set_blocking(late, False)
    os.set_blocking(noted, False)
    signal.set_wakeup_fd(noted)
    for _ in range(_TURNS):
        await asyncio.sleep(0)  # those that came before are passed on by the loop
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    process = followed.process
    kept = [descriptor for descriptor in (late, followed.news) if descriptor >= 0]
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    arguments = (sys.executable, "-I", "-S", _THIS, str(process), str(followed.news), str(late))
    os.execv(sys.executable, arguments)  # noqa: S606  # no shell is wanted


def main(process: int, news: int, late: int) -> NoReturn:
    """Until the followed program ends without a successor. `late` holds the signals that came while this process changed."""
    watched = PASSED_ON | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    adopts_orphans()
    followed = Followed(process, news)
    for number in _noted(late):
        followed.pass_on(number)
    while True:
        for ended, status in _ended():
            if ended == followed.process:
                os._exit(status if status >= 0 else 128 - status)
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            followed.pass_on(number)


def _noted(late: int) -> list[int]:
    try:
        found = os.read(late, 4_096)
    except BlockingIOError:
        found = b""
    os.close(late)
    return [number for number in found if number in PASSED_ON]


def _ended() -> Iterator[tuple[int, int]]:
    """Children that have ended since the last call, each with its exit status, negative for a signal."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not process:
            return
        yield process, os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
