"""The path of a change through a data plane: difference, ports, what serves, rejections; against a fake that serves."""

from __future__ import annotations

import asyncio
import errno
import os

import msgspec
import pytest

from gateway.descriptors import Place
from gateway.following import data_plane as plane
from gateway.following.data_plane import DataPlane, refusal
from gateway.following.desired import Difference
from gateway.following.placing import AS_MEANT
from gateway.following.serving import Standing
from gateway.ir.backend import Backend
from gateway.ir.batch import Batch, Rejection, digest
from gateway.ir.listener import Listener
from gateway.ir.value import Source
from gateway.net.sockets import BindError
from gateway.telemetry.statistics import Statistics
from tests.running import run

GATEWAY = Source("Gateway", "default", "web")
OTHER = Backend(key="default/s:80", source=Source("Service", "default", "s"))


def listener(port: int, name: str = "http", address: str = "0.0.0.0") -> Listener:
    return Listener(key=f"default/web/{name}", source=GATEWAY, gateway="default/web", name=name, address=address, port=port,
                    bind_port=port, location_port=port, protocol="HTTP")  # fmt: skip


def in_use(place: Place) -> BindError:
    error = BindError(place.address, place.port, "the port is in use", "give --bind another")
    error.__cause__ = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    return error


class Fake:
    """Serves everything but the ports that are `taken`; writes down what it is told to do."""

    def __init__(self) -> None:
        self.revision = 0
        self.processes: tuple[Standing, ...] = ()
        self.taken: set[int] = set()
        self.told: list[str] = []
        self.rejected: tuple[Rejection, ...] = ()
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reported: list[tuple[Rejection, ...]] = []

    def open(self, place: Place) -> BindError | None:
        if place.port in self.taken:
            return in_use(place)
        self.told.append(f"open {place.port}")
        return None

    def close(self, place: Place) -> None:
        self.told.append(f"close {place.port}")

    async def let_go(self) -> None:
        self.told.append("let go")

    async def apply(self, difference: Difference) -> None:
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.revision += 1
        keys = [f"+{one.key}" for one in difference.set] + [f"-{key}" for _, key in difference.remove]
        self.told.append(" ".join(["apply", *keys]))

    def rejections(self) -> tuple[Rejection, ...]:
        return self.rejected

    async def statistics(self) -> tuple[Statistics, ...]:
        return ()

    async def explain(self, argument: bytes) -> bytes | None:
        return None

    async def run(self) -> None: ...

    async def drain(self, delay: float, timeout: float) -> bool:
        return True

    def stop(self) -> None: ...


def made() -> tuple[Fake, DataPlane]:
    fake = Fake()
    return fake, DataPlane(fake, fake.reported.append)


def test_a_port_is_bound_before_and_closed_after_the_change() -> None:
    """A port that moves between listeners stays open; one that nobody wants is closed when everybody has let go of it."""

    async def test() -> None:
        fake, data_plane = made()
        await data_plane.take(Batch(1, (listener(80), OTHER), snapshot=True))
        await data_plane.take(Batch(2, (listener(80, "b"),), (("Listener", "default/web/http"),)))
        await data_plane.take(Batch(3, (listener(81, "b"),)))
        assert fake.told == [
            "open 80", "apply +default/s:80 +default/web/http", "apply +default/web/b -default/web/http",
            "open 81", "apply +default/web/b", "close 80", "let go",
        ]  # fmt: skip
        assert data_plane.revision == 3
        assert [one.key for one in data_plane.listeners()] == ["default/web/b"]

    run(test)


def test_a_snapshot_that_changes_nothing_moves_nothing() -> None:
    """Issue 6: a reconnect to a controller that wants the same builds nothing."""

    async def test() -> None:
        fake, data_plane = made()
        await data_plane.take(Batch(4, (listener(80), OTHER), snapshot=True))
        told = list(fake.told)
        assert await data_plane.take(Batch(1, (OTHER, listener(80)), snapshot=True)) == ()
        assert fake.told == told
        assert data_plane.revision == 1
        assert await data_plane.digest() == digest((OTHER, listener(80)))

    run(test)


