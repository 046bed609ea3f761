"""Clients that keep on while a test does something to what they use."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

from tests.faults.waiting import until


class Clients:
    """Threads that do the same again and again until they are told to end."""

    def __init__(self, *work: Callable[[], object]) -> None:
        self.done = [0] * len(work)
        self._ended = Event()
        self._faults: list[BaseException] = []
        self._threads = [Thread(target=self._run, args=(number, each)) for number, each in enumerate(work)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int, work: Callable[[], object]) -> None:
        try:
            while not self._ended.is_set():
                work()
                self.done[number] += 1
        except BaseException as fault:
            self._faults.append(fault)

    def more(self, times: int) -> None:
        """Returns once each has done it so many times more."""
        wanted = [done + times for done in self.done]
        until(lambda: self._faults or all(done >= want for done, want in zip(self.done, wanted, strict=True)), "the clients stand still")

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        assert not self._faults, self._faults
