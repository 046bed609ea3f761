"""Which stage of overload readings lead to. Each resource has a stage of its own, and the highest holds.

A stage is entered at its level and left below a lower one, so that a worker at the edge does not go back and forth.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from typing import Final, NamedTuple


class Stage(IntEnum):
    """What is done; each stage does what those below it do."""

    NORMAL = 0
    SHORT_IDLE = 1
    """Idle connections are closed, and those that become idle have two seconds."""
    NO_KEEP_ALIVE = 2
    """Every response ends its connection."""
    SHEDDING = 3
    """New requests are answered with 503."""
    NOT_ACCEPTING = 4
    """New connections wait in the system's queue."""


class Readings(NamedTuple):
    """How much of a resource is in use."""

    memory: float = 0.0
    """Share of the limit."""
    descriptors: float = 0.0
    """Share of the limit."""
    loop_delay: float = 0.0
    """Seconds that the event loop is behind, smoothed."""


class Levels(NamedTuple):
    """For each stage that a resource can lead to, from SHORT_IDLE on: where it begins, and below what it ends."""

    enter: tuple[float, ...]
    leave: tuple[float, ...]


_OF_A_LIMIT: Final = Levels(enter=(0.85, 0.92, 0.95, 0.98), leave=(0.80, 0.88, 0.92, 0.95))
LEVELS: Final = {
    "memory": _OF_A_LIMIT,
    "descriptors": _OF_A_LIMIT,
    # A late loop needs fewer requests, not fewer connections in its queue: it never leads to the last stage.
    "loop_delay": Levels(enter=(0.2, 0.6, 1.0), leave=(0.1, 0.3, 0.5)),
}


def stage_of(levels: Levels, before: int, reading: float) -> int:
    """The stage of one resource, up as far as the reading goes, or down as far as it allows."""
    reached = bisect_right(levels.enter, reading)
    if reached > before:
        return reached
    stage = before
    while stage and reading < levels.leave[stage - 1]:
        stage -= 1
    return stage


class Ladder:
    """Owner of the stages."""

    __slots__ = ("_stages", "shortage", "stage")

    def __init__(self) -> None:
        self._stages = dict.fromkeys(LEVELS, 0)
        self.stage = Stage.NORMAL
        self.shortage = ""
        """The resource that led to the stage, '' at NORMAL."""

    def read(self, readings: Readings) -> bool:
        """Takes readings; whether the stage or its reason is another one now."""
        before = self.stage, self.shortage
        for name, reading in zip(Readings._fields, readings, strict=True):
            self._stages[name] = stage_of(LEVELS[name], self._stages[name], reading)
        highest = max(self._stages, key=self._stages.__getitem__)
        self.stage = Stage(self._stages[highest])
        self.shortage = highest if self.stage else ""
        return before != (self.stage, self.shortage)
