"""Whose certificate it is: the one URI name of an X.509-SVID whose chain has been verified already (pure)."""

from __future__ import annotations

from typing import NamedTuple

from cryptography import x509

from mesh.identity import InvalidSpiffeId, SpiffeId


class InvalidSvid(ValueError):
    """A certificate that is nobody's identity here; the message says why."""


class Svid(NamedTuple):
    identity: SpiffeId
    not_after: float
    """Seconds since 1970."""


def read_svid(der: bytes, trust_domain: str) -> Svid:
    """Raises InvalidSvid unless the certificate has one name, which is a SPIFFE ID of this trust domain, and is no authority's."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = tuple(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise InvalidSvid(f"its certificate is not one that this authority issues: {error}") from error
    if authority:
        raise InvalidSvid("its certificate is an authority's")
    match names:
        case (x509.UniformResourceIdentifier(value=uri),):
            pass
        case _:
            raise InvalidSvid(f"its certificate has {len(names)} names where one SPIFFE ID is due")
    try:
        identity = SpiffeId.parse(uri)
    except InvalidSpiffeId as error:
        raise InvalidSvid(f"its certificate has no SPIFFE ID: {error}") from error
    if identity.trust_domain != trust_domain:
        raise InvalidSvid(f"it is {identity}, and the trust domain here is {trust_domain}")
    return Svid(identity, certificate.not_valid_after_utc.timestamp())
