"""Sizes of memory, as users type them."""

from __future__ import annotations

import pytest

from tidegate.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1048576", 1 << 20), ("64Ki", 1 << 16), ("512Mi", 512 << 20), ("2Gi", 2 << 30), ("2k", 2000), ("1G", 10**9)],
)
def test_sizes_are_quantities_of_kubernetes(text: str, size: int) -> None:
    """Binary units have an i, decimal ones none."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "1MB", "1mi", "-1", "1.5Gi", "1 Gi", "1e3", "٣", "1K"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)
