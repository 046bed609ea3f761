"""Durations of GEP-2257."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.durations import parse_duration
from tests.controller.api.objects import refused, rule

UNITS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
PART = st.tuples(st.integers(min_value=0, max_value=99999), st.sampled_from(list(UNITS)))


@settings(deadline=None)
@given(parts=st.lists(PART, min_size=1, max_size=4))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    """A duration is the sum of its one to four parts, in any order and with repeated units (GEP-2257)."""
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(text) == sum(number * UNITS[unit] for number, unit in parts)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0s", 0), ("0h0m0s0ms", 0), ("1h", 3_600_000), ("1h30m", 5_400_000), ("500ms", 500), ("2m3s4ms", 123_004), ("00001s", 1000)],
)
def test_durations_in_milliseconds(text: str, milliseconds: int) -> None:
    """Units are hours, minutes, seconds and milliseconds (GEP-2257)."""
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "1", "1.5s", "-1s", "+1s", "1 s", "1d", "1us", "100000s", "1h2h3h4h5h", "s", "1S", "1s\n", "\u0661s", "1h 2m", "1ns"]
)
def test_other_forms_are_no_durations(text: str) -> None:
    """No fraction, sign, blank, other unit, sixth digit or fifth part (GEP-2257)."""
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@settings(deadline=None)
@given(text=st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    """Whatever the text, the answer is a number or ValueError."""
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= 0


@pytest.mark.parametrize("value", ["1x", 10, 1.5, True, ["1s"]])
def test_a_field_that_is_no_duration_is_refused(value: object) -> None:
    """A model names the field whose value is not a duration; a bare number has no unit and is refused too."""
    ((field, message),) = refused(rule(timeouts={"request": value}))
    assert field == "spec.rules[0].timeouts.request"
    assert "is not a duration" in message
