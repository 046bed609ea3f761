"""Accepting for others: to whom connections go, how many at a time, and that none is lost or kept."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.descriptors import DescriptorSender, InheritedSockets, Place
from gateway.net.sockets import bind
from gateway.stand_in import AT_ONCE, MOST_WAITING, StandIn
from tests.gateway.net.serving import until
from tests.gateway.net.test_accept import no_descriptor_left
from tests.running import run

PLACE = Place("127.0.0.1", 80)


class Worker:
    """One that takes what it is handed, or not; with both ends of its descriptor channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.takes = True
        self.sender: DescriptorSender | None = DescriptorSender(ours)
        self.inherited = InheritedSockets(theirs)

    def received(self) -> int:
        """How many connections have come since the last call; they are closed."""
        self.inherited.receive()
        connections = list(self.inherited.connections())
        for _, connection in connections:
            connection.close()
        return len(connections)

    def close(self) -> None:
        if self.sender is not None:
            self.sender.close()
        self.inherited.close()


@contextmanager
def workers(count: int) -> Iterator[tuple[StandIn, list[Worker], socket.socket]]:
    """Everything is closed at the end, and nothing more than that was open."""
    before = len(os.listdir("/proc/self/fd"))
    found = [Worker() for _ in range(count)]
    standing = StandIn(found)
    with bind("127.0.0.1", 0) as listening:
        yield standing, found, listening
        standing.close()
        for worker in found:
            worker.close()
    assert len(os.listdir("/proc/self/fd")) == before


def connected(listening: socket.socket, count: int) -> list[socket.socket]:
    return [socket.create_connection(listening.getsockname()) for _ in range(count)]


def close(clients: list[socket.socket]) -> None:
    for client in clients:
        client.close()


def test_connections_go_to_those_who_take_them_in_turn() -> None:
    """Design 2: handed to a live worker; one that is down, silent or full gets none."""

    async def test() -> None:
        with workers(3) as (standing, found, listening):
            found[1].takes = False
            standing.watch([(PLACE, listening)])
            clients = connected(listening, 10)
            await until(lambda: standing.handed == 10)
            assert [worker.received() for worker in found] == [5, 0, 5]
            close(clients)

    run(test)


def test_without_anybody_to_take_them_they_wait_in_the_queue() -> None:
    """The parent accepts nothing that it could not hand on at once."""

    async def test() -> None:
        with workers(1) as (standing, found, listening):
            found[0].takes = False
            standing.watch([(PLACE, listening)])
            clients = connected(listening, 3)
            standing.watch([(PLACE, listening)])
            assert standing.handed == 0
            found[0].takes = True
            standing.watch([(PLACE, listening)])
            await until(lambda: standing.handed == 3)
            close(clients)

    run(test)


def test_who_is_back_is_left_alone() -> None:
    """The socket of a worker that serves again is its own."""

    async def test() -> None:
        with workers(2) as (standing, _, listening):
            standing.watch([(PLACE, listening)])
            standing.watch([])
            clients = connected(listening, 3)
            for _ in range(10):
                await asyncio.sleep(0)
            assert standing.handed == 0
            close(clients)

    run(test)


def test_few_are_accepted_at_once() -> None:
    """The parent has other work, and a burst does not keep it from that."""

    async def test() -> None:
        with workers(1) as (standing, _, listening):
            clients = connected(listening, 2 * AT_ONCE)
            standing.watch([(PLACE, listening)])
            assert standing._accept(listening)
            assert standing.handed == AT_ONCE
            close(clients)

    run(test)


def test_a_worker_that_does_not_keep_up_gets_no_more() -> None:
    """What waits for it is bounded; the rest waits in the system's queue, and goes on when it reads."""

    async def test() -> None:
        with workers(1) as (standing, found, listening):
            standing.watch([(PLACE, listening)])
            clients = connected(listening, 1_000)
            sender = found[0].sender
            assert sender is not None
            await until(lambda: standing._pause is not None)
            assert sender.waiting == MOST_WAITING
            received = 0
            while received < 1_000:
                await asyncio.sleep(0)
                received += found[0].received()
            assert standing.handed == 1_000
            close(clients)

    run(test)


def test_what_was_on_its_way_to_a_worker_that_is_gone_goes_to_another() -> None:
    """Given back by its channel; kept until there is somebody."""

    async def test() -> None:
        with workers(2) as (standing, found, listening):
            (client,) = connected(listening, 1)
            listening.setblocking(True)
            connection, _ = listening.accept()
            listening.setblocking(False)
            found[0].takes = found[1].takes = False
            standing.give_back([(PLACE, connection)])
            standing.watch([])
            assert [worker.received() for worker in found] == [0, 0]
            found[1].takes = True
            standing.watch([])
            assert [worker.received() for worker in found] == [0, 1]
            client.close()

    run(test)


def test_connections_that_nobody_took_end_with_it() -> None:
    """Nothing leaks, and the client learns of it."""

    async def test() -> None:
        with workers(1) as (standing, _, listening):
            (client,) = connected(listening, 1)
            listening.setblocking(True)
            standing.give_back([(PLACE, listening.accept()[0])])
            standing.close()
            assert client.recv(1) == b""
            client.close()

    run(test)


def test_the_queue_is_emptied_before_the_end() -> None:
    """Sockets beyond the workers are closed by a drain: whoever is in their queue is handed on first."""

    async def test() -> None:
        with workers(1) as (standing, found, listening):
            standing.watch([(PLACE, listening)])
            clients = connected(listening, 3 * AT_ONCE)
            standing.finish()
            assert found[0].received() == 3 * AT_ONCE
            close(clients)

    run(test)


def test_without_descriptors_it_rests_and_goes_on() -> None:
    """The parent must live: it accepts nothing then, spins on nothing, and goes on when there is room."""

    async def test() -> None:
        with workers(1) as (standing, _, listening):
            clients = connected(listening, 2)
            with no_descriptor_left():
                standing.watch([(PLACE, listening)])
                await until(lambda: standing._pause is not None)
                assert standing.handed == 0
            await until(lambda: standing.handed == 2)
            close(clients)

    run(test)


def test_a_socket_that_is_about_to_close_is_left_in_time() -> None:
    """A port whose last listener has gone, while its worker is away."""

    async def test() -> None:
        with workers(1) as (standing, _, listening):
            standing.watch([(PLACE, listening)])
            standing.leave([listening])
            assert standing._watched == {}
            standing._rest()
            standing.watch([(PLACE, listening)])
            standing.leave([listening])
            await until(lambda: standing._pause is None)

    run(test)



