"""The root certificates of a trust domain over time: which one signs, which are trusted, when the next one is made (pure).

A new root is trusted by all before anything is signed with it, and an old one for as long as something that it signed is valid:
twice the life of a leaf, for each. What stage a root is in follows from its age, so that replicas need not agree on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.identity import SpiffeId
from mesh.p256 import read_key, write_key

LEAF_LIFETIME: Final = timedelta(hours=24)
"""Where nothing else is said."""
SHORTEST_LEAF: Final = timedelta(seconds=20)
"""A renewal, which begins at half of it, may take ten seconds."""
LONGEST_LEAF: Final = timedelta(days=90)
"""Roots follow each other within four lives of a leaf, and have RENEWED_BEFORE_END for that."""
ROOT_LIFETIME: Final = timedelta(days=3_652)
RENEWED_BEFORE_END: Final = timedelta(days=365)
BACKDATED: Final = timedelta(minutes=2)
"""Clocks of machines differ by a little; as much as Istio allows them."""

_NAMES: Final = (("tls.crt", "tls.key"), ("next.crt", "next.key"))
"""Where the older and the newer root stand in a Secret of type kubernetes.io/tls."""


class UnreadableRoot(ValueError):
    """What is stored is no root of ours; the message names the part and the remedy."""


@dataclass(frozen=True, slots=True)
class Root:
    """A self-signed certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def make_root(key: ec.EllipticCurvePrivateKey, trust_domain: str, now: datetime, serial: int) -> Root:
    """Valid for ROOT_LIFETIME, for leaves alone. Raises mesh.identity.InvalidSpiffeId for a trust domain that is none."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Tidegate root {serial:x}"[:64])])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(SpiffeId(trust_domain)))])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), serial, now - BACKDATED, now + ROOT_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(names, critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Root(certificate, key)


def signs_from(root: Root, leaf: timedelta) -> datetime:
    """When a root begins to sign where there is one before it. `leaf` is the life of what is signed."""
    return root.certificate.not_valid_before_utc + BACKDATED + 2 * leaf


def alone_from(root: Root, leaf: timedelta) -> datetime:
    """When those before a root are trusted no more: nothing of theirs is valid."""
    return signs_from(root, leaf) + 2 * leaf


def signing(roots: Sequence[Root], now: datetime, leaf: timedelta) -> Root:
    """The newest root that everybody trusts by now; the oldest where there is none."""
    known = [root for root in _by_age(roots) if signs_from(root, leaf) <= now]
    return known[-1] if known else _by_age(roots)[0]


def trusted(roots: Sequence[Root], now: datetime, leaf: timedelta) -> tuple[Root, ...]:
    """All but those whose successor has signed for so long that nothing else is valid any more; oldest first."""
    ordered = _by_age(roots)
    settled = [root for root in ordered if alone_from(root, leaf) <= now]
    return tuple(ordered[len(settled) - 1 :] if settled else ordered)


def is_due(roots: Sequence[Root], now: datetime) -> bool:
    """Whether a new root is to be made."""
    return _by_age(roots)[-1].certificate.not_valid_after_utc - RENEWED_BEFORE_END <= now


def stored(roots: Sequence[Root]) -> dict[str, str]:
    """As the data of a Secret: the older root in tls.crt and tls.key, a newer one in next.crt and next.key."""
    data: dict[str, str] = {}
    for root, (certificate, key) in zip(_by_age(roots), _NAMES, strict=False):
        data[certificate] = root.pem
        data[key] = write_key(root.key)
    return data


def read_roots(data: Mapping[str, str]) -> tuple[Root, ...]:
    """What `stored` wrote, one root or two. Raises UnreadableRoot."""
    return tuple(_read(data, *names) for names in _NAMES if names == _NAMES[0] or names[0] in data)


def _by_age(roots: Sequence[Root]) -> list[Root]:
    return sorted(roots, key=lambda root: root.certificate.not_valid_before_utc)


def _read(data: Mapping[str, str], certificate_name: str, key_name: str) -> Root:
    remedy = "restore the Secret, or delete it to have a new authority made, which all proxies then have to be told of"
    try:
        certificate = x509.load_pem_x509_certificate(data[certificate_name].encode())
        key = read_key(data[key_name])
    except (KeyError, ValueError) as error:
        raise UnreadableRoot(f"{certificate_name} and {key_name} are no certificate and key in PEM ({error}); {remedy}") from error
    if certificate.public_key() != key.public_key():
        raise UnreadableRoot(f"{key_name} is not the key of {certificate_name}; {remedy}")
    return Root(certificate, key)
