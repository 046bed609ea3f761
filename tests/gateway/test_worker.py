"""The worker process with the real runtime: what it imports, what it serves, and how it answers its parent."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from controller.publish import Publisher
from gateway.descriptors import Place
from gateway.ir.filters import RequestRedirect
from gateway.ir.listener import Listener
from gateway.ir.policy import RequestAuthentication, TokenRule
from gateway.ir.rule import Binding, HttpRule
from gateway.ir.value import Source
from gateway.options import RuntimeOptions
from gateway.parent import Workers
from gateway.telemetry.statistics import Statistics
from gateway.worker_process import PROGRAM
from tests.certificates import Authority
from tests.running import run

LISTING = (sys.executable, "-P", str(Path(__file__).with_name("listing_worker.py")))
GATEWAY = Source("Gateway", "default", "g")
ROUTE = Source("HTTPRoute", "default", "r")

FORBIDDEN = {
    "typer", "click", "rich", "pydantic", "kubernetes_asyncio", "prometheus_client",
    "h2", "cryptography", "jwt", "OpenSSL", "h11", "yaml", "controller", "tidegate",
}  # fmt: skip
"""Design 3: imports are half of a sidecar's memory. pyOpenSSL and cryptography come only with an AllowInsecureFallback listener."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listener(port: int, certificate: str = "") -> Listener:
    key = f"default/g/{port}"
    plain = Listener(key=key, source=GATEWAY, gateway="default/g", name=str(port), address="127.0.0.1", port=port, bind_port=port,
                     location_port=port, protocol="HTTP")  # fmt: skip
    return msgspec.structs.replace(plain, protocol="HTTPS", certificates=(certificate,)) if certificate else plain


def redirecting(*ports: int) -> HttpRule:
    bindings = tuple(Binding(f"default/g/{port}", ("",)) for port in ports)
    filters = (RequestRedirect(hostname="x.example"),)
    return HttpRule(key="HTTPRoute/default/r/0", source=ROUTE, route="default/r", index=0, bindings=bindings, filters=filters)


class Parent:
    """A publisher and its workers; a message is a failure of the test."""

    def __init__(self, program: tuple[str, ...], count: int = 1) -> None:
        self.messages: list[str] = []
        self.moved = asyncio.Event()
        self.publisher = Publisher(self.messages.append, self.moved.set)
        self.workers = Workers(count, self.publisher, self, RuntimeOptions(access_log="off"), program)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def ended(self, worker: str) -> None:
        pass

    async def ask(self, what: str, argument: object = None) -> Any:
        answers = await self.publisher.ask(what, msgspec.json.encode(argument))
        return msgspec.json.decode(answers["worker-0"])


def test_a_worker_under_a_parent_imports_little() -> None:
    """After it has served HTTP and HTTPS, a worker has none of the libraries of the control plane, nor cryptography, nor h2."""

    async def test() -> None:
        plain, secure = free_port(), free_port()
        authority = Authority()
        certificate = authority.issue("localhost", "127.0.0.1").resource("default/c")
        parent = Parent(LISTING)
        running = asyncio.create_task(parent.workers.run())
        for port in (plain, secure):
            assert parent.workers.open(Place("127.0.0.1", port)) is None
        resources = (certificate, listener(plain), listener(secure, certificate.key), redirecting(plain, secure))
        revision = parent.publisher.publish(resources, ())
        await parent.publisher.acknowledged(revision)
        assert parent.publisher.rejections() == {}
        async with httpx.AsyncClient(verify=False) as client:
            for url in (f"http://127.0.0.1:{plain}/", f"https://127.0.0.1:{secure}/"):
                assert (await client.get(url)).status_code == 302
        loaded = {name.partition(".")[0] for name in (await parent.ask("explain", {"what": "modules"}))["modules"]}
        assert loaded & FORBIDDEN == set()
        assert await parent.workers.drain(0, 1)
        await running
        assert parent.messages == []

    run(test)


def test_a_worker_tells_between_batches_which_policy_has_no_keys() -> None:
    """It loads what verifies tokens with the first policy about them, and reports an issuer that cannot be reached."""

    async def test() -> None:
        port, nobody = free_port(), free_port()
        parent = Parent(LISTING)
        running = asyncio.create_task(parent.workers.run())
        assert parent.workers.open(Place("127.0.0.1", port)) is None
        source = Source("RequestAuthentication", "default", "p")
        rule = TokenRule("a", url=f"http://127.0.0.1:{nobody}/keys")
        await parent.publisher.acknowledged(parent.publisher.publish((listener(port),), ()))
        loaded = (await parent.ask("explain", {"what": "modules"}))["modules"]
        assert "jwt" not in loaded
        parent.publisher.publish((RequestAuthentication("default/p", source, ("default/g",), (rule,)),), ())
        while not parent.publisher.rejections():
            parent.moved.clear()
            await asyncio.wait_for(parent.moved.wait(), 30)
        ((identity, (reason,)),) = parent.publisher.rejections().items()
        assert identity == ("RequestAuthentication", "default/p")
        assert reason.startswith(f"jwtRules[0]: http://127.0.0.1:{nobody}/keys cannot be reached: ")
        assert {"jwt", "h11"} <= set((await parent.ask("explain", {"what": "modules"}))["modules"])
        assert await parent.workers.drain(0, 1)
        await running
        assert parent.messages == []

    run(test)


