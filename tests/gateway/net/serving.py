"""A TLS acceptor under uvloop on a free port of 127.0.0.1, with listeners that answer, and clients to speak to it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import uvloop

from gateway.net.accept import Seat
from gateway.net.acceptor import AcceptorOptions, Chosen, TlsAcceptor
from gateway.net.client_hello import ClientHello
from gateway.net.contexts import ServerContexts
from gateway.net.failures import Failure
from gateway.net.peer import Peer, peer_of
from gateway.net.sockets import bind

P = ParamSpec("P")


def on_uvloop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Runs the test's coroutine on a loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def scenario() -> None:
            await test(*args, **kwargs)

        uvloop.run(scenario())

    return run


class Reply(asyncio.Protocol):
    """Answers each request head with the listener's name, and closes when asked to."""

    def __init__(self, site: Site, listener: str, hello: ClientHello) -> None:
        self.site, self.listener, self.hello = site, listener, hello
        self.head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.site.peers.put_nowait(peer_of(transport, self.hello.server_name))

    def data_received(self, data: bytes) -> None:
        self.head += data
        while b"\r\n\r\n" in self.head:
            head, _, self.head = self.head.partition(b"\r\n\r\n")
            body = self.listener.encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            if b"connection: close" in head.lower():
                self.transport.close()


class Site:
    """An acceptor, and what has become of its connections."""

    def __init__(
        self, listeners: Mapping[bytes, ServerContexts], make: Callable[[Site, str, ClientHello], asyncio.Protocol], relayed: bool = False
    ) -> None:
        self.listeners, self.make, self.relayed = listeners, make, relayed
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.failed: asyncio.Queue[Failure] = asyncio.Queue()
        self.faults: list[dict[str, Any]] = []
        self.acceptor: TlsAcceptor[str]
        self.port = 0

    def choose(self, hello: ClientHello) -> Chosen[str] | None:
        """The listener of exactly that name, else the one for all."""
        name = hello.server_name if hello.server_name in self.listeners else b""
        contexts = self.listeners.get(name)
        return None if contexts is None else Chosen(name.decode() or "all", contexts, self.relayed)

    def connected(self, listener: str, hello: ClientHello, seat: Seat | None) -> asyncio.Protocol:
        return self.make(self, listener, hello)

    async def failure(self) -> Failure:
        """The next one."""
        return await self.failed.get()


@asynccontextmanager
async def serving(
    listeners: Mapping[bytes, ServerContexts],
    *,
    make: Callable[[Site, str, ClientHello], asyncio.Protocol] = Reply,
    handshake_timeout: float = 10.0,
    most_pending: int = 4096,
    relayed: bool = False,
) -> AsyncIterator[Site]:
    """Listeners by server name, b'' for all others. At the end nothing is pending and the loop saw no fault."""
    loop = asyncio.get_running_loop()
    site = Site(listeners, make, relayed)
    loop.set_exception_handler(lambda _, context: site.faults.append(context))
    listening = bind("127.0.0.1", 0)
    site.port = listening.getsockname()[1]
    options = AcceptorOptions(handshake_timeout=handshake_timeout, most_pending=most_pending, failed=site.failed.put_nowait)
    site.acceptor = TlsAcceptor(listening, loop, site.choose, site.connected, options)
    try:
        yield site
    finally:
        site.acceptor.abort()
    assert not site.faults


def trusting(
    authority: str, *, certificate: tuple[Path, Path] | None = None, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """A client's context: whom it trusts, the certificate it has, and the newest version it speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority)
    context.maximum_version = newest
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


class Client:
    """A blocking client's TLS connection; `exchange` and the constructor belong in a thread."""

    def __init__(self, port: int, context: ssl.SSLContext, server_name: str | None, session: ssl.SSLSession | None = None) -> None:
        raw = socket.create_connection(("127.0.0.1", port), timeout=20)
        try:
            self.tls = context.wrap_socket(raw, server_hostname=server_name, session=session)
        except BaseException:
            raw.close()
            raise

    def exchange(self) -> bytes:
        """The body of the answer to a request."""
        self.tls.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"\r\n\r\n" not in received:
            data = self.tls.recv(65_536)
            if not data:
                raise ConnectionResetError("closed without an answer")
            received += data
        return received.partition(b"\r\n\r\n")[2]

    def close(self) -> None:
        self.tls.close()


async def ask(port: int, context: ssl.SSLContext, server_name: str | None) -> bytes:
    """One request on a connection of its own."""

    def run() -> bytes:
        client = Client(port, context, server_name)
        try:
            return client.exchange()
        finally:
            client.close()

    return await asyncio.to_thread(run)


async def output_of(*command: str | Path, stdin: bytes = b"") -> tuple[int, str]:
    """Exit status, and both outputs of a program."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until the condition holds; for what changes without an event to wait for."""
    while not condition():  # noqa: ASYNC110  # see above
        await asyncio.sleep(0)


async def turns(count: int) -> None:
    """Lets the loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)


def reset(client: socket.socket) -> None:
    """Closes with a reset instead of an end of the stream."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
