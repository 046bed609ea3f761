"""What a peer may send besides requests: frames that cost us work and carry nothing.

Each kind has a budget that refills with time and with what the peer does that is worth something; who overdraws it ends the
connection with ENHANCE_YOUR_CALM (RFC 9113 10.5, CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2025-8671).
"""

from __future__ import annotations

from typing import Final

BURST: Final = 200.0
"""Frames of a kind at once."""
RATE: Final = 100.0
"""Frames of a kind a second."""
RESET_RATE: Final = 20.0
"""Streams a second that may be reset before they are answered."""
UPDATES_FOR_DATA: Final = 10
"""Frames WINDOW_UPDATE that are owed to each frame of DATA sent, and to each stream."""
RESETS_FOR_ANSWER: Final = 0.5
"""Resets that are owed to each stream that was answered whole."""
MOST_CONTINUATIONS: Final = 8
"""Of one block of fields."""
BLOCK_LIMIT: Final = 64 * 1024
"""Bytes of a block of fields as it is sent."""
MOST_UNTAKEN: Final = 100
"""Answers to control frames that wait for a peer which does not read."""


class Budget:
    """A bucket of tokens, full at the beginning."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, now: float, rate: float = RATE) -> None:
        self._left, self._at, self._rate = BURST, now, rate

    def take(self, now: float, earned: float = 0.0) -> bool:
        """One token at `now`, in seconds; `earned` is what was added since the last call. Whether there was one."""
        left = min(self._left + (now - self._at) * self._rate + earned, BURST)
        self._at = now
        if left < 1:
            self._left = left
            return False
        self._left = left - 1
        return True
