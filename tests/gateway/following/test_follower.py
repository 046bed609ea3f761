"""The connection to the controller and its ends, over real sockets, against a controller that speaks by hand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from gateway.following import follower as following
from gateway.following.follower import Follower, Stream
from gateway.ir.backend import Backend
from gateway.ir.batch import Ack, Ask, Batch, Rejection, Report, Subscribe, encode
from gateway.ir.identification import Elsewhere, encode_identification
from gateway.ir.value import Identity, Source
from gateway.subscribe import LINE_LIMIT
from tests.peer import Peer
from tests.running import run

NO = Rejection("Listener", "default/web/http", "the port is in use")


class Controller:
    """The far end. `obstacles` are raised by the next attempts to connect."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.obstacles: list[Exception] = []
        self.attempts = 0
        self.addresses: list[str] = []
        self.streams: asyncio.Queue[Stream] = asyncio.Queue()
        self.unreadable: list[set[Identity]] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self, address: str) -> Stream:
        self.attempts += 1
        self.addresses.append(address)
        if self.obstacles:
            raise self.obstacles.pop(0)
        ours, theirs = socket.socketpair()
        far = await asyncio.open_unix_connection(sock=ours)
        self.writers.append(far[1])
        self.streams.put_nowait(far)
        return await asyncio.open_unix_connection(sock=theirs, limit=LINE_LIMIT)

    async def introduce(self) -> Subscribe:
        return Subscribe("p", "default/web")

    async def apply(self, batch: Batch, unreadable: Set[Identity]) -> tuple[Rejection, ...]:
        self.unreadable.append(set(unreadable))
        return (NO,) if batch.revision == 13 else ()

    async def reply(self, ask: Ask) -> msgspec.Raw:
        return ask.argument

    async def accept(self, *, anywhere: bool = False) -> Peer:
        far = Peer(*await self.streams.get())
        assert await far.receive() == Subscribe("p", "default/web", anywhere=anywhere)
        return far


