"""From where a captured connection was going to what serves it."""

from __future__ import annotations

from itertools import permutations

import pytest

from gateway.routing.destinations import EVERY_PORT, Claim, DestinationTable

CLAIMS = (
    Claim("a/shared", ("10.0.0.1", "fd00::1"), 80, False, "shared"),
    Claim("b/own", ("10.0.0.1",), 80, True, "own"),
    Claim("c/port", (), 80, False, "port"),
    Claim("d/rest", (), EVERY_PORT, False, "rest"),
)


@pytest.mark.parametrize(
    ("address", "port", "kept"),
    [
        ("10.0.0.1", 80, "own"),
        ("fd00::1", 80, "shared"),
        ("10.0.0.2", 80, "port"),
        ("10.0.0.1", 81, "rest"),
        ("10.0.0.9", 443, "rest"),
    ],
)
def test_the_most_specific_claim_serves(address: str, port: int, kept: str) -> None:
    """Address and port, of two the preferred one; the port; everything. The order of the claims is no matter."""
    for claims in permutations(CLAIMS):
        assert DestinationTable(claims).choose(address, port) == kept


BLOCKS = (
    *CLAIMS,
    Claim("e/block", ("10.0.0.0/8", "fd00::/8"), 80, False, "wide"),
    Claim("f/block", ("10.0.0.0/24",), 80, False, "narrow"),
    Claim("g/all", ("0.0.0.0/0",), 90, False, "all of IPv4"),
)


@pytest.mark.parametrize(
    ("address", "port", "kept"),
    [
        ("10.0.0.1", 80, "own"),
        ("10.0.0.2", 80, "narrow"),
        ("10.0.1.0", 80, "wide"),
        ("fd00::1", 80, "shared"),
        ("fdff::2", 80, "wide"),
        ("11.0.0.1", 80, "port"),
        ("10.0.0.2", 81, "rest"),
        ("203.0.113.9", 90, "all of IPv4"),
        ("fd00::1", 90, "rest"),
    ],
)
def test_the_longest_block_that_covers_an_address_serves(address: str, port: int, kept: str) -> None:
    """After the address itself and before the port of every address, of its own IP version and port alone."""
    assert DestinationTable(BLOCKS).choose(address, port) == kept
    assert DestinationTable(BLOCKS[::-1]).choose(address, port) == kept


def test_what_yields_serves_only_what_nobody_else_claims() -> None:
    """Capture.entries: neither the key nor being the consumer's own helps against a Service; a block stands behind an address anyhow."""
    entry = Claim("a/entry", ("10.0.0.1", "10.0.0.0/24"), 80, True, "entry", yields=True)
    table = DestinationTable((entry, Claim("z/service", ("10.0.0.1",), 80, False, "service")))
    assert (table.choose("10.0.0.1", 80), table.choose("10.0.0.2", 80)) == ("service", "entry")
    assert set(table.kept()) == {"service", "entry"}
    shared = Claim("a/shared", ("10.0.0.0/24",), 80, False, "shared", yields=True)
    assert DestinationTable((shared, entry)).choose("10.0.0.2", 80) == "entry"


def test_the_cost_of_a_look_up_is_that_of_the_prefix_lengths() -> None:
    """However many blocks there are, one of each length is looked for."""
    claims = [Claim(f"{number}", (f"10.{number >> 8}.{number & 255}.0/24",), 80, False, number) for number in range(5000)]
    table = DestinationTable(claims)
    assert table.choose("10.3.7.9", 80) == 3 * 256 + 7
    assert len(table._blocks[80]) == 1


def test_without_a_claim_for_everything_some_destinations_have_none() -> None:
    """As where only what is registered may be reached."""
    table = DestinationTable(CLAIMS[:3])
    assert table.choose("10.0.0.1", 81) is None
    assert DestinationTable[str]().choose("10.0.0.1", 80) is None


def test_of_equal_claims_the_first_by_key_serves() -> None:
    """Whatever the order in which they came, so that all proxies serve alike."""
    claims = (Claim("b", ("10.0.0.1",), 80, False, "b"), Claim("a", ("10.0.0.1",), 80, False, "a"))
    assert DestinationTable(claims).choose("10.0.0.1", 80) == "a"
    assert DestinationTable(claims[::-1]).choose("10.0.0.1", 80) == "a"


def test_it_says_what_decided() -> None:
    """DestinationTable.reason, for explanations."""
    table = DestinationTable(BLOCKS)
    assert table.reason("10.0.0.7", 80) == "it is for this port of 10.0.0.0/24"
    assert table.reason("10.0.0.1", 80) == "it is for this address and port"
    assert table.reason("11.0.0.2", 80) == "it is for this port of every address that no other listener names"
    assert table.reason("10.0.0.2", 81) == "it is for every destination that no other listener names"
