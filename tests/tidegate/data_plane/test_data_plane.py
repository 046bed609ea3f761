"""`tidegate gateway` as a process, with one worker and with several, against a controller on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from gateway.ir.backend import Backend, Endpoint, EndpointSet
from gateway.ir.rule import BackendRef, Binding, HttpRule
from gateway.ir.value import Source
from gateway.snapshot import Snapshot, SnapshotFolder
from tests.certificates import Authority
from tests.running import run
from tests.tidegate.data_plane.pod import ROUTE, Controller, listener, location, pod, redirecting
from tests.tidegate.program import free_port
from tidegate.cli import app

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])
SERVICE = Source("Service", "default", "s")
SCOPE = "Gateway default/web"

pytestmark = pytest.mark.slow


@WORKERS
def test_what_the_controller_says_is_served_and_every_change_of_it(workers: str) -> None:
    """Issue 6: subscribe, apply, acknowledge after the swap; the acknowledgement says what could not be built."""

    async def test() -> None:
        async with Controller() as controller, pod(controller.port, "--workers", workers) as started:
            port = free_port()
            assert await controller.publish((listener(port), redirecting("one.example", "http"))) == {}
            assert await location(port) == "one.example"
            secure = listener(free_port(), "https", "default/none")
            rejected = await controller.publish((redirecting("two.example", "http"), secure))
            assert list(rejected) == [("Listener", "default/web/https")]
            assert await location(port) == "two.example"
            found = await started.json("/status")
            assert [(one["kind"], one["key"]) for one in found["rejected"]] == [("Listener", "default/web/https")]
            assert (found["revision"], found["resources"]) == (2, {"HttpRule": 1, "Listener": 2})
            assert [worker["revision"] for worker in found["workers"]] == [2] * int(workers)
            assert [standing.name for standing in controller.publisher.subscribers] == ["web-tidegate-1"]
            await controller.publish((), (("Listener", secure.key),))
            assert controller.publisher.rejections() == {}

    run(test)


@WORKERS
def test_a_port_that_is_in_use_is_told_and_taken_as_soon_as_it_is_free(workers: str) -> None:
    """Issue 6: a port that cannot be bound is the Listener's rejection, with port, the system's words and a remedy; when it succeeds
    later, the controller learns without a change."""

    async def test() -> None:
        async with Controller() as controller, pod(controller.port, "--workers", workers):
            with socket.socket() as holder:
                holder.bind(("127.0.0.1", 0))
                holder.listen()
                port: int = holder.getsockname()[1]
                other = free_port()
                both = (listener(port), listener(other, "other"), redirecting("one.example", "http", "other"))
                rejected = await controller.publish(both)
                ((identity, (reason,)),) = rejected.items()
                assert identity == ("Listener", "default/web/http")
                assert f"cannot listen on 127.0.0.1:{port}: the port is in use" in reason
                assert "Address already in use" in reason
                assert "choose another port for the listener" in reason
                assert await location(other) == "one.example"
            await controller.until(lambda: not controller.publisher.rejections())
            assert await location(port) == "one.example"

    run(test)


@WORKERS
def test_a_port_moves_between_listeners_in_one_change_and_is_free_when_let_go(workers: str) -> None:
    """Issue 6: close and open in one batch; a port that no listener has any more can be bound at once."""

    async def test() -> None:
        async with Controller() as controller, pod(controller.port, "--workers", workers):
            port = free_port()
            await controller.publish((listener(port, "a"), redirecting("a.example", "a")))
            assert await location(port) == "a.example"
            moved = (listener(port, "b"), redirecting("b.example", "b", route="b"))
            gone = (("Listener", "default/web/a"), ("HttpRule", "HTTPRoute/default/r/0"))
            assert await controller.publish(moved, gone) == {}
            assert await location(port) == "b.example"
            assert await controller.publish((), (("Listener", "default/web/b"),)) == {}
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))

    run(test)


@WORKERS
def test_what_is_live_stays_while_the_controller_is_away(workers: str) -> None:
    """Issue 6: while the controller is away everything goes on; another one that wants the same changes nothing."""

    async def test() -> None:
        async with Controller() as controller, pod(controller.port, "--workers", workers) as started:
            port = free_port()
            resources = (listener(port), redirecting("one.example", "http"))
            await controller.publish(resources)
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 302
                await controller.down()
                await started.until("the controller cannot be reached")
                assert await started.metric("tidegate_controller_connected") == 0
                assert (await started.get("health", "/healthz/ready")).status_code == 200
                assert "cannot be reached" in (await started.json("/status"))["controller"]["problem"]
                assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 302
                await controller.up()
                await controller.publish(resources)
                assert await started.metric("tidegate_controller_connections_total") == 2
                assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 302
                assert await controller.publish((redirecting("two.example", "http"),)) == {}
                assert await location(port) == "two.example"

    run(test)


class Backends:
    """Answers every request with 204, and counts the connections that it got."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def __aenter__(self) -> Backends:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()


