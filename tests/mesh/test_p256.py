"""Private keys in PEM: ours come back as they were, and whatever else a file may hold is refused with the reason."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from mesh.p256 import read_key, write_key

OPEN = serialization.NoEncryption()


def pem(key: PrivateKeyTypes, encryption: serialization.KeySerializationEncryption = OPEN) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def test_a_key_comes_back_as_it_was() -> None:
    """Written and read, it has the same numbers (PKCS #8, RFC 5958)."""
    key = ec.generate_private_key(ec.SECP256R1())
    assert read_key(write_key(key)).private_numbers() == key.private_numbers()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (pem(ec.generate_private_key(ec.SECP384R1())), "no key of curve P-256"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "no key of curve P-256"),
        (pem(rsa.generate_private_key(65537, 2048)), "no key of curve P-256"),
        (pem(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"secret")), "encrypted"),
        ("", "PEM"),
        ("no", "PEM"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "deserialize"),
    ],
    ids=["another curve", "Ed25519", "RSA", "encrypted", "nothing", "no PEM", "no key"],
)
def test_what_is_no_key_of_ours_is_refused_with_the_reason(text: str, reason: str) -> None:
    """Other curves and kinds, encrypted ones, and text that holds no key."""
    with pytest.raises(ValueError, match=reason):
        read_key(text)
