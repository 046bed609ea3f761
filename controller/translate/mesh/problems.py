"""Why a policy of Istio's kinds is not accepted as it is written: the reasons of its condition."""

from __future__ import annotations

from typing import Final

UNSUPPORTED: Final = "Unsupported"
"""Something of it is not known, or not done."""
INVALID: Final = "Invalid"
"""Something of it says nothing."""
