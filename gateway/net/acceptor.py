"""Accepts TLS connections: peeks at the ClientHello, has the listener chosen by it, and only then begins the handshake, or passes the
connection on with nothing of it read.

Where something else than TLS may come too, it is passed on likewise as soon as it shows, or when nothing comes for a while.

Everything before a protocol is connected has one deadline, counted from accept and kept by one timer for all; connections
that wait are few, oldest first out when they are not. A failed connection is counted by its reason, told to the owner, and
answered as far as the client can understand: an alert, or a plain 400 to plain HTTP.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from gateway.net import alerts, failures
from gateway.net.accept import Acceptor, Seat
from gateway.net.client_hello import LONGEST_PEEK, ClientHello, NotTls, least_length, read_client_hello
from gateway.net.contexts import ServerContexts, TlsContext
from gateway.net.failures import Failure, reason_of
from gateway.net.peer import address_of
from gateway.net.proxy_protocol import LONGEST as LONGEST_HEADER
from gateway.net.proxy_protocol import Ends, Header, MalformedHeader
from gateway.net.sockets import Address
from gateway.net.tls_transport import accept_tls

ListenerType = TypeVar("ListenerType")

_PLAIN_HTTP = re.compile(rb"[A-Z]{1,20}(?: |\Z)")
_BODY = b"This port speaks HTTPS, and the request was sent in plain HTTP.\n"
_PLAIN_HTTP_REPLY = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_DISCARDED_AT_MOST = 1 << 20
"""Bytes read from a refused client, which may not have read our answer yet and would lose it to a reset if we closed at once."""


UNDER_PRESSURE = 0.05
"""Seconds between two looks at a connection whose kernel calls for bytes that were seen."""
_ENDED = getattr(select, "POLLRDHUP", None)


@dataclass(frozen=True, slots=True)
class Chosen(Generic[ListenerType]):
    """The listener that serves a server name, and what its handshakes are made with: None where TLS is for somebody else to end."""

    listener: ListenerType
    contexts: ServerContexts | None
    relayed: bool = False
    """Whether what is inside is passed on as it is, so that each direction has an end of its own (net.tls_transport)."""


@dataclass(frozen=True, slots=True)
class AcceptorOptions:
    handshake_timeout: float = 10.0
    """Seconds from accept to the end of the handshake (ListenerOptions.header_timeout)."""
    shutdown_timeout: float = 5.0
    """Seconds that a closed connection may take to flush and to answer our close_notify."""
    most_pending: int = 4096
    """Connections before the end of their handshake; the next one drops the oldest."""
    failed: Callable[[Failure], None] | None = None
    """Told of each failure, for logs."""
    admit: Callable[[Address], Seat | None] | None = None
    """Gives a connection its seat, before anything is made for it, or None: then it is closed at once. Without it all are admitted."""
    greeting: Callable[[bytes, bytes], Header | None] | None = None
    """Reads the PROXY header that connections begin with, from the address of the peer and the bytes that there are; one of no length
    where there is none, None when more are needed. Raises MalformedHeader."""
    named: Callable[[Address, Ends | None], Seat | None] | None = None
    """Gives a connection whose header is read the seat of its client, in place of the one from accept, or None: then it is closed."""
    answers_strangers: bool = True
    """Whether a client that no listener is for gets an alert, or no word of TLS at all."""
    plain: Callable[[Seat | None], asyncio.Protocol] | None = None
    """Makes the protocol of a connection that does not begin with a ClientHello, which gets it with nothing of it read. Without it such a
    connection is refused."""
    silence: float = inf
    """Seconds without a byte after which a connection counts as one that begins with something else, where `plain` takes those."""


class _Pending:
    """A connection that no protocol has yet."""

    __slots__ = (
        "address", "connection", "deadline", "discarded", "failure", "reading", "seat", "seen", "server_name", "step", "task",
    )  # fmt: skip

    def __init__(self, connection: socket.socket, address: Address, deadline: float, seat: Seat | None) -> None:
        self.connection, self.address, self.deadline, self.seat = connection, address, deadline, seat
        self.seen = 0
        self.reading = False
        self.step: Callable[[_Pending], None] | None = None
        """What is done when there is something to read."""
        self.server_name = b""
        self.task: asyncio.Task[None] | None = None
        self.failure: str | None = None
        """Why we ended its handshake, if it was us."""
        self.discarded: int | None = None
        """Bytes read since it was refused; None before."""


class TlsAcceptor(Generic[ListenerType]):
    """Starts at once, and owns the listening socket; without one it has only what it adopts.

    `choose` finds the listener for a ClientHello, None where it is for none (AcceptorOptions.answers_strangers). `connected` makes the
    protocol of a connection when its handshake begins, and gives it the connection's seat; `connection_made` follows at its end, or
    never: then the acceptor leaves the seat. Of a listener without contexts it follows at once.
    """

    def __init__(
        self,
        listening: socket.socket | None,
        loop: asyncio.AbstractEventLoop,
        choose: Callable[[ClientHello], Chosen[ListenerType] | None],
        connected: Callable[[ListenerType, ClientHello, Seat | None], asyncio.Protocol],
        options: AcceptorOptions = AcceptorOptions(),
    ) -> None:
        self._loop, self._choose, self._connected = loop, choose, connected
        self.options = options
        """May be replaced while it runs; holds for the connections that come then."""
        self._pending: dict[_Pending, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.handshakes = 0
        """Handshakes that succeeded."""
        self.failures: dict[str, int] = dict.fromkeys(failures.REASONS, 0)
        """Connections that ended before, by reason."""
        self._acceptor = Acceptor(listening, loop, self._accepted) if listening is not None else None

    @property
    def pending(self) -> int:
        """Connections accepted whose handshake is neither done nor given up."""
        return len(self._pending)

    @property
    def errors(self) -> dict[str, int]:
        """How often accepting failed, by the name of the error."""
        return self._acceptor.errors if self._acceptor is not None else {}

    def close(self) -> None:
        """Accepts what is queued, then listens no more. What is pending goes on, within its deadline."""
        if self._acceptor is not None:
            self._acceptor.close()

    def abort(self) -> None:
        """Closes, and ends all that is pending."""
        self.close()
        for pending in tuple(self._pending):
            self._end(pending, failures.ABORTED)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause(self) -> None:
        """Accepts nothing until `resume`; who connects meanwhile waits in the system's queue."""
        if self._acceptor is not None:
            self._acceptor.pause()

    def resume(self) -> None:
        if self._acceptor is not None:
            self._acceptor.resume()

    def adopt(self, connection: socket.socket, address: Address, seat: Seat | None = None) -> None:
        """Takes over a connection that was accepted elsewhere, non-blocking, nothing of it read. With a seat it was admitted there."""
        if seat is None:
            self._accepted(connection, address)
        else:
            self._await(connection, address, seat)

    def sweep(self, now: float) -> None:
        """Ends what is past its deadline at `now`, in the loop's time. The acceptor's timer calls it."""
        for pending in tuple(self._pending):
            if pending.deadline > now:
                return
            self._end(pending, failures.TIMEOUT)

    def _accepted(self, connection: socket.socket, address: Address) -> None:
        seat = None
        if self.options.admit is not None:
            seat = self.options.admit(address)
            if seat is None:
                connection.close()
                return
        self._await(connection, address, seat)

    def _await(self, connection: socket.socket, address: Address, seat: Seat | None) -> None:
        """What a connection begins with."""
        if len(self._pending) >= self.options.most_pending:
            self._end(next(iter(self._pending)), failures.OVERLOAD)
        pending = _Pending(connection, address, self._loop.time() + self.options.handshake_timeout, seat)
        self._pending[pending] = None
        if self._timer is None:
            self._timer = self._loop.call_at(pending.deadline, self._tick)
        if self.options.greeting is None:
            self._peek(pending)
        else:
            self._greet(pending)
        if self.options.silence != inf and not pending.seen and self._is_undecided(pending):
            self._loop.call_later(self.options.silence, self._fall_silent, pending)

    def _fall_silent(self, pending: _Pending) -> None:
        """Who says nothing waits for its server to speak first, as no client of TLS does."""
        if not pending.seen and self._is_undecided(pending):
            self._pass_on(pending)

    def _is_undecided(self, pending: _Pending) -> bool:
        return pending in self._pending and pending.task is None and pending.discarded is None

    def _tick(self) -> None:
        self._timer = None
        self.sweep(self._loop.time())
        oldest = next(iter(self._pending), None)
        if oldest is not None:
            self._timer = self._loop.call_at(oldest.deadline, self._tick)

    def _greet(self, pending: _Pending) -> None:
        """Takes the PROXY header away, and nothing behind it."""
        greeting, header = self.options.greeting, None
        try:
            data = pending.connection.recv(LONGEST_HEADER, socket.MSG_PEEK)
            if len(data) == pending.seen:
                self._woken_for_nothing(pending)
                return
            header = Header(0, None) if greeting is None else greeting(address_of(pending.address), data)
            if header is None:
                pending.seen = len(data)
                _wake_at(pending.connection, len(data) + 1)
            elif header.length:
                pending.connection.recv(header.length)
        except BlockingIOError:
            pass
        except MalformedHeader as error:
            self._fail(pending, failures.PROXY_HEADER, str(error))
            return
        except OSError as error:
            self._fail(pending, failures.CLOSED, str(error))
            return
        if header is None:
            self._read(pending, self._greet)
        else:
            self._greeted(pending, header)

    def _greeted(self, pending: _Pending, header: Header) -> None:
        self._stop_reading(pending)
        if pending.seen:
            pending.seen = 0
            _wake_at(pending.connection, 1)
        named = self.options.named
        if named is not None:
            if pending.seat is not None:
                pending.seat.leave()
            pending.seat = named(pending.address, header.ends)
            if pending.seat is None:
                self._drop(pending)
                return
        if header.ends is not None:
            pending.address = (header.ends.address.decode("ascii"), header.ends.port)
        self._peek(pending)

    def _woken_for_nothing(self, pending: _Pending) -> None:
        """Nothing was added to what was seen."""
        if not _has_ended(pending.connection):
            self._look_later(pending)
        elif self.options.plain is not None:
            self._pass_on(pending)
        else:
            self._fail(pending, failures.CLOSED, "closed before its ClientHello")

    def _peek(self, pending: _Pending) -> None:
        data = b""
        try:
            data = pending.connection.recv(LONGEST_PEEK, socket.MSG_PEEK)
            if len(data) == pending.seen:
                self._woken_for_nothing(pending)
                return
            hello = read_client_hello(data)
            if hello is None:
                pending.seen = len(data)
                _wake_at(pending.connection, least_length(data))
        except BlockingIOError:
            hello = None
        except OSError as error:
            self._fail(pending, failures.CLOSED, str(error))
            return
        except NotTls as error:
            if self.options.plain is not None:
                self._pass_on(pending)
            else:
                self._refuse_foreign(pending, data, error.reason)
            return
        if hello is None:
            self._read(pending, self._peek)
            return
        pending.server_name = hello.server_name
        try:
            self._begin(pending, hello)
        except Exception as error:
            self._fault(pending, error)
            self._drop(pending)

    def _look_later(self, pending: _Pending) -> None:
        """A kernel that is short of memory for sockets calls for any byte, whatever the mark (tcp_rmem_pressure)."""
        self._stop_reading(pending)
        self._loop.call_later(UNDER_PRESSURE, self._look_again, pending)

    def _look_again(self, pending: _Pending) -> None:
        if self._is_undecided(pending) and pending.step is not None:
            self._read(pending, pending.step)

    def _begin(self, pending: _Pending, hello: ClientHello) -> None:
        chosen = self._choose(hello)
        if chosen is None:
            name = hello.server_name.decode("ascii", "replace")
            detail = f"no listener for server name {name!r}" if name else "no listener without a server name"
            answer = alerts.UNRECOGNIZED_NAME if self.options.answers_strangers else b""
            self._refuse(pending, answer, failures.UNRECOGNIZED_NAME, detail)
            return
        contexts = chosen.contexts
        if contexts is not None and hello.alpn and contexts.alpn and not set(hello.alpn).intersection(contexts.alpn):
            detail = f"none of the protocols {hello.alpn!r} is spoken here"
            self._refuse(pending, alerts.NO_APPLICATION_PROTOCOL, failures.NO_APPLICATION_PROTOCOL, detail)
            return
        context = contexts.choose(hello.server_name, resumes=hello.resumes) if contexts is not None else None
        listener, seat = chosen.listener, pending.seat
        self._connect(pending, context, lambda: self._connected(listener, hello, seat), relayed=chosen.relayed)

    def _pass_on(self, pending: _Pending) -> None:
        """What came is no ClientHello, and somebody takes such connections."""
        plain, seat = self.options.plain, pending.seat
        assert plain is not None
        self._connect(pending, None, lambda: plain(seat))

    def _connect(
        self, pending: _Pending, context: TlsContext | None, connected: Callable[[], asyncio.Protocol], *, relayed: bool = False
    ) -> None:
        self._stop_reading(pending)
        if pending.seen:
            try:
                _wake_at(pending.connection, 1)
            except OSError as error:
                self._fail(pending, failures.CLOSED, str(error))
                return
        pending.task = self._loop.create_task(self._handshake(pending, context, connected, relayed=relayed))
        self._tasks.add(pending.task)
        pending.task.add_done_callback(self._tasks.discard)

    async def _handshake(
        self, pending: _Pending, context: TlsContext | None, connected: Callable[[], asyncio.Protocol], *, relayed: bool
    ) -> None:
        """Without a context the protocol gets the connection as it is, the ClientHello first."""
        alerts.handshaking.set(pending.connection)
        try:
            if context is None:
                await self._loop.connect_accepted_socket(connected, pending.connection)
                return
            if not isinstance(context, ssl.SSLContext):
                await context.establish(self._loop, pending.connection, connected)
            elif relayed:
                await accept_tls(context, pending.connection, connected, announces_end=context.announces_end)
            else:
                # The sweep keeps the deadline; the loop's own timer only has to be later.
                late = self.options.handshake_timeout + 1
                transport, _ = await self._loop.connect_accepted_socket(
                    connected,
                    pending.connection,
                    ssl=context,
                    ssl_handshake_timeout=late,
                    ssl_shutdown_timeout=self.options.shutdown_timeout,
                )
                if transport.get_extra_info("ssl_object") is None:
                    raise ConnectionResetError("closed during the handshake")
        except OSError as error:
            _close(pending)
            self._count(pending, pending.failure or reason_of(error), "" if pending.failure else str(error))
        except Exception as error:
            _close(pending)
            self._fault(pending, error)
        except asyncio.CancelledError:
            _close(pending)
            raise
        else:
            self.handshakes += 1
        finally:
            self._pending.pop(pending, None)

    def _end(self, pending: _Pending, reason: str) -> None:
        """Ends it from our side."""
        if pending.task is None:
            self._fail(pending, reason, "")
            return
        # The connection belongs to the loop now; it sees this as the end of the stream, whatever state it is in.
        pending.failure = reason
        self._pending.pop(pending, None)
        try:
            pending.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # gone already, which ends the handshake as well

    def _refuse_foreign(self, pending: _Pending, data: bytes, reason: str) -> None:
        """What came is no ClientHello."""
        if _PLAIN_HTTP.match(data[:32]):
            self._refuse(pending, _PLAIN_HTTP_REPLY, failures.PLAIN_HTTP, "plain HTTP on a TLS port")
        else:
            self._refuse(pending, alerts.DECODE_ERROR if data[0] == 22 else b"", failures.NOT_TLS, reason)

    def _refuse(self, pending: _Pending, answer: bytes, reason: str, detail: str) -> None:
        """Sends the answer, then waits within the deadline for the client to close, so that no reset overtakes the answer."""
        self._count(pending, reason, detail)
        pending.discarded = 0
        try:
            if answer:
                pending.connection.send(answer)
            pending.connection.shutdown(socket.SHUT_WR)
            if pending.seen:
                _wake_at(pending.connection, 1)
        except OSError:
            self._drop(pending)
            return
        self._stop_reading(pending)
        self._read(pending, self._discard)

    def _discard(self, pending: _Pending) -> None:
        assert pending.discarded is not None
        try:
            received = len(pending.connection.recv(65_536))
        except BlockingIOError:
            return
        except OSError:
            received = 0
        pending.discarded += received
        if not received or pending.discarded > _DISCARDED_AT_MOST:
            self._drop(pending)

    def _fail(self, pending: _Pending, reason: str, detail: str) -> None:
        if pending.discarded is None:  # else it is counted already
            self._count(pending, reason, detail)
        self._drop(pending)

    def _drop(self, pending: _Pending) -> None:
        self._stop_reading(pending)
        self._pending.pop(pending, None)
        _close(pending)

    def _fault(self, pending: _Pending, error: Exception) -> None:
        """Not the client's doing."""
        self._count(pending, failures.OTHER, repr(error))
        self._loop.call_exception_handler({"message": "connecting a TLS client failed through a fault of ours", "exception": error})

    def _count(self, pending: _Pending, reason: str, detail: str) -> None:
        self.failures[reason] += 1
        if self.options.failed is not None:
            address, port = pending.address[:2]
            self.options.failed(Failure(reason, detail, address, port, pending.server_name))

    def _read(self, pending: _Pending, step: Callable[[_Pending], None]) -> None:
        if not pending.reading:
            pending.reading, pending.step = True, step
            self._loop.add_reader(pending.connection, step, pending)

    def _stop_reading(self, pending: _Pending) -> None:
        if pending.reading:
            pending.reading = False
            self._loop.remove_reader(pending.connection)


def _close(pending: _Pending) -> None:
    pending.connection.close()
    if pending.seat is not None:
        pending.seat.leave()


def _wake_at(connection: socket.socket, length: int) -> None:
    """Has the loop call back when so much can be read; it would call without pause for bytes that are peeked at and left."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, length)


def _has_ended(connection: socket.socket) -> bool:
    """Whether the client has ended its side. Where the system does not tell without reading, nothing else wakes for no bytes."""
    if _ENDED is None:
        return True
    poll = select.poll()
    poll.register(connection, _ENDED)
    return bool(poll.poll(0))
