"""TLS as an asyncio transport whose directions end one by one, for bytes that are passed on as they are.

The event loop's own TLS ends both directions as soon as one of them ends, and is a little cheaper for what needs no more: HTTP. Here an end
of ours is a close_notify, after which what the peer sends is still read, and a close_notify of the peer's is told as the end of its
direction, after which we may still write (RFC 8446 6.1). The same holds for TLS 1.2. RFC 5246 7.2.1 has a close_notify answered at once and
what is unsent thrown away there, but no library of today does it by itself, and others that relay (Envoy, nginx, HAProxy) go on too:
an answer that comes is worth more than one that may not. As with Envoy the TCP connection itself is left whole until both have ended.

An end of the TCP connection without close_notify may be somebody's cut (RFC 8446 6.1). From a peer that is known to announce its ends it is
a broken connection. Of others many just close (so do clients of Python's ssl module), so that it counts as an end, as with the proxies
named above, and extra information says which of the two it was.

What is written is encrypted at once and waits in the connection's own transport, so its flow control is ours. What is read waits, while
the protocol pauses, in the incoming buffer, which the one read that loops still deliver after a pause bounds.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

RECORD: Final = 16_384
"""The most plain bytes in one record (RFC 8446 5.1): after a read of so many nothing of it is left."""
AT_ONCE: Final = 7
"""Records that the inner protocol gets in one piece: what is larger than 128 KiB costs a mapping of its own each time (malloc(3))."""
MOST_OWED: Final = 65_536
"""Bytes of answers to its key updates that a peer may leave untaken. Who asks for more of them keeps sending and does not read."""
HANDSHAKE_TIMEOUT: Final = 60.0
"""Seconds for the handshake with a backend without a connect timeout, as with the loop's own TLS."""


