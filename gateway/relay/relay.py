"""A client's connection and the one to the backend that it is passed on to, from accept to the end of both.

An end of one direction is passed on and the other goes on, over TLS too; a reset is passed on as a reset. Nothing here runs for each piece
that passes: the sweeper looks now and then at what has.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.net.deadlines import NEVER
from gateway.net.peer import NOBODY, Origin, peer_of
from gateway.net.reset import reset
from gateway.proxy.forwarded import certificate_value
from gateway.proxy.peers import Traffic
from gateway.relay import opening
from gateway.relay.rule import account_of
from gateway.relay.side import Side
from gateway.telemetry.access_log import client_fragment
from gateway.telemetry.counters import NO_LABELS
from gateway.telemetry.streams import StreamRecord

if TYPE_CHECKING:
    from gateway.net.accept import Seat
    from gateway.proxy.core import Core
    from gateway.proxy.port import LiveListener, Port
    from gateway.relay.rule import LiveStreamRule, StreamShare
    from gateway.telemetry.streams import StreamAccount
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.lease import Lease

STALLED: Final = 30.0
"""Seconds in which a peer must take something of what is left for it when the other one is gone."""


class Relay:
    """Owner of both sides, and an item of the worker's deadlines. Ends once: with its line in the log and its place in the counters."""

    __slots__ = (
        "_amount", "_counted", "_done", "_flag", "_moved", "_reason", "account", "address", "backend", "began", "client", "core",
        "deadline", "endpoint", "fragment", "lease", "listener", "origin", "port", "rule", "seat", "server_name", "share", "slot", "task",
        "tried",
    )  # fmt: skip

    def __init__(
        self, core: Core, port: Port, listener: LiveListener | None = None, rule: LiveStreamRule | None = None, server_name: bytes = b""
    ) -> None:
        """On a TLS port listener and rule are chosen by the server name."""
        self.core, self.port, self.listener, self.rule, self.server_name = core, port, listener, rule, server_name
        self.client = Side(self)
        self.backend: Side | None = None
        """None until it is connected and has shown who it is."""
        self.address = self.fragment = b""
        self.origin = NOBODY
        self.seat: Seat | None = None
        """Counts the connection where more than its number is counted."""
        self.began = 0.0
        self.deadline, self.slot = NEVER, 0
        self._amount = 0
        """Bytes of both directions at the last look that found more."""
        self._moved = 0.0
        """When that was."""
        self._done = False
        self._counted = (0, 0)
        """Bytes of each direction that the account has by now."""
        self._flag = self._reason = ""
        self.account: StreamAccount | None = None
        # of the attempt to reach a backend that runs, or succeeded
        self.share: StreamShare | None = None
        self.endpoint: Endpoint | None = None
        self.lease: Lease | None = None
        self.task: asyncio.Task[None] | None = None
        self.tried: tuple[Endpoint, ...] = ()

    # its beginning

    def client_made(self) -> None:
        transport, core = self.client.transport, self.core
        peer = peer_of(transport, self.server_name)
        self.origin = Origin(peer.address, self.seat.ends if self.seat is not None else None, self.server_name, peer.identity)
        self.address = self.origin.address
        self.fragment = client_fragment(peer.tls_version, certificate_value(peer)[1], peer.identity)
        self.began = monotonic()
        self.port.relays.add(self)
        if self.seat is None:
            core.clients.connections += 1
        opening.begin(self)

    def refuse(self, flag: str, reason: str) -> None:
        """There is nobody to pass it on to: the client learns of it at once."""
        self.blame(flag, reason)
        reset(self.client.transport)

    def open_account(self) -> StreamAccount:
        """Where it is counted from now on; once its endpoint, or that there is none, is known."""
        account = self.account
        if account is None:
            assert self.listener is not None
            account = account_of(self.core, self.listener.resource, self.rule, self.share)
            if self.core.peers is not None:
                account = self.core.peers.stream_account(account, Traffic(self.listener.resource, self.endpoint, self.origin))
            self.account = account
            account.sums.opened += 1
        return account

    def connected(self, backend: Side) -> None:
        """Both sides are there."""
        client = self.client
        self.backend, self.task = backend, None
        self.open_account()
        client.other, backend.other = backend, client
        client.link(backend)
        backend.link(client)
        for side, other in ((client, backend), (backend, client)):
            if side.ended and not side.gone:
                self.ended(side, other)
        if backend.gone:  # it has left already
            self.lost(backend)
        else:
            self._watch()

    # its end

    def ended(self, side: Side, other: Side) -> None:
        """The peer of a side sends no more."""
        if side.transport.get_extra_info("truncated"):
            self.blame("", f"the {'client' if side is self.client else 'backend'} ended without close_notify")
        transport = other.transport
        if other.gone or transport.is_closing():
            return
        if other.ended:
            transport.close()
            side.transport.close()
        elif transport.can_write_eof():
            transport.write_eof()
        else:  # what came in by the loop's TLS and is no HTTP, from a caller that has not said that it passes bytes on (net.mesh_tls)
            transport.close()

    def lost(self, side: Side) -> None:
        """The connection of a side is no more: what it has sent still reaches the other."""
        if side is self.client:
            self._leave()
        elif side is not self.backend:
            return  # of an attempt that failed, or of one that is about to be told of
        if side.fault is not None:
            who = "client" if side is self.client else "backend"
            self.blame("DC" if side is self.client else "UC", f"the {who} broke the connection: {side.fault}")
        other = side.other
        if other is None:
            self.blame("DC", "the client left before a backend was reached")
            self.finish()
        elif other.gone:
            self.finish()
        else:
            other.unlink()
            if side.fault is not None:
                reset(other.transport)
            else:
                other.transport.close()
                self._watch()

    def blame(self, flag: str, reason: str) -> None:
        """Why it ends; what is said first holds."""
        if not self._flag:
            self._flag, self._reason = flag, reason

    def drop(self) -> None:
        """Ends it at once."""
        self.blame("LR", "cut off by the proxy")
        self.finish()
        for side in (self.client, self.backend):
            if side is not None and not side.gone:
                reset(side.transport)

    def _leave(self) -> None:
        if self.seat is None:
            self.core.clients.connections -= 1
        else:
            self.seat.leave()

    def finish(self) -> None:
        """Counts and logs, once."""
        if self._done:
            return
        self._done = True
        core, task, listener = self.core, self.task, self.listener
        self.port.relays.discard(self)
        if self.slot:
            core.deadlines.forget(self)
        if task is not None:
            task.cancel()
        if self.lease is not None:
            self.lease.release()
        if listener is None:
            return  # it was queued when the port closed
        account = self.open_account()
        self.count()
        account.sums.close(self._flag)
        if listener.options.access_log:
            core.log.append(self._record(account))

    def _record(self, account: StreamAccount) -> StreamRecord:
        endpoint = self.endpoint
        return StreamRecord(
            account.protocol, self.began, monotonic(), self._flag, self._reason, *self._counted, self.address, self.server_name, account,
            b"" if endpoint is None else endpoint.label, self.fragment,
        )  # fmt: skip

    def count(self) -> None:
        """Adds what has passed since the last time."""
        account, backend = self.account, self.backend
        if account is not None:
            now = (self.client.passed, 0 if backend is None else backend.passed)
            sums = account.sums
            sums.received += now[0] - self._counted[0]
            sums.sent += now[1] - self._counted[1]
            self._counted = now

    # time

    def _watch(self) -> None:
        """Begins to look, or looks earlier than before."""
        limit = self._limit()
        if limit != inf:
            now = self._moved = monotonic()
            self.core.deadlines.set(self, min(self.deadline, now + limit / 4))

    def _limit(self) -> float:
        """Seconds in which something must pass."""
        client, backend = self.client, self.backend
        if client.gone or backend is None or backend.gone:
            return STALLED
        assert self.listener is not None
        return self.listener.stream_idle

    def expire(self, now: float) -> None:
        """The time of a look has come."""
        client, backend = self.client, self.backend
        assert backend is not None
        amount = client.passed + backend.passed
        for side in (client, backend):
            if not side.gone:
                amount -= side.transport.get_write_buffer_size()
        if amount != self._amount:
            self._amount, self._moved = amount, now
        limit = self._limit()
        due = self._moved + limit
        if now < due:
            self.core.deadlines.set(self, min(due, now + limit / 4))
            return
        self.blame("SI", f"nothing passed for {limit:g} s")
        for side in (client, backend):
            if not side.gone:
                reset(side.transport)


def log_ended(core: Core, listener: LiveListener | None, where: tuple[bytes, bytes], flag: str, reason: str) -> None:
    """A connection that ended before anything could be passed on; `where` are the client's address and the server name. Without a
    listener it is not known which it was for."""
    now, tail = monotonic(), client_fragment(b"", b"")
    account = core.stream_account(NO_LABELS, "TCP") if listener is None else account_of(core, listener.resource, None, None)
    account.sums.opened += 1
    account.sums.close(flag)
    if listener is None or listener.options.access_log:
        core.log.append(StreamRecord(account.protocol, now, now, flag, reason, 0, 0, *where, account, b"", tail))
