"""Descriptors of files and sockets: how many this process may have, how many it has, and how many of them clients may take."""

from __future__ import annotations

import os
import resource
from time import perf_counter
from typing import Final

RESERVED: Final = 32
"""Descriptors that are not for clients and their backends: listening sockets, streams, logs."""
_FOLDER: Final = "/proc/self/fd"
_SHARE_OF_TIME: Final = 0.01
"""Of a worker's time, at most, for counting descriptors where the system has to list them."""


def raise_limit() -> None:
    """To what this user may have: the lower limit is for programs that cannot count so far."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # some systems have a lower limit of their own; what we have stays


def limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def most_connections() -> int:
    """Of clients, in one process: less than half of its descriptors, since each may need one to a backend."""
    return max((limit() - RESERVED) // 2, 1)


class DescriptorShare:
    """Share of the limit that is in use. Linux tells the number since 6.2; before, they are listed, the more rarely the longer it takes."""

    __slots__ = ("_listed", "_next")

    def __init__(self) -> None:
        self._listed = 0
        self._next = 0.0

    def __call__(self) -> float:
        try:
            number = os.stat(_FOLDER).st_size
        except OSError:
            return 0.0  # a system without /proc
        return (number or self._list()) / limit()

    def _list(self) -> int:
        began = perf_counter()
        if began >= self._next:
            try:
                self._listed = len(os.listdir(_FOLDER))
            except OSError:
                self._listed = limit()  # no descriptor is left to list them with
            ended = perf_counter()
            self._next = ended + (ended - began) / _SHARE_OF_TIME
        return self._listed
