"""Directions of a TLS connection that end one by one, and clients that would make that costly or doubtful (RFC 8446 6.1)."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gateway.net import failures
from gateway.net.contexts import server_contexts
from gateway.net.tls_transport import MOST_OWED, TlsTransport, connect_tls
from tests.gateway.net.hellos import captured
from tests.gateway.net.serving import on_uvloop, output_of, serving, trusting, turns, until
from tests.gateway.net.test_openssl_transport import AUTHORITY, BLOCK, KINDS, RELAYED, TURNS, VERSIONS, Connected, Kind, Peer, Side

LARGE = BLOCK * 64


def announcing() -> Kind:
    """A listener whose clients never end without close_notify."""
    contexts = server_contexts([AUTHORITY.issue("app.test").resource()])
    context = contexts.choose(b"app.test")
    assert isinstance(context, ssl.SSLContext)
    context.announces_end = True
    return Kind({b"app.test": contexts}, relayed=True)


@KINDS
@VERSIONS
@on_uvloop
async def test_what_comes_after_our_end_is_still_read(newest: ssl.TLSVersion, kind: Kind) -> None:
    """write_eof is a close_notify, and large data that comes after it arrives whole, with its own end."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site, newest)
        assert side.transport.can_write_eof()
        side.transport.write(b"all I have")
        side.transport.write_eof()
        side.transport.write_eof()
        assert await peer.read_all() == b"all I have"
        await peer.write(LARGE)
        assert not side.ended.is_set()
        await peer.close_notify()
        await side.ended.wait()
        assert bytes(side.received) == LARGE
        await side.lost.wait()
        assert side.error is None
        peer.raw.close()


@KINDS
@VERSIONS
@on_uvloop
async def test_the_client_s_end_lets_us_go_on(newest: ssl.TLSVersion, kind: Kind) -> None:
    """Of TLS 1.2 too, where RFC 5246 7.2.1 would have everything unsent thrown away."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site, newest)
        side.stays_open = True
        await peer.write(b"question")
        await peer.close_notify()
        await side.ended.wait()
        assert side.received == b"question"
        side.transport.write(LARGE)
        side.transport.close()
        assert await peer.read_all() == LARGE
        await side.lost.wait()
        assert side.error is None
        assert not side.transport.get_extra_info("truncated")
        peer.raw.close()


@KINDS
@VERSIONS
@on_uvloop
async def test_our_end_loses_nothing_that_waits_to_be_read(newest: ssl.TLSVersion, kind: Kind) -> None:
    """OpenSSL throws away what it finds when it looks for the answer to a close_notify."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site, newest)
        wire = b""
        for letter in b"abc":
            peer.tls.write(bytes([letter]) * 10_000)
            wire += peer.outgoing.read()
        session = side.transport._session if not isinstance(side.transport, TlsTransport) else side.transport
        side.transport.pause_reading()
        session.data_received(wire[:25_000])  # as loops still deliver one read after a pause
        side.transport.write_eof()
        assert await peer.read_all() == b""
        session.data_received(wire[25_000:])
        assert not side.received
        side.transport.resume_reading()
        await peer.close_notify()
        await side.ended.wait()
        assert bytes(side.received) == b"a" * 10_000 + b"b" * 10_000 + b"c" * 10_000
        await side.lost.wait()
        assert side.error is None
        peer.raw.close()


@KINDS
@on_uvloop
async def test_an_end_that_waits_to_be_read_when_ours_goes_is_told_in_its_turn(kind: Kind) -> None:
    """Data, then the end, once the protocol reads on."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        session = side.transport._session if not isinstance(side.transport, TlsTransport) else side.transport
        side.transport.pause_reading()
        peer.tls.write(b"last words")
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.unwrap()
        session.data_received(peer.outgoing.read())
        side.transport.write_eof()
        await turns(TURNS)
        assert not side.ended.is_set()
        side.transport.resume_reading()
        await side.ended.wait()
        assert side.received == b"last words"
        await side.lost.wait()
        peer.raw.close()


@KINDS
@on_uvloop
async def test_what_follows_an_end_is_ignored(kind: Kind) -> None:
    """RFC 8446 6.1: data received after a closure alert; the protocol learns of the end once."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        side.stays_open = True
        await peer.close_notify()
        await side.ended.wait()
        side.ended.clear()
        await asyncio.get_running_loop().sock_sendall(peer.raw, b"\x17\x03\x03\x00\x20" + bytes(32))
        peer.raw.shutdown(socket.SHUT_WR)
        await turns(TURNS)
        assert not side.ended.is_set()
        assert not side.transport.get_extra_info("truncated")
        side.transport.write(b"still here")
        side.transport.close()
        assert await peer.read_all() == b"still here"
        await side.lost.wait()
        assert side.error is None
        peer.raw.close()


