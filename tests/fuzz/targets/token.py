"""A token: whatever a client sends is refused with a reason, or is one that its issuer signed, as a slow reader finds it too."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Final

from gateway.policies.token import BadToken, read_token
from gateway.policies.token_keys import KeySet
from tests.gateway.policies.tokens import jwk, jwks, token

_SIGNED: Final = frozenset({token(), token(algorithm="RS256"), token(algorithm="EdDSA")})
_KEYS: Final = KeySet(jwks(jwk("P-256"), jwk("rsa"), jwk("Ed25519")).encode())


def run(data: bytes) -> None:
    """`data` is the token."""
    if data[:1] == b"\x00":  # what a client could make of a good one
        good = sorted(_SIGNED)[data[1] % len(_SIGNED)] if len(data) > 1 else b""
        place = data[2] * 3 % len(good) if len(data) > 3 else 0
        data = good[:place] + data[3:4] + good[place + 1 :]
    try:
        read = read_token(data)
    except BadToken as refusal:
        assert refusal.status == 401
        assert str(refusal).isascii()
        return
    head, payload, signature = data.split(b".")
    assert slowly(payload) == read.claims
    assert slowly(head)["alg"] == read.algorithm
    assert read.signed == head + b"." + payload
    assert b64decode(signature + b"==", b"-_") == read.signature
    try:
        _KEYS.verify(read)
    except BadToken as refusal:
        assert str(refusal).isprintable()
    else:
        assert data in _SIGNED


def slowly(part: bytes) -> dict[str, object]:
    """The object in a part of the token."""
    found: dict[str, object] = json.loads(b64decode(part + b"==", b"-_"))
    return found