@asynccontextmanager
async def follower(controller: Controller) -> AsyncIterator[Follower]:
    made = Follower(controller.connect, controller.introduce, controller.apply, controller.reply, controller.messages.append)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        for writer in controller.writers:
            writer.close()
            await writer.wait_closed()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The ranges of the random waits between two tries, which take no time here."""
    ranges: list[float] = []

    def uniform(shortest: float, longest: float) -> float:
        assert shortest == following.SHORTEST
        ranges.append(longest)
        return 0.0

    monkeypatch.setattr("gateway.following.follower.random.uniform", uniform)
    return ranges


def test_an_end_is_told_once_and_the_connection_made_anew() -> None:
    """Issue 6: it connects again by itself, and says once why it is not connected."""

    async def test() -> None:
        controller = Controller()
        async with follower(controller) as made:
            far = await controller.accept()
            assert (made.problem, made.since is not None, made.connections) == ("", True, 1)
            far.send(Batch(1))
            assert await far.receive() == Ack(1)
            controller.obstacles = [OSError("no route"), OSError("no route"), ValueError("a token is missing"), OSError("no route")]
            far.writer.close()
            await controller.accept()
            assert controller.messages == [
                "connected to the controller",
                "the controller has closed the connection; what is live stays, and it is tried again",
                "the controller cannot be reached: no route; what is live stays, and it is tried again",
                "the controller cannot be reached: a token is missing; what is live stays, and it is tried again",
                "the controller cannot be reached: no route; what is live stays, and it is tried again",
                "connected to the controller",
            ]
            assert (made.problem, made.connections) == ("", 2)

    run(test)


def test_tries_are_spread_wider_each_time_up_to_five_seconds(waits: list[float]) -> None:
    """Issue 6: jittered, exponential, 0.1 s to 5 s; the first tries of many proxies spread over a second."""

    async def test() -> None:
        controller = Controller()
        controller.obstacles = [OSError("away") for _ in range(6)]
        async with follower(controller):
            await controller.accept()
            assert waits == [1, 2, 4, 5, 5, 5]

    run(test)


def test_the_replica_that_leads_is_followed() -> None:
    """The leader must know what every proxy has in place, so whoever does not lead sends proxies there; no time is lost on the way."""

    async def test() -> None:
        controller = Controller()
        async with follower(controller) as made:
            far = await controller.accept()
            far.writer.write(encode_identification(Elsewhere("10.0.0.2:15010")))
            far = await controller.accept()
            far.send(Batch(1))
            assert await far.receive() == Ack(1)
            assert (controller.addresses, made.problem) == (["", "10.0.0.2:15010"], "")
            far.writer.close()
            await controller.accept()
            assert controller.addresses[2:] == [""]

    run(test)


def test_a_leader_that_cannot_be_reached_keeps_nobody_from_the_configuration() -> None:
    """Every replica serves it, to whoever says that the leader is out of reach (R10: pushes never stop)."""

    async def test() -> None:
        controller = Controller()
        async with follower(controller):
            far = await controller.accept()
            controller.obstacles = [OSError("no route")]
            far.writer.write(encode_identification(Elsewhere("10.0.0.2:15010")))
            far = await controller.accept(anywhere=True)
            far.send(Batch(1))
            assert await far.receive() == Ack(1)
            assert controller.addresses == ["", "10.0.0.2:15010", ""]

    run(test)


def test_a_replica_that_is_out_of_touch_is_followed_only_if_others_are() -> None:
    """Whoever does not reach the API server knows of no change: the next replica may, and is tried at once; if none is better off, one
    of them does."""

    async def test() -> None:
        controller = Controller()
        async with follower(controller) as made:
            for _ in range(2):
                far = await controller.accept()
                far.writer.write(encode_identification(Elsewhere("")))
            far = await controller.accept(anywhere=True)
            far.send(Batch(1))
            assert await far.receive() == Ack(1)
            assert (controller.addresses, made.problem) == (["", "", ""], "")
            far.writer.close()
            far = await controller.accept()
            far.writer.write(encode_identification(Elsewhere("")))
            await controller.accept()
            assert made.connections == 5

    run(test)


def test_replicas_that_send_a_proxy_round_are_told_of(waits: list[float]) -> None:
    """Two replicas, each of which takes the other for the leader, cost a wait and not a busy loop."""

    async def test() -> None:
        controller = Controller()
        async with follower(controller):
            for leader in ("10.0.0.2:15010", "10.0.0.1:15010"):
                far = await controller.accept()
                far.writer.write(encode_identification(Elsewhere(leader)))
            await controller.accept()
            assert (len(waits), "from replica to replica, at last to 10.0.0.1:15010" in controller.messages[-2]) == (1, True)

    run(test)


def test_a_controller_that_stands_still_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6, a lost leader: one whose connection stands and that says nothing keeps no proxy from what the other replicas know."""
    monkeypatch.setattr(following, "SILENCE", 0.01)

    async def test() -> None:
        controller = Controller()
        async with follower(controller):
            await controller.accept()
            await controller.accept()
            said = "the server of the configuration stream has said nothing for 0.01 s"
            assert controller.messages[1] == f"the controller cannot be followed: {said}; what is live stays, and it is tried again"

    run(test)


def test_a_report_goes_out_between_acknowledgements_only() -> None:
    """What stands of rejections is told without a batch, once the controller has been told anything on this connection."""

    async def test() -> None:
        controller = Controller()
        async with follower(controller) as made:
            far = await controller.accept()
            made.report((NO,))
            far.send(Batch(13))
            assert await far.receive() == Ack(13, (NO,))
            made.report(())
            assert await far.receive() == Report()
            far.writer.close()
            far = await controller.accept()
            made.report((NO,))
            far.send(Batch(1))
            assert await far.receive() == Ack(1)

    run(test)


def test_what_cannot_be_read_is_named_to_whoever_applies() -> None:
    """So that nothing is taken away for it."""

    async def test() -> None:
        controller = Controller()
        async with follower(controller):
            far = await controller.accept()
            good = encode(Batch(1, (Backend(key="default/s:80", source=Source("Service", "default", "s")),), snapshot=True))
            far.writer.write(good.replace(b'"source":', b'"sauce":'))
            answer = await far.receive()
            assert isinstance(answer, Ack)
            assert [(one.kind, one.key) for one in answer.rejected] == [("Backend", "default/s:80")]
            assert controller.unreadable == [{("Backend", "default/s:80")}]

    run(test)


def test_a_stream_that_is_none_is_told_and_left() -> None:
    """What another program says there ends the connection, and nothing else."""

    async def test() -> None:
        controller = Controller()
        async with follower(controller):
            far = await controller.accept()
            far.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await controller.accept()
            assert "cannot be followed: a message of the configuration stream cannot be read" in controller.messages[1]

    run(test)
