"""Peers whose directions end one by one, over TLS and in plain: Python's own ssl over memory buffers, and blocking sockets."""

from __future__ import annotations

import socket
import ssl

from tests.wire.backends import LIMIT


class PlainEnd:
    """One end of a TCP connection."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        raw.settimeout(LIMIT)

    def send(self, data: bytes) -> None:
        self.raw.sendall(data)

    def end(self) -> None:
        """Ends the direction of this end."""
        self.raw.shutdown(socket.SHUT_WR)

    def recv(self) -> bytes:
        """What comes next; b'' for the end of the other direction."""
        return self.raw.recv(65_536)

    def recv_all(self) -> bytes:
        """Up to the end of the other direction."""
        received = bytearray()
        while data := self.recv():
            received += data
        return bytes(received)


class TlsEnd(PlainEnd):
    """The same over TLS: its ends are close_notify alone, and an end of the TCP connection without one raises SSLEOFError."""

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        """Without a name to ask for it is the server's end."""
        super().__init__(raw)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname is None, server_hostname)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                self._flush()
                raise
        self._flush()

    def _flush(self) -> None:
        self.raw.sendall(self._outgoing.read())

    def _fill(self) -> None:
        data = self.raw.recv(65_536)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.tls.write(rest) :]
            self._flush()

    def end(self) -> None:
        assert not self._incoming.pending, "OpenSSL would throw it away"
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # the other direction has not ended
        self._flush()

    def recv(self) -> bytes:
        while True:
            try:
                return self.tls.read(65_536)
            except ssl.SSLWantReadError:
                self._fill()
            except ssl.SSLZeroReturnError:
                return b""
