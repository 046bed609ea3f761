"""Accepting TLS: the ClientHello as it arrives, the choice by it, deadlines, refusals. Clients are raw sockets and Python's ssl."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import nullcontext
from dataclasses import replace

import pytest

from gateway.net import failures
from gateway.net.accept import Seat
from gateway.net.acceptor import Chosen
from gateway.net.client_hello import ClientHello
from gateway.net.contexts import server_contexts
from gateway.net.proxy_protocol import Ends
from gateway.net.sockets import Address
from tests.certificates import Authority
from tests.gateway.net.hellos import captured, extension, message, records, server_name
from tests.gateway.net.serving import Client, Site, ask, on_uvloop, open_descriptors, reset, serving, trusting, turns, until

AUTHORITY = Authority()
APP = server_contexts([AUTHORITY.issue("app.test").resource("default/app")])
SHOP = server_contexts([AUTHORITY.issue("shop.test").resource("default/shop")])
LISTENERS = {b"app.test": APP, b"shop.test": SHOP}
HELLO = captured("app.test")


async def connect(site: Site) -> socket.socket:
    """A raw client that the acceptor has accepted."""
    client = socket.socket()
    client.setblocking(False)
    before = site.acceptor.pending
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", site.port))
    await until(lambda: site.acceptor.pending != before)
    return client


async def receive(client: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(client, 65_536)


async def seen(site: Site, bytes_peeked: int) -> None:
    """Until the acceptor has looked at so many bytes of its only pending connection."""
    (pending,) = site.acceptor._pending
    await until(lambda: pending.seen >= bytes_peeked)


@on_uvloop
async def test_the_listener_is_chosen_by_the_server_name() -> None:
    """RFC 6066 3: each listener shows its own certificate, and its own protocol serves."""
    async with serving(LISTENERS) as site:
        trust = trusting(AUTHORITY.certificate)
        assert await ask(site.port, trust, "app.test") == b"app.test"
        assert await ask(site.port, trust, "shop.test") == b"shop.test"
        peers = [await site.peers.get() for _ in range(2)]
        assert [peer.server_name for peer in peers] == [b"app.test", b"shop.test"]
        assert {(peer.address, peer.tls_version, peer.certificate) for peer in peers} == {(b"127.0.0.1", b"TLSv1.3", None)}
        assert site.acceptor.handshakes == 2
        assert site.acceptor.pending == 0
        assert not any(site.acceptor.failures.values())


class Chair:
    """A seat that counts how often it was left."""

    def __init__(self) -> None:
        self.left = 0
        self.ends: Ends | None = None

    def leave(self) -> None:
        self.left += 1


@on_uvloop
async def test_whoever_gets_no_seat_is_closed_at_once() -> None:
    """Before anything is made or read (ListenerPolicy.limits)."""
    async with serving(LISTENERS) as site:
        site.acceptor.options = replace(site.acceptor.options, admit=lambda address: None)
        client = socket.create_connection(("127.0.0.1", site.port))
        client.setblocking(False)
        assert await receive(client) == b""
        client.close()
        assert (site.acceptor.pending, site.acceptor.handshakes) == (0, 0)


@on_uvloop
async def test_a_failed_handshake_leaves_its_seat_and_another_passes_it_on() -> None:
    """The protocol has it from then on."""
    chairs: list[Chair] = []
    handed: list[Seat | None] = []

    def admit(address: Address) -> Chair:
        chairs.append(Chair())
        return chairs[-1]

    async with serving(LISTENERS) as site:
        site.acceptor.options = replace(site.acceptor.options, admit=admit)
        connected = site.acceptor._connected

        def note(listener: str, hello: ClientHello, seat: Seat | None) -> asyncio.Protocol:
            handed.append(seat)
            return connected(listener, hello, seat)

        site.acceptor._connected = note
        assert await ask(site.port, trusting(AUTHORITY.certificate), "app.test") == b"app.test"
        for data in (b"", HELLO[:100], b"GET / HTTP/1.1\r\n\r\n", HELLO):
            client = await connect(site)
            client.send(data)
            client.close()
            await site.failure()
        await until(lambda: site.acceptor.pending == 0)
        assert handed == [chairs[0], chairs[-1]]
        assert [chair.left for chair in chairs] == [0, 1, 1, 1, 1]


@on_uvloop
async def test_a_client_without_a_server_name_gets_the_listener_for_all() -> None:
    """A client that connects by address sends no name."""
    async with serving({b"": APP}) as site:
        trust = trusting(AUTHORITY.certificate)
        trust.check_hostname = False
        assert await ask(site.port, trust, None) == b"all"
        assert (await site.peers.get()).server_name == b""


@pytest.mark.parametrize("name", ["other.test", None])
@on_uvloop
async def test_an_unknown_name_or_none_gets_an_alert(name: str | None) -> None:
    """RFC 6066 3: unrecognized_name (112), fatal, and never another tenant's certificate."""
    async with serving(LISTENERS) as site:
        client = await connect(site)
        client.send(captured(name))
        assert await receive(client) == b"\x15\x03\x03\x00\x02\x02\x70"
        assert await receive(client) == b""
        failure = await site.failure()
        assert (failure.reason, failure.server_name) == (failures.UNRECOGNIZED_NAME, (name or "").encode())
        assert (failure.address, failure.port) == client.getsockname()
        assert failure.detail == ("no listener for server name 'other.test'" if name else "no listener without a server name")
        client.close()


