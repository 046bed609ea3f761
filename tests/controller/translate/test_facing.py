"""Which listeners can share a port (Listener, "Distinct Listeners"), and that the indexes find what a comparison of all finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.translate.facing import NAMELESS, Facing, Port, conflict
from controller.translate.places import Place, Standing

HOSTNAMES = st.sampled_from(("", "a.test", "*.test"))
FACINGS = st.one_of(
    st.tuples(st.sampled_from(("HTTP", "HTTPS", "TLS")), HOSTNAMES), st.tuples(st.sampled_from(sorted(NAMELESS)), st.just(""))
)
ADDRESSES = st.sampled_from(("127.0.0.1", "127.0.0.2", "0.0.0.0", "::", "::1"))
PLACES = st.builds(
    lambda facing, address, port: Place("n/g/l", address, 9000, port, *facing), FACINGS, ADDRESSES, st.sampled_from((80, 81))
)


@pytest.mark.parametrize(("one", "other", "expected"), [
    (("HTTP", "a.test"), ("HTTP", "b.test"), None),
    (("HTTP", "a.test"), ("HTTP", "a.test"), "HostnameConflict"),
    (("HTTP", "a.test"), ("HTTPS", "b.test"), "ProtocolConflict"),
    (("HTTPS", "a.test"), ("TLS", "b.test"), None),
    (("HTTPS", "a.test"), ("TLS", "a.test"), "ProtocolConflict"),
    (("HTTP", "a.test"), ("TCP", ""), "ProtocolConflict"),
    (("TLS", "a.test"), ("TCP", ""), "ProtocolConflict"),
    (("TCP", ""), ("TCP", ""), "ListenerConflict"),
    (("UDP", ""), ("UDP", ""), "ListenerConflict"),
    (("UDP", ""), ("TCP", ""), None),
    (("UDP", ""), ("HTTP", ""), None),
])  # fmt: skip
def test_what_can_be_told_apart_shares_a_port(one: Facing, other: Facing, expected: str | None) -> None:
    """By hostname within a protocol, and between HTTPS and TLS; by protocol only UDP from all others (reference 5.3)."""
    assert conflict(one, other) == conflict(other, one) == expected


@given(st.lists(FACINGS, max_size=8), FACINGS)
def test_a_port_finds_a_rival_where_there_is_one(others: list[Facing], facing: Facing) -> None:
    """What stands on a port is found to be in the way exactly if it is compared with each of them to be."""
    port: Port[Facing] = Port()
    standing: list[Facing] = []
    for other in others:
        if port.rival(other) is None:
            port.add(other, other)
            standing.append(other)
    found = port.rival(facing)
    assert (found is not None) == any(conflict(facing, other) for other in standing)
    if found is not None:
        assert conflict(facing, found[0]) == found[1]


def clash(one: Place, other: Place) -> bool:
    """Second opinion on two places at one bound port."""
    if (one.protocol == "UDP") != (other.protocol == "UDP"):
        return False
    if one.address == other.address:
        return one.port != other.port or conflict((one.protocol, one.hostname), (other.protocol, other.hostname)) is not None
    pair = {one.address, other.address}
    return "::" in pair or ("0.0.0.0" in pair and not any(":" in address for address in pair))


@given(st.lists(PLACES, max_size=6), PLACES)
def test_a_place_that_is_taken_is_found(others: list[Place], place: Place) -> None:
    """Between Gateways a place is lost exactly if one of those that stand is in the way."""
    taken = Standing()
    standing: list[Place] = []
    for other in others:
        if taken.rival(other) is None:
            taken.add(other)
            standing.append(other)
    found = taken.rival(place)
    assert (found is not None) == any(clash(place, other) for other in standing)
    assert found is None or clash(place, found)
