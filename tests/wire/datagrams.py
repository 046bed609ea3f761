"""Peers of UDP: a server that answers datagrams, and how a client asks it; tests/wire/conftest.py takes over the fixture."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread

import pytest

from gateway.telemetry.statistics import Statistics
from tests.wire.backends import LIMIT


class Answering:
    """A UDP server that answers each datagram with its name and the datagram, and keeps who has asked."""

    def __init__(self, name: bytes = b"", family: int = socket.AF_INET) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.name = name
        self.asked: list[tuple[bytes, object]] = []
        self._thread = Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                datagram, client = self.socket.recvfrom(65_536)
                if datagram == b"end" and client[1] == self.port:
                    return
                self.asked.append((datagram, client))
                self.socket.sendto(self.name + datagram, client)

    def close(self) -> None:
        with suppress(OSError):
            self.socket.sendto(b"end", self.socket.getsockname())
        self._thread.join(LIMIT)
        self.socket.close()


Answer = Callable[..., Answering]


@pytest.fixture
def answering() -> Iterator[Answer]:
    servers: list[Answering] = []

    def make(name: bytes = b"", family: int = socket.AF_INET) -> Answering:
        servers.append(Answering(name, family))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def client_at(address: str, port: int) -> socket.socket:
    """A client that takes answers from there alone."""
    client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(LIMIT)
    client.connect((address, port))
    return client


def ask(client: socket.socket, datagram: bytes) -> bytes:
    client.send(datagram)
    return client.recv(65_536)


def dropped(statistics: Statistics) -> dict[str, float]:
    """Datagrams that went nowhere, by reason."""
    counters = statistics.counters
    return {dict(sample.labels)["reason"]: sample.value for sample in counters if sample.name == "tidegate_datagrams_dropped_total"}
