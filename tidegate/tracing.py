"""Options about traces as people write them."""

from __future__ import annotations

from gateway.ir.tracing import sampling_of, traces_url


def parse_collector(text: str) -> str:
    """The URL of a collector, '' for none. Raises ValueError."""
    if text:
        traces_url(text)
    return text


def parse_sampling(text: str) -> float:
    """A percentage, with or without its sign. Raises ValueError."""
    try:
        return sampling_of(float(text.removesuffix("%")))
    except ValueError:
        raise ValueError(f"{text!r} is not a percentage; write a number from 0 to 100 such as 1 or 0.5") from None
