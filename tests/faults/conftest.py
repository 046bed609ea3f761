"""The gateways and backends of the wire tests, for tests that break something around them."""

from __future__ import annotations

import pytest

from gateway.overload import overload
from tests.wire.conftest import blue, echoes, green, pairing, red, running_echoes, scripted, serve

__all__ = ["blue", "echoes", "green", "pairing", "patient", "red", "rounds", "running_echoes", "scripted", "serve"]


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a storm blows: with `--whole` (make endurance) a hundred times."""
    return 100 if request.config.getoption("--whole") else 1


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For gateways that read and translate large files in the loop of their traffic, which no worker does: on a busy machine that loop is
    late, and this is not the overload that sheds."""
    monkeypatch.setattr(overload, "SMOOTHING", 0.0)
