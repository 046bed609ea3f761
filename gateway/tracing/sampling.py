"""Which traces are kept where no caller has decided: a share of them, by the trace id alone, so that all proxies decide alike.

The rule is OpenTelemetry's for consistent probability sampling: the last 56 bits of the trace id, which are random, are not below a
threshold. A larger share keeps all that a smaller one keeps.
"""

from __future__ import annotations

from typing import Final

from gateway.ir.tracing import sampling_of

SPACE: Final = 1 << 56


def threshold_of(percent: float) -> int:
    """From 0, which keeps every trace, to SPACE, which keeps none. Raises ValueError for what is no percentage."""
    return SPACE - round(SPACE * sampling_of(percent) / 100)


def is_kept(trace_id: bytes, threshold: int) -> bool:
    """`trace_id` in hex, 32 digits."""
    return int(trace_id[-14:], 16) >= threshold
