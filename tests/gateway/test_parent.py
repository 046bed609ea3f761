"""The parent and real worker processes, with a small runtime inside: sockets, restarts, draining, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controller.publish import Publisher
from gateway import parent
from gateway.descriptors import Place
from gateway.ir.backend import Backend
from gateway.ir.listener import Listener
from gateway.ir.value import Source
from gateway.net.sockets import bind, bind_again
from gateway.options import RuntimeOptions
from gateway.parent import Workers
from gateway.places import Claim, nothing
from gateway.watchdog import INTERVAL
from tests.running import run

FAKE = (sys.executable, "-P", str(Path(__file__).with_name("fake_runtime.py")))
ROOT = str(Path(__file__).resolve().parents[2])
SOURCE = Source("Gateway", "default", "g")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listener(port: int) -> Listener:
    key = f"default/g/{port}"
    return Listener(key=key, source=SOURCE, gateway="default/g", name=str(port), address="127.0.0.1", port=port, bind_port=port,
                    location_port=port, protocol="HTTP")  # fmt: skip


def backend(key: str) -> Backend:
    return Backend(key=key, source=SOURCE)


class DataPlane:
    """A publisher and its workers, and all that was said about them."""

    def __init__(self, count: int, program: tuple[str, ...], claim: Claim = nothing) -> None:
        self.messages: list[str] = []
        self.said = asyncio.Event()
        self.endings: list[str] = []
        self.publisher = Publisher(self.message)
        self.workers = Workers(count, self.publisher, self, RuntimeOptions(drain_timeout=1.0), program, claim)

    def message(self, text: str) -> None:
        self.messages.append(text)
        self.said.set()

    def ended(self, worker: str) -> None:
        self.endings.append(worker)

    async def publish(self, *resources: Listener | Backend, remove: tuple[tuple[str, str], ...] = ()) -> None:
        await self.publisher.acknowledged(self.publisher.publish(resources, remove))

    async def serve(self, port: int) -> None:
        assert self.workers.open(Place("127.0.0.1", port)) is None
        await self.publish(listener(port))
        assert self.publisher.rejections() == {}

    async def explain(self, what: str = "state", timeout: float = 10.0) -> dict[str, dict[str, Any]]:
        answers = await self.publisher.ask("explain", msgspec.json.encode({"what": what}), timeout)
        return {name: msgspec.json.decode(answer, type=dict[str, Any]) for name, answer in answers.items()}

    async def pids(self) -> dict[str, int]:
        return {name: state["pid"] for name, state in (await self.explain()).items()}


@asynccontextmanager
async def data_plane(count: int = 1, program: tuple[str, ...] = FAKE, claim: Claim = nothing) -> AsyncIterator[DataPlane]:
    plane = DataPlane(count, program, claim)
    plane.publisher.publish((), ())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(plane.workers.run())
        try:
            yield plane
        finally:
            plane.workers.stop()


async def visit(port: int) -> str:
    """The name of the worker that answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return (await reader.readline()).decode().partition(" ")[0]
    finally:
        writer.close()


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_worker_serves_every_port() -> None:
    """Design 2: one SO_REUSEPORT socket a worker and port; the kernel spreads connections over the workers."""

    async def test() -> None:
        async with data_plane(2) as plane:
            port = free_port()
            await plane.serve(port)
            seen = {await visit(port) for _ in range(200)}
            assert seen == {"worker-0", "worker-1"}
            assert {name: state["listening"] for name, state in (await plane.explain()).items()} == {
                "worker-0": [f"default/g/{port}"],
                "worker-1": [f"default/g/{port}"],
            }

    run(test)


def test_the_parent_reads_no_datagrams_in_a_worker_s_place() -> None:
    """It has accepted nothing there, and another worker would know nothing of their flows: they wait for theirs."""

    async def test() -> None:
        workers = Workers(2, Publisher(print), DataPlane(2, FAKE), RuntimeOptions())
        port = free_port()
        for transport in ("tcp", "udp"):
            assert workers.open(Place("127.0.0.1", port, transport)) is None
        assert {place.transport for place, _ in workers._unattended()} == {"tcp"}
        for place in workers.places():
            workers.close(place)

    run(test)


