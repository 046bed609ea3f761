"""The gateways and backends of the wire tests, for tests that break something around them."""

from __future__ import annotations

import pytest

from tests.wire.conftest import blue, echoes, green, red, running_echoes, scripted, serve

__all__ = ["blue", "echoes", "green", "red", "rounds", "running_echoes", "scripted", "serve"]


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a storm blows: with `--whole` (make endurance) a hundred times."""
    return 100 if request.config.getoption("--whole") else 1
