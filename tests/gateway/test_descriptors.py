"""Listening sockets travel from a parent's end to a worker's end; both ends then hold the same places."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from gateway.descriptors import DescriptorSender, InheritedSockets
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
        sender, inherited = DescriptorSender(asyncio.get_running_loop(), ours), InheritedSockets(theirs)
        with bound() as listening:
            sender.hand(("127.0.0.1", 80), listening)
            with inherited.take("127.0.0.1", 80) as taken:
                assert taken.getsockname() == listening.getsockname()
                assert not taken.getblocking()
                assert not taken.get_inheritable()
        sender.close()
        inherited.close()

    run(test)


def test_a_place_may_be_taken_again_until_it_is_forgotten() -> None:
    """A listener that leaves and comes back before the parent has closed its port finds the socket again."""

    async def test() -> None:
        ours, theirs = channel()
        sender, inherited = DescriptorSender(asyncio.get_running_loop(), ours), InheritedSockets(theirs)
        with bound() as listening:
            sender.hand(("::", 80), listening)
            inherited.take("::", 80).close()
            inherited.take("::", 80).close()
            sender.forget(("::", 80))
            with pytest.raises(LookupError, match="no socket for :: port 80"):
                inherited.take("::", 80)
        sender.close()
        inherited.close()

    run(test)


def test_nothing_stays_open_behind() -> None:
    """Every copy is closed: when it is replaced, forgotten, or the worker ends."""

    async def test() -> None:
        before = open_descriptors()
        ours, theirs = channel()
        sender, inherited = DescriptorSender(asyncio.get_running_loop(), ours), InheritedSockets(theirs)
        with bound() as listening:
            for port in (1, 1, 2, 3):
                sender.hand(("::", port), listening)
            sender.forget(("::", 3))
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
        sender, inherited = DescriptorSender(loop, ours), InheritedSockets(theirs)
        with bound() as listening:
            for port in range(100):
                sender.hand(("::", port), listening)
            flushing = asyncio.create_task(sender.flushed())
            await asyncio.sleep(0)
            assert not flushing.done()
            loop.add_reader(inherited.fileno(), inherited.receive)
            await flushing
            for port in range(100):
                inherited.take("::", port).close()
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
        sender, inherited = DescriptorSender(loop, ours), InheritedSockets(theirs)
        with bound() as listening:
            for port in range(50):
                sender.hand(("::", port), listening)
            closed = bound()
            sender.hand(("::", 99), closed)
            closed.close()
            sender.forget(("::", 99))
            loop.add_reader(inherited.fileno(), inherited.receive)
            await sender.flushed()
            inherited.take("::", 49).close()
            with pytest.raises(LookupError):
                inherited.take("::", 99)
            loop.remove_reader(inherited.fileno())
        sender.close()
        inherited.close()

    run(test)


def test_the_end_of_the_other_end_is_noticed_and_harmless() -> None:
    """A dead parent is reported by receive; a dead worker makes the sender give up what waits."""

    async def test() -> None:
        ours, theirs = channel()
        sender, inherited = DescriptorSender(asyncio.get_running_loop(), ours), InheritedSockets(theirs)
        assert inherited.receive()
        sender.close()
        assert not inherited.receive()
        inherited.close()

        ours, theirs = channel()
        sender = DescriptorSender(asyncio.get_running_loop(), ours)
        theirs.close()
        with bound() as listening:
            sender.hand(("::", 80), listening)
            await sender.flushed()
            sender.close()
            sender.hand(("::", 80), listening)
            await sender.flushed()

    run(test)
