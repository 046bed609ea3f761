"""A controller's stream server on a loopback port, with a real authority and a fake cluster, and proxies that speak to it by hand."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from controller.publishers import Publishers
from controller.stream import DEFAULT_LIMITS, Limits
from gateway.ir.batch import Ack, AnyMessage, AnyResource, Batch, Subscribe, decode, encode
from gateway.ir.identification import AnyIdentification, Identify, Identity, decode_identification, encode_identification
from gateway.ir.listener import Gateway
from gateway.ir.value import Source
from gateway.subscribe import LINE_LIMIT
from mesh.authority import Authority
from mesh.link import Controller, Link
from mesh.roots import Root, make_root
from mesh.signing_request import KeyPair, client_context
from tidegate.stream import Identities, Stream

TRUST_DOMAIN = "cluster.local"
SOURCE = Source("Gateway", "shop", "web")


class Account(NamedTuple):
    namespace: str
    service_account: str
    pod_name: str = ""


def new_root(trust_domain: str = TRUST_DOMAIN, now: datetime | None = None) -> Root:
    key = ec.generate_private_key(ec.SECP256R1())
    return make_root(key, trust_domain, now or datetime.now(UTC), x509.random_serial_number())


def gateway(key: str, certificate: str | None = None) -> Gateway:
    return Gateway(key, SOURCE, certificate)


@dataclass
class Cluster:
    """What a real one would know: tokens, and which ServiceAccount is which Gateway's (here web-tidegate is web's)."""

    tokens: dict[str, Account] = field(default_factory=lambda: {"good": Account("shop", "web-tidegate")})
    broken: str = ""
    reviews: int = 0

    async def review(self, token: str) -> Account | str:
        self.reviews += 1
        if self.broken:
            raise OSError(self.broken)
        return self.tokens.get(token) or "the API server says 'invalid bearer token'"

    def scope_of(self, namespace: str, account: str) -> str | None:
        name, dash, class_name = account.rpartition("-")
        return f"{namespace}/{name}" if dash and class_name == "tidegate" else None


class Running:
    """A controller that is being served."""

    def __init__(self, cluster: Cluster, roots: Iterable[Root]) -> None:
        self.cluster = cluster
        self.authority = Authority(TRUST_DOMAIN, tuple(roots))
        self.problems: list[str] = []
        self.publishers = Publishers(self.problems.append)
        self.port = 0
        self.leader: str | None = ""
        """Where another replica leads."""

    @property
    def bundle(self) -> str:
        return self.authority.bundle(datetime.now(UTC))

    def publish(self, *resources: AnyResource) -> None:
        self.publishers.publish(resources, ())

    def issue(self, account: tuple[str, str], *, now: datetime | None = None) -> ssl.SSLContext:
        """A client context with an identity that the authority has issued, at a time that may be long ago."""
        keys = KeyPair()
        chain = self.authority.issue(keys.request(), account, now or datetime.now(UTC), x509.random_serial_number())
        context = client_context(self.bundle)
        keys.load_into(context, chain)
        return context

    def link(self, folder: Path, token: str = "good", proxy: str = "pod-1") -> Link:
        """As a Pod has it; the files are in the folder."""
        (folder / "ca.crt").write_text(self.bundle)
        (folder / "token").write_text(token + "\n")
        return Link(Controller(f"localhost:{self.port}", folder / "ca.crt", folder / "token"), proxy, "shop/web")

    async def dial(self, context: ssl.SSLContext | None = None, local: str = "127.0.0.1") -> Peer:
        """Without a context, as somebody who has no certificate yet."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            self.port,
            ssl=context or client_context(self.bundle),
            server_hostname="localhost",
            limit=LINE_LIMIT,
            local_addr=(local, 0),
        )
        return Peer(reader, writer)


class Peer:
    """The far end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *messages: AnyMessage | AnyIdentification) -> None:
        for message in messages:
            known = isinstance(message, AnyIdentification)
            self.writer.write(encode_identification(message) if known else encode(message))  # type: ignore[arg-type]

    async def answer(self) -> AnyIdentification:
        return decode_identification(await self.reader.readuntil(b"\n"))

    async def batch(self) -> Batch:
        """The next batch; questions before it are left unanswered."""
        while not isinstance(message := decode(await self.reader.readuntil(b"\n")), Batch):
            pass
        return message

    async def subscribed(self, scope: str, digest: str = "") -> Batch:
        """Subscribes and applies the first batch."""
        self.send(Subscribe("pod", scope, 7 if digest else 0, digest))
        batch = await self.batch()
        self.send(Ack(batch.revision))
        return batch

    async def ended(self) -> bool:
        """Waits for the end, whatever comes before it."""
        try:
            await self.reader.read()
        except OSError:
            pass
        return True

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


def question(token: str = "good", csr: str = "") -> Identify:
    return Identify("pod-1", token, csr or KeyPair().request())


def leaf_of(identity: AnyIdentification) -> x509.Certificate:
    assert isinstance(identity, Identity), identity
    return x509.load_pem_x509_certificate(identity.chain.encode())


@asynccontextmanager
async def controller(cluster: Cluster | None = None, roots: Iterable[Root] = (), limits: Limits = DEFAULT_LIMITS) -> AsyncIterator[Running]:
    """Serves until the block ends. Without roots it has one that has signed for long."""
    running = Running(cluster or Cluster(), roots or [new_root(now=datetime.now(UTC) - timedelta(days=30))])
    cluster = running.cluster
    identities = Identities(lambda: running.authority, cluster.review, cluster.scope_of, ("localhost",), lambda: running.leader)
    stream = Stream(running.publishers, identities, running.problems.append, limits)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        listening.setblocking(False)
        running.port = listening.getsockname()[1]
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(stream.serve(listening))
            try:
                yield running
            finally:
                serving.cancel()