@KINDS
@on_uvloop
async def test_an_end_without_close_notify_is_one_that_can_be_told_from_others(kind: Kind) -> None:
    """As with Envoy, nginx and HAProxy: many clients just close."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        side.stays_open = True
        await peer.write(b"question")
        peer.raw.shutdown(socket.SHUT_WR)
        await side.ended.wait()
        assert side.received == b"question"
        assert side.transport.get_extra_info("truncated")
        side.transport.write(b"answer")
        side.transport.close()
        assert await peer.read_all() == b"answer"
        await side.lost.wait()
        assert side.error is None
        peer.raw.close()


@pytest.mark.parametrize("behind", [b"", b"\x17\x03\x03\x00\x20half a record"])
@on_uvloop
async def test_without_close_notify_a_connection_is_broken_where_ends_are_announced(behind: bytes) -> None:
    """What came before is delivered, and then comes an error instead of an end."""
    kind, connected = announcing(), Connected()
    async with serving(kind.listeners, make=connected.make, relayed=True) as site:
        side, peer = await connected.open(site)
        await peer.write(b"question")
        await asyncio.get_running_loop().sock_sendall(peer.raw, behind)
        peer.raw.shutdown(socket.SHUT_WR)
        await side.lost.wait()
        assert side.received == b"question"
        assert not side.ended.is_set()
        assert isinstance(side.error, ConnectionResetError)
        assert "without close_notify" in str(side.error)
        peer.raw.close()


@KINDS
@on_uvloop
async def test_nothing_is_written_after_our_end(kind: Kind) -> None:
    """As with any transport."""
    connected = Connected()
    async with serving(kind.listeners, make=connected.make, relayed=kind.relayed) as site:
        side, peer = await connected.open(site)
        side.transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            side.transport.write(b"more")
        side.transport.close()
        assert await peer.read_all() == b""
        await side.lost.wait()
        peer.raw.close()


@on_uvloop
async def test_the_transport_of_relays_is_a_transport_like_the_others() -> None:
    """Extra information, limits, and a protocol that can be exchanged."""
    connected = Connected()
    async with serving(RELAYED.listeners, make=connected.make, relayed=True) as site:
        side, peer = await connected.open(site)
        transport = side.transport
        assert transport.get_extra_info("peername") == peer.raw.getsockname()
        assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
        assert transport.get_extra_info("no such thing", "default") == "default"
        transport.set_write_buffer_limits(high=1000, low=10)
        assert transport.get_write_buffer_limits() == (10, 1000)
        transport.write(b"")
        transport.writelines([b"a", memoryview(b"b" * 40_000)])
        other = Side()
        other.transport = transport
        transport.set_protocol(other)
        assert transport.get_protocol() is other
        await peer.write(b"for the other")
        await peer.close_notify()
        await other.ended.wait()
        assert (bytes(side.received), bytes(other.received)) == (b"", b"for the other")
        assert await peer.read_all() == b"a" + b"b" * 40_000
        await other.lost.wait()
        peer.raw.close()


@on_uvloop
async def test_a_stalled_handshake_of_a_relay_ends_at_its_deadline() -> None:
    """The acceptor's sweep, as for any listener."""
    async with serving(RELAYED.listeners, relayed=True) as site:
        client = socket.create_connection(("127.0.0.1", site.port))
        client.setblocking(False)
        client.send(captured("app.test"))
        assert (await asyncio.get_running_loop().sock_recv(client, 65_536)).startswith(b"\x16\x03\x03")
        site.acceptor.sweep(asyncio.get_running_loop().time() + 10.1)
        assert (await site.failure()).reason == failures.TIMEOUT
        assert await asyncio.get_running_loop().sock_recv(client, 65_536) == b""
        client.close()


# the side of a client


@on_uvloop
async def test_a_server_that_is_not_trusted_gets_an_alert() -> None:
    """RFC 8446 4.4.2.4: it learns why nobody speaks to it."""
    async with serving(RELAYED.listeners, relayed=True) as site:
        context = trusting(AUTHORITY.certificate)
        made = TlsTransport(context, Side(), server_side=False, server_hostname="other.test", announces_end=False)
        site.listeners = {b"": RELAYED.listeners[b"app.test"]}
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect_tls(made, {"host": "127.0.0.1", "port": site.port}, 10.0)
        assert (await site.failure()).reason == failures.ALERTED


