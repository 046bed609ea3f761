"""Loads certificates, keys and trust into TLS contexts, and says what is wrong with those that do not load.

The ssl module and pyOpenSSL take keys from files only. The file made here is in memory where the system can do that,
readable by this process alone, and gone when the context has read it.
"""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gateway.ir.listener import Certificate
from gateway.net.certificate_names import certificate_blocks

SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: authenticated encryption with forward secrecy (RFC 9325 4.2). Those of TLS 1.3 are all of this kind."""

_PRIVATE_KEY = re.compile(r"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)


class TlsConfigurationError(ValueError):
    """Certificates, keys or trust that TLS cannot be served or spoken with. `reason` names the resource and the remedy."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def private_file(text: str) -> Iterator[str]:
    """The path of a file that holds `text`, that only this process's user can read and that is gone afterwards."""
    content = text.encode(errors="replace")
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tls")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile(prefix="tls-") as file:  # made with mode 0600
            file.write(content)
            file.flush()
            yield file.name


def load_pair(load: Callable[[str], None], certificate: Certificate) -> None:
    """Has `load` read a file of the chain, leaf first, and then the private key. Raises TlsConfigurationError."""
    blocks = certificate_blocks(certificate.chain)
    if not blocks:
        raise TlsConfigurationError(f"Certificate {certificate.key}: its chain (tls.crt) holds no CERTIFICATE block in PEM")
    private_key = certificate.private_key.pem
    if "ENCRYPTED" in private_key:
        raise TlsConfigurationError(f"Certificate {certificate.key}: its private key (tls.key) is encrypted; store it decrypted")
    key = _PRIVATE_KEY.search(private_key)
    if key is None:
        raise TlsConfigurationError(f"Certificate {certificate.key}: its private key (tls.key) holds no PRIVATE KEY block in PEM")
    with private_file("\n".join((*blocks, key[0], ""))) as path:
        try:
            load(path)
        except ssl.SSLError as error:
            raise TlsConfigurationError(f"Certificate {certificate.key}: {_explain(error, blocks)}") from error


def trusted(bundles: Sequence[str], what: str) -> str:
    """The CA certificates of PEM texts as one text without comments. Raises TlsConfigurationError unless every one can be read."""
    blocks = [block for bundle in bundles for block in certificate_blocks(bundle)]
    if not blocks:
        raise TlsConfigurationError(f"{what}: holds no CERTIFICATE block in PEM (key ca.crt of the ConfigMap)")
    authorities = "\n".join((*blocks, ""))
    if error := _unreadable(blocks):
        raise TlsConfigurationError(f"{what}: a CA certificate (key ca.crt of the ConfigMap) cannot be read: {error}")
    return authorities


def harden(context: ssl.SSLContext) -> None:
    """TLS 1.2 and 1.3 with authenticated encryption; no compression, no renegotiation.

    VERIFY_X509_STRICT is off on every version of Python (3.13 has it on by default in places): certificates of users'
    authorities often lack the key identifiers that it demands.
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT


def _explain(error: ssl.SSLError, blocks: Sequence[str]) -> str:
    if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
        return "its private key (tls.key) does not match its certificate (tls.crt); store the pair that was made together"
    if error.reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL"):
        return "a key in its chain (tls.crt) is too short to be safe; have it issued with ECDSA P-256 or RSA of 2048 bits or more"
    if error.reason in ("CA_MD_TOO_WEAK", "EE_MD_TOO_WEAK"):
        return "a signature in its chain (tls.crt) uses a broken digest; have it issued again with SHA-256"
    if unreadable := _unreadable(blocks):
        return f"its chain (tls.crt) cannot be read: {unreadable}"
    return f"its private key (tls.key) cannot be read: {error.reason or error}"


def _unreadable(blocks: Sequence[str]) -> str | None:
    """Why the TLS library cannot read one of the certificates, None when it reads all."""
    for block in blocks:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=block)
        except (ssl.SSLError, ValueError) as error:
            return (error.reason if isinstance(error, ssl.SSLError) else None) or str(error)
    return None
