"""Waiting for what tells nobody that it has happened."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic

from tests.wire.backends import LIMIT


def until(happened: Callable[[], object], what: str) -> None:
    """Looks again and again until it has; fails with `what` after a time that only a fault takes."""
    pause, end = Event(), monotonic() + LIMIT
    while not happened():
        assert monotonic() < end, what
        pause.wait(0.005)
