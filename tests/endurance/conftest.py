"""The long checks: seconds each in the usual run, whole with `--whole` (make endurance), which prints what was found."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import pytest

from tests.endurance.standing import Sizes

_FIGURES: pytest.StashKey[list[str]] = pytest.StashKey()
HOURS = 3 * 3600


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole forms have no limit of a minute."""
    for item in items:
        item.add_marker(pytest.mark.slow)
        if config.getoption("--whole"):
            item.add_marker(pytest.mark.timeout(HOURS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if figures := config.stash[_FIGURES]:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.line(line)


@pytest.fixture
def sizes(request: pytest.FixtureRequest) -> Sizes:
    """How much of it there is to be."""
    return Sizes(whole=request.config.getoption("--whole"))


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Notes a line that is printed at the end of the run, also when the test fails."""

    def note(text: str) -> None:
        request.config.stash[_FIGURES].append(f"{request.node.name}: {text}")

    return note


@pytest.fixture(autouse=True, scope="module")
def descriptors() -> Iterator[None]:
    """As many as the system allows, for those that start here too: thousands of clients have one each, on both sides."""
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual[1], usual[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, usual)