def test_descriptors_come_before_the_batch_that_needs_them() -> None:
    """Ports opened one after another, each with its batch right behind: no worker ever lacks a socket."""

    async def test() -> None:
        async with data_plane(2) as plane:
            ports = sorted({free_port() for _ in range(30)})
            for port in ports:
                assert plane.workers.open(Place("127.0.0.1", port)) is None
                plane.publisher.publish([listener(port)], ())
            await plane.publisher.acknowledged(plane.publisher.revision)
            assert plane.publisher.rejections() == {}
            for port in ports:
                await visit(port)

    run(test)


def test_a_port_in_use_is_a_value() -> None:
    """Issue 3, bad input: a port in use; the error says where, why and what to do, and all else goes on."""

    async def test() -> None:
        async with data_plane(2) as plane:
            with socket.create_server(("127.0.0.1", 0)) as other:
                port = other.getsockname()[1]
                failure = plane.workers.open(Place("127.0.0.1", port))
                assert failure is not None
                assert f"127.0.0.1:{port}" in str(failure)
                assert "in use" in str(failure)
            assert plane.workers.open(Place("127.0.0.1", port)) is None

    run(test)


def test_a_closed_port_refuses_connections() -> None:
    """After the listener has gone and the workers have acknowledged, no copy of the socket is left anywhere."""

    async def test() -> None:
        async with data_plane(2) as plane:
            port = free_port()
            await plane.serve(port)
            await plane.publish(remove=(("Listener", f"default/g/{port}"),))
            plane.workers.close(Place("127.0.0.1", port))
            await plane.workers.let_go()
            with pytest.raises(ConnectionRefusedError):
                await visit(port)
            await plane.serve(port)
            await visit(port)

    run(test)


def test_a_killed_worker_is_told_restarted_and_given_its_sockets() -> None:
    """R5: a worker killed with SIGKILL is replaced; no connection is refused meanwhile, what queues on its socket is answered."""

    async def test() -> None:
        async with data_plane(1) as plane:
            port = free_port()
            await plane.serve(port)
            pid = (await plane.pids())["worker-0"]
            os.kill(pid, signal.SIGKILL)
            assert await visit(port) == "worker-0"
            assert (await plane.pids())["worker-0"] != pid
            assert plane.messages == [f"worker-0 (process {pid}) was killed by signal SIGKILL; starting it anew in 0.1 s"]
            assert plane.endings == ["worker-0"]

    run(test)


def test_a_worker_that_dies_again_and_again_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash loop backs off from 0.1 s, doubling, and says so each time; the other worker serves on."""
    monkeypatch.setattr(parent, "_LONGEST_BACKOFF", 0.2)

    async def test() -> None:
        async with data_plane(1) as plane:
            await plane.publish()
            plane.publisher.publish([backend("die")], ())
            while len(plane.messages) < 4:
                plane.said.clear()
                await plane.said.wait()
            assert [text.rpartition(" in ")[2] for text in plane.messages[:4]] == ["0.1 s", "0.2 s", "0.2 s", "0.2 s"]
            await plane.publish(remove=(("Backend", "die"),))
            assert "worker-0" in await plane.pids()

    run(test)


def test_a_program_that_cannot_be_started_is_told_and_tried_again() -> None:
    """No exec, no memory, no descriptors: a message, a pause, another try; never the end of the parent."""

    async def test() -> None:
        async with data_plane(1, ("/nonexistent/python",)) as plane:
            while len(plane.messages) < 2:
                plane.said.clear()
                await plane.said.wait()
            assert plane.messages[0] == "worker-0 could not be started: No such file or directory; starting it anew in 0.1 s"

    run(test)


def test_a_crash_inside_apply_is_a_rejection_and_the_next_change_heals() -> None:
    """Nothing ends the process: the worker says that it could not apply the batch, and gets a snapshot with the next change."""

    async def test() -> None:
        async with data_plane(1) as plane:
            await plane.publish(backend("before"))
            pids = await plane.pids()
            await plane.publish(backend("crash"))
            assert plane.publisher.rejections() == {("Batch", "3"): ("RuntimeError: a resource that nobody foresaw",)}
            await plane.publish(backend("after"), remove=(("Backend", "crash"),))
            assert plane.publisher.rejections() == {}
            assert (await plane.explain())["worker-0"]["keys"] == ["after", "before"]
            assert await plane.pids() == pids

    run(test)


def test_signals_of_the_terminal_do_not_reach_the_workers() -> None:
    """Ctrl-C and a SIGTERM to the whole group are the parent's to answer: workers end when they are told to drain."""

    async def test() -> None:
        async with data_plane(2) as plane:
            await plane.publish()
            pids = await plane.pids()
            for pid in pids.values():
                os.kill(pid, signal.SIGINT)
                os.kill(pid, signal.SIGTERM)
            assert await plane.pids() == pids
            assert plane.messages == []

    run(test)


