"""Where the API server is, and how to prove oneself to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from controller.sources.kube.access import Access, NoAccess
from controller.sources.kube.client import Client
from controller.sources.kube.errors import ApiError, Unreachable
from tests.controller.sources.kube.cluster import SERVICE, SOON, run, serving

OBJECT = b'{"metadata":{"name":"cart"}}'


class Pod:
    """What is mounted into a Pod, and a TLS server of which the CA is there. `tokens` are those that it was shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens: list[str] = []
        self.accepted = "Bearer first"
        self.now = 0.0
        self.authority = trustme.CA()
        self.write("first", self.authority)

    def write(self, token: str, authority: trustme.CA) -> None:
        (self.folder / "token").write_text(token)
        authority.cert_pem.write_to_path(self.folder / "ca.crt")

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        token = next(line.split(": ", 1)[1] for line in head.split("\r\n") if line.startswith("Authorization"))
        self.tokens.append(token)
        status, body = ("200 OK", OBJECT) if token == self.accepted else ("401 Unauthorized", b"{}")
        writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def serving(self, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA | None = None) -> AsyncGenerator[Client]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (authority or self.authority).issue_cert("127.0.0.1").configure_cert(context)
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0, ssl=context)
        host, port = server.sockets[0].getsockname()[:2]
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
        async with server, Client(Access(mounted=self.folder, clock=lambda: self.now), SOON) as client:
            yield client


def test_a_token_that_rotates_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mounted token is read again after a minute of the monotonic clock: the kubelet replaces it long before it expires."""

    async def scenario() -> None:
        pod = Pod(tmp_path)
        async with pod.serving(monkeypatch) as client:
            await client.get(SERVICE, "shop", "cart")
            pod.write("second", pod.authority)
            await client.get(SERVICE, "shop", "cart")
            pod.now, pod.accepted = 61.0, "Bearer second"
            await client.get(SERVICE, "shop", "cart")
            assert pod.tokens == ["Bearer first", "Bearer first", "Bearer second"]

    run(scenario())


def test_a_token_that_is_refused_is_read_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 401 the next request reads the files anew, whatever the clock says."""

    async def scenario() -> None:
        pod = Pod(tmp_path)
        async with pod.serving(monkeypatch) as client:
            await client.get(SERVICE, "shop", "cart")
            pod.write("second", pod.authority)
            pod.accepted = "Bearer second"
            with pytest.raises(ApiError, match="look at the ServiceAccount of this Pod"):
                await client.get(SERVICE, "shop", "cart")
            assert await client.get(SERVICE, "shop", "cart")

    run(scenario())


def test_files_that_are_half_written_leave_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty token file, or one that is away, at the moment of reading: the last token stays."""

    async def scenario() -> None:
        pod = Pod(tmp_path)
        async with pod.serving(monkeypatch) as client:
            await client.get(SERVICE, "shop", "cart")
            (tmp_path / "token").write_text("")
            pod.now = 61.0
            assert await client.get(SERVICE, "shop", "cart")
            (tmp_path / "ca.crt").unlink()
            pod.now = 122.0
            assert await client.get(SERVICE, "shop", "cart")

    run(scenario())


def test_a_server_of_another_authority_is_not_trusted_until_the_mounted_one_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that the mounted CA did not sign ends the request before a token is sent; once the CA is rotated it is taken."""

    async def scenario() -> None:
        pod, other = Pod(tmp_path), trustme.CA()
        async with pod.serving(monkeypatch, other) as client:
            with pytest.raises(Unreachable, match=r"(?i)certificate"):
                await client.get(SERVICE, "shop", "cart")
            assert not pod.tokens
            pod.write("first", other)
            pod.now = 61.0
            assert await client.get(SERVICE, "shop", "cart")

    run(scenario())


def test_a_kubeconfig_gives_address_and_token(tmp_path: Path) -> None:
    """Outside of a Pod the kubeconfig that is named counts."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            await client.list(SERVICE)
            assert api.asked[-1].headers["Authorization"] == "Bearer a-token"

    run(scenario())


def test_without_any_configuration_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a Pod nor a kubeconfig: the error says what would help, and a file that comes later is found."""

    async def scenario() -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        access = Access(tmp_path / "kubeconfig")
        with pytest.raises(NoAccess, match="Run in a Pod with a ServiceAccount"):
            await access.refresh()
        async with Client(access, SOON) as client, serving(tmp_path) as (_, _):
            assert await client.list(SERVICE)

    run(scenario())