@on_uvloop
async def test_a_client_that_offers_only_other_protocols_gets_an_alert() -> None:
    """RFC 7301 3.2: no_application_protocol (120)."""
    async with serving(LISTENERS) as site:
        client = await connect(site)
        client.send(captured("app.test", ["h3"]))
        assert await receive(client) == b"\x15\x03\x03\x00\x02\x02\x78"
        assert (await site.failure()).reason == failures.NO_APPLICATION_PROTOCOL
        client.close()


@on_uvloop
async def test_the_protocol_of_both_is_negotiated() -> None:
    """RFC 7301 3.2: of those that the client offers, one that is spoken here."""
    async with serving(LISTENERS) as site:
        trust = trusting(AUTHORITY.certificate)
        trust.set_alpn_protocols(["h3", "h2", "http/1.1"])
        client = await asyncio.to_thread(Client, site.port, trust, "app.test")
        assert client.tls.selected_alpn_protocol() == "h2"
        client.close()


@on_uvloop
async def test_a_hello_may_arrive_byte_by_byte() -> None:
    """TCP keeps no boundaries; each byte is a segment here."""
    async with serving(LISTENERS) as site:
        client = await connect(site)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in HELLO:
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await receive(client)).startswith(b"\x16\x03\x03")
        client.close()
        assert (await site.failure()).reason == failures.CLOSED


@on_uvloop
async def test_a_call_for_bytes_that_were_seen_is_not_the_end() -> None:
    """A kernel that is short of memory for sockets calls below the mark that it was given (tcp_rmem_pressure); and the client is there."""
    async with serving(LISTENERS) as site:
        client = await connect(site)
        client.send(HELLO[:100])
        await seen(site, 100)
        (pending,) = site.acceptor._pending
        site.acceptor._peek(pending)
        client.send(HELLO[100:])
        assert (await receive(client)).startswith(b"\x16\x03\x03")
        client.close()
        assert (await site.failure()).reason == failures.CLOSED


