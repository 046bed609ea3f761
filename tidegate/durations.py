"""Times as users type them: the durations of the Gateway API (GEP-2257), such as 500ms and 1m30s."""

from __future__ import annotations

from controller.durations import parse_duration


def parse_seconds(text: str) -> float:
    """Seconds. Raises ValueError."""
    return parse_duration(text) / 1_000
