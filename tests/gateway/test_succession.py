"""Two programs, the old and the new: sockets handed over, and who serves when."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway import succession
from gateway.descriptor_channel import DescriptorChannel
from gateway.descriptors import Place
from gateway.net.sockets import bind, bind_again, bind_datagrams
from gateway.succession import CHANNEL_VARIABLE, Predecessor, SuccessionFailed, Successor
from tests.running import run

HERE = Place("127.0.0.1", 80)
THERE = Place("127.0.0.1", 443)


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Successor, Predecessor]]:
    """Both ends in one process; the process that the old one has started only waits to be ended."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(("/bin/cat",), stdin=subprocess.PIPE)  # noqa: ASYNC220  # it starts at once
    successor, predecessor = Successor(DescriptorChannel(ours), process), Predecessor(theirs)
    try:
        yield successor, predecessor
    finally:
        process.kill()
        process.communicate()
        successor.close()
        predecessor.close()


def same(one: socket.socket, other: socket.socket) -> bool:
    """Whether they are one socket of the system."""
    return os.fstat(one.fileno()).st_ino == os.fstat(other.fileno()).st_ino


def test_every_socket_arrives_in_the_order_of_the_workers() -> None:
    """Issue 4: the new process takes the sockets, which are the same ones, so that their queues survive."""

    async def test() -> None:
        first = bind("127.0.0.1", 0)
        handed = [first, bind_again(first), bind_again(first)]
        admin = bind("127.0.0.1", 0)
        async with pair() as (successor, predecessor):
            successor.hand(HERE, handed)
            successor.hand_admin(admin)
            successor.complete()
            await predecessor.hand_over()
            claimed = predecessor.claim(HERE)
            assert all(same(one, other) for one, other in zip(claimed, handed, strict=True))
            assert predecessor.claim(HERE) == []
            claimed_admin = predecessor.claim_admin()
            assert claimed_admin is not None
            assert same(claimed_admin, admin)
            assert predecessor.claim_admin() is None
        for one in (*handed, *claimed, admin, claimed_admin):
            one.close()

    run(test)


def test_sockets_of_udp_are_handed_over_too() -> None:
    """A place of UDP and one of TCP with the same number are claimed apart."""

    async def test() -> None:
        listening, datagrams = bind("127.0.0.1", 0), bind_datagrams("127.0.0.1", 0)
        async with pair() as (successor, predecessor):
            successor.hand(HERE, [listening])
            successor.hand(HERE._replace(transport="udp"), [datagrams])
            successor.complete()
            await predecessor.hand_over()
            [claimed] = predecessor.claim(HERE._replace(transport="udp"))
            assert same(claimed, datagrams)
        for one in (listening, datagrams, claimed):
            one.close()

    run(test)


def test_what_nobody_claims_is_closed_at_the_end() -> None:
    """A place that the new configuration does not want is listened on by nobody when the old program has gone."""

    async def test() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with pair() as (successor, predecessor):
            listening = bind("127.0.0.1", 0)
            successor.hand(HERE, [listening])
            successor.hand_admin(listening)
            successor.complete()
            await predecessor.hand_over()
            listening.close()
        assert len(os.listdir("/proc/self/fd")) == before

    run(test)


def test_places_that_change_meanwhile_are_handed_too() -> None:
    """The old program goes on following its files until the new one serves."""

    async def test() -> None:
        here, there = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
        async with pair() as (successor, predecessor):
            successor.hand(HERE, [here])
            successor.complete()
            await predecessor.hand_over()
            successor.forget(HERE)
            successor.hand(THERE, [there])
            assert predecessor.claim(HERE) == []
            (claimed,) = predecessor.claim(THERE)
            assert same(claimed, there)
        for one in (here, there, claimed):
            one.close()

    run(test)


def test_the_new_one_begins_when_the_old_one_leaves() -> None:
    """First it serves, then it is told that all is its own: never two that answer on the admin port, and never nobody."""

    async def test() -> None:
        async with pair() as (successor, predecessor):
            taking_over = asyncio.create_task(predecessor.take_over())
            await successor.ready()
            assert not taking_over.done()
            await successor.leave_it_all()
            await taking_over

    run(test)


def test_a_refusal_says_why() -> None:
    """The old program shows it and goes on."""

    async def test() -> None:
        async with pair() as (successor, predecessor):
            predecessor.refuse("no configuration")
            with pytest.raises(SuccessionFailed, match="no configuration"):
                await successor.ready()
            await successor.end()

    run(test)


def test_one_that_is_never_ready_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit, so that the next attempt may come."""
    monkeypatch.setattr(succession, "READY_WITHIN", 0.05)

    async def test() -> None:
        async with pair() as (successor, _):
            with pytest.raises(SuccessionFailed, match=r"it was not ready within 0\.05 s"):
                await successor.ready()

    run(test)


def test_the_new_one_goes_on_alone_when_the_old_one_dies() -> None:
    """Whatever it was doing: hand over, or leave."""

    async def test() -> None:
        async with pair() as (successor, predecessor):
            handing = asyncio.create_task(predecessor.hand_over())
            taking_over = asyncio.create_task(predecessor.take_over())
            successor.close()
            await handing
            await taking_over
            assert predecessor.claim(HERE) == []

    run(test)


def test_the_new_program_finds_its_end_and_says_when_it_has_ended() -> None:
    """By an environment variable, and in a process group of its own; its exit status is part of the reason."""

    async def test() -> None:
        program = (
            "import os, socket, sys\n"
            f"channel = socket.socket(fileno=int(os.environ[{CHANNEL_VARIABLE!r}]))\n"
            "assert channel.type == socket.SOCK_SEQPACKET\n"
            "sys.exit(7 if os.getpgid(0) == os.getpid() else 8)\n"
        )
        successor = Successor.start((sys.executable, "-c", program), os.environ)
        with pytest.raises(SuccessionFailed, match="it ended with exit status 7 before it was ready"):
            await successor.ready()
        await successor.end()

    run(test)


def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ignores SIGTERM holds nothing up for ever."""
    monkeypatch.setattr(succession, "_GRACE", 0.2)

    async def test() -> None:
        read, write = os.pipe()
        program = f"import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.write({write}, b'.')\nsignal.pause()\n"
        successor = Successor.start((sys.executable, "-c", program), os.environ, (write,))
        os.close(write)
        await asyncio.to_thread(os.read, read, 1)
        await successor.end()
        assert successor._process.returncode == -signal.SIGKILL
        os.close(read)

    run(test)


@pytest.mark.parametrize("number", ["", "x", "99999", "0"])
def test_a_variable_that_somebody_else_has_set_does_no_harm(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a number, not open, or no socket: nobody came before us."""
    monkeypatch.setenv(CHANNEL_VARIABLE, number)

    async def test() -> None:
        assert Predecessor.of_environment() is None
        assert CHANNEL_VARIABLE not in os.environ

    run(test)
