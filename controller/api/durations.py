"""Durations of the Gateway API (GEP-2257): one to four numbers of up to five digits, each with h, m, s or ms.

Models hold durations as whole milliseconds. "0s" is zero, which disables a timeout.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator

from controller.api.base import Integer, refusal, text
from controller.durations import DURATION, parse_duration


def _milliseconds(value: Any) -> Any:
    if not isinstance(value, str) or DURATION.fullmatch(value) is None:
        raise refusal(
            "",
            f"{value!r} is not a duration",
            'Write up to four whole numbers of up to five digits, each with h, m, s or ms, such as "10s" or "1m30s".',
        )
    return parse_duration(value)


_Written = Annotated[str, text(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]

Duration = Annotated[Integer, BeforeValidator(_milliseconds, json_schema_input_type=_Written)]
"""A duration in whole milliseconds, written in the form of GEP-2257."""
