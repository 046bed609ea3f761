"""`tidegate sidecar` as a Pod starts it: an identity, what it serves of its own, the application's health, and its end."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Gateway
from gateway.ir.value import Source
from gateway.ir.workload import Workload, WorkloadPort
from tests.controller.streaming import Account, Cluster, Running, controller
from tests.mesh.test_prober import answering, application
from tests.running import run
from tests.tidegate.data_plane.pod import Pod, listener, pod, redirecting
from tests.tidegate.data_plane.test_program import FORBIDDEN, credentials, imported
from tests.tidegate.program import free_port

SCOPE, POD = "shop/@mesh", "shop/cart-1"
SOURCE = Source("Pod", "shop", "cart-1")
REAL = ("-m", "tidegate", "sidecar")
LISTING = ("-m", "tests.tidegate.data_plane.beside")

pytestmark = pytest.mark.slow


def cluster() -> Cluster:
    return Cluster({"good": Account("shop", "cart", "cart-1"), "another": Account("shop", "cart", "cart-2")})


def workload(*ports: WorkloadPort) -> Workload:
    return Workload(POD, SOURCE, ("127.0.0.1",), "cart", "spiffe://cluster.local/ns/shop/sa/cart", ports=ports)


async def told(running: Running, *resources: AnyResource) -> None:
    """The controller says this to the sidecars of the namespace; returns when they have it in place."""
    publisher = running.publishers.publisher(SCOPE)
    assert publisher is not None
    await publisher.acknowledged(publisher.publish(resources, ()))
    assert publisher.rejections() == {}


@asynccontextmanager
async def sidecar(
    running: Running, folder: Path, *options: str, program: tuple[str, ...] = LISTING, token: str = "good"
) -> AsyncIterator[Pod]:
    running.publish(Gateway(SCOPE, Source("Namespace", "", "shop")))
    arguments = (*credentials(running, folder, token), *options)
    async with pod(running.port, *arguments, program=program, served=("--workload", POD)) as started:
        yield started


async def served(started: Pod) -> dict[str, Any]:
    """Resources of the page of the configuration, by kind and key."""
    return {f"{one['kind']} {one['key']}": one for one in (await started.json("/config"))["resources"]}


def test_a_sidecar_serves_its_pod_once_it_knows_it(tmp_path: Path) -> None:
    """The token becomes an identity; with the own Workload come the listeners for what comes in, and only then it is ready."""

    async def test() -> None:
        async with controller(cluster()) as running, sidecar(running, tmp_path) as started:
            await started.until("connected to the controller")
            await told(running)
            answer = await started.get("health", "/healthz/ready")
            assert (answer.status_code, "does not know the Pod shop/cart-1 yet" in answer.text) == (503, True)
            await told(running, workload(WorkloadPort(8080, "HTTP")))
            await started.ready()
            found = await served(started)
            assert found.keys() >= {"Listener shop/@mesh/inbound/0", "Listener shop/@mesh/inbound/8080", "Backend @mesh/inbound"}
            certificate = found["Certificate @mesh/identity"]
            assert (certificate["private_key"]["pem"], found["TrustBundle @mesh/roots"]["certificates"]) == ("<redacted>", running.bundle)
            status = await started.json("/status")
            assert (status["gateway"], status["workload"], status["rejected"]) == ("", POD, [])
            publisher = running.publishers.publisher(SCOPE)
            assert publisher is not None
            (standing,) = publisher.subscribers
            assert (standing.name, standing.ends_at > 0) == (POD, True)
            assert await started.metric("tidegate_identity_not_after_seconds") == standing.ends_at
            assert await started.metric("tidegate_identity_renewal_failed_seconds") == 0
        assert running.problems == []

    run(test)


def test_a_renewed_identity_is_put_in_place(tmp_path: Path) -> None:
    """As the link has a new one, without a word of the controller's configuration."""

    async def test() -> None:
        async with controller(cluster()) as running, sidecar(running, tmp_path) as started:
            await started.until("connected to the controller")
            await told(running, workload())
            await started.ready()
            before = (await served(started))["Certificate @mesh/identity"]["fingerprint"]
            running.publishers.send_away()  # so soon that the identity is doubted, and renewed
            await started.until("connected to the controller", 2)
            await told(running, workload(WorkloadPort(80)))
            assert (await served(started))["Certificate @mesh/identity"]["fingerprint"] != before
            assert (await started.get("health", "/healthz/ready")).status_code == 200

    run(test)


def test_the_token_of_another_pod_is_refused(tmp_path: Path) -> None:
    """Of the same account even; both ends say why."""

    async def test() -> None:
        async with controller(cluster()) as running, sidecar(running, tmp_path, token="another") as started:
            await started.until("refuses to identify shop/cart-1 of the mesh in namespace shop")
            answer = await started.get("health", "/healthz/ready")
            assert (answer.status_code, "is of the Pod shop/cart-2" in answer.text) == (503, True)
            assert "does not prove to be the Pod shop/cart-1" in running.problems[0]

    run(test)


async def first_life(running: Running, folder: Path, *kept: str) -> dict[str, Any]:
    """A sidecar that was ready and is gone; what it served last."""
    running.publish(Gateway(SCOPE, Source("Namespace", "", "shop")))
    publisher = running.publishers.publisher(SCOPE)
    assert publisher is not None
    publisher.publish((workload(),), ())
    async with sidecar(running, folder, *kept) as started:
        await started.ready()
        return await served(started)


