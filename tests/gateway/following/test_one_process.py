"""A process that serves alone, around a fake runtime, and the sockets that it binds."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
import pytest

from gateway.descriptors import Place
from gateway.following.bound_sockets import BoundSockets
from gateway.following.desired import Difference
from gateway.following.one_process import OneProcess
from gateway.ir.backend import Backend
from gateway.ir.batch import Batch, Rejection
from gateway.ir.value import Source
from gateway.telemetry.statistics import Statistics
from tests.running import run

SOURCE = Source("Service", "default", "s")


def backend(key: str) -> Backend:
    return Backend(key=key, source=SOURCE)


class Fake:
    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.fault: Exception | None = None
        self.draining = asyncio.Event()
        self.closed = False

    async def apply(self, batch: Batch) -> tuple[Rejection, ...]:
        if self.fault is not None:
            raise self.fault
        self.batches.append(batch)
        return self.rejections()

    def rejections(self) -> tuple[Rejection, ...]:
        return (Rejection("Backend", "default/a:80", "no"),)

    async def numbers(self) -> Statistics:
        return Statistics()

    async def explain(self, argument: dict[str, Any]) -> msgspec.Raw:
        if not argument:
            raise ValueError("ask for something")
        return msgspec.Raw(b"{}")

    async def drain(self, delay: float, timeout: float) -> None:
        self.draining.set()
        await asyncio.sleep(delay)

    def close(self) -> None:
        self.closed = True


def test_what_a_fault_has_kept_out_comes_with_the_next_change() -> None:
    """Nothing of what the controller wants is lost: it believes that only the one batch failed."""

    async def test() -> None:
        fake = Fake()
        process = OneProcess("p", fake, BoundSockets())
        await process.apply(Difference((backend("default/a:80"), backend("default/b:80"))))
        fake.fault = RuntimeError("oops")
        with pytest.raises(RuntimeError):
            await process.apply(Difference((backend("default/c:80"),), (("Backend", "default/a:80"),)))
        assert (process.revision, [one.revision for one in process.processes]) == (1, [1])
        fake.fault = None
        await process.apply(Difference((backend("default/a:80"),), (("Backend", "default/b:80"),)))
        last = fake.batches[-1]
        assert [one.key for one in last.set] == ["default/a:80", "default/c:80"]
        assert last.remove == (("Backend", "default/b:80"),)
        assert process.rejections() == (Rejection("Backend", "default/a:80", "no"),)
        assert (process.revision, process.processes[0].name) == (2, "p")

    run(test)


def test_explanations_are_json_and_a_bad_question_is_answered() -> None:
    """As a worker answers its parent."""

    async def test() -> None:
        process = OneProcess("p", Fake(), BoundSockets())
        assert await process.explain(b'{"method":"GET"}') == b"{}"
        assert await process.explain(b"{}") == b'{"error":"ask for something"}'

    run(test)


def test_it_runs_until_it_has_drained_or_is_stopped() -> None:
    """A drain that is cancelled ends it too, and stopping closes everything at once."""

    async def test() -> None:
        process = OneProcess("p", Fake(), BoundSockets())
        assert await process.drain(0, 0)
        await process.run()
        fake = Fake()
        process = OneProcess("p", fake, BoundSockets())
        draining = asyncio.create_task(process.drain(3600, 0))
        await fake.draining.wait()
        process.stop()
        draining.cancel()
        await process.run()
        assert fake.closed

    run(test)


def test_a_bound_place_is_free_again_when_all_have_closed_it() -> None:
    """Issue 6: a released port can be bound at once; a place that is not open is said to be none."""
    sockets = BoundSockets()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = Place("127.0.0.1", probe.getsockname()[1])
        error = sockets.open(place)
        assert error is not None
        assert error.reason.startswith("the port is in use")
    assert sockets.open(place) is None
    taken = sockets.take(place)
    assert taken.getsockname() == ("127.0.0.1", place.port)
    taken.close()
    sockets.close(place)
    with socket.socket() as other:
        other.bind(("127.0.0.1", place.port))
    with pytest.raises(LookupError, match="is not bound"):
        sockets.take(place)
