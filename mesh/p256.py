"""Private keys of curve P-256, which are the only ones that the mesh has, in PEM."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_OPEN: Final = serialization.NoEncryption()


def write_key(key: ec.EllipticCurvePrivateKey) -> str:
    """PKCS #8, not encrypted."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, _OPEN).decode()


def read_key(pem: str) -> ec.EllipticCurvePrivateKey:
    """What `write_key` gave. Raises ValueError for everything else: what cannot be read, is encrypted, or is of another kind or curve."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("it is no key of curve P-256")
    return key
