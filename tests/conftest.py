"""Options of the test run that belong to no single folder."""

from __future__ import annotations

import pytest
from hypothesis import settings

from gateway.http import request

settings.register_profile("tidegate", deadline=None)  # no test judges how fast the machine is today
settings.load_profile("tidegate")

pytest.register_assert_rewrite("tests.wire.agreement", "tests.wire.serving")

def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-goldens", action="store_true", help="write the outputs of golden tests anew instead of comparing them")
    parser.addoption("--require-compiled", action="store_true", help="fail unless the compiled modules are tested (make test-compiled)")
    parser.addoption("--whole", action="store_true", help="run the long checks whole instead of in their short form (make endurance)")


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("--require-compiled") and not str(request.__file__).endswith(".so"):
        raise pytest.UsageError(f"not compiled: {request.__file__}; `make test-compiled` runs these tests with build/compiled")
