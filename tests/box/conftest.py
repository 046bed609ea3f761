"""One box for all tests of this folder, and a namespace of its own for each test that asks for one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.box.cluster import PROGRAMS, Box, started

LIMIT = 300
"""Seconds for a test, the start of its box included; none comes near unless it hangs."""

numbers = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def box_folder() -> Iterator[Path]:
    """A folder for a box that any user may enter, since Pods read keys there; kept where a test failed is the log in it, until the end."""
    if not (PROGRAMS / ".made").exists():
        pytest.skip("the box is not there: `make box-build` builds it where Go is installed")
    if os.geteuid():
        pytest.skip("a box makes namespaces and mounts: run as root")
    folder = Path(tempfile.mkdtemp(prefix="box-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def box(box_folder: Path) -> Iterator[Box]:
    """A cluster that is up, shared by all tests."""
    with started(box_folder) as up:
        yield up


@pytest.fixture
def namespace(box: Box) -> Iterator[str]:
    """The name of an empty namespace, with all that a test left in it removed afterwards."""
    name = f"test-{next(numbers)}"
    box.kubectl("create", "namespace", name)
    yield name
    box.kubectl("delete", "namespace", name, "--wait=false")
