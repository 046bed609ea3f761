"""Certificates for tests, made on the spot: a certificate authority, what it issues, and self-signed ones.

ECDSA P-256 unless RSA is asked for. Everything is PEM text; `Pair.write` puts it in files for peers that read files
(curl, openssl), `Pair.resource` makes the contract's Certificate of it.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.ir.listener import Certificate, Secret
from gateway.ir.value import Source

KeyType = Literal["ecdsa", "rsa"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Validity = tuple[datetime.timedelta, datetime.timedelta]

CURRENT: Validity = (datetime.timedelta(days=-1), datetime.timedelta(days=30))
"""Not before and not after, counted from now."""
EXPIRED: Validity = (datetime.timedelta(days=-30), datetime.timedelta(days=-1))
NOT_YET_VALID: Validity = (datetime.timedelta(days=1), datetime.timedelta(days=30))


@dataclass(frozen=True, slots=True)
class Pair:
    """A chain, leaf first and without the root, and the leaf's private key (PKCS 8, unencrypted), both PEM."""

    chain: str
    private_key: str

    def write(self, folder: Path, name: str = "certificate") -> tuple[Path, Path]:
        """Writes NAME.crt and NAME.key into the folder and returns their paths."""
        chain, private_key = folder / f"{name}.crt", folder / f"{name}.key"
        chain.write_text(self.chain)
        private_key.write_text(self.private_key)
        return chain, private_key

    def resource(self, key: str = "default/certificate") -> Certificate:
        """The contract's Certificate of this pair, under a key namespace/name."""
        namespace, _, name = key.partition("/")
        fingerprint = hashlib.sha256((self.chain + self.private_key).encode()).hexdigest()
        return Certificate(key, Source("Secret", namespace, name), self.chain, Secret(self.private_key), fingerprint)


class Authority:
    """A certificate authority. `certificate` is its PEM certificate: what peers trust, and what a TrustBundle holds.

    With `key_identifiers` off neither it nor what it issues carries subject and authority key identifiers, as many
    certificates in the field do not (VERIFY_X509_STRICT refuses those).
    """

    def __init__(self, name: str = "Test Authority", *, key_identifiers: bool = True, validity: Validity = CURRENT) -> None:
        self._subject = _subject(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_identifiers = key_identifiers
        self._chain = ""
        self.certificate = _pem(self._sign(_builder(self._subject, self._key, validity), self._key, authority=True))

    def intermediate(self, name: str = "Test Intermediate Authority") -> Authority:
        """An authority certified by this one; what it issues carries its certificate in the chain."""
        below = Authority(name, key_identifiers=self._key_identifiers)
        below.certificate = _pem(self._sign(_builder(below._subject, below._key, CURRENT), below._key, authority=True))
        below._chain = below.certificate + self._chain
        return below

    def issue(
        self,
        *names: str,
        common_name: str | None = None,
        key_type: KeyType = "ecdsa",
        validity: Validity = CURRENT,
        usage: Literal["any", "server", "client"] = "any",
        extension: bytes | None = None,
    ) -> Pair:
        """A leaf whose subject alternative names are `names`: an IP address, a URI (with '://'), otherwise a DNS name.

        The common name is the first name unless given (cut to the 64 characters X.509 allows).
        `extension` is the DER of a subjectAltName extension that takes the place of the names, for malformed ones.
        """
        key = _private_key(key_type)
        subject = _subject((names[0] if names else "leaf") if common_name is None else common_name)
        builder = _named(_builder(subject, key, validity), names if extension is None else ())
        if extension is not None:
            unchecked = x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, extension)
            builder = builder.add_extension(unchecked, critical=False)
        usages = {
            "any": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
            "server": [ExtendedKeyUsageOID.SERVER_AUTH],
            "client": [ExtendedKeyUsageOID.CLIENT_AUTH],
        }[usage]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        leaf = self._sign(builder, key, authority=False)
        return Pair(_pem(leaf) + self._chain, _key_pem(key))

    def _sign(self, builder: x509.CertificateBuilder, key: PrivateKey, *, authority: bool) -> x509.Certificate:
        builder = builder.issuer_name(self._subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if authority:
            builder = builder.add_extension(_CERTIFICATE_SIGNING, critical=True)
        if self._key_identifiers:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(issuer, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def self_signed(*names: str, validity: Validity = CURRENT) -> Pair:
    """A leaf signed by its own key, with `names` as in `Authority.issue`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(names[0] if names else "self-signed")
    builder = _named(_builder(subject, key, validity), names).issuer_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return Pair(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


_CERTIFICATE_SIGNING = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _builder(subject: x509.Name, key: PrivateKey, validity: Validity) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now + validity[0]).not_valid_after(now + validity[1])


def _named(builder: x509.CertificateBuilder, names: tuple[str, ...]) -> x509.CertificateBuilder:
    if not names:
        return builder
    return builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)


def _general_name(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private_key(key_type: KeyType) -> PrivateKey:
    if key_type == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])] if name else [])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: PrivateKey) -> str:
    encryption = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()
