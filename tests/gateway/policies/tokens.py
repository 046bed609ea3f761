"""An issuer of tokens for tests: its keys, the set that it publishes, and tokens with any header, claims and signature."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ISSUER = "https://issuer.test"
NOW = 1_800_000_000
"""Seconds since 1970, at which tokens of `claims` are good."""
ALGORITHMS = get_default_algorithms()
OF = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "rsa"),
    "ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519",
}  # fmt: skip
"""The kind of key that each algorithm takes."""


def private(kind: str, number: int = 0) -> Any:
    """A private key of a kind; the same for the same number."""
    return _made(kind, number)


@cache
def _made(kind: str, number: int) -> Any:
    match kind:
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "rsa-1024":
            return rsa.generate_private_key(65537, 1024)
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return ec.generate_private_key({"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1, "K": ec.SECP256K1}[kind]())


def jwk(kind: str, number: int = 0, **members: Any) -> dict[str, Any]:
    """The public key as a member of a set."""
    algorithm = {"rsa": "RS256", "rsa-1024": "RS256", "Ed25519": "EdDSA"}.get(kind, "ES256K")
    found: dict[str, Any] = json.loads(ALGORITHMS[algorithm].to_jwk(private(kind, number).public_key()))
    found.pop("key_ops", None)
    return {**found, **members}


def jwks(*keys: dict[str, Any]) -> str:
    """A set of these keys; by default of one of each kind, named by its kind."""
    return json.dumps({"keys": list(keys) or [jwk(kind, kid=kind) for kind in dict.fromkeys(OF.values())]})


def claims(**changed: Any) -> dict[str, Any]:
    """Good ones, with these differences; None leaves a claim out."""
    found = {"iss": ISSUER, "sub": "alice", "exp": NOW + 600, "nbf": NOW - 600, **changed}
    return {name: value for name, value in found.items() if value is not None}


def encoded(data: bytes | str | dict[str, Any]) -> bytes:
    """base64url of bytes, of a text, or of an object's JSON."""
    text = json.dumps(data) if isinstance(data, dict) else data
    return urlsafe_b64encode(text.encode() if isinstance(text, str) else text).rstrip(b"=")


def token(said: dict[str, Any] | str | None = None, algorithm: str = "ES256", number: int = 0, **header: Any) -> bytes:
    """Signed by the key of the algorithm's kind. `said` are the claims, as an object or as JSON; `header` replaces its members."""
    head = encoded({"alg": algorithm, "typ": "JWT", **header})
    signed = head + b"." + encoded(claims() if said is None else said)
    return signed + b"." + encoded(ALGORITHMS[algorithm].sign(signed, private(OF[algorithm], number)))


def hmac_token(secret: bytes, **header: Any) -> bytes:
    """One of a symmetric algorithm."""
    signed = encoded({"alg": "HS256", "typ": "JWT", **header}) + b"." + encoded(claims())
    return signed + b"." + encoded(hmac.digest(secret, signed, hashlib.sha256))