def test_a_restart_without_a_controller_changes_nothing(tmp_path: Path) -> None:
    """What is served and who the Pod is are as before, and it is ready for what comes in; the log says that nobody has confirmed it."""

    async def test() -> None:
        kept = ("--snapshot", str(tmp_path / "kept"))
        async with controller(cluster()) as running:
            before = await first_life(running, tmp_path, *kept)
        arguments = (*credentials(running, tmp_path), *kept)
        async with pod(running.port, *arguments, program=LISTING, served=("--workload", POD)) as started:
            await started.until("the one of before is good until")
            await started.ready()
            found = await served(started)
            assert found == before
            assert [key for key in found if "inbound" in key]

    run(test)


def test_after_a_restart_without_controller_and_identity_nothing_comes_in(tmp_path: Path) -> None:
    """The snapshot itself holds what the controller wants and no key: routes serve at once, what comes in waits for an identity."""

    async def test() -> None:
        kept = ("--snapshot", str(tmp_path / "kept"))
        async with controller(cluster()) as running:
            await first_life(running, tmp_path, *kept)
        shutil.rmtree(tmp_path / "kept" / "identity")
        written = [file.read_bytes() for file in (tmp_path / "kept").iterdir()]
        assert any(b"shop/cart-1" in content for content in written)
        assert not any(b"PRIVATE KEY" in content for content in written)
        arguments = (*credentials(running, tmp_path), *kept)
        async with pod(running.port, *arguments, program=LISTING, served=("--workload", POD)) as started:
            await started.until("serving the snapshot of")
            await started.until("cannot be reached")
            answer = await started.get("health", "/healthz/ready")
            assert (answer.status_code, "there is no identity yet" in answer.text) == (503, True)
            found = await served(started)
            assert "Workload shop/cart-1" in found
            assert not [key for key in found if "inbound" in key]

    run(test)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_sidecar_loads_little(tmp_path: Path, workers: str) -> None:
    """Design 3: imports are half of its memory, and it stands in every Pod."""

    async def test() -> None:
        program = ("-X", "importtime", *REAL)
        async with controller(cluster()) as running, sidecar(running, tmp_path, "--workers", workers, program=program) as started:
            await started.until("connected to the controller")
            await told(running)
            await started.get("metrics", "/metrics")
        found = imported(started.lines)
        assert "msgspec" in found
        assert not FORBIDDEN & found

    run(test)


async def answered(client: httpx.AsyncClient, port: int) -> int:
    return (await client.get(f"http://127.0.0.1:{port}/")).status_code


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_ends_at_once_where_nothing_is_left(tmp_path: Path, workers: str) -> None:
    """A native sidecar is told to end when the application has ended: without a connection there is nothing to wait for."""

    async def test() -> None:
        options = ("--drain-delay", "60s", "--workers", workers)
        async with controller(cluster()) as running, sidecar(running, tmp_path, *options, program=REAL) as started:
            await started.until("connected to the controller")
            await told(running)
            started.signal(signal.SIGTERM)
            assert await started.ended() == 0

    run(test)


def test_it_serves_on_while_somebody_is_left(tmp_path: Path) -> None:
    """During the delay connections are accepted as before; with the last one it ends."""

    async def test() -> None:
        port = free_port()
        async with controller(cluster()) as running, sidecar(running, tmp_path, "--drain-delay", "60s", program=REAL) as started:
            await started.until("connected to the controller")
            await told(running, listener(port), redirecting("one.example", "http"))
            async with httpx.AsyncClient(trust_env=False) as held, httpx.AsyncClient(trust_env=False) as other:
                assert await answered(held, port) == 302
                started.signal(signal.SIGTERM)
                await started.until("draining")
                assert await answered(other, port) == 302
                assert await answered(other, port) == 302
            assert await started.ended() == 0

    run(test)


@pytest.mark.parametrize("status", [200, 204, 302, 599])
def test_the_application_answers_kubelet_through_its_sidecar(tmp_path: Path, status: int) -> None:
    """Whatever status it gives, known to an RFC or not."""

    async def test() -> None:
        with application(answering(status)) as server:
            probes = {"/app-health/cart/livez": {"httpGet": {"port": server.port}, "timeoutSeconds": 10}}
            environment = ("--app-probes", json.dumps(probes))
            async with controller(cluster()) as running, sidecar(running, tmp_path, *environment) as started:
                assert (await started.get("health", "/app-health/cart/livez")).status_code == status

    run(test)


def test_probes_of_the_application_are_answered_beside_its_own_health(tmp_path: Path) -> None:
    """At the health port and nowhere else; of an application that is not there the answer says so."""

    async def test() -> None:
        probes = {"/app-health/cart/readyz": {"httpGet": {"port": free_port()}}}
        options = ("--app-probes", json.dumps(probes), "--pod-address", "127.0.0.1")
        async with controller(cluster()) as running, sidecar(running, tmp_path, *options) as started:
            answer = await started.get("health", "/app-health/cart/readyz")
            assert (answer.status_code, answer.text.startswith("the application failed its probe: ")) == (503, True)
            assert (await started.get("metrics", "/app-health/cart/readyz")).status_code == 404
            assert (await started.get("health", "/healthz/live")).status_code == 200

    run(test)
