"""When a worker is taken for silent, and when for hung: by heartbeats that its loop sends, counted on the listener's own clock.

A heartbeat is due every quarter of a second. Time in which the listener itself did not run, because it was busy or the whole
machine stood still, is not held against anybody: the heartbeats of that time are still in the channel.
"""

from __future__ import annotations

from typing import Final

from gateway.descriptors import Beat

INTERVAL: Final = 0.25
"""Seconds between two heartbeats, and between two looks at those that came."""
SILENT_AFTER: Final = 1.0
"""Seconds after which nobody waits for a worker any more, and others serve in its stead."""
HUNG_AFTER: Final = 5.0
"""Seconds after which it is killed."""
START_LIMIT: Final = 30.0
"""Seconds that an interpreter may take to its first heartbeat."""
_LATE_LOOK: Final = 2 * INTERVAL


class Pulse:
    """How one process is, as far as its heartbeats tell."""

    __slots__ = ("_silence", "began", "full", "given_up", "serving")

    def __init__(self) -> None:
        self._silence = 0.0
        self.began = False
        """Whether it has given any sign of life."""
        self.serving = False
        """Whether it has put its first batch in place."""
        self.full = False
        """Whether overload keeps it from taking more connections."""
        self.given_up = False
        """Whether it has been killed for its silence."""

    @property
    def silence(self) -> float:
        """Seconds without a heartbeat, as far as they were seen to pass."""
        return self._silence

    @property
    def silent(self) -> bool:
        """Whether it has begun, and is not heard of any more."""
        return self.began and self._silence >= SILENT_AFTER

    @property
    def hung(self) -> bool:
        """Whether there is no hope for it, which is said once."""
        return not self.given_up and self._silence >= (HUNG_AFTER if self.began else START_LIMIT)

    def heard(self, beat: Beat) -> None:
        self._silence = 0.0
        self.began = True
        self.serving = beat != "starting"
        self.full = beat == "full"

    def passed(self, seconds: float) -> None:
        """Seconds since the last look, told before the heartbeats that came meanwhile; what exceeds a late look is not counted."""
        self._silence += min(seconds, _LATE_LOOK)