def test_drain_ends_all_workers_and_closes_all_ports() -> None:
    """SIGTERM drains: workers finish, end by themselves, and nothing listens or restarts afterwards."""

    async def test() -> None:
        plane = DataPlane(2, FAKE)
        running = asyncio.create_task(plane.workers.run())
        port = free_port()
        plane.workers.open(Place("127.0.0.1", port))
        plane.publisher.publish([listener(port)], ())
        await plane.publisher.acknowledged(1)
        pids = await plane.pids()
        assert plane.workers.running == 2
        assert await plane.workers.drain(0, 1)
        await running
        assert plane.workers.running == 0
        assert not any(exists(pid) for pid in pids.values())
        assert plane.messages == []
        assert sorted(plane.endings) == ["worker-0", "worker-1"]
        with pytest.raises(ConnectionRefusedError):
            await visit(port)

    run(test)


def test_while_the_delay_lasts_connections_are_still_taken() -> None:
    """--drain-delay: load balancers need time to notice; until then every connection is answered."""

    async def test() -> None:
        plane = DataPlane(1, FAKE)
        running = asyncio.create_task(plane.workers.run())
        port = free_port()
        plane.workers.open(Place("127.0.0.1", port))
        plane.publisher.publish([listener(port)], ())
        await plane.publisher.acknowledged(1)
        draining = asyncio.create_task(plane.workers.drain(0.3, 1))
        await plane.explain()
        assert await visit(port) == "worker-0"
        await draining
        await running
        with pytest.raises(ConnectionRefusedError):
            await visit(port)

    run(test)


