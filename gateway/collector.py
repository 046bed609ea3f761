"""The garbage collector of a process that serves: what has been made for good is left out of its sight.

Connections and exchanges break their cycles and resources are not tracked, so there is little to find, and a full collection among 10,000
rules would stop the loop for a tenth of a second: what a change leaves behind is found by the partial ones.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

THRESHOLDS: Final = (10_000, 2, 1_000)
"""Until thirty million objects are new it looks through thirty thousand at most, some 8 ms. Fewer at first would be more work in all: what
belongs to the requests of that moment, and the tables that a change has copied, are walked through each time (with 2,000 a request costs
1.5 percent more)."""

LARGE: Final = 1_000
"""Resources in a batch from which on what they become is frozen: a collection that walks through it once more finds nothing. What
little garbage there is at that moment, and is in cycles, is never found again, so this is not done for every change."""


def freeze() -> None:
    """After what stays was made with the collector off: no later collection looks through all of this. Takes no time."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


@contextmanager
def making_for_good(resources: int, *, first: bool) -> Iterator[None]:
    """Around the change that puts so many resources in place; `first` if nothing was before it."""
    large = first or resources > LARGE
    if large:
        gc.disable()
    try:
        yield
    finally:
        if large:
            freeze()
