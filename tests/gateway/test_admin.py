"""The admin server over real sockets: what it answers, what it refuses, and what no client can do to it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway import admin
from gateway.admin import AdminServer, Page, Request
from gateway.net.sockets import bind
from tests.running import run


class Pages:
    """A server on a free port of 127.0.0.1, with pages that a test needs."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.requests: list[Request] = []
        self.port = 0
        pages = {"/plain": self.plain, "/json": self.json, "/fails": self.fails, "/large": self.large}
        self.server = AdminServer(pages, self.problems.append)

    async def plain(self, request: Request) -> Page:
        self.requests.append(request)
        return Page(b"good\n")

    async def json(self, _: Request) -> Page:
        return Page(b"{}", "application/json", 503)

    async def fails(self, _: Request) -> Page:
        raise KeyError("inside")

    async def large(self, _: Request) -> Page:
        return Page(b"x" * 50_000_000)

    async def send(self, data: bytes) -> bytes:
        """Everything that comes back on one connection until the server closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def serving(address: str = "127.0.0.1") -> AsyncIterator[Pages]:
    pages = Pages()
    listening = bind(address, 0)
    pages.port = listening.getsockname()[1]
    await pages.server.start(listening)
    try:
        yield pages
    finally:
        await pages.server.close()


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def test_get_and_head_over_one_connection() -> None:
    """HEAD has the fields of GET and no body (RFC 9110 9.3.2); the connection is kept."""

    async def test() -> None:
        async with serving() as pages, httpx.AsyncClient(base_url=f"http://127.0.0.1:{pages.port}") as client:
            got = await client.get("/plain")
            head = await client.head("/plain")
            assert (got.status_code, got.text, got.headers["content-type"]) == (200, "good\n", "text/plain; charset=utf-8")
            assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "5")
            assert got.headers["cache-control"] == "no-store"
            other = await client.get("/json")
            assert (other.status_code, other.json(), other.headers["content-type"]) == (503, {}, "application/json")

    run(test)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused_with_those_that_are_allowed(method: str) -> None:
    """RFC 9110 15.5.6: 405 carries Allow."""

    async def test() -> None:
        async with serving() as pages, httpx.AsyncClient() as client:
            answer = await client.request(method, f"http://127.0.0.1:{pages.port}/plain")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")

    run(test)


def test_an_unknown_page_is_404_and_names_those_there_are() -> None:
    """Also a path that only looks like a known one."""

    async def test() -> None:
        async with serving() as pages:
            for path in ("/", "/plain/", "/PLAIN", "/%70lain", "//127.0.0.1/nope", "*"):
                answer = await pages.send(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
                assert statuses(answer) == [404], path
                assert b"/plain, /json" in answer

    run(test)


def test_the_query_is_decoded_in_order() -> None:
    """Repeated parameters keep their order; an empty value is a value."""

    async def test() -> None:
        async with serving() as pages, httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{pages.port}/plain?header=a%3A%201&url=http%3A%2F%2Fx%2F%3Fq&header=b&empty=")
            request = pages.requests[0]
            assert request.query == (("header", "a: 1"), ("url", "http://x/?q"), ("header", "b"), ("empty", ""))
            assert request.all("header") == ("a: 1", "b")

    run(test)


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        ("application/openmetrics-text;version=1.0.0;q=0.5, text/plain;q=0.3", True),
        ("Application/OpenMetrics-Text", True),
        ("application/openmetrics-text; q=0", False),
        ("*/*", False),
        ("text/plain", False),
    ],
)
def test_a_type_is_accepted_when_it_is_named(accept: str, taken: bool) -> None:
    """RFC 9110 12.5.1; a wildcard is no request for a format, and q=0 refuses it."""
    assert Request((), ((b"accept", accept.encode()),)).accepts("application/openmetrics-text") is taken


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /plain HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 3\r\n\r\n", 400),
        (b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 3\r\n\r\nabc", 400),
        (b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"GET /plain?a=%ff HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", 400),
        (b"GET http://[/plain HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", 400),
        (b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"a" * 30_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 20_000, 431),
        (b"GET /plain HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_what_is_not_a_plain_request_is_refused_and_the_connection_ends(sent: bytes, status: int) -> None:
    """Strict and small: no bodies, a head of at most 16 KiB, valid HTTP/1 only."""

    async def test() -> None:
        async with serving() as pages:
            answer = await pages.send(sent)
            assert statuses(answer) == [status]
            assert b"connection: close" in answer.lower()

    run(test)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:15000", 200),
        ("[::1]:15000", 200),
        ("localhost:8080", 200),
        ("LOCALHOST", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("[", 421),
    ],
)
def test_a_foreign_name_for_this_machine_is_refused(host: str, status: int) -> None:
    """A web page whose name was pointed at 127.0.0.1 (DNS rebinding) reads nothing here."""

    async def test() -> None:
        async with serving() as pages:
            answer = await pages.send(f"GET /plain HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            assert statuses(answer) == [status]

    run(test)


def test_on_other_addresses_any_name_may_be_used() -> None:
    """In a Pod the server listens on all addresses and is reached by names."""

    async def test() -> None:
        async with serving("0.0.0.0") as pages:
            answer = await pages.send(b"GET /plain HTTP/1.1\r\nhost: tidegate.example\r\nconnection: close\r\n\r\n")
            assert statuses(answer) == [200]

    run(test)


def test_a_page_that_fails_is_a_500_and_a_message() -> None:
    """The failure stays inside the page; its text is for the log and not for the client."""

    async def test() -> None:
        async with serving() as pages, httpx.AsyncClient(base_url=f"http://127.0.0.1:{pages.port}") as client:
            answer = await client.get("/fails")
            assert answer.status_code == 500
            assert "inside" not in answer.text
            assert pages.problems == ["the admin page /fails failed: KeyError: 'inside'"]
            assert (await client.get("/plain")).status_code == 200

    run(test)


def test_pipelined_requests_are_answered_in_order() -> None:
    """RFC 9112 9.3.2."""

    async def test() -> None:
        async with serving() as pages:
            one = b"GET /%s HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
            last = b"GET /nope HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
            answer = await pages.send(one % b"plain" + one % b"json" + last)
            assert statuses(answer) == [200, 503, 404]

    run(test)


def test_a_head_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow client holds a connection for a limited time."""
    monkeypatch.setattr(admin, "_HEAD_TIMEOUT", 0.05)

    async def test() -> None:
        async with serving() as pages:
            assert await pages.send(b"GET /plain HTTP/1.1\r\nhost:") == b""

    run(test)


