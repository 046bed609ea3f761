"""Listening sockets travel from a parent's end to a worker's end; both ends then hold the same places."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from gateway import descriptors
from gateway.descriptors import DescriptorSender, InheritedSockets, Place
from tests.running import run


def channel() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def bound() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    return listening


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_socket_arrives_as_the_same_socket() -> None:
    """The worker accepts on the parent's very socket, non-blocking and not inherited by whatever it starts."""

    async def test() -> None:
        ours, theirs = channel()
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        with bound() as listening:
            sender.hand(Place("127.0.0.1", 80), listening)
            with inherited.take(Place("127.0.0.1", 80)) as taken:
                assert taken.getsockname() == listening.getsockname()
                assert not taken.getblocking()
                assert not taken.get_inheritable()
        sender.close()
        inherited.close()

    run(test)


def test_a_number_of_udp_is_another_place() -> None:
    """The same number of both transports travels, and is forgotten, apart."""

    async def test() -> None:
        ours, theirs = channel()
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        streams, datagrams = Place("::1", 53), Place("::1", 53, "udp")
        with bound() as listening, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            sender.hand(streams, listening)
            sender.hand(datagrams, other)
            with inherited.take(streams) as one, inherited.take(datagrams) as two:
                assert (one.type, two.type) == (socket.SOCK_STREAM, socket.SOCK_DGRAM)
            sender.forget(streams)
            with pytest.raises(LookupError, match=r"port 53 \(tcp\)"):
                inherited.take(streams)
            inherited.take(datagrams).close()
        sender.close()
        inherited.close()

    run(test)


def test_a_place_may_be_taken_again_until_it_is_forgotten() -> None:
    """A listener that leaves and comes back before the parent has closed its port finds the socket again."""

    async def test() -> None:
        ours, theirs = channel()
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        with bound() as listening:
            sender.hand(Place("::", 80), listening)
            inherited.take(Place("::", 80)).close()
            inherited.take(Place("::", 80)).close()
            sender.forget(Place("::", 80))
            with pytest.raises(LookupError, match="no socket for :: port 80"):
                inherited.take(Place("::", 80))
        sender.close()
        inherited.close()

    run(test)


def test_nothing_stays_open_behind() -> None:
    """Every copy is closed: when it is replaced, forgotten, or the worker ends."""

    async def test() -> None:
        before = open_descriptors()
        ours, theirs = channel()
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        with bound() as listening:
            for port in (1, 1, 2, 3):
                sender.hand(Place("::", port), listening)
            sender.forget(Place("::", 3))
            inherited.receive()
            assert open_descriptors() == before + 2 + 1 + 2
            inherited.close_held()
            assert open_descriptors() == before + 2 + 1
        sender.close()
        inherited.close()
        assert open_descriptors() == before

    run(test)


def test_more_than_a_socket_holds_waits_in_order() -> None:
    """A configuration of thousands of ports: the parent waits for the worker to read, and blocks nobody meanwhile."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = channel()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        with bound() as listening:
            for port in range(100):
                sender.hand(Place("::", port), listening)
            flushing = asyncio.create_task(sender.flushed())
            await asyncio.sleep(0)
            assert not flushing.done()
            loop.add_reader(inherited.fileno(), inherited.receive)
            await flushing
            for port in range(100):
                inherited.take(Place("::", port)).close()
            loop.remove_reader(inherited.fileno())
        sender.close()
        inherited.close()

    run(test)


def test_a_place_closed_while_it_waits_is_not_sent() -> None:
    """A port that leaves before a busy worker has read of it is no error."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = channel()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        with bound() as listening:
            for port in range(50):
                sender.hand(Place("::", port), listening)
            closed = bound()
            sender.hand(Place("::", 99), closed)
            closed.close()
            sender.forget(Place("::", 99))
            loop.add_reader(inherited.fileno(), inherited.receive)
            await sender.flushed()
            inherited.take(Place("::", 49)).close()
            with pytest.raises(LookupError):
                inherited.take(Place("::", 99))
            loop.remove_reader(inherited.fileno())
        sender.close()
        inherited.close()

    run(test)


