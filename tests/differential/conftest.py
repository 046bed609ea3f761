"""The gateway whose output is compared, and a loop for the peers: they never share one with what they judge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.stage import Stage
from tests.wire.backends import LoopThread


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Its exchanges are not counted in its log."""
    stage = Stage(tmp_path_factory.mktemp("site"))
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def peers() -> Iterator[LoopThread]:
    thread = LoopThread("peers")
    try:
        yield thread
    finally:
        thread.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, since the path of a Unix socket has 107 bytes at most; open to peers that give up being root."""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
