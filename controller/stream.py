"""The configuration stream for proxies in a cluster, over TLS (port 15010): who connects, what they may say, whose configuration they get.

A connection without a client certificate may ask for an identity, once and briefly. One with a certificate gets the
configuration of the Gateway that its identity belongs to, or that of the sidecars of its namespace, until the certificate ends. Whoever
does otherwise is told why and cut off. Connections count from the moment they are accepted.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from controller.crowd import Crowd, Seldom
from controller.heartbeats import Heartbeats
from controller.publishers import Publishers
from controller.stream_connection import StreamConnection
from gateway.ir.batch import Subscribe, decode
from gateway.ir.identification import Elsewhere, Identify, Identity, Refused, decode_identification, encode_identification
from gateway.ir.workload import called, mesh_namespace

_PAUSE: Final = 0.1
"""Seconds before the next try where a connection could not be accepted, for want of descriptors for example."""


_RULE: Final = "a connection begins with Identify if it has no client certificate, and with Subscribe if it has one"


class Caller(NamedTuple):
    """Who is at the other end."""

    name: str
    """The identity, for messages."""
    scope: str | None
    """The Gateway whose configuration it may read; None if it belongs to none that is known now."""
    mesh: str
    """The scope of its namespace's sidecars, which it may read if there is a mesh."""
    ends_at: float
    """Seconds since 1970 at which its certificate ends."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What the composition hands in: how identities are given out and judged."""

    context: Callable[[], ssl.SSLContext]
    """For a new connection; asks for a client certificate and takes none (CERT_OPTIONAL)."""
    identify: Callable[[Identify], Awaitable[Identity | Refused]]
    caller: Callable[[bytes], Caller]
    """Of a certificate (DER) whose chain is verified. Raises ValueError with the reason for one that is nobody's identity."""
    elsewhere: Callable[[], str | None] = lambda: ""
    """Where the replica is that leads (HOST:PORT), which subscribers go to if they can; '' if it is this one, or none is known; None if
    this one is out of touch with the cluster: subscribers that have another to go to should."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections, in all and from one address; those that are `unknown` have not been let in yet. Times in seconds."""

    connections: int = 10_000
    connections_per_address: int = 256
    unknown: int = 512
    unknown_per_address: int = 32
    deadline: float = 10.0
    """For the handshake, and again for the first message."""
    patience: float = 20.0
    """How long a proxy waits here for its Gateway to become known."""
    visit: float = 60.0
    """How long a replica that does not lead serves somebody before it sends them to the leader again."""


DEFAULT_LIMITS: Final = Limits()


