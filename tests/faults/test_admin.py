"""Clients of the admin server that are slow, many or busy: health is told and traffic served all the same."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.faults.clients import Clients
from tests.faults.programs import Program
from tests.faults.waiting import until
from tests.wire.backends import LIMIT

pytestmark = pytest.mark.slow


def status(address: tuple[str, int], path: str) -> int:
    """Of a request on a connection of its own."""
    connection = HTTPConnection(*address, timeout=LIMIT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_admin_server_under_siege(tmp_path: Path) -> None:
    """Faults, "metric sink slow": more connections than are kept, all silent, some inside an answer they never read, while others ask
    for all there is without a pause. Health answers, changes are served, no request waits."""
    program = Program(tmp_path, "--access-log", "off")
    wanted = b"GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50
    with ExitStack() as held:
        held.callback(program.close)
        for number in range(100):
            silent = held.enter_context(socket.create_connection(program.admin, timeout=LIMIT))
            if number % 10 == 0:
                silent.sendall(wanted)

        def page(path: str) -> None:
            assert status(program.admin, path) == 200

        def request() -> None:
            assert status(("127.0.0.1", program.port), "/") == 302

        clients = Clients(lambda: page("/healthz/ready"), lambda: page("/metrics"), lambda: page("/status"), request)
        try:
            clients.more(3)
            program.write("more.yaml", "kind: [")
            until(lambda: program.metric("tidegate_problems") == 1, "a change is not noticed")
            clients.more(3)
        finally:
            clients.end()
        assert program.end() == 0
