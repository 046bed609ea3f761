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
    table = DestinationTable(CLAIMS)
    assert table.reason("10.0.0.1", 80) == "it is for this address and port"
    assert table.reason("10.0.0.2", 80) == "it is for this port of every address that no other listener names"
    assert table.reason("10.0.0.2", 81) == "it is for every destination that no other listener names"
