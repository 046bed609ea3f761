"""Tidegate, installed in the box of all tests, and a shop that it serves; figures that are printed at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.box.cluster import Box, available
from tests.box.faults.standing import SYSTEM, Shop, install, opened
from tests.box.faults.workloads import Workloads, inhabited
from tests.endurance.standing import Sizes

_FIGURES: pytest.StashKey[list[str]] = pytest.StashKey()
HOURS = 3 * 3600
numbers = count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole forms have no limit of minutes."""
    if config.getoption("--whole"):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.timeout(HOURS), append=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if figures := config.stash[_FIGURES]:
        terminalreporter.section("figures of faults in a cluster")
        for line in figures:
            terminalreporter.line(line)


@pytest.fixture
def sizes(request: pytest.FixtureRequest) -> Sizes:
    """How long the long ones are to be."""
    return Sizes(whole=request.config.getoption("--whole"))


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Notes a line that is printed at the end of the run, also when the test fails."""

    def note(text: str) -> None:
        request.config.stash[_FIGURES].append(f"{request.node.name}: {text}")

    return note


@pytest.fixture(scope="session")
def installed(box: Box) -> Box:
    """The box with Tidegate in it, two replicas of the controller."""
    install(box)
    return box


@pytest.fixture(scope="session")
def first_shop(installed: Box) -> Iterator[Shop]:
    installed.kubectl("create", "namespace", "shop")
    shop = opened(installed, "shop")
    installed.wait("deployment", "web-tidegate", available, "shop")
    yield shop
    installed.kubectl("delete", "namespace", "shop", "--wait=false")


@pytest.fixture
def shop(first_shop: Shop) -> Shop:
    """A shop that is open, whatever the test before did to it, and a controller that is."""
    first_shop.box.wait("deployment", "tidegate-controller", available, SYSTEM)
    first_shop.settled()
    return first_shop


@pytest.fixture
def workloads(installed: Box) -> Iterator[Workloads]:
    """A namespace of the mesh, and a controller that is there."""
    installed.wait("deployment", "tidegate-controller", available, SYSTEM)
    with inhabited(installed, f"mesh-{next(numbers)}") as found:
        yield found
