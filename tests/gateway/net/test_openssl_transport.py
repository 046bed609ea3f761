"""The transports of listeners with AllowInsecureFallback, and of what is passed on: flow control, ends and errors, before Python's own ssl
as the client."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from gateway.net import failures
from gateway.net.client_hello import ClientHello
from gateway.net.contexts import ServerContexts, server_contexts
from gateway.net.openssl_transport import OpenSslTransport
from gateway.net.tls_transport import AT_ONCE, RECORD, TlsTransport
from tests.certificates import Authority
from tests.gateway.net.hellos import captured
from tests.gateway.net.serving import Site, ask, on_uvloop, open_descriptors, output_of, serving, trusting, turns

AUTHORITY = Authority()
LISTENERS = {b"app.test": server_contexts([AUTHORITY.issue("app.test").resource()], AUTHORITY.certificate, "AllowInsecureFallback")}


class Kind(NamedTuple):
    listeners: Mapping[bytes, ServerContexts]
    relayed: bool


FALLBACK = Kind(LISTENERS, relayed=False)
RELAYED = Kind({b"app.test": server_contexts([AUTHORITY.issue("app.test").resource()])}, relayed=True)
KINDS = pytest.mark.parametrize("kind", [FALLBACK, RELAYED], ids=["fallback", "relayed"])
BLOCK = bytes(range(256)) * 256
TURNS = 200
"""Turns of the loop after which nothing moves any more, if nothing is going to."""


class Side(asyncio.Protocol):
    """The server's side of a connection, which notes what happens and does nothing on its own."""

    def __init__(self) -> None:
        self.transport: OpenSslTransport | TlsTransport
        self.made, self.ended, self.lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.received = bytearray()
        self.error: Exception | None = None
        self.paused = False
        self.pauses = 0
        self.stays_open = False
        self.resumed: Callable[[], None] = lambda: None
        self.on_data: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, OpenSslTransport | TlsTransport)
        self.transport = transport
        self.made.set()

    def data_received(self, data: bytes) -> None:
        assert self.transport.is_reading()
        self.received += data
        self.on_data()

    def eof_received(self) -> bool:
        self.ended.set()
        return self.stays_open

    def pause_writing(self) -> None:
        assert not self.paused
        self.paused = True
        self.pauses += 1

    def resume_writing(self) -> None:
        assert self.paused
        self.paused = False
        self.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.lost.set()


class Peer:
    """The client's side, which reads and writes only when told to."""

    def __init__(self, raw: socket.socket, context: ssl.SSLContext) -> None:
        self.raw = raw
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="app.test")

    async def read_wire(self) -> bool:
        """Takes what comes, True unless it was the end of the stream."""
        data = await asyncio.get_running_loop().sock_recv(self.raw, 1 << 18)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return bool(data)

    async def flush(self) -> None:
        await asyncio.get_running_loop().sock_sendall(self.raw, self.outgoing.read())

    async def handshake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                await self.read_wire()
            else:
                await self.flush()
                return

    async def read(self, count: int) -> bytes:
        """Up to so many bytes; b'' at a close_notify."""
        while True:
            try:
                return self.tls.read(count)
            except ssl.SSLWantReadError:
                await self.read_wire()
            except ssl.SSLZeroReturnError:
                return b""

    async def read_all(self) -> bytes:
        received = b""
        while data := await self.read(1 << 16):
            received += data
        return received

    async def write(self, data: bytes) -> None:
        self.tls.write(data)
        await self.flush()

    async def write_until_stuck(self) -> int:
        """Writes blocks until neither the network nor the server takes more; how many bytes that were."""
        sent = still = 0
        wire = b""
        while still < TURNS:
            if not wire:
                self.tls.write(BLOCK)
                wire = self.outgoing.read()
                sent += len(BLOCK)
            try:
                wire = wire[self.raw.send(wire) :]
                still = 0
            except BlockingIOError:
                still += 1
            await asyncio.sleep(0)
        self.rest = wire
        return sent

    async def close_notify(self) -> None:
        with suppress(ssl.SSLWantReadError):  # which says that the server has not ended its direction yet
            self.tls.unwrap()
        await self.flush()


class Connected:
    """A connection with both its sides, and the site that serves it."""

    def __init__(self) -> None:
        self.sides: list[Side] = []

    def make(self, site: Site, listener: str, hello: ClientHello) -> Side:
        self.sides.append(Side())
        return self.sides[-1]

    async def open(self, site: Site, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> tuple[Side, Peer]:
        raw = socket.socket()
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", site.port))
        peer = Peer(raw, trusting(AUTHORITY.certificate, newest=newest))
        await peer.handshake()
        side = self.sides[-1]
        await side.made.wait()
        return side, peer


VERSIONS = pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)