def test_the_end_of_the_other_end_is_noticed_and_harmless() -> None:
    """A dead parent is reported by receive; a dead worker makes the sender give up what waits."""

    async def test() -> None:
        ours, theirs = channel()
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        assert inherited.receive()
        sender.close()
        assert not inherited.receive()
        inherited.close()

        ours, theirs = channel()
        sender = DescriptorSender(ours)
        theirs.close()
        with bound() as listening:
            sender.hand(Place("::", 80), listening)
            await sender.flushed()
            sender.close()
            sender.hand(Place("::", 80), listening)
            await sender.flushed()

    run(test)


def connection() -> tuple[socket.socket, socket.socket]:
    """A client's end, and the one that was accepted."""
    with bound() as listening:
        client = socket.create_connection(listening.getsockname())
        listening.setblocking(True)
        return client, listening.accept()[0]


def test_a_connection_is_given_away() -> None:
    """Design 2: the parent hands connections to a worker; its own copy is closed, and the worker's is the only one."""

    async def test() -> None:
        before = open_descriptors()
        ours, theirs = channel()
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        client, accepted = connection()
        sender.pass_on(Place("::", 80), accepted)
        assert accepted.fileno() < 0
        inherited.receive()
        ((place, received),) = inherited.connections()
        assert place == Place("::", 80)
        assert received.getpeername() == client.getsockname()
        assert not received.getblocking()
        received.close()
        assert client.recv(1) == b""
        client.close()
        sender.close()
        inherited.close()
        assert open_descriptors() == before

    run(test)


def test_a_connection_waits_for_a_port_that_is_about_to_open() -> None:
    """A worker that has the place's socket but not yet its batch keeps the connection; one that is told the place is gone ends it."""

    async def test() -> None:
        ours, theirs = channel()
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        client, accepted = connection()
        with bound() as listening:
            sender.hand(Place("::", 80), listening)
            sender.pass_on(Place("::", 80), accepted)
            inherited.receive()
            ((place, received),) = inherited.connections()
            inherited.put_back(place, received)
            ((place, received),) = inherited.connections()
            sender.forget(place)
            inherited.receive()
            inherited.put_back(place, received)
            assert list(inherited.connections()) == []
            assert client.recv(1) == b""
        client.close()
        sender.close()
        inherited.close()

    run(test)


def test_connections_that_cannot_be_sent_come_back() -> None:
    """A worker dies before it has taken them: nobody's connection is lost with it."""

    async def test() -> None:
        ours, theirs = channel()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sender = DescriptorSender(ours)
        clients, accepted = zip(*[connection() for _ in range(20)], strict=True)
        for one in accepted:
            sender.pass_on(Place("::", 80), one)
        waiting = sender.waiting
        assert waiting > 0
        theirs.close()
        unsent = sender.close()
        assert [place for place, _ in unsent] == [Place("::", 80)] * waiting
        assert [one for _, one in unsent] == list(accepted[-waiting:])
        for one in (*clients, *accepted):
            one.close()

    run(test)


def test_too_many_connections_for_a_port_that_never_opens_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker keeps is bounded: the oldest goes first."""
    monkeypatch.setattr(descriptors, "MOST_UNTAKEN", 2)

    async def test() -> None:
        ours, theirs = channel()
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        clients, accepted = zip(*[connection() for _ in range(3)], strict=True)
        for one in accepted:
            sender.pass_on(Place("::", 80), one)
        inherited.receive()
        assert clients[0].recv(1) == b""
        kept = [one for _, one in inherited.connections()]
        assert [one.getpeername() for one in kept] == [client.getsockname() for client in clients[1:]]
        for one in (*clients, *kept):
            one.close()
        sender.close()
        inherited.close()

    run(test)


def test_heartbeats_come_back_on_the_same_channel() -> None:
    """In the order in which they were sent; a worker never waits for a parent that does not listen."""

    async def test() -> None:
        ours, theirs = channel()
        sender, inherited = DescriptorSender(ours), InheritedSockets(theirs)
        inherited.beat("starting")
        inherited.beat("serving")
        assert sender.beats() == ("starting", "serving")
        assert sender.beats() == ()
        for _ in range(10_000):
            inherited.beat("serving")
        assert 0 < len(sender.beats()) < 10_000
        sender.close()
        inherited.beat("serving")
        inherited.close()

    run(test)
