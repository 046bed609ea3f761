"""What can be wrong with the options of `tidegate run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tidegate.options import RunOptions

PATHS = (Path("gateways"),)


def test_the_defaults_are_fine() -> None:
    """Design 2: admin on 127.0.0.1:15000, bind 127.0.0.1, a worker a core; a path need not exist yet."""
    options = RunOptions(PATHS)
    assert options.complaints() == ()
    assert (options.admin, options.bind, options.port_offset) == (("127.0.0.1", 15000), "127.0.0.1", 0)
    assert options.workers >= 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"paths": ()}, "PATH"),
        ({"workers": 0}, "--workers 0"),
        ({"workers": 4, "memory_limit": 100 << 20}, "--memory-limit 104857600: 4 workers"),
        ({"bind": "localhost"}, "--bind localhost"),
        ({"port_offset": -1}, "--port-offset -1"),
        ({"port_offset": 65_536}, "--port-offset 65536"),
        ({"admin": ("nowhere", 1)}, "--admin nowhere:1"),
        ({"admin": ("127.0.0.1", 70_000)}, "--admin 127.0.0.1:70000"),
        ({"drain_delay": -1.0}, "--drain-delay -1"),
        ({"drain_timeout": float("nan")}, "--drain-timeout nan"),
        ({"drain_timeout": float("inf")}, "--drain-timeout inf"),
    ],
)
def test_each_mistake_names_the_option(fields: dict[str, Any], said: str) -> None:
    """Design 8: errors at start say what is wrong and what to do."""
    (complaint,) = RunOptions(**{"paths": PATHS, **fields}).complaints()
    assert complaint.startswith(said) or said == "PATH"
    assert said in complaint


def test_all_mistakes_are_told_at_once() -> None:
    """A user corrects a command line in one go."""
    assert len(RunOptions((), workers=0, bind="x").complaints()) == 3
