"""The one spelling of an IP address."""

from __future__ import annotations

import pytest

from gateway.net.addresses import address_key, canonical


@pytest.mark.parametrize(
    ("written", "spelling"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("FD00:0:0::0001", "fd00::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:a00:1", "10.0.0.1"),
        ("::ffff:0:a00:1", "::ffff:0:a00:1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_each_spelling_is_led_to_one(written: str, spelling: str) -> None:
    """RFC 5952; IPv4 that came over IPv6 is IPv4, its translated form (RFC 6145) is not; a scope is no part of an address."""
    assert canonical(written) == canonical(spelling) == spelling
    assert address_key(written) == spelling


@pytest.mark.parametrize("text", ["cart.shop.svc", "cart:80", "10.0.0.01", "10.0.0", "", "fd00::1\0"])
def test_what_is_no_address_stays_as_it_is(text: str) -> None:
    """It is nobody's among addresses, and an error where one is needed."""
    assert address_key(text) == text
    with pytest.raises(ValueError, match=r"is no IP address|null character"):
        canonical(text)
