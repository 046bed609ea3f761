"""The certificate authority: whose key it is decides the caller, and what the certificate looks like this module (pure).

X.509-SVID 3 and 4: one URI name, no authority, digital signatures only; RFC 5280 4.2 for the rest. Of a request only the key counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID

from mesh.identity import SpiffeId
from mesh.roots import BACKDATED, LEAF_LIFETIME, Root, signing, trusted

MOST_REQUEST_BYTES: Final = 16 << 10


class UnacceptableRequest(ValueError):
    """A request that is not signed for; the message says why."""


class Authority:
    """Signs for one trust domain, for `leaf` at a time. Times and serial numbers are handed in."""

    __slots__ = ("_leaf", "_roots", "trust_domain")

    def __init__(self, trust_domain: str, roots: Sequence[Root], leaf: timedelta = LEAF_LIFETIME) -> None:
        self.trust_domain = trust_domain
        self._roots = tuple(roots)
        self._leaf = leaf

    def bundle(self, now: datetime) -> str:
        """The roots that are trusted at this time, PEM."""
        return "".join(root.pem for root in trusted(self._roots, now, self._leaf))

    def derived(self, purpose: str) -> bytes:
        """32 bytes that only who holds the authority's keys can know, others for each purpose (HKDF, RFC 5869).

        They stay the same until the oldest root is trusted no more, which is about once in mesh.roots.ROOT_LIFETIME.
        """
        oldest = min(self._roots, key=lambda root: root.certificate.not_valid_before_utc)
        number = oldest.key.private_numbers().private_value
        return HKDF(hashes.SHA256(), 32, None, purpose.encode()).derive(number.to_bytes(32, "big"))

    def issue(self, request: str, account: tuple[str, str], now: datetime, serial: int) -> str:
        """The chain for (namespace, ServiceAccount), PEM. Raises UnacceptableRequest and mesh.identity.InvalidSpiffeId."""
        identity = SpiffeId.of_account(self.trust_domain, *account)
        return self._sign(request, [x509.UniformResourceIdentifier(str(identity))], now, serial)

    def issue_server(self, request: str, names: Sequence[str], now: datetime, serial: int) -> str:
        """The chain for a server of ours under DNS names, PEM; it is nobody's identity. Raises UnacceptableRequest."""
        return self._sign(request, [x509.DNSName(name) for name in names], now, serial)

    def _sign(self, request: str, names: Sequence[x509.GeneralName], now: datetime, serial: int) -> str:
        key = _requested_key(request)
        root = signing(self._roots, now, self._leaf)
        end = min(now + self._leaf, root.certificate.not_valid_after_utc)
        issuer = root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        builder = x509.CertificateBuilder(root.certificate.subject, x509.Name([]), key, serial, now - BACKDATED, end)
        # Without a subject the names are critical (RFC 5280 4.2.1.6).
        builder = (
            builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_SIGNATURES_ONLY, critical=True)
            .add_extension(usages, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )
        return builder.sign(root.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


_SIGNATURES_ONLY: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _requested_key(request: str) -> ec.EllipticCurvePublicKey:
    """The key of a request, of which its sender has proved to hold the private half."""
    if len(request) > MOST_REQUEST_BYTES:
        raise UnacceptableRequest(f"the signing request is longer than {MOST_REQUEST_BYTES} bytes")
    try:
        parsed = x509.load_pem_x509_csr(request.encode())
        key = parsed.public_key()
        genuine = parsed.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnacceptableRequest(f"the signing request cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UnacceptableRequest("the signing request is for a key that is not of curve P-256")
    if not genuine:
        raise UnacceptableRequest("the signing request is not signed by the key that it is for")
    return key
