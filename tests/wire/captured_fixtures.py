"""Fixtures of tests with connections that capture rules bring, which tests/wire/conftest.py takes over: a Pod's network, and servers in it.

Such a module says `pytestmark = CAPTURED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.wire.backends import Conversation, Scripted
from tests.wire.capturing import OTHER, missing, patience, pod

capturing = pytest.mark.skipif(missing() != "", reason=missing())
"""Mark of what needs such rules."""
CAPTURED = [capturing, pytest.mark.usefixtures("network", "spoken")]


@pytest.fixture
def network() -> Iterator[None]:
    with pod():
        yield


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What clients send counts, however late it comes; `monkeypatch.undo()` undoes that."""
    patience(monkeypatch)


@pytest.fixture
def server(network: None) -> Iterator[Callable[..., Scripted]]:
    """Makes one of scripts, at OTHER unless another address is said."""
    with ExitStack() as stack:

        def make(*scripts: Callable[[Conversation], None], address: str = OTHER, port: int = 0) -> Scripted:
            return stack.enter_context(closing(Scripted(*scripts, address=address, port=port)))

        yield make
