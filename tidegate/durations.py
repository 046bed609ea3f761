"""Times as users type them: the durations of the Gateway API (GEP-2257), such as 500ms and 1m30s."""

from __future__ import annotations

import re
from typing import Final

_DURATION: Final = re.compile(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}")
_UNIT: Final = re.compile(r"([0-9]{1,5})(h|ms|m|s)")
_SECONDS: Final = {"h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_seconds(text: str) -> float:
    """Seconds. Raises ValueError.

    Apart from that of controller.api, whose module loads pydantic, since a data plane reads its options with this one.
    """
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a duration")
    return sum(int(number) * _SECONDS[unit] for number, unit in _UNIT.findall(text))
