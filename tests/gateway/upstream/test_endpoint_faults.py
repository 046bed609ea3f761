"""What an EndpointSet may not say, whoever wrote it."""

from __future__ import annotations

import pytest

from gateway.ir.backend import Endpoint, EndpointSet
from gateway.ir.value import Source
from gateway.upstream.endpoint_faults import without_faulty


def endpoints(*found: Endpoint) -> EndpointSet:
    return EndpointSet("default/a:80", Source("Service", "default", "a"), found)


@pytest.mark.parametrize("address", ["10.0.0.1", "2001:db8::1", "fe80::1%eth0", "a.example", "_http.a.example.", "xn--4ca.example"])
def test_addresses_and_names_are_good(address: str) -> None:
    """IPv4, IPv6 with a zone, DNS names (EndpointSlice.endpoints.addresses, Service.spec.externalName)."""
    found = endpoints(Endpoint(address, 1), Endpoint(address, 65535, weight=0))
    assert without_faulty(found) == (found, None)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (Endpoint("", 80), "has the address ''"),
        (Endpoint("\u00e4.example", 80), "neither an IP address nor a DNS name"),
        (Endpoint('a","status":"200', 80), "neither an IP address nor a DNS name"),
        (Endpoint("a\nb", 80), "neither an IP address nor a DNS name"),
        (Endpoint("a" * 256, 80), "neither an IP address nor a DNS name"),
        (Endpoint("10.0.0.1", 0), "has port 0"),
        (Endpoint("10.0.0.1", 65536), "has port 65536"),
        (Endpoint("10.0.0.1", 80, weight=-1), "has weight -1"),
    ],
)
def test_what_is_none_is_left_out_and_named(endpoint: Endpoint, words: str) -> None:
    """What no connection can be made to, or would break a line of the log, harms no other endpoint, and nothing fails in the swap."""
    good = Endpoint("10.0.0.2", 80)
    left, fault = without_faulty(endpoints(good, endpoint))
    assert left == endpoints(good)
    assert fault is not None
    assert words in fault
    assert fault.isprintable()
