"""Durations of the Gateway API as they are written (GEP-2257): one to four numbers of up to five digits, each with h, m, s or ms.

Apart from their model (controller.api.durations), so that a data plane reads its options by the same rule without loading pydantic.
"""

from __future__ import annotations

import re
from typing import Final

DURATION: Final = re.compile(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}")
"""All of a text."""
_UNIT: Final = re.compile(r"([0-9]{1,5})(h|ms|m|s)")
_MILLISECONDS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def parse_duration(value: str) -> int:
    """The milliseconds of a duration such as "1h30m" or "250ms". Raises ValueError for any other text."""
    if DURATION.fullmatch(value) is None:
        raise ValueError(f"{value!r} is not a duration")
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _UNIT.findall(value))
