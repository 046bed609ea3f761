"""When a certificate is renewed, and how long whoever was refused waits (pure: chance is handed in, from 0 up to 1)."""

from __future__ import annotations

from typing import Final

JITTER: Final = 0.02
"""Share of the lifetime over which renewals are spread, so that proxies that started together do not come back together."""
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
"""Seconds."""


def renew_at(issued: float, not_after: float, chance: float) -> float:
    """Half life, give or take half of JITTER of the lifetime. Times in one unit, whatever it is.

    `issued` is when the certificate came: it bears an earlier time, for clocks that differ, by which a short life would be over at once.
    """
    return issued + (not_after - issued) * (0.5 + JITTER * (chance - 0.5))


def wait_after(failures: int, chance: float) -> float:
    """Seconds after so many failures in a row, at least one: twice as long each time, of which a random half to whole."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 16)) * (0.5 + chance / 2)
