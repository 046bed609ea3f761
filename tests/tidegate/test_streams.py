"""What `tidegate run` passes on, as processes: over the death of a worker, and over SIGUSR2."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from tests.running import run
from tests.tidegate.program import STARTED, Program, free_port, program
from tests.tidegate.test_replacement import TAKEN_OVER, processes

pytestmark = pytest.mark.slow


class Answering(asyncio.DatagramProtocol):
    """Sends each datagram back, in capitals."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # uvloop's transports are no subclasses of it

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.transport.sendto(data.upper(), address)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


def documents(tcp: int, udp: int, stream: int, datagrams: int) -> str:
    listeners = [{"name": "db", "port": tcp, "protocol": "TCP"}, {"name": "dns", "port": udp, "protocol": "UDP"}]
    spec = {"gatewayClassName": "tidegate", "listeners": listeners}
    found: list[dict[str, object]] = [
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "web"}, "spec": spec}
    ]
    for kind, name, target, protocol in (("TCPRoute", "db", stream, "TCP"), ("UDPRoute", "dns", datagrams, "UDP")):
        rule = {"backendRefs": [{"name": name, "port": 1}]}
        parents = [{"name": "web", "sectionName": name}]
        found += [
            {
                "apiVersion": "gateway.networking.k8s.io/v1alpha2", "kind": kind, "metadata": {"name": name},
                "spec": {"parentRefs": parents, "rules": [rule]},
            },
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 1, "protocol": protocol}]}},
            {
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
                "ports": [{"port": target, "protocol": protocol}], "endpoints": [{"addresses": ["127.0.0.1"]}],
            },
        ]  # fmt: skip
    return "\n---\n".join(map(json.dumps, found))


@asynccontextmanager
async def serving(folder: Path, *options: str) -> AsyncIterator[tuple[Program, int, int]]:
    """A program with a TCP and a UDP listener, and backends for both."""
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    transport, _ = await loop.create_datagram_endpoint(Answering, ("127.0.0.1", 0))
    tcp, udp = free_port(), free_port()
    stream, datagrams = server.sockets[0].getsockname()[1], transport.get_extra_info("sockname")[1]
    (folder / "site.yaml").write_text(documents(tcp, udp, stream, datagrams))
    try:
        async with program(folder, *options) as running:
            await running.until(STARTED)
            yield running, tcp, udp
    finally:
        transport.close()
        server.close()


class Asking:
    """A client of UDP with one address."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(("127.0.0.1", port))

    async def ask(self, datagram: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.socket, datagram)
        return await loop.sock_recv(self.socket, 100)

    async def serves(self, datagram: bytes) -> None:
        """Waits until an answer comes: datagrams that meet a worker that dies are lost with it."""
        while True:
            try:
                async with asyncio.timeout(0.2):
                    if await self.ask(datagram) == datagram.upper():
                        return
            except TimeoutError:
                pass


def test_all_workers_take_part_and_come_back(tmp_path: Path) -> None:
    """SO_REUSEPORT: a client's datagrams reach one worker; one that dies comes back to its socket, whose queue has waited."""

    async def test() -> None:
        async with serving(tmp_path, "--workers", "2") as (running, tcp, udp):
            clients = [Asking(udp) for _ in range(20)]
            for client in clients:
                assert await client.ask(b"question") == b"QUESTION"
            assert running.process.pid is not None
            for worker in processes(running.process.pid, b"gateway.worker"):
                os.kill(worker, signal.SIGKILL)
            await running.until("starting it anew", 2)
            for number, client in enumerate(clients):
                await client.serves(b"again %d" % number)
            reader, writer = await asyncio.open_connection("127.0.0.1", tcp)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            for client in clients:
                client.socket.close()

    run(test)


def test_a_replaced_program_leaves_its_sockets_and_finishes_its_relays(tmp_path: Path) -> None:
    """SIGUSR2: relays of the old program go on while it drains; new connections and datagrams are the new one's, on the same sockets."""

    async def test() -> None:
        async with serving(tmp_path, "--workers", "2", "--drain-timeout", "30s") as (running, tcp, udp):
            reader, writer = await asyncio.open_connection("127.0.0.1", tcp)
            writer.write(b"before")
            assert await reader.readexactly(6) == b"before"
            client = Asking(udp)
            assert await client.ask(b"before") == b"BEFORE"
            running.signal(signal.SIGUSR2)
            await running.until(TAKEN_OVER)
            writer.write(b"during")
            assert await reader.readexactly(6) == b"during"
            for number in range(20):
                assert await client.ask(b"after %d" % number) == b"AFTER %d" % number
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", tcp)
            other_writer.write(b"after")
            assert await other_reader.readexactly(5) == b"after"
            for each in (writer, other_writer):
                each.close()
            client.socket.close()

    run(test)