@VERSIONS
@KINDS
@on_uvloop
async def test_a_large_download_waits_for_a_slow_reader(newest: ssl.TLSVersion, kind: Kind) -> None:
    """pause_writing comes at the high-water mark: what is buffered stays within it and one block."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site, newest)
        left, highest = 400, 0

        def produce() -> None:
            nonlocal left, highest
            while left and not side.paused:
                side.transport.write(BLOCK)
                left -= 1
                highest = max(highest, side.transport.get_write_buffer_size())
            if not left:
                side.transport.close()

        side.resumed = produce
        produce()
        await turns(TURNS)
        assert left > 200
        assert side.paused
        digest, length = hashlib.sha256(), 0
        while data := await peer.read(1 << 16):
            digest.update(data)
            length += len(data)
        assert length == 400 * len(BLOCK)
        assert digest.digest() == hashlib.sha256(BLOCK * 400).digest()
        assert side.pauses > 1
        assert highest <= side.transport.get_write_buffer_limits()[1] + len(BLOCK) + 8192
        await side.lost.wait()
        assert side.error is None
        peer.raw.close()


@VERSIONS
@KINDS
@on_uvloop
async def test_a_large_upload_waits_for_a_slow_protocol(newest: ssl.TLSVersion, kind: Kind) -> None:
    """After pause_reading nothing is delivered, and what is held is bounded by what the kernels hold and one read."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site, newest)
        side.transport.pause_reading()
        assert not side.transport.is_reading()
        sent = await peer.write_until_stuck()
        assert sent < 16 << 20
        assert not side.received
        blocks = sent // len(BLOCK)
        side.transport.resume_reading()
        await asyncio.get_running_loop().sock_sendall(peer.raw, peer.rest)
        for _ in range(100):
            await peer.write(BLOCK)
        await peer.close_notify()
        await side.ended.wait()
        assert bytes(side.received) == BLOCK * (blocks + 100)
        await side.lost.wait()
        peer.raw.close()


@KINDS
@on_uvloop
async def test_pausing_after_each_piece_loses_and_reorders_nothing(kind: Kind) -> None:
    """A protocol that takes one record at a time, with more of them waiting decrypted or not."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        loop = asyncio.get_running_loop()
        calls = 0

        def hesitate() -> None:
            nonlocal calls
            calls += 1
            side.transport.pause_reading()
            loop.call_soon(side.transport.resume_reading)

        side.on_data = hesitate
        for _ in range(20):
            await peer.write(BLOCK)
        await peer.close_notify()
        await side.ended.wait()
        assert bytes(side.received) == BLOCK * 20
        assert calls >= 20 * len(BLOCK) // (AT_ONCE * RECORD)
        await side.lost.wait()
        peer.raw.close()


@pytest.mark.parametrize("way", ["close_notify", "end of the stream"])
@KINDS
@on_uvloop
async def test_an_end_that_meets_a_pause_comes_after_the_data(way: str, kind: Kind) -> None:
    """Nothing is cut off because the client was quick to leave."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        side.transport.pause_reading()
        await peer.write(BLOCK)
        if way == "close_notify":
            await peer.close_notify()
        else:
            peer.raw.shutdown(socket.SHUT_WR)
        await turns(TURNS)
        assert not side.received
        assert not side.ended.is_set()
        side.transport.resume_reading()
        await side.ended.wait()
        assert bytes(side.received) == BLOCK
        await side.lost.wait()
        assert side.error is None
        peer.raw.close()


@KINDS
@on_uvloop
async def test_our_close_sends_everything_and_then_close_notify(kind: Kind) -> None:
    """RFC 8446 6.1: the client can tell the end from a truncation."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        side.transport.writelines([b"a" * 300_000, memoryview(b"b" * 300_000), bytearray(b"c")])
        side.transport.close()
        side.transport.close()
        assert side.transport.is_closing()
        assert not side.transport.is_reading()
        side.transport.write(b"too late")
        side.transport.pause_reading()
        side.transport.resume_reading()
        assert await peer.read_all() == b"a" * 300_000 + b"b" * 300_000 + b"c"
        await side.lost.wait()
        assert side.error is None
        assert not side.ended.is_set()
        peer.raw.close()


@KINDS
@on_uvloop
async def test_a_protocol_may_go_on_writing_after_the_client_has_ended(kind: Kind) -> None:
    """RFC 8446 6.1: close_notify ends one direction; eof_received decides about the other, as in any transport."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        side.stays_open = True
        await peer.close_notify()
        await side.ended.wait()
        side.transport.write(b"still here")
        side.transport.close()
        assert await peer.read_all() == b"still here"
        await side.lost.wait()
        peer.raw.close()


@KINDS
@on_uvloop
async def test_an_abort_drops_what_is_unsent(kind: Kind) -> None:
    """And the protocol learns of the end."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        side.transport.write(BLOCK * 200)
        side.transport.abort()
        await side.lost.wait()
        assert side.error is None
        received = 0
        try:
            while data := await asyncio.get_running_loop().sock_recv(peer.raw, 1 << 18):
                received += len(data)
        except ConnectionResetError:
            pass
        assert received < 200 * len(BLOCK)
        peer.raw.close()


@KINDS
@on_uvloop
async def test_a_broken_record_ends_the_connection_with_an_alert(kind: Kind) -> None:
    """RFC 8446 5.2: bad_record_mac; the protocol gets the error."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        await asyncio.get_running_loop().sock_sendall(peer.raw, b"\x17\x03\x03\x00\x20" + bytes(32))
        await side.lost.wait()
        assert isinstance(side.error, ssl.SSLError)
        assert side.error.reason == "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
        with pytest.raises(ssl.SSLError, match="bad record mac"):
            await peer.read_all()
        peer.raw.close()


