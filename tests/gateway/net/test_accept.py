"""Accepting connections when all is well, when descriptors run out, and at the end."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.net import accept
from gateway.net.accept import AT_ONCE, Acceptor
from gateway.net.sockets import Address, bind, bind_again
from tests.gateway.net.serving import on_uvloop, until


class Accepted(list[tuple[socket.socket, Address]]):
    """What was accepted; closed at the end."""

    def take(self, connection: socket.socket, address: Address) -> None:
        self.append((connection, address))

    def close(self) -> None:
        for connection, _ in self:
            connection.close()


@contextmanager
def no_descriptor_left(spare: int = 0) -> Iterator[list[int]]:
    """Every descriptor below the limit is in use but for `spare`; those in the list are ours to give back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, hard))
    taken: list[int] = []
    try:
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        for _ in range(spare):
            os.close(taken.pop())
        yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


def connected(listening: socket.socket, count: int) -> list[socket.socket]:
    return [socket.create_connection(listening.getsockname()) for _ in range(count)]


async def until_accepted(accepted: Accepted, count: int) -> None:
    await until(lambda: len(accepted) >= count)


@on_uvloop
async def test_every_connection_is_handed_over_with_its_address() -> None:
    """Non-blocking, and the taker's to close."""
    accepted = Accepted()
    listening = bind("127.0.0.1", 0)
    acceptor = Acceptor(listening, asyncio.get_running_loop(), accepted.take)
    clients = connected(listening, 200)
    await until_accepted(accepted, 200)
    assert sorted(address for _, address in accepted) == sorted(client.getsockname() for client in clients)
    assert not any(connection.getblocking() for connection, _ in accepted)
    assert acceptor.errors == {}
    acceptor.close()
    accepted.close()
    for client in clients:
        client.close()


@on_uvloop
async def test_a_burst_is_accepted_in_portions() -> None:
    """What is served already gets its turn between them."""
    accepted = Accepted()
    listening = bind("127.0.0.1", 0)
    clients = connected(listening, AT_ONCE + 1)
    acceptor = Acceptor(listening, asyncio.get_running_loop(), accepted.take)
    acceptor._readable()
    assert len(accepted) == AT_ONCE
    await until_accepted(accepted, AT_ONCE + 1)
    acceptor.close()
    accepted.close()
    for client in clients:
        client.close()


@on_uvloop
async def test_in_a_pause_connections_wait() -> None:
    """In the system's queue: none is lost, and all are taken afterwards."""
    accepted = Accepted()
    listening = bind("127.0.0.1", 0)
    acceptor = Acceptor(listening, asyncio.get_running_loop(), accepted.take)
    acceptor.pause()
    acceptor.pause()
    clients = connected(listening, 3)
    for _ in range(10):
        await asyncio.sleep(0)
    assert accepted == []
    acceptor.resume()
    acceptor.resume()
    await until_accepted(accepted, 3)
    acceptor.pause()
    clients += connected(listening, 2)
    acceptor.close()
    assert len(accepted) == 5
    accepted.close()
    for client in clients:
        client.close()


@on_uvloop
async def test_closing_accepts_what_is_queued() -> None:
    """More than one portion, and nothing after it."""
    accepted = Accepted()
    listening = bind("127.0.0.1", 0)
    address = listening.getsockname()
    acceptor = Acceptor(listening, asyncio.get_running_loop(), accepted.take)
    clients = connected(listening, 3 * AT_ONCE)
    acceptor.close()
    acceptor.close()
    assert len(accepted) == 3 * AT_ONCE
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    accepted.close()
    for client in clients:
        client.close()


@on_uvloop
async def test_a_duplicate_of_the_socket_keeps_the_queue() -> None:
    """As in a parent that holds the sockets of its workers."""
    accepted = Accepted()
    listening = bind("127.0.0.1", 0)
    with listening.dup() as kept:
        Acceptor(listening, asyncio.get_running_loop(), accepted.take).close()
        (client,) = connected(kept, 1)
        again = Acceptor(kept.dup(), asyncio.get_running_loop(), accepted.take)
        await until_accepted(accepted, 1)
        again.close()
    accepted.close()
    client.close()


