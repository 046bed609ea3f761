"""What a backend that should speak TLS may say instead: nothing of it is an answer, and nothing is sent to it in plain (CVE-2026-1642)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.attacks.certificates import AUTHORITY
from tests.attacks.row import get
from tests.attacks.stage import Stage
from tests.gateway.net.hellos import captured
from tests.wire.secure import backend_policy, trust
from tests.wire.serving import service

HACKED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhacked"
SAID = {
    "an answer before the handshake": HACKED,
    "an interim answer before the handshake": b"HTTP/1.1 100 Continue\r\n\r\n" + HACKED,
    "an empty line": b"\r\n",
    "the banner of another protocol": b"220 a.example ESMTP\r\n",
    "an alert and an answer": b"\x15\x03\x03\x00\x02\x01\x00" + HACKED,
    "application data": b"\x17\x03\x03" + len(HACKED).to_bytes(2, "big") + HACKED,
    "a ClientHello": captured("a.example"),
    "a ServerHello that is cut": b"\x16\x03\x03\x00\x26\x02\x00\x00\x22\x03\x03" + bytes(10),
    "a record without an end": b"\x16\x03\x03\x40\x00" + b"\x02" * 100,
    "nothing": b"",
}


class Liar(asyncio.Protocol):
    """Says its piece as soon as there is a connection, and keeps what it is told. Then it leaves."""

    def __init__(self, said: bytes, heard: list[bytes]) -> None:
        self._said, self._heard = said, heard
        self._at = len(heard)
        heard.append(b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._said)  # type: ignore[attr-defined]  # a Transport

    def data_received(self, data: bytes) -> None:
        self._heard[self._at] += data
        self._transport.close()


@pytest.fixture(scope="module")
def lies() -> dict[str, list[bytes]]:
    """What was heard by each liar, one entry a connection."""
    return {name: [] for name in SAID}


@pytest.fixture(scope="module")
def running_stage(tmp_path_factory: pytest.TempPathFactory, lies: dict[str, list[bytes]]) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("site"))
    servers = [stage.run(_serve(name, lies[name])) for name in SAID]
    texts = [trust("ca", AUTHORITY)]
    rules = [{"backendRefs": [{"name": "backend", "port": 80}]}]
    for number, server in enumerate(servers):
        texts += [service(f"liar{number}", server.sockets[0].getsockname()[1]), backend_policy(f"liar{number}", "a.example", "ca")]
        rules.append({"matches": [{"path": {"value": f"/{number}"}}], "backendRefs": [{"name": f"liar{number}", "port": 80}]})
    stage.site.change(*texts, json.dumps(rules), service("backend", stage.backend.port))
    yield stage
    for server in servers:
        stage.run(_close(server))
    stage.close()


async def _serve(name: str, heard: list[bytes]) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(lambda: Liar(SAID[name], heard), "127.0.0.1", 0)


async def _close(server: asyncio.Server) -> None:
    server.close()


@pytest.mark.parametrize("name", SAID)
def test_what_comes_before_the_handshake_is_no_answer(stage: Stage, lies: dict[str, list[bytes]], name: str) -> None:
    """503, and the backend has heard nothing but a ClientHello; nothing falls back to plain HTTP (reference 2.6, 2.7)."""
    lies[name].clear()
    status, body = stage.run(_ask(stage, f"/{list(SAID).index(name)}".encode()))
    assert status in (502, 503)
    assert b"hacked" not in body
    assert lies[name], "the backend was not asked"
    assert all(heard[:3] in (b"\x16\x03\x01", b"") for heard in lies[name]), lies[name]
    assert not any(b"HTTP/1" in heard for heard in lies[name])
    stage.run(stage.canary())
    assert stage.logged(2)[0]["reason"]


async def _ask(stage: Stage, target: bytes) -> tuple[int, bytes]:
    with await stage.connect_client() as client:
        await client.send([get(target=target)])
        answer = await client.answer()
        return answer.status, answer.body
