"""The parent's listening sockets: one a worker and place, claimed where somebody left them, all or none."""

from __future__ import annotations

import os
import socket

import pytest

from gateway import places
from gateway.descriptors import Place
from gateway.net.sockets import BindError, bind, bind_again, bind_datagrams
from gateway.places import Places


def free_place() -> Place:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Place("127.0.0.1", probe.getsockname()[1])


def test_every_worker_has_its_own_socket() -> None:
    """SO_REUSEPORT: the system spreads connections over them."""
    held, place = Places(3), free_place()
    assert held.open(place) is None
    sockets = [dict(held.of(number))[place] for number in range(3)]
    assert {listening.getsockname() for listening in sockets} == {place[:2]}
    assert tuple(sockets) == held.all(place)
    assert list(held.surplus()) == []
    assert list(held) == [place]
    held.close_all()
    assert (list(held), held.all(place)) == ([], ())


def test_a_number_of_tcp_and_the_same_of_udp_are_two_places() -> None:
    """RFC 6335 6: a service may have both."""
    held, place = Places(2), free_place()
    datagrams = place._replace(transport="udp")
    assert (held.open(place), held.open(datagrams)) == (None, None)
    assert {bound.type for bound in held.all(datagrams)} == {socket.SOCK_DGRAM}
    held.close(place)
    assert list(held) == [datagrams]
    held.close_all()


def test_surplus_sockets_of_udp_are_closed() -> None:
    """The system gives datagrams to every socket that is open, and nobody would read those."""
    first = bind_datagrams("127.0.0.1", 0)
    place = Place("127.0.0.1", first.getsockname()[1], "udp")
    claimed = [first, bind_again(first), bind_again(first)]
    held = Places(2, lambda _: list(claimed))
    assert held.open(place) is None
    assert (held.all(place), claimed[2].fileno(), list(held.surplus())) == (tuple(claimed[:2]), -1, [])
    held.close_all()


@pytest.mark.parametrize("left", [1, 2, 4])
def test_sockets_that_were_left_are_taken(left: int) -> None:
    """Those that are missing are bound beside them, and those beyond the workers are kept, since connections come to them."""
    place = free_place()
    first = bind(place.address, place.port)
    claimed = [first, *(bind_again(first) for _ in range(left - 1))]
    held = Places(2, lambda asked: list(claimed) if asked == place else [])
    assert held.open(place) is None
    assert held.all(place)[:left] == tuple(claimed)
    assert len(held.all(place)) == max(left, 2)
    assert [listening for _, listening in held.surplus()] == claimed[2:]
    held.close_all()
    assert all(listening.fileno() < 0 for listening in claimed)


def test_a_place_is_opened_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second socket that cannot be had leaves nothing open, and the error is a value."""

    def refuse(listening: socket.socket) -> socket.socket:
        address, port = listening.getsockname()
        raise BindError(address, port, "too many files are open", "raise the limit")

    monkeypatch.setattr(places, "bind_again", refuse)
    before = len(os.listdir("/proc/self/fd"))
    held, place = Places(2), free_place()
    assert "too many files" in str(held.open(place))
    assert list(held) == []
    assert len(os.listdir("/proc/self/fd")) == before
