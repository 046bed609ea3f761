"""One gateway for all rows of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.stage import Stage


@pytest.fixture(scope="module")
def running_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("site"))
    yield stage
    stage.close()


@pytest.fixture
def stage(running_stage: Stage) -> Stage:
    """The gateway, with nothing planned and nothing received."""
    running_stage.begin()
    return running_stage