class TlsTransport(asyncio.Protocol, asyncio.Transport):
    """What the inner protocol writes to, and the protocol of the connection's own transport. Extra information beyond that transport's:

    `ssl_object` (ssl.SSLObject), `sslcontext`, and `truncated` (whether the peer has ended without close_notify).

    The inner protocol is connected when the handshake has succeeded. `established` then has a result, and otherwise an OSError.
    """

    __slots__ = (
        "_blocked", "_closing", "_connected", "_ended", "_error", "_fin", "_held", "_incoming", "_inner", "_loop", "_notified", "_outer",
        "_outgoing", "_paused", "_sealed", "_strict", "_tls", "_truncated", "established",
    )  # fmt: skip

    _outer: asyncio.Transport

    def __init__(
        self,
        context: ssl.SSLContext,
        inner: asyncio.Protocol,
        *,
        server_side: bool,
        server_hostname: str = "",
        announces_end: bool,
    ) -> None:
        """`announces_end` says that the peer never ends in order without close_notify. To be made within the loop."""
        self._loop = asyncio.get_running_loop()
        self._inner, self._strict = inner, announces_end
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname or None)
        self._error: Exception | None = None
        self._held: deque[bytes] = deque()
        """What was decrypted ahead of its delivery."""
        self._fin = self._notified = self._ended = self._truncated = False
        """Whether the peer has ended its TCP connection; whether the end of its direction was read; whether the inner protocol knows."""
        self._sealed = False
        """Whether our close_notify has gone."""
        self._connected = self._closing = self._paused = self._blocked = False
        self.established: asyncio.Future[None] = self._loop.create_future()

    # what the connection's own transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._outer = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses of it
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        if self._notified:
            return  # after its end (RFC 8446 6.1)
        self._incoming.write(data)
        if not self._connected:
            self._shake_hands()
        elif not self._paused:
            self._deliver()

    def eof_received(self) -> bool:
        self._fin = True
        if self._connected and not self._paused:
            self._deliver()
        return self._connected and not self._closing

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._connected:
            self._inner.connection_lost(self._error or exc)
        if not self.established.done():
            self.established.set_exception(self._error or exc or ConnectionResetError("closed during the handshake"))

    def pause_writing(self) -> None:
        self._blocked = True
        if self._connected:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._blocked = False
        self._flush()
        if self._connected:
            self._inner.resume_writing()

    # what the inner protocol calls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        match name:
            case "ssl_object":
                return self._tls
            case "sslcontext":
                return self._tls.context
            case "truncated":
                return self._truncated
        return self._outer.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._inner

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Sends what was written, then our close_notify, and closes without waiting for the peer's (RFC 8446 6.1)."""
        if not self._closing:
            self._closing = True
            if self._connected and not self._sealed:
                self._notify()
            self._outer.close()

    def abort(self) -> None:
        self._closing = True
        self._outer.abort()

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        if not self._paused and not self._closing:
            self._paused = True
            self._outer.pause_reading()

    def resume_reading(self) -> None:
        if not self._paused or self._closing:
            return
        self._paused = False
        if self._incoming.pending or self._held or self._fin or self._notified:
            self._loop.call_soon(self._resume)
        else:
            self._outer.resume_reading()

    def _resume(self) -> None:
        """What waits in the buffer goes first; it may well make the protocol pause again."""
        if not self._paused:
            self._deliver()
        if not self._paused and not self._closing and not self._fin:
            self._outer.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._outer.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._outer.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._outer.get_write_buffer_size()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing:
            return
        if self._sealed:
            raise RuntimeError("Cannot call write() after write_eof()")
        try:
            sent = self._tls.write(data) if data else 0
            if sent != len(data):
                rest = memoryview(data)[sent:]
                while rest:
                    rest = rest[self._tls.write(rest) :]
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._outer.write(self._outgoing.read())

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Ends our direction. What the peer has sent is decrypted first: OpenSSL looks for the answer to our close_notify at once, and
        would throw away the data that it finds."""
        if self._closing or self._sealed:
            return
        self._sealed = True
        while data := self._take():
            self._held.append(data)
        if not self._closing:
            self._notify()

    # TLS

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
            self._tls.getpeercert()  # refuses one that cannot be read
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._flush()
        self._connected = True
        self._inner.connection_made(self)
        if not self.established.done():
            self.established.set_result(None)
        if not self._paused:
            self._deliver()

    def _deliver(self) -> None:
        """Gives the protocol what can be decrypted, until it pauses or there is no more."""
        incoming, held = self._incoming, self._held
        while not (self._paused or self._closing or self._ended):
            data = held.popleft() if held else self._take()
            if data:
                self._inner.data_received(data)
                if not (incoming.pending or held or self._fin or self._notified):
                    break
            elif not self._notified:
                break
            else:
                self._ended = True
                if not self._inner.eof_received():
                    self.close()
        if self._outgoing.pending:
            self._answer()

    def _take(self) -> bytes:
        """The next of what the peer has sent; b'' when there is no more, for now or, as `_notified` says, for ever."""
        if self._notified:
            return b""
        read, incoming = self._tls.read, self._incoming
        records: list[bytes] = []
        try:
            while data := read(RECORD):
                records.append(data)
                if len(records) == AT_ONCE or not incoming.pending:
                    break
            else:
                self._notified = True
        except ssl.SSLWantReadError:
            if self._fin and not records:
                self._cut_off()
        except ssl.SSLZeroReturnError:
            self._notified = True
        except ssl.SSLError as error:
            self._fail(error)
        return records[0] if len(records) == 1 else b"".join(records)

    def _cut_off(self) -> None:
        """The peer has ended without close_notify."""
        self._truncated = True
        if self._strict:
            self._error = ConnectionResetError("it ended without close_notify")
            self.abort()
        else:
            self._notified = True

    def _notify(self) -> None:
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the peer has not ended its direction, which is what unwrap waits for; our close_notify is written
        self._flush()

    def _answer(self) -> None:
        """Sends what reading has made due. While the peer takes nothing it waits here, within bounds."""
        if not self._blocked:
            self._flush()
        elif self._outgoing.pending > MOST_OWED:
            self._error = ConnectionAbortedError("it asks for ever more key updates and does not read")
            self.abort()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._outer.write(self._outgoing.read())

    def _fail(self, error: ssl.SSLError) -> None:
        """A broken handshake or record. The peer gets the alert that OpenSSL has left, if it takes anything, then the end."""
        self._error, self._closing = error, True
        if self._outer.get_write_buffer_size():
            self._outer.abort()
        else:
            self._flush()
            self._outer.close()


async def accept_tls(
    context: ssl.SSLContext, connection: socket.socket, factory: Callable[[], asyncio.Protocol], *, announces_end: bool
) -> None:
    """Does the handshake on an accepted socket and connects the protocol that `factory` makes to a TlsTransport.

    Raises OSError, an ssl.SSLError where TLS is the cause; the connection is closed then. There is no deadline here.
    """
    made = TlsTransport(context, factory(), server_side=True, announces_end=announces_end)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: made, connection)
    await _establish(made)


async def connect_tls(made: TlsTransport, where: dict[str, Any], limit: float | None) -> None:
    """Connects a transport of the client's side; `where` are the arguments of the loop that say where to, `limit` the seconds for the
    handshake, None for HANDSHAKE_TIMEOUT. Raises OSError, an ssl.SSLError where TLS is the cause; the connection is closed then."""
    await asyncio.get_running_loop().create_connection(lambda: made, **where)
    seconds = HANDSHAKE_TIMEOUT if limit is None else limit
    try:
        async with asyncio.timeout(seconds):
            await _establish(made)
    except TimeoutError:
        raise ConnectionAbortedError(f"the TLS handshake took longer than {seconds:g} s") from None


async def _establish(made: TlsTransport) -> None:
    try:
        await made.established
    except asyncio.CancelledError:
        made.abort()
        raise
