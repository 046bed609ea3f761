"""Listeners of mode AllowInsecureFallback: a client certificate is asked for, and any or none is let in.

The ssl module can only refuse what does not verify, so that here alone pyOpenSSL serves. A certificate that does not
verify is let in as unverified and never taken for an identity. Importing this costs a process ten megabytes, so only
listeners that need it do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from OpenSSL import SSL, crypto

from gateway.ir.listener import Certificate
from gateway.net.key_material import SUITES, load_pair, private_file
from gateway.net.openssl_transport import OpenSslSession, as_ssl_error


class FallbackContext:
    """What handshakes of such a listener are made with."""

    __slots__ = ("_context",)

    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    async def establish(
        self, loop: asyncio.AbstractEventLoop, connection: socket.socket, factory: Callable[[], asyncio.Protocol]
    ) -> None:
        """Does the handshake on an accepted socket and connects the protocol that `factory` makes to an OpenSslTransport.

        Raises OSError, an ssl.SSLError where TLS is the cause; the connection is closed then. There is no deadline here.
        """
        session = OpenSslSession(loop, SSL.Connection(self._context), factory())
        await loop.connect_accepted_socket(lambda: session, connection)
        try:
            await session.established
        except asyncio.CancelledError:
            session.abort()
            raise


def fallback_context(certificates: Sequence[Certificate], alpn: tuple[str, ...], authorities: str) -> FallbackContext:
    """`authorities` is the PEM of those whose certificates count as verified. Raises TlsConfigurationError."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(SUITES.encode())
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    for certificate in certificates:
        load_pair(lambda path: _load(context, path), certificate)
    with private_file(authorities) as path:
        context.load_verify_locations(path)
    context.set_verify(SSL.VERIFY_PEER, _note)
    if alpn:
        offered = [protocol.encode() for protocol in alpn]
        context.set_alpn_select_callback(lambda _, asked: next((name for name in offered if name in asked), SSL.NO_OVERLAPPING_PROTOCOLS))
    return FallbackContext(context)


def _load(context: SSL.Context, path: str) -> None:
    """Raises ssl.SSLError, as the ssl module's load_cert_chain does."""
    try:
        context.use_certificate_chain_file(path)
        context.use_privatekey_file(path)
        context.check_privatekey()
    except SSL.Error as error:
        raise as_ssl_error(error) from error


def _note(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, valid: int) -> bool:
    """OpenSSL's verdict on each certificate of the client's chain; it goes on, whatever that is."""
    if not valid:
        connection.get_app_data().verification_failed = True
    return True
