"""Demo backends: a process that answers at the loopback addresses of EndpointSlices with what it received."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.ir.backend import Endpoint, EndpointSet
from gateway.ir.value import Source
from tests.running import run
from tidegate.demo_backends import DemoBackends

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def endpoints(name: str, *places: tuple[str, int]) -> EndpointSet:
    listed = tuple(Endpoint(*place) for place in places)
    return EndpointSet(key=f"default/{name}:80", source=Source("Service", "default", name), endpoints=listed)


@asynccontextmanager
async def answering(*sets: EndpointSet) -> AsyncIterator[list[str]]:
    """Runs them; yields what they say."""
    said: list[str] = []
    demo = DemoBackends(said.append)
    demo.want(sets)
    await demo.start_wanted()
    try:
        yield said
    finally:
        await demo.close()


def test_it_answers_with_what_it_received() -> None:
    """Issue 3: JSON with method, path, query, headers, host, body length and who answers; any method, bodies of any size."""

    async def scenario() -> None:
        port = free_port()
        async with answering(endpoints("shop", ("127.0.0.1", port))) as said, httpx.AsyncClient() as client:
            body = b"x" * 3_000_000
            answer = await client.request("PURGE", f"http://127.0.0.1:{port}/a/b?c=d", content=body, headers={"Host": "shop.example"})
            received = answer.json()
            headers = received.pop("headers")
            assert said == []
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert received == {
            "backend": "shop", "endpoint": f"127.0.0.1:{port}", "method": "PURGE", "path": "/a/b", "query": "c=d", "host": "shop.example",
            "body_length": len(body),
        }  # fmt: skip
        assert headers["content-length"] == str(len(body))

    run(scenario)


def test_one_connection_takes_many_requests() -> None:
    """Keep-alive, HEAD, statuses with and without body, a delay, chunked bodies: one after another on one connection."""

    async def scenario() -> None:
        port = free_port()
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=httpx.Limits(max_connections=1))
        async with answering(endpoints("shop", ("127.0.0.1", port))), client:
            head = await client.head("/")
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) > 0
            statuses = [(await client.get(f"/status/{status}")).status_code for status in (204, 304, 404, 503)]
            assert statuses == [204, 304, 404, 503]
            assert (await client.get("/", params={"delay": "1ms"})).status_code == 200

            async def chunks() -> AsyncIterator[bytes]:
                for _ in range(3):
                    yield b"abc"

            assert (await client.post("/", content=chunks())).json()["body_length"] == 9

    run(scenario)


def test_what_is_no_request_is_answered_400() -> None:
    """A malformed request harms its own connection alone."""

    async def scenario() -> None:
        port = free_port()
        async with answering(endpoints("shop", ("127.0.0.1", port))):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"nonsense\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()
            await writer.wait_closed()

    run(scenario)


def test_only_loopback_addresses_are_answered_at() -> None:
    """An address of another machine is left alone; each loopback address is taken once, for the first Service that names it."""

    async def scenario() -> None:
        port = free_port()
        elsewhere = endpoints("far", ("192.0.2.1", port))
        async with answering(elsewhere, endpoints("one", ("127.0.0.1", port)), endpoints("two", ("127.0.0.1", port))) as said:
            assert said == []
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"http://127.0.0.1:{port}/")).json()["backend"] == "one"

    run(scenario)


def test_a_port_that_is_taken_is_named_with_the_remedy() -> None:
    """Design 8: what is wrong, where, and what to do; the other backends start all the same."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            taken_port, port = taken.getsockname()[1], free_port()
            async with answering(endpoints("shop", ("127.0.0.1", taken_port), ("127.0.0.1", port))) as said:
                (told,) = said
                assert told.startswith(f"no demo backend for shop at 127.0.0.1:{taken_port}: Address already in use; ")
                assert "change the port of the EndpointSlice" in told
                async with httpx.AsyncClient() as client:
                    assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200

    run(scenario)
