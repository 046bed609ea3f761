"""TLS over pyOpenSSL as an asyncio transport, for the one thing the ssl module cannot do (see insecure_fallback).

Two memory buffers stand between OpenSSL and the connection's own transport. What is written is encrypted at once and waits
in that transport, so its flow control is ours; what is read waits, while the protocol pauses, in the incoming buffer, which
the one read that loops still deliver after a pause bounds.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, cast

from OpenSSL import SSL, crypto

_READ_SIZE = 65_536
_PLAIN_SIZE = 16_384
"""The most that one record holds."""


class OpenSslTransport(asyncio.Transport):
    """What the inner protocol writes to. Extra information beyond that of the connection's own transport:

    `tls_version` (bytes), `cipher` (str), `peer_certificate` (DER, or None), `verified` (whether that certificate is
    valid and of a trusted authority; False without one) and `truncated` (whether the client has ended without close_notify).
    """

    def __init__(self, session: OpenSslSession) -> None:
        super().__init__()
        self._session = session

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._session.extra_info(name, default)

    def is_closing(self) -> bool:
        return self._session.closing

    def close(self) -> None:
        """Sends what was written, then our close_notify, and closes without waiting for the peer's (RFC 8446 6.1)."""
        self._session.close()

    def abort(self) -> None:
        self._session.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._session.inner = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._session.inner

    def is_reading(self) -> bool:
        return not self._session.paused and not self._session.closing

    def pause_reading(self) -> None:
        self._session.pause_reading()

    def resume_reading(self) -> None:
        self._session.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._session.outer.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._session.outer.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._session.outer.get_write_buffer_size()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._session.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self._session.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Ends our direction with close_notify; the other goes on (see tls_transport)."""
        self._session.write_eof()


class OpenSslSession(asyncio.Protocol):
    """The protocol of the connection's own transport, and the owner of the TLS state.

    The inner protocol is connected when the handshake has succeeded. `established` then has a result, and otherwise an OSError.
    """

    outer: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: SSL.Connection, inner: asyncio.Protocol) -> None:
        self._loop, self._connection, self.inner = loop, connection, inner
        self._extra: dict[str, object] = {}
        self._error: Exception | None = None
        self._ended = False
        """Whether the peer has said that nothing more will come."""
        self._told = False
        """Whether the inner protocol knows."""
        self._sealed = False
        """Whether our close_notify has gone."""
        self.established: asyncio.Future[None] = loop.create_future()
        self.connected = self.closing = self.paused = False
        self.verification_failed = False
        """Set by the context's verification callback."""
        connection.set_app_data(self)
        connection.set_accept_state()

    def extra_info(self, name: str, default: Any) -> Any:
        if name in self._extra:
            return self._extra[name]
        return self.outer.get_extra_info(name, default)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.outer = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses of it

    def data_received(self, data: bytes) -> None:
        self._connection.bio_write(data)  # takes all: the buffer is memory, and grows
        if self.connected or self._handshake():
            self._deliver()

    def eof_received(self) -> bool:
        self._ended = True
        if not self.connected:
            return False
        if not self.paused:
            self._deliver()
        return not self.closing

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        if self.connected:
            self.inner.connection_lost(self._error or exc)
        if not self.established.done():
            self.established.set_exception(self._error or exc or ConnectionResetError("closed during the handshake"))

    # Before the inner protocol is connected only the handshake is written, and the client answers it when all of it is sent.

    def pause_writing(self) -> None:
        if self.connected:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        if self.connected:
            self.inner.resume_writing()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self.closing:
            return
        if self._sealed:
            raise RuntimeError("Cannot call write() after write_eof()")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._connection.send(rest[:_PLAIN_SIZE]) :]
        except SSL.Error as error:
            self._fail(error)
        else:
            self._flush()

    def close(self) -> None:
        if self.closing:
            return
        self.write_eof()
        self.closing = True
        self.outer.close()

    def write_eof(self) -> None:
        if self.closing or self._sealed:
            return
        self._sealed = True
        try:
            self._connection.shutdown()
        except SSL.Error:
            pass  # there is no session to end
        self._flush()

    def abort(self) -> None:
        self.closing = True
        self.outer.abort()

    def pause_reading(self) -> None:
        if not self.paused and not self.closing:
            self.paused = True
            self.outer.pause_reading()

    def resume_reading(self) -> None:
        if self.paused and not self.closing:
            self.paused = False
            self._loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        """What waits in the buffer goes first; it may well make the protocol pause again."""
        if not self.paused:
            self._deliver()
        if not self.paused and not self.closing:
            self.outer.resume_reading()

    def _handshake(self) -> bool:
        """Whether it is over, and well."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return False
        except SSL.Error as error:
            self._fail(error)
            return False
        self._flush()
        certificate = self._connection.get_peer_certificate()
        self._extra = {
            "tls_version": self._connection.get_protocol_version_name().encode(),
            "cipher": self._connection.get_cipher_name(),
            "peer_certificate": certificate and crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate),
            "verified": certificate is not None and not self.verification_failed,
        }
        self.connected = True
        self._connection.set_app_data(None)
        self.inner.connection_made(OpenSslTransport(self))
        self.established.set_result(None)
        return True

    def _deliver(self) -> None:
        """Gives the protocol what has been decrypted, until it pauses or there is no more."""
        while not self.paused and not self.closing:
            try:
                data = self._connection.recv(_READ_SIZE)
            except SSL.WantReadError:
                if self._ended:
                    self._extra["truncated"] = not self._told
                    self._finish()
                break
            except SSL.ZeroReturnError:
                self._finish()
                break
            except SSL.Error as error:
                self._fail(error)
                return
            self.inner.data_received(data)
        self._flush()

    def _finish(self) -> None:
        """The peer's close_notify, or the end of its stream, with everything before it delivered."""
        self._ended = True
        if self._told:
            return
        self._told = True
        if not self.inner.eof_received():
            self.close()

    def _flush(self) -> None:
        while True:
            try:
                data = self._connection.bio_read(_READ_SIZE)
            except SSL.WantReadError:
                return
            self.outer.write(data)

    def _fail(self, error: SSL.Error) -> None:
        """A broken handshake or record. The peer gets the alert that OpenSSL has left, then the end."""
        self._error = as_ssl_error(error)
        self.closing = True
        self._flush()
        self.outer.close()


def as_ssl_error(error: SSL.Error) -> ssl.SSLError:
    """As the ssl module would have raised it, an OSError with `reason`."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    text = reasons[0][2] if reasons else str(error) or type(error).__name__
    made = ssl.SSLError(ssl.SSL_ERROR_SSL, text)
    made.reason = text.upper().replace(" ", "_")
    return made