def test_connections_to_backends_live_through_another_controllers_snapshot() -> None:
    """Issue 6: after a reconnect only what differs is built anew: the pool of a Backend that is the same stays."""

    async def test() -> None:
        async with Backends() as backends, Controller() as controller, pod(controller.port):
            port = free_port()
            rule = HttpRule(
                key="HTTPRoute/default/r/0", source=ROUTE, route="default/r", index=0, bindings=(Binding("default/web/http", ("",)),),
                backends=(BackendRef("default/s:80"),),
            )  # fmt: skip
            kept = (
                listener(port), rule, Backend(key="default/s:80", source=SERVICE),
                EndpointSet(key="default/s:80", source=SERVICE, endpoints=(Endpoint("127.0.0.1", backends.port),)),
            )  # fmt: skip
            await controller.publish(kept)
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 204
                await controller.down()
                await controller.up()
                await controller.publish((*kept, Backend(key="default/other:80", source=SERVICE)))
                assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 204
            assert backends.connections == 1

    run(test)


@WORKERS
def test_a_start_without_a_controller_serves_the_snapshot(tmp_path: Path, workers: str) -> None:
    """Issue 6: with a snapshot a data plane starts and serves while the controller is away; what that wants takes its place."""

    async def test() -> None:
        port, folder = free_port(), SnapshotFolder(tmp_path, SCOPE)
        folder.store(Snapshot(SCOPE, "p", "2026-01-01T00:00:00Z", (listener(port), redirecting("one.example", "http"))))
        async with Controller() as controller:
            await controller.down()
            async with pod(controller.port, "--workers", workers, folder=tmp_path) as started:
                await started.ready()
                assert await location(port) == "one.example"
                assert "is served: the controller has not answered yet" in (await started.json("/status"))["snapshot"]
                assert await started.metric("tidegate_snapshot_served") == 1
                await controller.up()
                await controller.publish((listener(port), redirecting("two.example", "http")))
                assert await location(port) == "two.example"
                assert (await started.json("/status"))["snapshot"] == ""
                while "two.example" not in str(folder.load().snapshot):  # noqa: ASYNC110  # nobody is told of it
                    await asyncio.sleep(0.02)
        assert stat.S_IMODE((tmp_path / "current.snapshot").stat().st_mode) == 0o600

    run(test)


def test_the_snapshot_of_another_gateway_is_refused(tmp_path: Path) -> None:
    """Issue 6: never the other Gateway's snapshot; without one, and without a controller, it is not ready and says why."""

    async def test() -> None:
        SnapshotFolder(tmp_path, SCOPE).store(Snapshot(SCOPE, "p", "2026-01-01T00:00:00Z", ()))
        async with pod(free_port(), folder=tmp_path, gateway="default/other") as started:
            await started.until("it is of another configuration")
            await started.until("cannot be reached")
            answer = await started.get("health", "/healthz/ready")
            assert (answer.status_code, "cannot be reached" in answer.text) == (503, True)

    run(test)


