"""Whose certificate a peer of the mesh has shown: the one name in it, which is the SPIFFE ID of a ServiceAccount (X509-SVID 2 and 4).

For certificates whose chain OpenSSL has verified by the roots of the mesh, validity and purpose included. What the standard library does
not tell of a certificate is read from its DER. As strict as the authority that issues them (mesh/svid.py), so that nobody passes here
who would not pass there.
"""

from __future__ import annotations

import re
import ssl
from typing import Final, NamedTuple

from gateway.net.certificate_names import MalformedCertificate, certificate_blocks, read_workload_facts

MOST_BYTES: Final = 2_048
"""Of a SPIFFE ID (SPIFFE-ID 2.3)."""

_SEGMENT: Final = r"(?!\.\.?(?:/|\Z))[A-Za-z0-9._-]+"
_ACCOUNT: Final = re.compile(rf"spiffe://([a-z0-9._-]{{1,255}})/ns/({_SEGMENT})/sa/({_SEGMENT})").fullmatch


class PeerIdentityError(Exception):
    """A peer's certificate is valid, but proves no identity of the mesh, or another one; the message says why."""


class SpiffeAccount(NamedTuple):
    """Of spiffe://<trust domain>/ns/<namespace>/sa/<account>, the only form that workloads of the mesh have."""

    trust_domain: str
    namespace: str
    account: str

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.account}"


def parse_spiffe_id(uri: str) -> SpiffeAccount:
    """Raises PeerIdentityError for anything but the one canonical form: no port, query, percent-encoding or dot segment."""
    found = _ACCOUNT(uri) if len(uri) <= MOST_BYTES else None
    if found is None:
        raise PeerIdentityError(f"{uri[:200]!r} is not spiffe://<trust domain>/ns/<namespace>/sa/<account>")
    return SpiffeAccount(found[1], found[2], found[3])


def read_spiffe_id(der: bytes) -> SpiffeAccount:
    """The identity in a certificate. Raises PeerIdentityError unless it has one name, which is one, and is a leaf."""
    try:
        facts = read_workload_facts(der)
    except MalformedCertificate as error:
        raise PeerIdentityError(f"its certificate {error}") from None
    if facts.authority is not False:
        raise PeerIdentityError(f"its certificate {'belongs to an authority' if facts.authority else 'does not say that it is a leaf'}")
    if len(facts.uris) != 1 or facts.others:
        count = len(facts.uris) + facts.others
        raise PeerIdentityError(f"its certificate has {count} names, {len(facts.uris)} of them URIs, where one SPIFFE ID is due")
    return parse_spiffe_id(facts.uris[0].decode("ascii", "backslashreplace"))


def own_spiffe_id(chain: str) -> SpiffeAccount:
    """The identity in the first certificate of a chain, PEM. Raises PeerIdentityError."""
    blocks = certificate_blocks(chain)
    if not blocks:
        raise PeerIdentityError("its chain holds no CERTIFICATE block in PEM")
    try:
        return read_spiffe_id(ssl.PEM_cert_to_DER_cert(blocks[0]))
    except ValueError as error:
        raise PeerIdentityError(f"its chain cannot be read: {error}") from None


def verify_peer(ssl_object: ssl.SSLObject, trust_domain: str, expected: str = "") -> SpiffeAccount:
    """Who is at the other end, once the handshake is over and before a byte is exchanged.

    `trust_domain` is that of our own identity; `expected` the SPIFFE ID that a callee must have, '' for any caller. Raises
    PeerIdentityError.
    """
    try:
        ssl_object.getpeercert()  # which the loops, and others who see it later, must be able to read as we do
        der = ssl_object.getpeercert(True)
    except (ssl.SSLError, ValueError) as error:
        raise PeerIdentityError(str(error)) from None
    if not der or ssl_object.context.verify_mode != ssl.CERT_REQUIRED:
        raise PeerIdentityError("it has shown no certificate that was verified")
    identity = read_spiffe_id(der)
    if identity.trust_domain != trust_domain:
        raise PeerIdentityError(f"it is {identity}, and the trust domain here is {trust_domain}")
    if expected and str(identity) != expected:
        raise PeerIdentityError(f"it is {identity}, and not {expected}")
    return identity
