"""`tidegate gateway` as a Pod starts it: over mutual TLS, under an identity that it is given, loading no more than it needs."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from gateway.ir.batch import AnyResource
from gateway.ir.filters import RequestRedirect
from gateway.ir.listener import Listener
from gateway.ir.rule import Binding, HttpRule
from gateway.ir.value import Source
from gateway.ir.workload import ALPN, IDENTITY
from mesh.link import Connection
from tests.controller.streaming import SOURCE, Running, controller, gateway
from tests.running import run
from tests.tidegate.data_plane.pod import location, pod
from tests.tidegate.program import ROOT, free_port

pytestmark = pytest.mark.slow

FORBIDDEN = {"typer", "click", "rich", "pydantic", "kubernetes_asyncio", "prometheus_client", "yaml", "OpenSSL", "h2", "jwt", "argparse"}
"""Design 3: imports are half of a data plane's memory."""


def serving(port: int) -> tuple[AnyResource, ...]:
    """What a controller has for the Gateway shop/web: a redirect to one.example."""
    key = "shop/web/http"
    listener = Listener(key=key, source=SOURCE, gateway="shop/web", name="http", address="127.0.0.1", port=port, bind_port=port,
                        location_port=port, protocol="HTTP")  # fmt: skip
    rule = HttpRule(
        key="HTTPRoute/shop/r/0", source=Source("HTTPRoute", "shop", "r"), route="shop/r", index=0, bindings=(Binding(key, ("",)),),
        filters=(RequestRedirect(hostname="one.example"),),
    )  # fmt: skip
    return gateway("shop/web"), listener, rule


def credentials(running: Running, folder: Path, token: str = "good") -> tuple[str, ...]:
    """Options with the files that a Pod has."""
    (folder / "ca.crt").write_text(running.bundle)
    (folder / "token").write_text(token + "\n")
    return "--ca", str(folder / "ca.crt"), "--token", str(folder / "token")


def imported(lines: list[str]) -> set[str]:
    """The modules of which `-X importtime` tells, without what is inside them."""
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_pod_gets_an_identity_and_serves_and_loads_little(tmp_path: Path, workers: str) -> None:
    """Issue 6: the token becomes a certificate, the certificate a subscription to the one Gateway; no library of the command line."""

    async def test() -> None:
        port = free_port()
        async with controller() as running:
            running.publish(*serving(port))
            options = (*credentials(running, tmp_path), "--workers", workers)
            program = ("-X", "importtime", "-m", "tidegate", "gateway")
            async with pod(running.port, *options, program=program, gateway="shop/web") as started:
                await started.ready()
                assert await location(port) == "one.example"
                publisher = running.publishers.publisher("shop/web")
                assert publisher is not None
                await publisher.acknowledged(publisher.revision)
                assert [standing.name for standing in publisher.subscribers] == ["web-tidegate-1"]
                await started.get("metrics", "/metrics")
            found = imported(started.lines)
            assert "msgspec" in found
            assert not FORBIDDEN & found
        assert running.problems == []

    run(test)


async def shown(reader_and_writer: Connection) -> x509.Certificate:
    """What the other end of a TLS connection has shown."""
    return x509.load_der_x509_certificate(reader_and_writer[1].get_extra_info("ssl_object").getpeercert(True))


async def still_answers(connection: Connection) -> bool:
    """Whether a request on it gets its redirect."""
    reader, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n")
    return (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 302 ")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_proxy_serves_with_its_identity_and_a_renewed_one_closes_no_connection(tmp_path: Path, workers: str) -> None:
    """What the mesh knows it by is put in place beside what the controller wants; new connections get the new one, those that there are go
    on."""

    async def test() -> None:
        port = free_port()
        async with controller() as running:
            own = serving(port)
            secure = msgspec.structs.replace(own[1], protocol="HTTPS", certificates=(IDENTITY,))
            running.publish(own[0], secure, own[2])
            caller = running.issue(("shop", "caller"))
            caller.check_hostname = False
            caller.set_alpn_protocols([ALPN])
            options = (*credentials(running, tmp_path), "--workers", workers)
            async with pod(running.port, *options, program=("-m", "tidegate", "gateway"), gateway="shop/web") as started:
                await started.ready()
                first = await asyncio.open_connection("127.0.0.1", port, ssl=caller, server_hostname="shop")
                before = await shown(first)
                assert "spiffe://cluster.local/ns/shop/sa/web-tidegate" in str(before.extensions)
                assert await still_answers(first)
                running.publishers.send_away()  # so soon that the identity is doubted, and renewed
                await started.until("connected to the controller", 2)
                publisher = running.publishers.publisher("shop/web")
                assert publisher is not None
                await publisher.acknowledged(publisher.publish((gateway("shop/web", "shop/none"),), ()))
                second = await asyncio.open_connection("127.0.0.1", port, ssl=caller, server_hostname="shop")
                assert (await shown(second)).serial_number != before.serial_number
                assert await still_answers(first)
                for _, writer in (first, second):
                    writer.close()
        assert running.problems == []

    run(test)


def test_a_pod_that_the_controller_does_not_know_says_why_it_is_not_ready(tmp_path: Path) -> None:
    """Issue 6: the refusal stands in the log and on the page of health, and it tries again."""

    async def test() -> None:
        async with controller() as running:
            options = credentials(running, tmp_path, "stolen")
            async with pod(running.port, *options, program=("-m", "tidegate", "gateway"), gateway="shop/web") as started:
                await started.until("the controller cannot be reached: localhost:")
                answer = await started.get("health", "/healthz/ready")
                assert (answer.status_code, "refuses to identify web-tidegate-1" in answer.text) == (503, True)

    run(test)


def test_a_place_that_is_taken_is_told_with_its_option() -> None:
    """Design 8: the exit status is 2, and the remedy names the option."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        place = f"127.0.0.1:{holder.getsockname()[1]}"
        arguments = ("--gateway", "shop/web", "--controller", "localhost:1", "--admin", "127.0.0.1:0", "--health", place)
        command = [sys.executable, "-m", "tidegate", "gateway", *arguments]
        ended = subprocess.run(command, capture_output=True, check=False, text=True, cwd=ROOT)
    assert ended.returncode == 2
    assert f"cannot listen on {place}: the port is in use" in ended.stderr
    assert "--health chooses another address or port" in ended.stderr