def test_questions_are_answered_in_json() -> None:
    """statistics, explain, time; a bad argument and an unknown question are told, not fatal."""

    async def test() -> None:
        port = free_port()
        parent = Parent(PROGRAM)
        running = asyncio.create_task(parent.workers.run())
        parent.workers.open(Place("127.0.0.1", port))
        await parent.publisher.acknowledged(parent.publisher.publish((listener(port), redirecting(port)), ()))
        async with httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{port}/")
        statistics = msgspec.convert(await parent.ask("statistics"), Statistics)
        assert [(series.route, series.code, series.count) for series in statistics.requests] == [("default/r", 302, 1)]
        explained = await parent.ask("explain", {"method": "GET", "url": f"http://127.0.0.1:{port}/", "headers": []})
        assert explained["listener"]
        assert "error" in await parent.ask("explain", {})
        assert "error" in await parent.ask("explain", 7)
        assert "error" in await parent.ask("nonsense")
        assert isinstance(await parent.ask("time"), float)
        assert await parent.workers.drain(0, 1)
        await running
        assert parent.messages == []

    run(test)


def test_files_in_the_current_folder_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write where the user stands must not run code in the proxy."""
    for name in ("msgspec", "gateway", "uvloop", "re2"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(77)\n")
    monkeypatch.chdir(tmp_path)

    async def test() -> None:
        parent = Parent(PROGRAM)
        running = asyncio.create_task(parent.workers.run())
        await parent.publisher.acknowledged(parent.publisher.publish((), ()))
        assert await parent.workers.drain(0, 0)
        await running
        assert parent.messages == []

    run(test)


@pytest.mark.slow
def test_connections_handed_over_are_served_as_if_accepted_there() -> None:
    """Design 2: of a silent worker, on plain and TLS ports; for TLS the peek at the ClientHello begins in the worker that serves."""

    async def test() -> None:
        plain, secure = free_port(), free_port()
        authority = Authority()
        certificate = authority.issue("localhost", "127.0.0.1").resource("default/c")
        parent = Parent(PROGRAM, 2)
        running = asyncio.create_task(parent.workers.run())
        for port in (plain, secure):
            assert parent.workers.open(Place("127.0.0.1", port)) is None
        resources = (certificate, listener(plain), listener(secure, certificate.key), redirecting(plain, secure))
        await parent.publisher.acknowledged(parent.publisher.publish(resources, ()))
        stopped, serving = parent.workers._workers
        assert stopped.process is not None
        stopped.process.send_signal(signal.SIGSTOP)
        for url in (f"http://127.0.0.1:{plain}/", f"https://127.0.0.1:{secure}/"):
            before = parent.workers.handed
            while parent.workers.handed < before + 3:
                async with httpx.AsyncClient(verify=False) as client:
                    assert (await client.get(url)).status_code == 302
        answers = await parent.publisher.ask("statistics")
        assert list(answers) == [serving.name]
        stopped.process.send_signal(signal.SIGCONT)
        assert await parent.workers.drain(0, 5)
        await running
        assert parent.messages == []

    run(test)


@pytest.mark.slow
def test_what_is_queued_at_the_end_is_served() -> None:
    """Reference 3, rolling restart: the queue of a socket is emptied before it is closed, and nobody in it is reset."""

    async def test() -> None:
        port = free_port()
        parent = Parent(PROGRAM)
        running = asyncio.create_task(parent.workers.run())
        parent.workers.open(Place("127.0.0.1", port))
        await parent.publisher.acknowledged(parent.publisher.publish((listener(port), redirecting(port)), ()))
        (worker,) = parent.workers._workers
        assert worker.process is not None
        worker.process.send_signal(signal.SIGSTOP)
        queued = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        for _, writer in queued:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        draining = asyncio.create_task(parent.workers.drain(0, 5))
        await asyncio.sleep(0)
        worker.process.send_signal(signal.SIGCONT)
        for reader, writer in queued:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 302")
            writer.close()
        assert await draining
        await running

    run(test)
