"""Times, as users type them."""

from __future__ import annotations

import pytest

from controller.durations import parse_duration
from tidegate.durations import parse_seconds


@pytest.mark.parametrize("text", ["0s", "10s", "500ms", "1m30s", "1h2m3s4ms", "99999h"])
def test_times_are_durations_of_the_gateway_api(text: str) -> None:
    """GEP-2257; the same as in objects."""
    assert parse_seconds(text) == pytest.approx(parse_duration(text) / 1000)


@pytest.mark.parametrize("text", ["", "10", "-1s", "1.5s", "1d", "1s1s1s1s1s", "100000s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_seconds(text)