def test_nothing_at_all_is_a_configuration() -> None:
    """Design 4: ready after the first snapshot, even an empty one; before it there is no digest to speak of."""

    async def test() -> None:
        fake, data_plane = made()
        assert (data_plane.configured, await data_plane.digest()) == (False, "")
        await data_plane.take(Batch(1, snapshot=True))
        assert (data_plane.configured, data_plane.changed.is_set(), fake.told) == (True, True, ["apply"])

    run(test)


def test_a_listener_whose_port_is_in_use_is_rejected_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6: kind Listener, reason with the port, the system's words and a remedy without options; told when it is over."""
    monkeypatch.setattr(plane, "RETRY", 0.0)

    async def test() -> None:
        fake, data_plane = made()
        fake.taken = {80}
        (rejection,) = await data_plane.take(Batch(1, (listener(80), OTHER), snapshot=True))
        assert (rejection.kind, rejection.key) == ("Listener", "default/web/http")
        assert rejection.reason.startswith("cannot listen on 0.0.0.0:80: the port is in use (Address already in use); stop what holds it")
        assert "--" not in rejection.reason
        assert await data_plane.take(Batch(2, (listener(81, "b"),))) == (rejection,)
        fake.taken = set()
        trying = asyncio.create_task(data_plane.retry())
        async with asyncio.timeout(10):
            while not fake.reported:  # noqa: ASYNC110  # it tells by calling
                await asyncio.sleep(0)
        trying.cancel()
        assert fake.reported == [()]
        assert fake.told[-2:] == ["open 80", "apply +default/web/http"]

    run(test)


def test_what_workers_reject_between_batches_is_reported_once() -> None:
    """A worker that takes the place of a dead one may find what the other did not; nothing is told twice, or while a batch is under way."""

    async def test() -> None:
        fake, data_plane = made()
        data_plane.reconsider()
        await data_plane.take(Batch(1, (OTHER,), snapshot=True))
        fake.rejected = (Rejection("Backend", OTHER.key, "no"),)
        data_plane.reconsider()
        data_plane.reconsider()
        assert fake.reported == [fake.rejected]
        fake.gate.clear()
        taking = asyncio.create_task(data_plane.take(Batch(2, (listener(80),))))
        await asyncio.sleep(0)
        fake.rejected = ()
        data_plane.reconsider()
        fake.gate.set()
        assert await taking == ()
        data_plane.reconsider()
        assert len(fake.reported) == 1

    run(test)


def test_a_fault_is_raised_and_the_next_batch_goes_on() -> None:
    """The stream tells the controller of the fault; the batch counts as wanted, and the revision as not in place."""

    async def test() -> None:
        fake, data_plane = made()
        fake.fault = RuntimeError("oops")
        with pytest.raises(RuntimeError):
            await data_plane.take(Batch(1, (OTHER,), snapshot=True))
        assert (data_plane.revision, data_plane.configured) == (0, False)
        fake.fault = None
        await data_plane.take(Batch(2, (msgspec.structs.replace(OTHER, error="x"),), snapshot=True))
        assert (data_plane.revision, data_plane.configured) == (2, True)

    run(test)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "(Permission denied); set the Pod's sysctl net.ipv4.ip_unprivileged_port_start to 0"),
        (errno.EADDRNOTAVAIL, "(Cannot assign requested address); ask for an address that this host has"),
        (errno.EMFILE, "(Too many open files); raise the limit of open files"),
        (errno.EPROTO, "(Protocol error); choose another port"),
    ],
    ids=errno.errorcode.get,
)
def test_a_refusal_says_what_helps_in_a_pod(number: int, said: str) -> None:
    """Design 8: what to do, without the options that only tidegate run has."""
    error = BindError("0.0.0.0", 80, "why", "use --port-offset")
    error.__cause__ = OSError(number, "")
    assert f"cannot listen on 0.0.0.0:80: why {said}" in refusal(error, AS_MEANT.remedies)