@WORKERS
def test_a_gateway_with_nothing_to_serve_is_ready(workers: str) -> None:
    """Design 4: Ready after the first snapshot, even one without a listener; live all the time."""

    async def test() -> None:
        async with Controller() as controller, pod(controller.port, "--workers", workers) as started:
            assert (await started.get("health", "/healthz/live")).text == "live\n"
            assert (await started.get("health", "/healthz/ready")).status_code == 503
            assert (await started.get("health", "/config")).status_code == 404
            assert (await started.get("metrics", "/healthz/live")).status_code == 404
            await controller.publish(())
            await started.ready()

    run(test)


@WORKERS
def test_a_drain_is_seen_at_once_and_finishes_what_is_under_way(workers: str) -> None:
    """Issue 6: SIGTERM: not ready at once, new connections for the delay, changes are followed meanwhile; exit 0."""

    async def test() -> None:
        port = free_port()
        async with Controller() as controller, pod(controller.port, "--workers", workers, "--drain-delay", "2s") as started:
            await controller.publish((listener(port), redirecting("one.example", "http")))
            await started.ready()
            started.signal(signal.SIGHUP)
            await started.until("SIGHUP: there is nothing to read again")
            started.signal(signal.SIGTERM)
            await started.until("SIGTERM: draining, for 7 s at most")
            assert (await started.get("health", "/healthz/ready")).text == "not ready: draining\n"
            assert await location(port) == "one.example"
            assert await controller.publish((redirecting("two.example", "http"),)) == {}
            assert await location(port) == "two.example"
            assert await started.ended() == 0

    run(test)


@WORKERS
def test_a_second_signal_ends_at_once(workers: str) -> None:
    """Issue 6: the exit status tells that it was cut off."""

    async def test() -> None:
        async with Controller() as controller, pod(controller.port, "--workers", workers, "--drain-delay", "60s") as started:
            await controller.publish(())
            started.signal(signal.SIGTERM)
            await started.until("draining")
            started.signal(signal.SIGTERM)
            assert await started.ended() == 1

    run(test)


@WORKERS
def test_the_admin_pages_tell_what_it_serves(workers: str) -> None:
    """Design 8: `tidegate status` and `tidegate explain` ask a data plane as they ask tidegate run; private keys stand on no page."""

    async def test() -> None:
        port, secure = free_port(), free_port()
        pair = Authority().issue("localhost")
        async with Controller() as controller, pod(controller.port, "--workers", workers) as started:
            key = pair.resource("default/pair")
            await controller.publish((key, listener(port), listener(secure, "https", "default/pair"), redirecting("x.example", "http")))
            configuration = (await started.get("admin", "/config")).text
            assert "<redacted>" in configuration
            assert "PRIVATE KEY" not in configuration
            admin = started.urls["admin"]
            explained = await asyncio.to_thread(CliRunner().invoke, app, ["explain", "GET", f"http://h:{port}/", "--admin", admin])
            assert "HTTPRoute default/r" in explained.output
            shown = await asyncio.to_thread(CliRunner().invoke, app, ["status", "--admin", admin])
            assert shown.exit_code == 0, shown.output
            assert f"revision 1: live at {workers} of {workers} proxies" in shown.output
            assert "Gateway default/web: connected to the controller at localhost" in shown.output

    run(test)


def test_a_controller_asks_for_statistics_explanations_and_the_time() -> None:
    """Design 4: heartbeats and questions are answered beside the batches; orders are for workers only."""

    async def test() -> None:
        port = free_port()
        async with Controller() as controller, pod(controller.port):
            await controller.publish((listener(port), redirecting("x.example", "http")))
            ask = controller.publisher.ask
            assert b"tidegate_revision" in bytes((await ask("statistics"))["web-tidegate-1"])
            question = f'{{"method":"GET","url":"http://h:{port}/","headers":[]}}'.encode()
            assert b"HTTPRoute" in bytes((await ask("explain", question))["web-tidegate-1"])
            assert float(bytes((await ask("time"))["web-tidegate-1"])) > 0
            assert b"does not know the question 'drain'" in bytes((await ask("drain"))["web-tidegate-1"])

    run(test)
