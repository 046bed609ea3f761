"""Whatever leads to the proxy itself is one of its places, however it is written."""

from __future__ import annotations

import pytest

from gateway.upstream.own_places import OwnPlaces

OWN = OwnPlaces([("127.0.0.1", 15000), ("0.0.0.0", 80), ("::1", 8443), ("192.0.2.1", 8080)])


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("127.0.0.1", 15000), ("0.0.0.0", 15000), ("::ffff:127.0.0.1", 15000), ("::", 15000),
        ("0.0.0.0", 80), ("127.0.0.1", 80), ("127.1.2.3", 80), ("::ffff:127.0.0.1", 80),
        ("::1", 8443), ("::", 8443), ("0:0:0:0:0:0:0:1", 8443), ("192.0.2.1", 8080), ("::ffff:192.0.2.1", 8080),
    ],
)  # fmt: skip
def test_ways_to_the_proxy(address: str, port: int) -> None:
    """docs/security.md, what a configuration may reach: the wildcard address leads to this host, IPv4 may be written as IPv6."""
    assert (address, port) in OWN


@pytest.mark.parametrize(
    ("address", "port"),
    [("127.0.0.1", 15001), ("127.0.0.2", 15000), ("192.0.2.7", 80), ("0.0.0.0", 8080), ("::2", 8443), ("shop.test", 80)],
)
def test_ways_to_others(address: str, port: int) -> None:
    """Another port, another address of this host that it does not listen on, a name that is not resolved yet."""
    assert (address, port) not in OWN


def test_nothing_is_nowhere() -> None:
    """Without listeners everything may be asked."""
    assert ("127.0.0.1", 80) not in OwnPlaces()