@on_uvloop
async def test_a_server_that_does_not_answer_fails_the_handshake_in_time() -> None:
    """The deadline of the handshake, with nothing left behind."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = TlsTransport(trusting(AUTHORITY.certificate), Side(), server_side=False, server_hostname="app.test", announces_end=False)
        with pytest.raises(ConnectionAbortedError, match=r"longer than 0\.05 s"):
            await connect_tls(made, {"host": "127.0.0.1", "port": silent.getsockname()[1]}, 0.05)
        assert made.is_closing()


# clients that mean harm


class Forger:
    """Writes the records of a TLS 1.3 client that no library would write (RFC 8446 5.2, 7.1, 7.2). Nothing may be sent but by it."""

    def __init__(self, peer: Peer, key_log: Path) -> None:
        self._peer = peer
        lines = [line.split() for line in key_log.read_text().splitlines()]
        [secret] = [bytes.fromhex(line[2]) for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0"]
        assert peer.tls.cipher()[0] == "TLS_AES_256_GCM_SHA384"  # type: ignore[index]  # the handshake is over
        self._use(secret)

    def _use(self, secret: bytes) -> None:
        self._secret, self._count = secret, 0
        self._key, self._iv = AESGCM(self._expand(b"key", 32)), int.from_bytes(self._expand(b"iv", 12))

    def _expand(self, label: bytes, length: int) -> bytes:
        info = struct.pack("!HB", length, 6 + len(label)) + b"tls13 " + label + b"\0"
        return HKDFExpand(SHA384(), length, info).derive(self._secret)

    def record(self, kind: int, content: bytes) -> bytes:
        header = b"\x17\x03\x03" + struct.pack("!H", len(content) + 17)
        sealed = self._key.encrypt((self._iv ^ self._count).to_bytes(12), content + bytes([kind]), header)
        self._count += 1
        return header + sealed

    def key_update(self) -> bytes:
        """update_requested: the server is to answer it (RFC 8446 4.6.3)."""
        record = self.record(22, b"\x18\0\0\1\1")
        self._use(self._expand(b"traffic upd", 48))
        return record


async def forging(connected: Connected, port: int, folder: Path) -> tuple[Side, Peer, Forger]:
    context = trusting(AUTHORITY.certificate)
    context.keylog_filename = str(folder / "keys")
    raw = socket.socket()
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    peer = Peer(raw, context)
    await peer.handshake()
    side = connected.sides[-1]
    await side.made.wait()
    return side, peer, Forger(peer, folder / "keys")


@on_uvloop
async def test_key_updates_are_answered_before_and_after_our_end(tmp_path: Path) -> None:
    """RFC 8446 4.6.3; the client reads our data with the keys that it asked for."""
    connected = Connected()
    async with serving(RELAYED.listeners, make=connected.make, relayed=True) as site:
        side, peer, forger = await forging(connected, site.port, tmp_path)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer.raw, forger.key_update() + forger.record(23, b"one"))
        await until(lambda: side.received == b"one")
        side.transport.write(b"answer")
        side.transport.write_eof()
        assert await peer.read_all() == b"answer"
        await loop.sock_sendall(peer.raw, forger.key_update() + forger.record(23, b"two") + forger.record(21, b"\1\0"))
        await side.ended.wait()
        assert side.received == b"onetwo"
        await side.lost.wait()
        assert side.error is None
        peer.raw.close()


@on_uvloop
async def test_endless_key_updates_of_a_client_that_never_reads_end_its_connection(tmp_path: Path) -> None:
    """Each is owed an answer; what may be owed is bounded."""
    connected = Connected()
    async with serving(RELAYED.listeners, make=connected.make, relayed=True) as site:
        side, peer, forger = await forging(connected, site.port, tmp_path)
        while not side.paused:
            side.transport.write(BLOCK)
        stuck = side.transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        for _ in range(MOST_OWED // 27 // 100 + 1):  # an answer is a record of 27 bytes
            assert not side.transport.is_closing()
            assert side.transport.get_write_buffer_size() == stuck
            seen = len(side.received)
            await loop.sock_sendall(peer.raw, b"".join(forger.key_update() + forger.record(23, b"!") for _ in range(100)))
            await until(lambda seen=seen: len(side.received) == seen + 100 or side.transport.is_closing())  # type: ignore[misc]
        await side.lost.wait()
        assert "key updates" in str(side.error)
        peer.raw.close()


@on_uvloop
async def test_endless_empty_records_end_the_connection(tmp_path: Path) -> None:
    """Records without data cost much and say nothing (RFC 8446 5.1 allows them)."""
    connected = Connected()
    async with serving(RELAYED.listeners, make=connected.make, relayed=True) as site:
        side, peer, forger = await forging(connected, site.port, tmp_path)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer.raw, forger.record(23, b"") + forger.record(23, b"fine"))
        await until(lambda: side.received == b"fine")
        await loop.sock_sendall(peer.raw, b"".join(forger.record(23, b"") for _ in range(100)))
        await side.lost.wait()
        assert isinstance(side.error, ssl.SSLError)
        peer.raw.close()


@on_uvloop
async def test_renegotiation_is_refused() -> None:
    """CVE-2009-3555, and the cost of renegotiations that a client asks for without end."""
    async with serving(RELAYED.listeners, relayed=True) as site:
        command = ("openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-servername", "app.test", "-tls1_2")
        _, output = await output_of(*command, stdin=b"R\n")
        assert "no renegotiation" in output
