"""Reason phrases of the status codes that the proxy itself sends (RFC 9110 15)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

_PHRASES: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus} | {421: b"Misdirected Request"}


def phrase(status: int) -> bytes:
    """Empty for a code without a standard phrase; a reason phrase may be empty (RFC 9112 4)."""
    return _PHRASES.get(status, b"")
