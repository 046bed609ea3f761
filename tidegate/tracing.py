"""Options about traces as people write them."""

from __future__ import annotations

from gateway.ir.tracing import traces_url


def parse_collector(text: str) -> str:
    """The URL of a collector, '' for none. Raises ValueError."""
    if text:
        traces_url(text)
    return text