@on_uvloop
async def test_a_handshake_succeeds_after_a_hello_in_pieces() -> None:
    """Peeking takes nothing: the TLS library reads the hello from its start, and every later record as well."""
    async with serving(LISTENERS) as site:
        client = await connect(site)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting(AUTHORITY.certificate).wrap_bio(incoming, outgoing, server_hostname="app.test")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = records(outgoing.read()[5:], [1, 2, 3, 100])
        for start in range(0, len(hello), 37):
            client.send(hello[start : start + 37])
            await asyncio.sleep(0)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(await receive(client))
        tls.write(b"GET / HTTP/1.1\r\n\r\n")
        client.send(outgoing.read())
        answer = b""
        while not answer.endswith(b"app.test"):
            incoming.write(await receive(client))
            try:
                answer += tls.read()
            except ssl.SSLWantReadError:
                continue
        client.close()


@on_uvloop
async def test_a_hello_of_16_kib_in_many_records_is_served() -> None:
    """The limit is the reader's, and buffers on the way hold as much."""
    fixed = len(message(server_name((0, b"app.test")) + extension(21, b"")))
    wire = records(message(server_name((0, b"app.test")) + extension(21, bytes(16_384 - fixed))), [250] * 60)
    asked: list[ClientHello] = []
    async with serving({}) as site:
        site.acceptor._choose = asked.append
        client = await connect(site)
        await asyncio.get_running_loop().sock_sendall(client, wire)
        assert await receive(client) == b"\x15\x03\x03\x00\x02\x02\x70"
        assert asked == [ClientHello(b"app.test", ())]
        client.close()


@on_uvloop
async def test_an_incomplete_hello_does_not_wake_the_loop_again_and_again() -> None:
    """Bytes that were peeked at stay in the socket: a level-triggered loop would call for them without end."""
    async with serving(LISTENERS) as site:
        looks = 0
        peek = site.acceptor._peek

        def counting(pending: object) -> None:
            nonlocal looks
            looks += 1
            peek(pending)  # type: ignore[arg-type]  # what the acceptor hands over

        site.acceptor._peek = counting  # type: ignore[method-assign]  # to see how often it is called
        client = await connect(site)
        client.send(HELLO[:100])
        await seen(site, 100)
        before = looks
        await turns(200)
        assert looks <= before + 1  # a kernel that is short of memory calls once more, and is then left alone for a while
        client.send(HELLO[100:])
        assert (await receive(client)).startswith(b"\x16\x03\x03")
        client.close()


@pytest.mark.parametrize("sent", [0, 1, 5, 100])
@on_uvloop
async def test_a_slow_hello_ends_at_its_deadline(sent: int) -> None:
    """Slowloris on TLS: ten seconds from accept, whatever trickles in meanwhile."""
    async with serving(LISTENERS) as site:
        client = await connect(site)
        if sent:
            client.send(HELLO[:sent])
            await seen(site, sent)
        now = asyncio.get_running_loop().time()
        site.acceptor.sweep(now + 9.9)
        assert site.acceptor.pending == 1
        site.acceptor.sweep(now + 10.1)
        assert site.acceptor.pending == 0
        assert (await site.failure()).reason == failures.TIMEOUT
        with pytest.raises(ConnectionResetError) if sent else nullcontext():
            assert await receive(client) == b""
        client.close()


@on_uvloop
async def test_a_stalled_handshake_ends_at_the_same_deadline() -> None:
    """Hello and handshake share the time."""
    async with serving(LISTENERS) as site:
        client = await connect(site)
        client.send(HELLO)
        assert (await receive(client)).startswith(b"\x16\x03\x03")
        now = asyncio.get_running_loop().time()
        site.acceptor.sweep(now + 9.9)
        assert site.acceptor.pending == 1
        site.acceptor.sweep(now + 10.1)
        assert site.acceptor.pending == 0
        assert (await site.failure()).reason == failures.TIMEOUT
        assert await receive(client) == b""
        client.close()


@on_uvloop
async def test_the_timer_keeps_the_deadline() -> None:
    """One timer for all that is pending."""
    async with serving(LISTENERS, handshake_timeout=0.02) as site:
        clients = [await connect(site), await connect(site)]
        for _ in clients:
            assert (await site.failure()).reason == failures.TIMEOUT
        for client in clients:
            client.close()


