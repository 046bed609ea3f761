"""Public keys of an issuer (JWK Set, RFC 7517), and whether one of them made a token's signature (RFC 7515, RFC 7518, RFC 8037).

A key has a type, and with it the few algorithms that it may be used with, whatever a token's header says: there is no way to have a
public key taken for a secret, nor a signature left out. Imported where a policy needs it and nowhere else: what it imports weighs
megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from jwt.algorithms import get_default_algorithms
from jwt.exceptions import PyJWTError

from gateway.policies.token import BadToken, Token, read_object

MOST_KEYS: Final = 128
"""Of a set."""
LONGEST_SET: Final = 256 << 10
"""Bytes of a set."""
LEAST_RSA_BITS: Final = 2048
"""RFC 7518 3.3."""
LONGEST_RSA_BITS: Final = 16384
"""A longer one only makes verifying slow."""

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = MappingProxyType({"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)})
_PUBLIC: Final = MappingProxyType({"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")})
"""The members of a public key, by its type: those of a private one that somebody published are not looked at."""
_ALGORITHMS: Final = {name: each for name, each in get_default_algorithms().items() if name in _RSA or (name,) in _CURVES.values()}


class Key(NamedTuple):
    """One that verifies. `key_id` is None where the set names it by none; `algorithms` are those that it may be used with."""

    key_id: str | None
    algorithms: tuple[str, ...]
    public: Any


class UnknownKey(BadToken):
    """The token names a key that is not in the set, which may have got it since."""


class KeySet:
    """What one issuer has published. `skipped` says of each key that is of no use why."""

    __slots__ = ("_keys", "skipped")

    def __init__(self, text: bytes) -> None:
        """Raises ValueError unless there is a key of use in it."""
        if len(text) > LONGEST_SET:
            raise ValueError(f"the JWK Set is longer than {LONGEST_SET} bytes")
        try:
            members = read_object(text).get("keys")
        except ValueError:
            raise ValueError("it is no JWK Set: write a JSON object with the member 'keys'") from None
        if not isinstance(members, list) or len(members) > MOST_KEYS:
            raise ValueError(f"it is no JWK Set: its member 'keys' is a list of at most {MOST_KEYS} keys")
        keys, skipped = [], []
        for index, member in enumerate(members):
            try:
                keys.append(_key(member))
            except (ValueError, PyJWTError, TypeError) as fault:
                skipped.append(f"keys[{index}]: {fault}")
        if not keys:
            raise ValueError("; ".join(("the JWK Set has no key that verifies signatures", *skipped[:3])))
        self._keys, self.skipped = tuple(keys), tuple(skipped)

    def verify(self, token: Token) -> None:
        """Raises UnknownKey, and BadToken for a signature that none of the keys made."""
        algorithm = _ALGORITHMS.get(token.algorithm)
        if algorithm is None:
            raise BadToken(f"the token's algorithm {token.algorithm[:32]!a} is not supported; {', '.join(sorted(_ALGORITHMS))} are")
        named = [key for key in self._keys if token.key_id is None or key.key_id in (None, token.key_id)]
        if not named:
            raise UnknownKey(f"the token is signed with key {(token.key_id or '')[:64]!a}, which is none of the issuer's")
        fitting = [key for key in named if token.algorithm in key.algorithms]
        if not fitting:
            raise BadToken(f"the issuer's key is not for algorithm {token.algorithm}")
        if not any(_is_by(algorithm, key, token) for key in fitting):
            raise BadToken("the token's signature is not the issuer's")


def _is_by(algorithm: Any, key: Key, token: Token) -> bool:
    try:
        return algorithm.verify(token.signed, key.public, token.signature) is True
    except (ValueError, PyJWTError):
        return False


def _key(member: Any) -> Key:
    """Raises ValueError, TypeError or PyJWTError for what is of no use."""
    if not isinstance(member, dict):
        raise ValueError("it is no JSON object")
    kind = member.get("kty")
    algorithms: tuple[str, ...] = _RSA if kind == "RSA" else _CURVES.get(str(member.get("crv")), ())
    if not isinstance(kind, str) or kind not in _PUBLIC or not algorithms or (kind == "OKP") != (algorithms == ("EdDSA",)):
        raise ValueError(f"type {kind!r} with curve {member.get('crv')!r} is not supported; RSA, EC and OKP (Ed25519) are")
    if member.get("use", "sig") != "sig" or "verify" not in member.get("key_ops", ("verify",)):
        raise ValueError("it is not for signatures, by its 'use' or 'key_ops'")
    if "alg" in member:
        algorithms = tuple(name for name in algorithms if name == member["alg"])
        if not algorithms:
            raise ValueError(f"algorithm {member['alg']!r} does not fit its type")
    key_id = member.get("kid")
    if not isinstance(key_id, str | None):
        raise ValueError("its 'kid' is no string")
    return Key(key_id, algorithms, _public(kind, algorithms[0], member))


def _public(kind: str, algorithm: str, member: Mapping[str, Any]) -> Any:
    parts = {name: member.get(name) for name in _PUBLIC[kind]}
    if not all(isinstance(part, str) and part for part in parts.values()):
        raise ValueError(f"a key of type {kind} has the members {', '.join(_PUBLIC[kind])}, each a string")
    public = _ALGORITHMS[algorithm].from_jwk({"kty": kind, **parts})
    if kind == "RSA" and not LEAST_RSA_BITS <= public.key_size <= LONGEST_RSA_BITS:
        raise ValueError(f"its {public.key_size} bits are not between {LEAST_RSA_BITS} and {LONGEST_RSA_BITS}")
    return public
