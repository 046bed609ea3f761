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
UPDATES_FOR_WORK: Final = 10.0
"""Frames WINDOW_UPDATE that are owed to each frame of DATA sent, and to each stream."""
FRAMES_FOR_WORK: Final = 1.0
"""Frames of any other kind: a peer that measures its window sends a PING for what comes, one that has priorities says so."""
RESETS_FOR_ANSWER: Final = 0.5
"""Resets that are owed to each stream that was answered whole."""
MOST_CONTINUATIONS: Final = 8
"""Of one block of fields."""
BLOCK_LIMIT: Final = 64 * 1024
"""Bytes of a block of fields as it is sent."""
MOST_UNTAKEN: Final = 100
"""Answers to control frames, and answers to requests, that wait for a peer which does not read."""


class Budget:
    """A bucket of tokens, full at the beginning. Fills with time, at `rate` a second, and by `share` for each piece of work."""

    __slots__ = ("_at", "_left", "_rate", "_share", "_work")

    def __init__(self, now: float, rate: float = RATE, share: float = FRAMES_FOR_WORK) -> None:
        self._left, self._at, self._work, self._rate, self._share = BURST, now, 0, rate, share

    def take(self, now: float, work: int = 0) -> bool:
        """One token at `now`, in seconds, when so much work is done since the beginning of the connection. Whether there was one."""
        left = min(self._left + (now - self._at) * self._rate + (work - self._work) * self._share, BURST)
        self._at, self._work = now, work
        if left < 1:
            self._left = left
            return False
        self._left = left - 1
        return True