class StreamServer:
    """Owner of the connections. `problem` is told of whoever is turned away."""

    def __init__(
        self,
        publishers: Publishers,
        heartbeats: Heartbeats,
        admission: Admission,
        problem: Callable[[str], None],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._publishers = publishers
        self._heartbeats = heartbeats
        self._admission = admission
        self._problem = Seldom(problem, time.monotonic)
        self._limits = limits
        self._connected = Crowd(limits.connections, limits.connections_per_address)
        self._unknown = Crowd(limits.unknown, limits.unknown_per_address)

    async def serve(self, listening: socket.socket) -> None:
        """Accepts and serves until cancelled. The socket does not block, and stays its caller's."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as connections:
            while True:
                try:
                    accepted, peer = await loop.sock_accept(listening)
                except OSError as error:
                    self._problem(f"the configuration stream cannot accept a connection: {error}")
                    await asyncio.sleep(_PAUSE)
                    continue
                address = str(peer[0])
                if self._connected.is_full(address) or self._unknown.is_full(address):
                    accepted.close()
                    self._problem(f"one of too many connections to the configuration stream at once was closed; it came from {address}")
                else:
                    connections.create_task(self._receive(accepted, address))
                    await asyncio.sleep(0)  # so that it counts before the next one is judged

    async def _receive(self, accepted: socket.socket, address: str) -> None:
        """One connection from beginning to end; whatever happens in it harms no other."""
        with self._connected.one_from(address):
            try:
                await self._converse(accepted, address)
            except OSError as error:
                self._problem(f"a connection of {address} to the configuration stream came to nothing: {error}")
            except Exception as fault:  # a fault of ours in one connection ends no other
                self._problem(f"serving {address} failed, which is a fault of Tidegate: {type(fault).__name__}: {fault}")

    async def _converse(self, accepted: socket.socket, address: str) -> None:
        with ExitStack() as unknown:
            unknown.enter_context(self._unknown.one_from(address))
            connection = await StreamConnection.open(accepted, self._admission.context, self._limits.deadline)
            try:
                first = await self._first(connection)
                unknown.close()
                answer = await self._follow(connection, first) if isinstance(first, _Subscriber) else first
                if isinstance(answer, _Late):
                    answer = answer.refused  # no news: its Pod is ending, or will be
                elif isinstance(answer, Refused):
                    self._problem(f"{address} was refused the configuration stream: {answer.reason}")
                await connection.end(b"" if answer is None else encode_identification(answer))
            finally:
                connection.abort()

    async def _first(self, connection: StreamConnection) -> _Subscriber | Identity | Refused:
        """What becomes of a connection by its certificate and its first message."""
        line = await connection.first_line(self._limits.deadline)
        certificate = connection.certificate
        try:
            if certificate is None:
                question = decode_identification(line)
                if isinstance(question, Identify):
                    return await self._admission.identify(question)
            else:
                subscribe = decode(line)
                if isinstance(subscribe, Subscribe):
                    return _Subscriber(certificate, subscribe, line)
        except msgspec.MsgspecError as error:
            return Refused(f"the first message cannot be read: {error}; {_RULE}")
        return Refused(_RULE)

    async def _follow(self, connection: StreamConnection, subscriber: _Subscriber) -> Refused | _Late | Elsewhere | None:
        """Serves a subscriber that may be served, until it leaves, its Gateway is gone or its certificate ends."""
        scope = subscriber.message.scope
        try:
            caller = self._admission.caller(subscriber.certificate)
            if _may_come_to(caller, scope):
                await self._publishers.opened(scope, self._limits.patience)
                caller = self._admission.caller(subscriber.certificate)
        except ValueError as error:
            return Refused(str(error))
        if _may_come_to(caller, scope) and self._publishers.is_gone(scope):
            return _Late(Refused(f"{called(scope)} is gone, or not served by this controller any more"))
        publisher = self._publishers.publisher(scope)
        if complaint := _not_for(caller, subscriber.message):
            return Refused(complaint)
        if publisher is None:
            return Refused(f"{called(scope)} is not known here, or not served by this controller")
        leader = self._admission.elsewhere()
        is_guest = leader != ""
        if is_guest and not subscriber.message.anywhere:
            return Elsewhere(leader or "")
        clock = asyncio.get_running_loop().time
        with self._heartbeats.of(publisher, connection.abort) as heartbeat:
            reader, writer = await connection.widen(subscriber.line, lambda: heartbeat.heard(clock()))
            try:
                longest = caller.ends_at - time.time()
                async with asyncio.timeout(min(longest, self._limits.visit) if is_guest else longest):
                    await publisher.serve(reader, writer, presence=heartbeat, ends_at=caller.ends_at)
            except TimeoutError:
                pass  # it comes back, with the next certificate or to be sent to the leader
        return None


def _may_come_to(caller: Caller, scope: str) -> bool:
    """Whether a caller may read a scope, or may be known for one that does in a moment."""
    return scope == caller.mesh or (mesh_namespace(scope) is None and caller.scope in {None, scope})


def _not_for(caller: Caller, subscribe: Subscribe) -> str:
    """Why a subscriber does not get what it asks for; '' if it may have it."""
    scope = subscribe.scope
    namespace = mesh_namespace(scope)
    if namespace is not None and scope != caller.mesh:
        return f"{caller.name} is of another namespace, and may not read the configuration of {called(scope)}"
    if namespace is not None:
        fits = subscribe.proxy.startswith(f"{namespace}/")
        return "" if fits else f"{caller.name} calls itself {subscribe.proxy[:320]!r}; a sidecar there is {namespace}/POD"
    if caller.scope is None:
        return f"{caller.name} is the identity of no Gateway that is known here, and may not read that of {scope}"
    if caller.scope != scope:
        return f"{caller.name} may read the configuration of Gateway {caller.scope}, and asked for that of {scope}"
    return ""


class _Late(NamedTuple):
    """The answer to somebody whose Gateway was here and is gone."""

    refused: Refused


class _Subscriber(NamedTuple):
    """Somebody with a certificate, and what it said."""

    certificate: bytes
    message: Subscribe
    line: bytes
