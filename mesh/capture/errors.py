"""What can go wrong when the rules of a Pod are set."""

from __future__ import annotations


class CaptureError(Exception):
    """The rules cannot be set, or not as asked. The message says what, where, and the remedy."""
