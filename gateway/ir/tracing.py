"""Where traces go, and how many of them."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from gateway.ir.value import Value

TRACES_PATH: Final = "/v1/traces"
"""Where a collector of OTLP over HTTP takes traces (OTLP 1.5, "OTLP/HTTP Request")."""


class Tracing(Value, frozen=True):
    """ListenerPolicy.tracing. What is left out is as the options of the data plane say."""

    collector: str = ""
    """URL of a collector that speaks OTLP over HTTP; '' for that of the data plane."""
    sampling_percent: float | None = None
    """Of the requests whose callers decided nothing; None for the data plane's share."""
    disabled: bool = False
    """No spans of this listener, whatever the data plane is told; trace context passes as it came."""


def sampling_of(percent: float) -> float:
    """The percentage. Raises ValueError for what is none."""
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent:g} is not a percentage; write a number from 0 to 100")
    return percent


def parse_sampling(text: str) -> float:
    """A percentage as people write it, with or without its sign. Raises ValueError."""
    try:
        return sampling_of(float(text.removesuffix("%")))
    except ValueError:
        raise ValueError(f"{text!r} is not a percentage; write a number from 0 to 100 such as 1 or 0.5") from None


def traces_url(collector: str) -> str:
    """The URL to which traces are posted: the collector's, with TRACES_PATH behind it unless it ends so. Raises ValueError for one that
    nothing can be posted to."""
    try:
        parts = urlsplit(collector)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not collector.isascii() or not collector.isprintable() or " " in collector:
        raise ValueError(f"{collector!r} is not the URL of a collector; write for example http://collector.observability:4318")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"{collector!r} has more than scheme, host, port and path; credentials belong into OTEL_EXPORTER_OTLP_HEADERS")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path if path.endswith(TRACES_PATH) else path + TRACES_PATH}"