@on_uvloop
async def test_a_client_that_leaves_is_counted_and_nothing_more() -> None:
    """By an end of its stream or a reset, before, in the middle of and after its hello."""
    async with serving(LISTENERS) as site:
        for sent in (0, 50, len(HELLO)):
            for leave in (socket.socket.close, reset):
                client = await connect(site)
                client.send(HELLO[:sent])
                if 0 < sent < len(HELLO):
                    await seen(site, sent)
                leave(client)
                assert (await site.failure()).reason == failures.CLOSED
        assert site.acceptor.failures[failures.CLOSED] == 6
        assert site.acceptor.pending == 0


@pytest.mark.parametrize("request_", [b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", b"G", b"POST /upload HTTP/1.1\r\n\r\n" + bytes(200_000)])
@on_uvloop
async def test_plain_http_is_told_so_in_plain_http(request_: bytes) -> None:
    """A URL with http: instead of https: is the most common mistake; the answer is read even if the request was long."""
    async with serving(LISTENERS) as site:
        client = await connect(site)
        sending = asyncio.get_running_loop().create_task(asyncio.get_running_loop().sock_sendall(client, request_))
        answer = b""
        while data := await receive(client):
            answer += data
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(b"This port speaks HTTPS, and the request was sent in plain HTTP.\n")
        await sending
        client.close()
        assert (await site.failure()).reason == failures.PLAIN_HTTP
        await until(lambda: not site.acceptor.pending)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        pytest.param(b"\0\0\0\0garbage", b"", id="not TLS"),
        pytest.param(b"SSH-2.0-client\r\n", b"", id="SSH"),
        pytest.param(records(message(trailing=b"x")), b"\x15\x03\x03\x00\x02\x02\x32", id="malformed hello"),
    ],
)
@on_uvloop
async def test_what_is_neither_tls_nor_http_is_closed(sent: bytes, answer: bytes) -> None:
    """A malformed hello gets decode_error (50, RFC 8446 6.2), others nothing they could not read."""
    async with serving(LISTENERS) as site:
        client = await connect(site)
        client.send(sent)
        received = b""
        while data := await receive(client):
            received += data
        assert received == answer
        assert (await site.failure()).reason == failures.NOT_TLS
        client.close()


@on_uvloop
async def test_a_refused_client_that_stays_is_dropped_at_its_deadline_and_counted_once() -> None:
    """Waiting for it to read the answer has an end, and so has what it may still send."""
    async with serving(LISTENERS) as site:
        idle, flooding = await connect(site), await connect(site)
        idle.send(b"GET / HTTP/1.1\r\n\r\n")
        flooding.send(b"GET / HTTP/1.1\r\n\r\n")
        for client in (idle, flooding):
            assert (await receive(client)).startswith(b"HTTP/1.1 400")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await asyncio.get_running_loop().sock_sendall(flooding, bytes(16 << 20))
        assert site.acceptor.pending == 1
        site.acceptor.sweep(asyncio.get_running_loop().time() + 11)
        assert site.acceptor.pending == 0
        assert site.acceptor.failures[failures.PLAIN_HTTP] == 2
        assert sum(site.acceptor.failures.values()) == 2
        idle.close()
        flooding.close()


@on_uvloop
async def test_too_many_pending_connections_drop_the_oldest() -> None:
    """Whoever opens connections and says nothing loses them, not the client that comes next."""
    async with serving(LISTENERS, most_pending=3) as site:
        silent = [await connect(site) for _ in range(3)]
        assert await ask(site.port, trusting(AUTHORITY.certificate), "app.test") == b"app.test"
        assert (await site.failure()).reason == failures.OVERLOAD
        assert await receive(silent[0]) == b""
        assert site.acceptor.pending == 2
        for client in silent:
            client.close()


