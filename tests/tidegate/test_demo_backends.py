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
from tests.wire.datagrams import ask, client_at
from tests.wire.grpc_peers import GrpcClient
from tidegate.demo.backends import DemoBackends

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def endpoints(name: str, *places: tuple[str, int], kind: str = "") -> EndpointSet:
    """`kind` is what stands behind the port in the key: /udp, /h2c."""
    listed = tuple(Endpoint(*place) for place in places)
    return EndpointSet(key=f"default/{name}:80{kind}", source=Source("Service", "default", name), endpoints=listed)


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
            writer.write(b"NONSENSE\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()
            await writer.wait_closed()

    run(scenario)


def test_http2_is_answered_as_http1_is() -> None:
    """By prior knowledge: the same JSON, many requests of a connection at once, bodies beyond every window, HEAD and statuses."""

    async def scenario() -> None:
        port = free_port()
        async with (
            answering(endpoints("shop", ("127.0.0.1", port))),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", http1=False, http2=True) as client,
        ):
            body = b"x" * 1_000_000
            slow, large = await asyncio.gather(client.get("/", params={"delay": "20ms"}), client.post("/a?b=c", content=body))
            assert slow.http_version == large.http_version == "HTTP/2"
            received = large.json()
            assert (received["method"], received["path"], received["query"], received["body_length"]) == ("POST", "/a", "b=c", len(body))
            assert (received["backend"], received["host"]) == ("shop", f"127.0.0.1:{port}")
            head = await client.head("/")
            assert (head.status_code, head.content, int(head.headers["content-length"]) > 0) == (200, b"", True)
            assert [(await client.get(f"/status/{status}")).status_code for status in (204, 304, 503)] == [204, 304, 503]
            long = "v" * 20_000
            assert (await client.get("/", headers={"x-long": long})).json()["headers"]["x-long"] == long

    run(scenario)


def test_calls_of_grpc_get_their_messages_back() -> None:
    """The library of gRPC: one message or many, larger than the windows, as they come; the metadata say who answered."""

    async def scenario() -> None:
        port = free_port()
        async with answering(endpoints("greeter", ("127.0.0.1", port), kind="/h2c")):

            def call() -> None:
                with GrpcClient(("127.0.0.1", port)) as client:
                    outcome = client.unary(b"x" * 1_000_000)
                    assert (outcome.status, outcome.messages) == (0, (b"x" * 1_000_000,))
                    assert dict(outcome.initial)["backend"] == "greeter"
                    assert client.bidi([b"a", b"b"]).messages == (b"a", b"b")

            await asyncio.to_thread(call)

    run(scenario)


def test_what_is_no_request_comes_back() -> None:
    """Bytes that do not begin with a capital letter, behind the name of who got them, until the client ends its side."""

    async def scenario() -> None:
        port = free_port()
        async with answering(endpoints("echo", ("127.0.0.1", port))):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello\n")
            assert await reader.readline() == b"echo at 127.0.0.1:%d: hello\n" % port
            writer.write(b"GET is too late for a request")
            writer.write_eof()
            assert await reader.read() == b"GET is too late for a request"
            writer.close()
            await writer.wait_closed()

    run(scenario)


def test_datagrams_come_back() -> None:
    """A backend of a UDPRoute listens on UDP, which may be the same number."""

    async def scenario() -> None:
        port = free_port()
        place = ("127.0.0.1", port)
        async with answering(endpoints("dns", place, kind="/udp"), endpoints("dns", place)) as said:
            assert said == []
            with client_at(*place) as client:
                assert await asyncio.to_thread(ask, client, b"hello") == b"dns at 127.0.0.1:%d: hello" % port
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"http://127.0.0.1:{port}/")).json()["backend"] == "dns"

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
