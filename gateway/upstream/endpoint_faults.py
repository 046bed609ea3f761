"""What would be wrong with an endpoint, asked before it is put in place: nothing may fail there, and its address is written to the log."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gateway.ir.backend import Endpoint, EndpointSet

LARGEST_PORT: Final = 65535
LARGEST_WEIGHT: Final = 1_000_000
_is_address = re.compile(r"[0-9A-Za-z._:%-]{1,255}").fullmatch


def without_faulty(endpoint_set: EndpointSet) -> tuple[EndpointSet, str | None]:
    """The set without what no connection can be made to, and the first fault in words, None where there is none."""
    faults = [_fault_of(endpoint) for endpoint in endpoint_set.endpoints]
    first = next(filter(None, faults), None)
    if first is None:
        return endpoint_set, None
    good = tuple(endpoint for endpoint, fault in zip(endpoint_set.endpoints, faults, strict=True) if fault is None)
    return msgspec.structs.replace(endpoint_set, endpoints=good), f"{first}; it is left out"


def _fault_of(endpoint: Endpoint) -> str | None:
    if not _is_address(endpoint.address):
        return f"an endpoint has the address {endpoint.address[:80]!a}, which is neither an IP address nor a DNS name"
    if not 0 < endpoint.port <= LARGEST_PORT:
        return f"the endpoint {endpoint.address} has port {endpoint.port}, not one of 1 to {LARGEST_PORT}"
    if not 0 <= endpoint.weight <= LARGEST_WEIGHT:
        return f"the endpoint {endpoint.address} has weight {endpoint.weight}, not one of 0 to {LARGEST_WEIGHT}"
    return None
