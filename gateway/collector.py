"""The garbage collector of a process that serves: what has been made for good is left out of its sight.

Connections and exchanges break their cycles and resources are not tracked, so there is little to find, and a full collection among 10,000
rules would stop the loop for a tenth of a second: what a change leaves behind is found by the partial ones.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 20, 100)


def freeze() -> None:
    """After what stays was made with the collector off: no later collection looks through all of this. Takes no time."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
