"""Sizes of memory as users type them: the quantities of Kubernetes, such as 512Mi and 2G."""

from __future__ import annotations

import re
from typing import Final

_QUANTITY: Final = re.compile(r"([0-9]{1,15})([KMGT]i|[kMGT])?")
_BYTES: Final = {
    "": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
}  # fmt: skip


def parse_size(text: str) -> int:
    """Bytes. Raises ValueError."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a size")
    return int(found[1]) * _BYTES[found[2] or ""]
