"""Endpoints that come and go by the hundred: nobody is sent to an address that was taken away, and nobody notices the storm."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import ClassVar, cast

import pytest

from tests.faults.waiting import until
from tests.wire.backends import LIMIT, Echo, LoopThread
from tests.wire.conftest import Serve
from tests.wire.flights import Connection
from tests.wire.serving import TO_EXAMPLE, service

ROUTE = "- backendRefs: [{name: shop, port: 80}]"


class Answering(asyncio.Protocol):
    """Answers every head with the address that was asked."""

    open: ClassVar[set[Answering]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.open.add(self)
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("sockname")[0].encode()
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(address), address)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer * data.count(b"\r\n\r\n"))

    def connection_lost(self, _: Exception | None) -> None:
        self.open.discard(self)


@pytest.fixture
def everywhere() -> Iterator[int]:
    """The port of a backend that answers at every address of this host. It ends after the gateway."""
    thread = LoopThread("everywhere")

    async def start() -> asyncio.AbstractServer:
        return await thread.loop.create_server(Answering, "0.0.0.0", 0)

    server = thread.run(start())
    yield cast(asyncio.Server, server).sockets[0].getsockname()[1]

    thread.call(server.close)
    until(lambda: thread.call(lambda: not Answering.open), "the gateway keeps connections to it")
    thread.close()


def slices(addresses: list[str], port: int) -> str:
    """A Service with these endpoints, in EndpointSlices of a hundred."""
    pieces = [addresses[start : start + 100] for start in range(0, len(addresses), 100)]
    documents = [service("shop")]
    for number, piece in enumerate(pieces):
        described = {
            "kind": "EndpointSlice",
            "metadata": {"name": f"shop-{number}", "labels": {"kubernetes.io/service-name": "shop"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": port}],
            "endpoints": [{"addresses": [address]} for address in piece],
        }
        documents.append(json.dumps(described))
    return "\n---\n".join(documents)


class Storm:
    """Clients that ask without a pause, each with its own connection, and note for each request what was acknowledged before it began
    and who answered it."""

    def __init__(self, ask: Callable[[], Connection], clients: int) -> None:
        self.revision = 0
        self.answers: list[tuple[int, int, str]] = []
        self._ended = Event()
        self._faults: list[BaseException] = []
        self._threads = [Thread(target=self._run, args=(ask,)) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, connect: Callable[[], Connection]) -> None:
        connection = connect()
        try:
            while not self._ended.is_set():
                began = self.revision
                connection.send("GET", "/", TO_EXAMPLE)
                status, fields, body = connection.response()
                self.answers.append((began, status, body.decode()))
                if ("connection", "close") in fields:
                    connection.close()
                    connection = connect()
        except BaseException as fault:
            self._faults.append(fault)
        finally:
            connection.close()

    def acknowledged(self, revision: int, requests: int) -> None:
        """The revision is in place; returns once so many more requests were answered."""
        self.revision = revision
        enough = len(self.answers) + requests
        until(lambda: len(self.answers) >= enough or self._faults, "the storm stands still")

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        assert not self._faults, self._faults


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
@pytest.mark.timeout(1200)  # with --whole
def test_a_storm_of_endpoints(everywhere: int, serve: Serve, rounds: int) -> None:
    """Faults, "endpoint churn, 1,000 endpoints": while hundreds are replaced again and again no request fails, and none that begins
    after the acknowledgement reaches an address that is not in the set any more."""
    drawn = random.Random(1)
    every = [f"127.{1 + number // 250}.0.{1 + number % 250}" for number in range(2000)]
    sets = [drawn.sample(every, size) for size in (1000, 500, 1000, 1, 1000, 30, 700, 1000) * rounds]
    site = serve(slices(sets[0], everywhere), ROUTE)
    storm = Storm(lambda: Connection(site.address()), clients=3)
    try:
        for revision, addresses in enumerate(sets):
            site.change(slices(addresses, everywhere), ROUTE)
            storm.acknowledged(revision, 60)
    finally:
        storm.end()
    assert {status for _, status, _ in storm.answers} == {200}
    for began, _, address in storm.answers:
        assert any(address in addresses for addresses in sets[began : began + 3]), "of what was there when it began, or came meanwhile"
    assert len({address for _, _, address in storm.answers}) > 200


class Unaccepting:
    """A port whose queue is full: a connection to it begins and does not come about until `accept` is called."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port: int = self._listening.getsockname()[1]
        self._filling = [socket.socket() for _ in range(3)]
        for filling in self._filling:
            filling.setblocking(False)
            filling.connect_ex(("127.0.0.1", self.port))

    def accept(self) -> bytes:
        """Takes all that comes until one that is not ours, and what is sent on that one until its end."""
        ours = {filling.getsockname() for filling in self._filling}
        while True:
            connection, address = self._listening.accept()
            if address not in ours:
                with connection:
                    connection.settimeout(LIMIT)
                    return connection.recv(65_536)
            connection.close()

    def close(self) -> None:
        for each in (self._listening, *self._filling):
            each.close()


@pytest.fixture
def unaccepting() -> Iterator[Unaccepting]:
    port = Unaccepting()
    yield port
    port.close()


@pytest.mark.slow
def test_an_endpoint_that_goes_while_it_is_connected_to_gets_no_request(serve: Serve, unaccepting: Unaccepting, blue: Echo) -> None:
    """Faults, "no request to a removed address": one whose connection comes about after the acknowledgement is given to the next
    endpoint before a byte was sent."""
    site = serve(service("shop", unaccepting.port), ROUTE)
    flight = site.begin(method="POST", body=b"once")
    until(lambda: site._thread.call(lambda: len(site.runtime._core._tasks)), "nothing connects")
    site.change(service("shop", blue.port), ROUTE)
    assert unaccepting.accept() == b"", "the connection came about, and nothing was sent on it"
    assert flight.connection.response()[0] == 200
    assert [request.body for request in blue.requests] == [b"once"]


def test_a_port_that_does_not_accept_is_given_up(serve: Serve, unaccepting: Unaccepting) -> None:
    """Faults, "slow accept": the connect timeout of the backend ends it (BackendPolicy.connectTimeout)."""
    policy = """
kind: BackendPolicy
metadata: {name: quick}
spec: {targetRefs: [{name: shop}], connectTimeout: 100ms}
"""
    site = serve(service("shop", unaccepting.port), policy, ROUTE)
    answer = site.ask()
    assert (answer.status, answer.counted.flags) == (503, "UF")
    assert answer.reason is not None
    assert "within 0.1 s" in answer.reason


def test_a_port_that_does_not_accept_leaves_its_requests_to_the_others(serve: Serve, unaccepting: Unaccepting, blue: Echo) -> None:
    """Faults, "connect failure retried on another endpoint": all are served, the body with them."""
    policy = """
kind: BackendPolicy
metadata: {name: quick}
spec: {targetRefs: [{name: shop}], connectTimeout: 100ms}
"""
    site = serve(service("shop", unaccepting.port, blue.port), policy, ROUTE)
    answers = [site.ask(method="POST", body=b"%d" % number) for number in range(4)]
    assert {answer.backend for answer in answers} == {"blue"}
    assert [request.body for request in blue.requests] == [b"0", b"1", b"2", b"3"]