def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large page for a client that never reads is not held for ever."""
    monkeypatch.setattr(admin, "_WRITE_TIMEOUT", 0.05)

    async def test() -> None:
        async with serving() as pages:
            reader, writer = await asyncio.open_connection("127.0.0.1", pages.port, limit=1_000)
            writer.write(b"GET /large HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            await reader.readexactly(10)
            while pages.server.connections:  # noqa: ASYNC110  # the server tells nobody, and this client must not read
                await asyncio.sleep(0.01)
            writer.close()

    run(test)


def test_there_are_at_most_64_connections() -> None:
    """Beyond the limit the one that has been silent longest makes way: who holds connections open does not keep a health check out."""

    async def test() -> None:
        async with serving() as pages:
            held = [await asyncio.open_connection("127.0.0.1", pages.port) for _ in range(64)]
            for reader, writer in held:
                writer.write(b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                await reader.readuntil(b"good\n")
            first, second = held[0], held[1]
            first[1].write(b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            await first[0].readuntil(b"good\n")
            assert (await pages.send(b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")).endswith(b"good\n")
            with contextlib.suppress(ConnectionResetError):
                assert await second[0].read() == b""
            first[1].write(b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert (await first[0].readuntil(b"good\n")).endswith(b"good\n")
            for _, writer in held:
                writer.close()

    run(test)


def test_close_ends_open_connections() -> None:
    """The process can end while Prometheus keeps a connection."""

    async def test() -> None:
        async with serving() as pages:
            reader, writer = await asyncio.open_connection("127.0.0.1", pages.port)
            writer.write(b"GET /plain HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            await reader.readuntil(b"good\n")
            await pages.server.close()
            assert pages.server.connections == 0
            writer.close()

    run(test)
