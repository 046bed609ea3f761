"""A key of a process's own, the request to certify it, and the TLS contexts of our links made from what comes back.

The key is made here and stays where it was made, in the memory of the program, its workers' included, and with whoever is started in its
place (kept_identity.py); what goes out is the request. TLS 1.3 and strict X.509: both ends are ours, and so are all certificates.
"""

from __future__ import annotations

import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.net.alerts import CarefulSslObject
from gateway.net.certificate_names import certificate_blocks
from gateway.net.key_material import private_file
from mesh.p256 import read_key, write_key


class KeyPair:
    """A P-256 key, a new one unless one is given."""

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self._key = key or ec.generate_private_key(ec.SECP256R1())

    @classmethod
    def of(cls, private_key: str) -> KeyPair:
        """The pair of a key that `private_key` gave. Raises ValueError for what is none."""
        return cls(read_key(private_key))

    def request(self) -> str:
        """PKCS #10, PEM. It names nobody: who the key belongs to is the authority's to say."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def private_key(self) -> str:
        """PKCS #8, PEM: for the TLS contexts of this program, and for nobody else."""
        return write_key(self._key)

    def load_into(self, context: ssl.SSLContext, chain: str) -> None:
        """Has the context present the chain. Raises ssl.SSLError for one that is not of this key or cannot be read."""
        with private_file("\n".join((*certificate_blocks(chain), self.private_key()))) as path:
            context.load_cert_chain(path)


def client_context(roots: str) -> ssl.SSLContext:
    """Trusts these roots alone (PEM) and demands the server's DNS name. Raises ssl.SSLError or ValueError
    for text without a readable certificate."""
    context = _link_context(ssl.PROTOCOL_TLS_CLIENT, roots)
    context.hostname_checks_common_name = False
    return context


def server_context(roots: str) -> ssl.SSLContext:
    """Asks for a client certificate and takes none, or one that these roots (PEM) vouch for. Nothing is resumed: who comes is judged."""
    context = _link_context(ssl.PROTOCOL_TLS_SERVER, roots)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


class _LinkContext(ssl.SSLContext):
    """A malformed name in the peer's certificate fails the handshake as any other bad certificate."""

    sslobject_class = CarefulSslObject


def _link_context(protocol: int, roots: str) -> ssl.SSLContext:
    context = _LinkContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata="\n".join((*certificate_blocks(roots), "")))
    return context