@KINDS
@on_uvloop
async def test_a_reset_reaches_the_protocol(kind: Kind) -> None:
    """connection_lost with the error of the connection."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        peer.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        peer.raw.close()
        await side.lost.wait()
        assert isinstance(side.error, ConnectionResetError)


@on_uvloop
async def test_it_is_a_transport_like_the_others() -> None:
    """Extra information, limits, and a protocol that can be exchanged."""
    connected = Connected()
    async with serving(LISTENERS, make=connected.make) as site:
        side, peer = await connected.open(site)
        transport = side.transport
        assert transport.get_extra_info("peername") == peer.raw.getsockname()
        assert transport.get_extra_info("sockname") == peer.raw.getpeername()
        assert transport.get_extra_info("tls_version") == b"TLSv1.3"
        assert transport.get_extra_info("cipher").startswith("TLS_")
        assert transport.get_extra_info("verified") is False
        assert transport.get_extra_info("peer_certificate", "default") is None
        assert transport.get_extra_info("no such thing", "default") == "default"
        transport.set_write_buffer_limits(high=1000, low=10)
        assert transport.get_write_buffer_limits() == (10, 1000)
        assert transport.get_write_buffer_size() == 0
        assert transport.can_write_eof()
        other = Side()
        transport.set_protocol(other)
        assert transport.get_protocol() is other
        transport.write(b"")
        await peer.write(b"for the other")
        other.transport = transport
        await peer.close_notify()
        await other.ended.wait()
        assert (bytes(side.received), bytes(other.received)) == (b"", b"for the other")
        await other.lost.wait()
        assert not side.lost.is_set()
        peer.raw.close()


@on_uvloop
async def test_writing_in_connection_made_over_the_mark_pauses() -> None:
    """The protocol is told even if it writes before it has returned for the first time."""

    class Eager(Side):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            while not self.paused:
                self.transport.write(BLOCK * 16)
            self.transport.close()

    sides: list[Eager] = []

    def make(*_: Any) -> Eager:
        sides.append(Eager())
        return sides[-1]

    async with serving(LISTENERS, make=make) as site:
        raw = socket.create_connection(("127.0.0.1", site.port))
        raw.setblocking(False)
        peer = Peer(raw, trusting(AUTHORITY.certificate))
        await peer.handshake()
        received = await peer.read_all()
        assert received
        assert received == BLOCK * (len(received) // len(BLOCK))
        await sides[0].lost.wait()
        raw.close()


@on_uvloop
async def test_a_stalled_handshake_ends_at_its_deadline() -> None:
    """The acceptor's sweep, as for any listener."""
    async with serving(LISTENERS) as site:
        client = socket.create_connection(("127.0.0.1", site.port))
        client.setblocking(False)
        client.send(captured("app.test"))
        assert (await asyncio.get_running_loop().sock_recv(client, 65_536)).startswith(b"\x16\x03\x03")
        site.acceptor.sweep(asyncio.get_running_loop().time() + 10.1)
        assert (await site.failure()).reason == failures.TIMEOUT
        assert await asyncio.get_running_loop().sock_recv(client, 65_536) == b""
        client.close()


@pytest.mark.parametrize(
    ("arguments", "number"), [(("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), 70), (("-tls1_2", "-cipher", "AES128-SHA"), 40)]
)
@on_uvloop
async def test_a_client_without_a_common_version_gets_the_alert(arguments: tuple[str, ...], number: int) -> None:
    """protocol_version and handshake_failure, and the same reasons are counted as elsewhere."""
    async with serving(LISTENERS) as site:
        command = ("openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-servername", "app.test", *arguments)
        _, output = await output_of(*command)
        assert f"alert number {number}" in output
        assert (await site.failure()).reason == failures.NO_COMMON_VERSION


@on_uvloop
async def test_a_client_that_does_not_trust_us_is_counted_as_such() -> None:
    """Its alert ends the handshake."""
    async with serving(LISTENERS) as site:
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(site.port, trusting(Authority("Other").certificate), "app.test")
        assert (await site.failure()).reason == failures.ALERTED


@on_uvloop
async def test_failed_handshakes_leave_no_descriptor_open() -> None:
    """Closed by the client in the middle, or sent nonsense."""
    loop = asyncio.get_running_loop()
    async with serving(LISTENERS) as site:
        before = 0
        for turn in range(100):
            client = socket.create_connection(("127.0.0.1", site.port))
            client.setblocking(False)
            client.send(captured("app.test"))
            await loop.sock_recv(client, 65_536)
            if turn % 2:
                client.send(b"\x17\x03\x03\x00\x20" + bytes(32))
            client.close()
            await site.failure()
            before = before or open_descriptors()
        assert open_descriptors() == before
        assert site.acceptor.pending == 0