@on_uvloop
async def test_without_descriptors_one_client_is_told_and_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """EMFILE: accepting pauses instead of spinning, and goes on with those in the queue once it can."""
    monkeypatch.setattr(accept, "PAUSE", 0.01)
    accepted = Accepted()
    listening = bind("127.0.0.1", 0)
    clients = connected(listening, 3)
    acceptor = Acceptor(listening, asyncio.get_running_loop(), accepted.take)
    with no_descriptor_left() as taken:
        first = await asyncio.get_running_loop().sock_recv(nonblocking(clients[0]), 1)
        assert first == b""
        assert acceptor.errors["EMFILE"] >= 1
        assert not accepted
        for _ in range(4):
            os.close(taken.pop())
        await until_accepted(accepted, 1)
    await until_accepted(accepted, len(clients) - acceptor.errors["EMFILE"])
    assert acceptor.errors["EMFILE"] < 3
    acceptor.close()
    accepted.close()
    for client in clients:
        client.close()


@on_uvloop
async def test_closing_without_descriptors_ends() -> None:
    """What cannot be accepted is given up with the socket."""
    accepted = Accepted()
    listening = bind("127.0.0.1", 0)
    clients = connected(listening, 3)
    acceptor = Acceptor(listening, asyncio.get_running_loop(), accepted.take)
    with no_descriptor_left():
        acceptor.close()
    assert acceptor.errors == {"EMFILE": 1}
    assert listening.fileno() == -1
    assert not accepted
    for client in clients:
        client.close()


@on_uvloop
async def test_closing_in_a_pause_ends_the_pause() -> None:
    """Its timer would otherwise listen on a descriptor that belongs to someone else by then."""
    accepted = Accepted()
    listening = bind("127.0.0.1", 0)
    clients = connected(listening, 1)
    acceptor = Acceptor(listening, asyncio.get_running_loop(), accepted.take)
    with no_descriptor_left():
        await until(lambda: bool(acceptor.errors))
    assert acceptor._resting is not None
    acceptor.close()
    assert acceptor._resting.cancelled()
    assert listening.fileno() == -1
    accepted.close()
    for client in clients:
        client.close()


class Failing:
    """A listening socket that fails as accept(2) may."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.listening = bind("127.0.0.1", 0)

    def fileno(self) -> int:
        return self.listening.fileno()

    def accept(self) -> tuple[socket.socket, Address]:
        if self.errors:
            code = self.errors.pop(0)
            raise OSError(code, os.strerror(code))
        return self.listening.accept()

    def close(self) -> None:
        self.listening.close()


@on_uvloop
async def test_an_error_of_one_connection_does_not_keep_the_next_waiting() -> None:
    """accept(2): errors of the network that are already pending on the new socket are passed on by Linux."""
    accepted = Accepted()
    failing = Failing(errno.ECONNABORTED, errno.EPROTO, errno.EHOSTUNREACH)
    clients = connected(failing.listening, 1)
    acceptor = Acceptor(failing, asyncio.get_running_loop(), accepted.take)  # type: ignore[arg-type]  # all it uses of a socket
    acceptor._readable()
    assert len(accepted) == 1
    assert acceptor.errors == {"ECONNABORTED": 1, "EPROTO": 1, "EHOSTUNREACH": 1}
    acceptor.close()
    accepted.close()
    clients[0].close()


@on_uvloop
async def test_an_error_that_lasts_does_not_spin() -> None:
    """An error nobody expects pauses, and closing does not wait for it to pass."""
    accepted = Accepted()
    failing = Failing(*[errno.EINVAL] * 100)
    acceptor = Acceptor(failing, asyncio.get_running_loop(), accepted.take)  # type: ignore[arg-type]  # all it uses of a socket
    acceptor._readable()
    assert acceptor.errors == {"EINVAL": 1}
    assert acceptor._resting is not None
    acceptor.close()
    assert acceptor.errors == {"EINVAL": 2}


@on_uvloop
async def test_two_acceptors_share_a_port() -> None:
    """One for each worker; each accepts what the kernel gives its socket."""
    accepted = Accepted()
    first = bind("127.0.0.1", 0)
    second = bind_again(first)
    acceptors = [Acceptor(listening, asyncio.get_running_loop(), accepted.take) for listening in (first, second)]
    clients = connected(first, 50)
    await until_accepted(accepted, 50)
    for acceptor in acceptors:
        acceptor.close()
    accepted.close()
    for client in clients:
        client.close()


def nonblocking(client: socket.socket) -> socket.socket:
    client.setblocking(False)
    return client
