"""Lets a failed handshake tell the peer why.

When a handshake fails OpenSSL leaves an alert (RFC 8446 6.2) to be sent, but the event loops drop the connection first, and
the peer sees a reset instead of "certificate required". Contexts made here send it at the moment of failure. Which
socket that is on they learn from the task that started the handshake, since loops run a connection's callbacks in its context.
"""

from __future__ import annotations

import socket
import ssl
from contextvars import ContextVar
from typing import Any

UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"
DECODE_ERROR = b"\x15\x03\x03\x00\x02\x02\x32"
"""Fatal alerts as records, sent in plain before any key is agreed on (RFC 8446 6, RFC 6066 3, RFC 7301 3.2)."""

handshaking: ContextVar[socket.socket] = ContextVar("handshaking")
"""The accepted socket; set in the task that runs its handshake."""


class CarefulSslObject(ssl.SSLObject):
    """An SSLObject that refuses a peer's certificate with a malformed name as any other bad one.

    Loops ask for the certificate at the end of each handshake, and would take the ValueError of such a name for a fault of ours.
    A name with a NUL is malformed too: whoever is shown the certificate later may read it only so far (CVE-2009-2408).
    """

    def getpeercert(self, binary_form: bool = False) -> Any:
        """As inherited. Raises SSLCertVerificationError for a name that is no UTF-8, or has a NUL."""
        try:
            certificate: Any = super().getpeercert(binary_form)
        except ValueError as error:
            raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, f"a name in the peer's certificate is malformed: {error}") from error
        if not binary_form and certificate and any("\0" in name for _, name in certificate.get("subjectAltName", ()) if name):
            raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, "a name in the peer's certificate is malformed: it has a NUL")
        return certificate


class AnsweringSslObject(CarefulSslObject):
    _outgoing: ssl.MemoryBIO
    _connection: socket.socket | None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self._send_alert()
            raise
        self._connection = None

    def _send_alert(self) -> None:
        alert = self._outgoing.read()
        if alert and self._connection is not None:
            try:
                self._connection.send(alert)
            except OSError:
                pass  # the peer has left, and does not want to know


class ServerContext(ssl.SSLContext):
    """A context for the server side whose failed handshakes end with an alert."""

    announces_end = False
    """Whether clients are known to end in order with close_notify alone (net.tls_transport)."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        assert isinstance(made, AnsweringSslObject)
        made._outgoing, made._connection = outgoing, handshaking.get(None)
        return made


ServerContext.sslobject_class = AnsweringSslObject
