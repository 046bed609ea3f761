"""What is known of the other end. TLS with client certificates is covered with those (test_client_certificates)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.net.peer import Peer, peer_of
from gateway.net.sockets import bind
from tests.gateway.net.serving import on_uvloop


class Transport(asyncio.BaseTransport):
    """One that knows its peer's name only."""

    def __init__(self, peername: object) -> None:
        self.peername = peername

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.peername if name == "peername" else default


@pytest.mark.parametrize(
    ("peername", "address", "port"),
    [
        pytest.param(("192.0.2.1", 4711), b"192.0.2.1", 4711, id="IPv4"),
        pytest.param(("2001:db8::1", 4711, 0, 0), b"2001:db8::1", 4711, id="IPv6"),
        pytest.param(("::ffff:192.0.2.1", 4711, 0, 0), b"192.0.2.1", 4711, id="IPv4 over an IPv6 socket"),
        pytest.param(("fe80::1%eth0", 4711, 0, 2), b"fe80::1", 4711, id="link-local"),
        pytest.param("", b"", 0, id="Unix socket"),
        pytest.param(None, b"", 0, id="gone before anyone asked"),
    ],
)
def test_the_address_is_what_forwarded_fields_carry(peername: object, address: bytes, port: int) -> None:
    """RFC 7239 6: an address without scope or mapping."""
    assert peer_of(Transport(peername)) == Peer(address, port)


@on_uvloop
async def test_a_plain_connection_has_an_address_and_nothing_else() -> None:
    """Over a real one, through a dual-stack socket."""
    peers: asyncio.Queue[Peer] = asyncio.Queue()

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            peers.put_nowait(peer_of(transport))
            transport.close()

    listening = bind("::", 0)
    server = await asyncio.get_running_loop().create_server(Noting, sock=listening)
    _, writer = await asyncio.open_connection("127.0.0.1", listening.getsockname()[1])
    peer = await peers.get()
    assert peer == Peer(b"127.0.0.1", writer.get_extra_info("sockname")[1])
    assert peer.scheme == b"http"
    writer.close()
    server.close()


def test_the_scheme_is_that_of_the_connection() -> None:
    """RFC 9110 4.2."""
    assert Peer(b"127.0.0.1", 1, b"TLSv1.3").scheme == b"https"
