"""Certificates that clients show, by what is wrong with them; and one that is right."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.certificates import EXPIRED, NOT_YET_VALID, Authority, Pair, self_signed

AUTHORITY: Final = Authority("Authority of the attacks")
"""Whom the gateway trusts, and who certified the gateway."""
_NAME: Final = "client.example"
_MALFORMED_NAME: Final = b"\x30\x04\x82\x02\xff\xfe"
"""A subjectAltName with a dNSName that is no text."""
_NUL_IN_NAME: Final = b"\x30\x0d\x82\x0ba.b\x00.c.test"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Issuer:
    """A certificate and its key, right or wrong, that signs others."""

    def __init__(self, chain: str, key: Key, name: x509.Name) -> None:
        self._chain, self._key, self._name = chain, key, name

    @classmethod
    def of(cls, pair: Pair) -> Issuer:
        key = serialization.load_pem_private_key(pair.private_key.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(pair.chain, key, x509.load_pem_x509_certificate(pair.chain.encode()).subject)

    @classmethod
    def root(cls, authority: Authority) -> Issuer:
        return cls("", authority._key, authority._subject)

    def issue(
        self, common_name: str, *extensions: x509.ExtensionType, ca: bool = False, length: int | None = None, key: Key | None = None
    ) -> Pair:
        """A leaf, or an authority with this path length, that carries our chain."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=length), critical=True)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.NameConstraints))
        certificate = builder.sign(self._key, hashes.SHA256())
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode() + self._chain, text.decode())


def _dns(name: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(name)])


def _path_too_long() -> Pair:
    last = Issuer.of(Issuer.root(AUTHORITY).issue("Last Authority", ca=True, length=0))
    return Issuer.of(last.issue("One too many", ca=True)).issue(_NAME, _dns(_NAME))


def _outside_of_constraints() -> Pair:
    inside = x509.NameConstraints([x509.DNSName("inside.example")], None)
    return Issuer.of(Issuer.root(AUTHORITY).issue("Constrained Authority", inside, ca=True)).issue("outside", _dns("outside.example"))


def _behind_another() -> Pair:
    own = self_signed(_NAME)
    return Pair(own.chain + AUTHORITY.issue(_NAME, usage="client").chain, own.private_key)


def _without_intermediate() -> Pair:
    pair = AUTHORITY.intermediate().issue(_NAME, usage="client")
    end = "-----END CERTIFICATE-----\n"
    return Pair(pair.chain.split(end)[0] + end, pair.private_key)


def _used_for(*purposes: x509.ObjectIdentifier) -> Pair:
    return Issuer.root(AUTHORITY).issue(_NAME, x509.ExtendedKeyUsage(purposes))


@cache
def clients() -> Mapping[str, Pair]:
    """By what they are."""
    root = Issuer.root(AUTHORITY)
    return {
        "valid": AUTHORITY.issue(_NAME, usage="client"),
        "through an intermediate": AUTHORITY.intermediate().issue(_NAME, usage="client"),
        "of a stranger": Authority("Stranger").issue(_NAME, usage="client"),
        "of a stranger with the authority's name": Authority("Authority of the attacks").issue(_NAME, usage="client"),
        "expired": AUTHORITY.issue(_NAME, usage="client", validity=EXPIRED),
        "not yet valid": AUTHORITY.issue(_NAME, usage="client", validity=NOT_YET_VALID),
        "self-signed": self_signed(_NAME),
        "self-signed with the authority's name": self_signed("Authority of the attacks"),
        "of a server": AUTHORITY.issue(_NAME, usage="server"),
        "for signing code": _used_for(ExtendedKeyUsageOID.CODE_SIGNING),
        "issued by a leaf": Issuer.of(root.issue("leaf", _dns("leaf.example"))).issue(_NAME, _dns(_NAME)),
        "path too long": _path_too_long(),
        "outside of name constraints": _outside_of_constraints(),
        "behind another": _behind_another(),
        "without its intermediate": _without_intermediate(),
        "with a key of 1024 bits": root.issue(_NAME, key=rsa.generate_private_key(65537, 1024)),
        "with a malformed name": AUTHORITY.issue(_NAME, usage="client", extension=_MALFORMED_NAME),
        "with a NUL in its name": AUTHORITY.issue(_NAME, usage="client", extension=_NUL_IN_NAME),
    }


def server() -> Pair:
    """For every hostname of the stage."""
    return AUTHORITY.issue("a.example", "*.wild.example", "deep.wild.example", "any.example", usage="server")
