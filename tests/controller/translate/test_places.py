"""Which addresses lead back to the proxy itself (the issue: a listener's own address and the admin port stay forbidden)."""

from __future__ import annotations

import pytest

from controller.translate.options import Options
from controller.translate.places import is_admin, is_loopback


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.4.5", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "localhost", "LocalHost."])
def test_this_machine_has_many_names(address: str) -> None:
    """Loopback in every spelling means this machine, and so does the unspecified address as a destination."""
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "localhost.example.com", "example.com", ""])
def test_other_addresses_are_not_this_machine(address: str) -> None:
    """Anything else is somewhere else."""
    assert not is_loopback(address)


@pytest.mark.parametrize(("address", "port", "expected"), [
    ("127.0.0.1", 15000, True),
    ("::ffff:127.0.0.1", 15000, True),
    ("localhost", 15000, True),
    ("0.0.0.0", 15000, True),
    ("127.0.0.2", 15000, False),
    ("127.0.0.1", 15001, False),
    ("10.0.0.1", 15000, False),
])  # fmt: skip
def test_the_administration_server_is_recognised(address: str, port: int, expected: bool) -> None:
    """A destination is the administration server if a connection to it would reach its address and port."""
    assert is_admin(Options(), address, port) is expected


def test_an_administration_server_on_all_addresses_is_on_loopback_too() -> None:
    """With --admin 0.0.0.0:9000 every loopback address leads to it."""
    assert is_admin(Options(admin=("0.0.0.0", 9000)), "127.0.0.9", 9000)


def test_without_administration_no_port_is_its() -> None:
    """Options may name no administration server."""
    assert not is_admin(Options(admin=None), "127.0.0.1", 15000)


@pytest.mark.parametrize(("offset", "port", "bound", "location"), [
    (0, 80, 80, 80),
    (0, 14999, 14999, 14999),
    (0, 15000, 25000, 15000),
    (0, 15099, 25099, 15099),
    (0, 15100, 15100, 15100),
    (8000, 80, 8080, 8080),
    (8000, 7000, 25000, 15000),
])  # fmt: skip
def test_ports_are_bound_by_offset_and_never_on_our_own(offset: int, port: int, bound: int, location: int) -> None:
    """--port-offset moves what is bound and what redirects say; Tidegate's own ports are left free (design.md section 2)."""
    options = Options(port_offset=offset)
    assert (options.bind_port(port), options.location_port(port)) == (bound, location)
