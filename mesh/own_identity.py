"""A proxy's identity as the resources that its TLS contexts are made of (pure)."""

from __future__ import annotations

from hashlib import sha256

from gateway.ir.listener import Certificate, Secret, TrustBundle
from gateway.ir.value import Source
from gateway.ir.workload import IDENTITY, ROOTS

_LINK = Source("Identity", "", "@mesh")
"""No object: what the link to the controller was given."""


def identity_resources(chain: str, private_key: str, roots: str) -> tuple[Certificate, TrustBundle]:
    """Of a chain, leaf first, its key, and the roots by which peers are judged; all PEM."""
    fingerprint = sha256((chain + private_key).encode()).hexdigest()
    return Certificate(IDENTITY, _LINK, chain, Secret(private_key), fingerprint), TrustBundle(ROOTS, _LINK, roots)
