"""What a peer may send besides requests: frames that cost us work and carry nothing.

Each kind has a budget that refills with time and with what the peer does that is worth something, and all kinds together have one;
who overdraws either ends the connection with ENHANCE_YOUR_CALM (RFC 9113 10.5, CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2025-8671).
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from gateway.http.frames import CONTINUATION, ENHANCE_YOUR_CALM, HEADERS, RST_STREAM, WINDOW_UPDATE, ConnectionFault

BURST: Final = 200.0
"""Frames of a kind at once."""
BURST_OF_ALL: Final = 350.0
"""Frames of all kinds at once."""
RATE: Final = 100.0
"""Frames of a kind a second."""
RESET_RATE: Final = 20.0
"""Streams a second that may be reset before they are answered, and heads that are refused because we leave."""
REFUSED_BURST: Final = 100.0
"""Streams at once that are refused because there are as many as may be, or because their heads are too large together. A client that knows
our settings sends none of them, and none is made up for by what is answered meanwhile."""
OVERSIZED_BURST: Final = 20.0
OVERSIZED_RATE: Final = 2.0
"""Heads that are refused for their size, at once and a second: each is read whole before that is known, and holds the loop."""
UPDATES_FOR_WORK: Final = 10.0
"""Frames WINDOW_UPDATE that are owed to each frame of DATA sent, and to each stream."""
WHOLE_WORK: Final = 256
"""Bytes of a frame of DATA that is worth all of that though a window has cut it; a smaller one is worth a part, since a peer that opens
its window byte by byte has many sent for what it takes."""
FRAMES_FOR_WORK: Final = 1.0
"""Frames of any other kind: a peer that measures its window sends a PING for what comes, one that has priorities says so."""
RESETS_FOR_ANSWER: Final = 0.5
"""Resets that are owed to each stream that was answered whole."""
MOST_CONTINUATIONS: Final = 8
"""Of one block of fields."""
BLOCK_LIMIT: Final = 64 * 1024
"""Bytes of a block of fields as it is sent."""
FREE_HEADS: Final = 16
"""Requests under way on a connection whose heads are not counted: together they cannot be larger than one megabyte."""
MOST_OF_HEADS: Final = 1024 * 1024
"""Bytes of the heads of all others, as they are written. A head of 16 KiB may take 100 bytes on the way, or none of it be new (HTTP/2
Bomb, CVE-2026-49975)."""
MOST_SETTINGS: Final = 64
"""Settings of one frame, of which there are about ten (CVE-2020-11080)."""
MOST_UNTAKEN: Final = 100
"""Answers to control frames, and answers to requests, that wait for a peer which does not read."""
MOST_LINGERING: Final = 256 * 1024
"""Bytes that still come on a connection which we have ended, and are thrown away."""
MOST_OF_A_FLOOD: Final = 16 * 1024
"""The same where a flood has ended it: whoever goes on at that rate does not read why."""

UNKNOWN: Final = CONTINUATION + 1
"""All kinds of frames that mean nothing to us, as one."""
OVERSIZED: Final = UNKNOWN + 1
"""Heads that are refused for their size."""
REFUSED: Final = OVERSIZED + 1
"""Streams that are refused, and may be asked again."""
_ALLOWANCES: Final = {
    WINDOW_UPDATE: (RATE, UPDATES_FOR_WORK, BURST),
    RST_STREAM: (RESET_RATE, RESETS_FOR_ANSWER, BURST),
    HEADERS: (RESET_RATE, 0.0, BURST),
    OVERSIZED: (OVERSIZED_RATE, 0.0, OVERSIZED_BURST),
    REFUSED: (RESET_RATE, 0.0, REFUSED_BURST),
}
"""Rate, share and burst of the budgets that are no ordinary ones."""


class Budget:
    """A bucket of tokens, full at the beginning. Fills with time, at `rate` a second, and by `share` for each piece of work."""

    __slots__ = ("_at", "_burst", "_left", "_rate", "_share", "_work")

    def __init__(self, now: float, rate: float = RATE, share: float = FRAMES_FOR_WORK, burst: float = BURST) -> None:
        self._left = self._burst = burst
        self._at, self._work, self._rate, self._share = now, 0.0, rate, share

    def take(self, now: float, work: float = 0) -> bool:
        """One token at `now`, in seconds, when so much work is done since the beginning of the connection. Whether there was one."""
        left = min(self._left + (now - self._at) * self._rate + (work - self._work) * self._share, self._burst)
        self._at, self._work = now, work
        if left < 1:
            self._left = left
            return False
        self._left = left - 1
        return True


class Budgets:
    """Of one connection."""

    __slots__ = ("_all", "_by_kind", "answered", "work")

    def __init__(self) -> None:
        self.work = 0.0
        """Frames of DATA sent, and streams begun."""
        self.answered = 0
        """Streams that a client was answered whole, or that a backend was asked."""
        self._all: Budget | None = None
        self._by_kind: dict[int, Budget] = {}

    def spend(self, kind: int, what: str) -> None:
        """For a frame of this kind. Raises ConnectionFault when there are too many."""
        now = monotonic()
        budget, of_all = self._by_kind.get(kind), self._all
        if of_all is None:
            of_all = self._all = Budget(now, share=UPDATES_FOR_WORK, burst=BURST_OF_ALL)
        if budget is None:
            rate, share, burst = _ALLOWANCES.get(kind, (RATE, FRAMES_FOR_WORK, BURST))
            budget = self._by_kind[kind] = Budget(now, rate, share, burst)
        if not budget.take(now, self.answered if kind == RST_STREAM else self.work):
            raise ConnectionFault(ENHANCE_YOUR_CALM, f"too many {what}")
        if not of_all.take(now, self.work):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many frames that ask for nothing")
