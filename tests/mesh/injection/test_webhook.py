"""The webhook over real TLS, with clients that are not ours: httpx, and sockets that say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from unittest.mock import patch

import httpx
import pytest

from mesh.authority import Authority
from mesh.injection import webhook
from mesh.injection.webhook import MOST_BYTES, Limits, Webhook, webhook_context
from mesh.roots import Root
from mesh.server_certificate import ServerCertificate
from tests.controller.streaming import TRUST_DOMAIN, new_root
from tests.mesh.injection.pods import SETTINGS, pod, review
from tests.running import run


class Served:
    """A webhook that serves, its roots, and what its log was told."""

    def __init__(self, place: tuple[str, int], roots: list[Root], told: list[str]) -> None:
        self.port = place[1]
        self.url = f"https://localhost:{self.port}"
        self.roots = roots
        self.told = told

    def client(self, root: Root | None = None) -> httpx.AsyncClient:
        """One that trusts this root alone, as the API server does by caBundle."""
        context = ssl.create_default_context(cadata=(root or self.roots[-1]).pem)
        return httpx.AsyncClient(base_url=self.url, verify=context, trust_env=False)

    async def connect(self, tls: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context(cadata=self.roots[-1].pem) if tls else None
        return await asyncio.open_connection("localhost", self.port, ssl=context, family=socket.AF_INET)


@contextlib.asynccontextmanager
async def serving(limits: Limits | None = None) -> AsyncIterator[Served]:
    roots, told = [new_root()], list[str]()
    certificate = ServerCertificate(lambda: Authority(TRUST_DOMAIN, roots), ("localhost",), webhook_context)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    task = asyncio.create_task(Webhook(SETTINGS, certificate.context, told.append, limits).serve(listening))
    try:
        yield Served(listening.getsockname(), roots, told)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        listening.close()


async def ends(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes, however it does."""
    try:
        return await reader.read()
    except (ConnectionError, ssl.SSLError):
        return b""


def test_pods_are_injected_over_tls() -> None:
    """POST /inject: an AdmissionReview for each, several on one connection; GET /healthz says that it is up."""

    async def test() -> None:
        async with serving() as served, served.client() as client:
            for _ in range(3):
                answer = await client.post("/inject?timeout=5s", content=review(pod()))
                assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "application/json")
                assert answer.json()["response"]["patchType"] == "JSONPatch"
            assert (await client.get("/healthz")).text == "ok\n"
            assert served.told == []

    run(test)


def test_a_refused_pod_is_logged() -> None:
    """Whoever looks for a Pod that does not come finds it in the log of the controller, with the reason."""

    async def test() -> None:
        async with serving() as served, served.client() as client:
            answer = await client.post("/inject", content=review(pod(labels={"tidegate.dev/inject": "maybe"})))
            assert answer.json()["response"]["allowed"] is False
            (line,) = served.told
            assert line.startswith("a Pod was refused by the webhook: Pod shop/cart: label tidegate.dev/inject is 'maybe'")

    run(test)


def test_names_of_strangers_stay_on_their_line() -> None:
    """Whoever reaches the port may send any name; the log has one short line without control characters for it."""

    async def test() -> None:
        async with serving() as served, served.client() as client:
            raw = pod(name="cart\n2026 all is well\x1b[2J" + "x" * 9_999, labels={"tidegate.dev/inject": "maybe"})
            await client.post("/inject", content=review(raw))
            (line,) = served.told
            assert line.isprintable()
            assert len(line) < 1_100

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/inject", b"not json", 400),
        ("POST", "/inject", b"", 400),
        ("POST", "/inject", b"x" * (MOST_BYTES + 1), 413),
        ("GET", "/inject", b"", 405),
        ("POST", "/elsewhere", b"", 404),
    ],
)
def test_a_bad_request_gets_its_status_and_the_next_is_served(method: str, path: str, body: bytes, status: int) -> None:
    """RFC 9110 15.5; nothing that is sent harms anybody else."""

    async def test() -> None:
        async with serving() as served, served.client() as client:
            assert (await client.request(method, path, content=body)).status_code == status
            assert (await client.post("/inject", content=review(pod()))).status_code == 200

    run(test)


def test_what_is_no_http_is_answered_and_no_news() -> None:
    """A stranger's bytes fill no log."""

    async def test() -> None:
        async with serving() as served:
            reader, writer = await served.connect()
            writer.write(b"\x00\x01garbage\r\n\r\n")
            assert (await ends(reader)).startswith(b"HTTP/1.0 400")
            writer.close()
            assert served.told == []

    run(test)


def test_a_fault_of_ours_is_told_and_ends_nothing() -> None:
    """The API server gets 500, which it takes as failurePolicy says; the log says what it was."""

    async def test() -> None:
        async with serving() as served, served.client() as client:
            with patch.object(webhook, "answer", side_effect=KeyError("spec")):
                assert (await client.post("/inject", content=review(pod()))).status_code == 500
            assert served.told == ["injection failed, which is a fault of Tidegate: KeyError: 'spec'"]
            assert (await client.post("/inject", content=review(pod()))).status_code == 200

    run(test)


def test_another_root_is_presented_to_new_connections_alone() -> None:
    """While roots are exchanged nothing is interrupted: who is connected stays, who comes gets the new certificate."""

    async def test() -> None:
        async with serving() as served, served.client() as before:
            assert (await before.get("/healthz")).status_code == 200
            old, new = served.roots[0], new_root()
            served.roots[:] = [new]
            assert (await before.get("/healthz")).status_code == 200
            async with served.client(new) as after:
                assert (await after.get("/healthz")).status_code == 200
            async with served.client(old) as late:
                with pytest.raises(httpx.ConnectError):
                    await late.get("/healthz")

    run(test)


def test_who_asks_nothing_is_closed() -> None:
    """A connection whose first request does not come in time makes room, with or without a part of a head."""

    async def test() -> None:
        async with serving(Limits(first_request=0.05)) as served:
            for said in (b"", b"POST /inject HTTP/1.1\r\nHost: localhost\r\n"):
                reader, writer = await served.connect()
                writer.write(said)
                assert await ends(reader) == b""
                writer.close()

    run(test)


def test_who_does_not_finish_a_handshake_is_closed() -> None:
    """The limit of the handshake holds before anything is known of the other side."""

    async def test() -> None:
        async with serving(Limits(handshake=0.05)) as served:
            reader, writer = await served.connect(tls=False)
            assert await ends(reader) == b""
            writer.close()

    run(test)


def test_a_body_that_does_not_come_is_given_up() -> None:
    """RFC 9110 15.5.9."""

    async def test() -> None:
        async with serving(Limits(body=0.05)) as served:
            reader, writer = await served.connect()
            writer.write(b"POST /inject HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
            writer.close()

    run(test)


def test_more_connections_than_there_is_room_for_are_closed() -> None:
    """Those that are there are served all the same."""

    async def test() -> None:
        async with serving(Limits(connections=1)) as served, served.client() as client:
            assert (await client.get("/healthz")).status_code == 200
            reader, writer = await served.connect(tls=False)
            assert await ends(reader) == b""
            writer.close()
            assert served.told == ["one of too many connections to the webhook at once was closed; it came from 127.0.0.1"]
            assert (await client.get("/healthz")).status_code == 200

    run(test)