def test_a_worker_that_does_not_drain_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hanging worker cannot hold up the end: after its time it is killed, and a message says so."""
    monkeypatch.setattr(parent, "_GRACE", 0.1)

    async def test() -> None:
        async with data_plane(1) as plane:
            await plane.publish()
            pid = (await plane.pids())["worker-0"]
            assert await plane.explain("hang", timeout=0.05) == {}
            assert not await plane.workers.drain(0, 0)
        assert not exists(pid)
        assert plane.messages == ["worker-0 has not ended 0.1 s after it was told to drain: it is killed"]

    run(test)


def test_a_worker_that_fails_to_drain_ends_and_is_told() -> None:
    """The end was not clean, and the exit code of the whole can say so."""

    async def test() -> None:
        async with data_plane(1) as plane:
            await plane.publish()
            pid = (await plane.pids())["worker-0"]
            await plane.explain("break")
            assert not await plane.workers.drain(0, 0)
        assert plane.messages == [f"worker-0 (process {pid}) failed with exit status 1 (standard error says why), while it drained"]

    run(test)


def test_stop_ends_everything_at_once() -> None:
    """A second signal: no draining."""

    async def test() -> None:
        async with data_plane(2) as plane:
            await plane.publish()
            pids = await plane.pids()
        assert not any(exists(pid) for pid in pids.values())
        assert plane.messages == []

    run(test)


def test_workers_end_when_their_parent_dies(tmp_path: Path) -> None:
    """An end of stream without a farewell: the parent was killed; no worker stays behind."""

    async def test() -> None:
        script = tmp_path / "parent.py"
        script.write_text(
            "import asyncio, sys\n"
            "from tests.gateway.test_parent import DataPlane, FAKE\n"
            "async def main():\n"
            "    plane = DataPlane(2, FAKE)\n"
            "    running = asyncio.create_task(plane.workers.run())\n"
            "    await plane.publisher.acknowledged(plane.publisher.publish((), ()))\n"
            "    print(*(await plane.pids()).values(), flush=True)\n"
            "    await running\n"
            "asyncio.run(main())\n"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": ROOT}
        )
        assert process.stdout is not None
        pids = [int(pid) for pid in (await process.stdout.readline()).split()]
        assert len(pids) == 2
        process.kill()
        await process.stdout.read()  # ends when the last process that holds our pipe has ended
        await process.wait()

    run(test)


def test_the_first_snapshot_freezes_what_will_live_for_ever() -> None:
    """Design 6.8: gc.collect and gc.freeze once, after start and the first snapshot, never per change."""

    async def test() -> None:
        async with data_plane(1) as plane:
            await plane.publish()
            frozen = (await plane.explain())["worker-0"]["frozen"]
            assert frozen > 1_000
            await plane.publish(backend("a"))
            assert (await plane.explain())["worker-0"]["frozen"] == frozen

    run(test)


async def serving(plane: DataPlane, count: int) -> None:
    """Waits until the parent knows of so many workers that they take connections."""
    while sum(worker.serves for worker in plane.workers._workers) != count:  # noqa: ASYNC110  # it is noticed at an interval, too
        await asyncio.sleep(INTERVAL)


def test_while_a_worker_is_silent_others_serve_its_connections() -> None:
    """Design 2: the parent accepts on its socket and hands the connections to a live worker. None waits for the one that is stopped."""

    async def test() -> None:
        async with data_plane(2) as plane:
            port = free_port()
            await plane.serve(port)
            await serving(plane, 2)
            pid = (await plane.pids())["worker-0"]
            os.kill(pid, signal.SIGSTOP)
            seen = {await visit(port) for _ in range(50)}
            assert seen == {"worker-1"}
            assert plane.workers.handed > 0
            os.kill(pid, signal.SIGCONT)
            await serving(plane, 2)
            handed = plane.workers.handed
            while await visit(port) != "worker-0":
                pass
            assert plane.workers.handed == handed
            assert plane.messages == []

    run(test)


def test_a_silent_worker_holds_up_no_acknowledgement() -> None:
    """Design 2: the parent acknowledges a batch when all live workers have swapped; one that comes back counts again."""

    async def test() -> None:
        async with data_plane(2) as plane:
            await plane.publish(backend("a"))
            await serving(plane, 2)
            pid = (await plane.pids())["worker-0"]
            os.kill(pid, signal.SIGSTOP)
            await plane.publish(backend("b"))
            assert [standing.revision for standing in plane.publisher.subscribers] == [2, 3]
            assert set(await plane.explain()) == {"worker-1"}
            os.kill(pid, signal.SIGCONT)
            await serving(plane, 2)
            await plane.publish(backend("c"))
            assert [standing.revision for standing in plane.publisher.subscribers] == [4, 4]

    run(test)


def test_a_worker_that_starts_anew_holds_up_no_acknowledgement() -> None:
    """It takes no traffic before it has everything, so what the others have is live."""

    async def test() -> None:
        async with data_plane(2) as plane:
            await plane.publish(backend("a"))
            os.kill((await plane.pids())["worker-0"], signal.SIGKILL)
            while not plane.messages:
                plane.said.clear()
                await plane.said.wait()
            while len(plane.publisher.subscribers) < 2:
                assert plane.publisher.applied == 2
                await asyncio.sleep(0)
            assert plane.publisher.applied == 2

    run(test)


def test_sockets_beyond_the_workers_are_served_too() -> None:
    """A program that replaces one with more workers: what comes to the sockets that nobody has now is handed to those who serve."""

    async def test() -> None:
        port = free_port()
        first = bind("127.0.0.1", port)
        sockets = [first, *(bind_again(first) for _ in range(3))]
        queued = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        async with data_plane(1, claim=lambda _: sockets) as plane:
            await plane.serve(port)
            for reader, writer in queued:
                assert await reader.readline() != b""
                writer.close()
            assert {await visit(port) for _ in range(40)} == {"worker-0"}
            assert plane.workers.handed > 0
            assert plane.workers.sockets(Place("127.0.0.1", port)) == tuple(sockets)

    run(test)


def test_a_program_with_more_workers_than_sockets_binds_the_rest() -> None:
    """A program that replaces one with fewer workers: every worker has its share."""

    async def test() -> None:
        port = free_port()
        async with data_plane(2, claim=lambda _: [bind("127.0.0.1", port)]) as plane:
            await plane.serve(port)
            assert {await visit(port) for _ in range(200)} == {"worker-0", "worker-1"}

    run(test)


def test_without_a_live_worker_connections_wait() -> None:
    """All are stopped: nobody is refused, and everybody is served when one is back."""

    async def test() -> None:
        async with data_plane(2) as plane:
            port = free_port()
            await plane.serve(port)
            await serving(plane, 2)
            pids = await plane.pids()
            for pid in pids.values():
                os.kill(pid, signal.SIGSTOP)
            await serving(plane, 0)
            waiting = [asyncio.create_task(visit(port)) for _ in range(20)]
            await asyncio.sleep(0)
            os.kill(pids["worker-1"], signal.SIGCONT)
            assert {await visited for visited in waiting} == {"worker-1"}
            os.kill(pids["worker-0"], signal.SIGCONT)

    run(test)
