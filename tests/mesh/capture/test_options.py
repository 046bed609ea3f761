"""What is left out of a Pod's capture, as its lists are written."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from mesh.capture.errors import CaptureError
from mesh.capture.options import read_included_ports, read_networks, read_ports, read_user


def test_ports_are_a_list_with_commas() -> None:
    """As annotations are written: spaces, an empty entry and a repetition say nothing."""
    assert read_ports("--x", "443, 80,,80") == (80, 443)
    assert read_ports("--x", "") == ()


def test_all_inbound_ports_are_included_unless_some_are_named() -> None:
    """Istio's includeInboundPorts: '*' for all, and an empty list for no port; 'none' says that in words."""
    assert read_included_ports("--x", " *") is None
    assert read_included_ports("--x", " ") == ()
    assert read_included_ports("--x", "none") == ()
    assert read_included_ports("--x", "8080") == (8080,)


def test_networks_are_what_their_prefix_says() -> None:
    """RFC 4632 3.1: bits behind the prefix are none; an address is a network of one."""
    found = read_networks("--x", "10.1.2.3/8, fd00::1/8,192.0.2.7,10.0.0.0/8")
    assert found == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("192.0.2.7/32"))


def test_a_mapped_network_is_the_one_that_it_maps() -> None:
    """RFC 4291 2.5.5.2: no packet has such an address; a connection to one is of IPv4."""
    assert read_networks("--x", "::ffff:10.0.0.0/104,::ffff:0:0/96") == (ip_network("10.0.0.0/8"), ip_network("0.0.0.0/0"))
    assert read_networks("--x", "::/0") == (ip_network("::/0"),)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (read_ports, "80,http", "--x: 'http' is no port; write numbers from 1 to 65535 with commas between, such as 22,8080"),
        (read_ports, "0", "'0' is no port"),
        (read_ports, "65536", "'65536' is no port"),
        (read_ports, "8" * 5000, "is no port"),
        (read_ports, "1-9", "'1-9' is no port"),
        (read_ports, "*", "'*' is no port"),
        (read_included_ports, "none,80", "'none' is no port"),
        (read_networks, "10.0.0.0/33", "--x: '10.0.0.0/33' is no network; write CIDRs with commas between, such as 10.0.0.0/8,fd00::/8"),
        (read_networks, "shop", "'shop' is no network"),
        (read_user, "0", "--x: '0' is no number of a user other than root; write the one that the proxy runs as, such as 1337"),
        (read_user, "tidegate", "is no number of a user"),
        (read_user, "4294967295", "is no number of a user"),
    ],
)
def test_a_mistake_is_named_with_its_option_and_its_remedy(read: Callable[[str, str], object], text: str, said: str) -> None:
    """Design 8."""
    with pytest.raises(CaptureError) as complaint:
        read("--x", text)
    assert said in str(complaint.value)
