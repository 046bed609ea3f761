"""Options of the test run that belong to no single folder."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.wire.agreement", "tests.wire.serving")

def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-goldens", action="store_true", help="write the outputs of golden tests anew instead of comparing them")