@on_uvloop
async def test_closing_serves_who_waits_in_the_queue() -> None:
    """A drain resets nobody who was connected when it began."""
    loop = asyncio.get_running_loop()
    async with serving(LISTENERS) as site:
        loop.remove_reader(site.acceptor._acceptor._listening)
        clients = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(100)]
        assert site.acceptor.pending == 0
        site.acceptor.close()
        assert site.acceptor.pending == 100
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", site.port))
        for client in clients[:-1]:
            client.close()
        trust = trusting(AUTHORITY.certificate)

        def finish() -> str | None:
            with trust.wrap_socket(clients[-1], server_hostname="app.test") as tls:
                return tls.version()

        assert await asyncio.to_thread(finish) == "TLSv1.3"
        await until(lambda: not site.acceptor.pending)
        assert site.acceptor.handshakes == 1
        assert site.acceptor.failures[failures.CLOSED] == 99


@on_uvloop
async def test_aborting_ends_what_is_pending() -> None:
    """When the time to drain is over."""
    async with serving(LISTENERS) as site:
        silent, stalled = await connect(site), await connect(site)
        stalled.send(HELLO)
        assert await receive(stalled)
        site.acceptor.abort()
        site.acceptor.abort()
        assert site.acceptor.pending == 0
        for client in (silent, stalled):
            assert await receive(client) == b""
            assert (await site.failure()).reason == failures.ABORTED
            client.close()


@on_uvloop
async def test_five_hundred_failed_handshakes_leave_nothing_behind() -> None:
    """No descriptor, no task, no pending connection, whatever way they failed."""
    async with serving(LISTENERS) as site:
        ways = (HELLO, HELLO[:50], captured("other.test"), b"GET / HTTP/1.1\r\n\r\n", captured("app.test", newest=ssl.TLSVersion.TLSv1_2))
        await fail(site, ways[0])
        before = open_descriptors()
        for turn in range(500):
            await fail(site, ways[turn % len(ways)])
        await until(lambda: not site.acceptor.pending)
        assert sum(site.acceptor.failures.values()) == 501
        await until(lambda: not site.acceptor._tasks)
        assert open_descriptors() == before


async def fail(site: Site, sent: bytes) -> None:
    client = await connect(site)
    client.send(sent)
    client.close()
    await site.failure()


@on_uvloop
async def test_a_fault_of_ours_is_counted_and_shown_and_harms_one_connection() -> None:
    """A protocol that cannot be made, a choice that raises."""
    async with serving(LISTENERS) as site:

        def broken(listener: str, hello: ClientHello, seat: Seat | None) -> asyncio.Protocol:
            raise LookupError("no such listener")

        works, site.acceptor._connected = site.acceptor._connected, broken
        client = await connect(site)
        client.send(HELLO)
        assert (await site.failure()).detail == "LookupError('no such listener')"
        with pytest.raises(ConnectionResetError):
            await receive(client)
        client.close()
        assert isinstance(site.faults.pop()["exception"], LookupError)
        site.acceptor._connected = works

        def lost(hello: ClientHello) -> None:
            raise LookupError("no table")

        works_too, site.acceptor._choose = site.acceptor._choose, lost
        client = await connect(site)
        client.send(HELLO)
        failure = await site.failure()
        assert (failure.reason, failure.detail, failure.server_name) == (failures.OTHER, "LookupError('no table')", b"app.test")
        assert isinstance(site.faults.pop()["exception"], LookupError)
        assert site.acceptor.pending == 0
        client.close()
        site.acceptor._choose = works_too
        assert await ask(site.port, trusting(AUTHORITY.certificate), "app.test") == b"app.test"


@on_uvloop
async def test_the_listener_may_change_between_two_connections() -> None:
    """`choose` is asked anew for each ClientHello."""
    async with serving({}) as site:
        trust = trusting(AUTHORITY.certificate)
        for name in ("first", "second"):
            site.acceptor._choose = lambda hello, name=name: Chosen(name, APP)  # type: ignore[misc]  # the loop's name is bound
            assert await ask(site.port, trust, "app.test") == name.encode()
