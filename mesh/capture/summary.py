"""One line on what is captured, for the log of an init container (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ir.workload import INBOUND_PORT, OUTBOUND_PORT
from mesh.capture.options import CaptureOptions
from mesh.capture.rules import excluded_inbound, included_inbound


def summary_of(options: CaptureOptions, backend: str, *, ipv6: bool) -> str:
    """Says all that the options say."""
    families = "IPv4 and IPv6" if ipv6 else "IPv4 (IPv6 is off)"
    left_out = [
        *_words("port", options.exclude_outbound_ports),
        *(str(network) for network in options.exclude_outbound_networks),
        f"user and group {options.user}",
    ]
    outbound = f"outbound to {OUTBOUND_PORT} but {', '.join(left_out)}"
    included = included_inbound(options)
    if included is None:
        inbound = f"inbound to {INBOUND_PORT} but {', '.join(_words('port', excluded_inbound(options)))}"
    elif included:
        inbound = f"inbound to {INBOUND_PORT} only {', '.join(_words('port', included))}"
    else:
        inbound = "nothing inbound"
    return f"TCP of {families} is captured by {backend}: {outbound}; {inbound}"


def _words(word: str, numbers: Sequence[int]) -> list[str]:
    return [f"{word}{'s' if len(numbers) > 1 else ''} {' '.join(map(str, numbers))}"] if numbers else []
