"""A token as it is written: JWS Compact Serialization of a JSON object of claims (RFC 7515 7.1, RFC 7519), read strictly.

What has two readings is refused: characters and bits that base64url ignores, names that stand twice, numbers that are none. What
the header says of keys (jwk, jku, x5c, x5u) is never looked at, since whoever made the token wrote it. Nothing is verified here.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

LONGEST: Final = 16 << 10
"""Bytes of a token."""
_COMPACT: Final = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)").fullmatch


class BadToken(Exception):
    """Why a token is not believed. `status` is that of the answer: 403 where it is genuine and for somebody else."""

    def __init__(self, reason: str, status: int = 401) -> None:
        super().__init__(reason)
        self.status = status


class Token(NamedTuple):
    """algorithm   `alg` of the header
    key_id      `kid` of the header, None without one
    claims      the payload
    payload     the same as it is written, base64url
    signed      what the signature is over
    """

    algorithm: str
    key_id: str | None
    claims: Mapping[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


def read_token(written: bytes) -> Token:
    """Raises BadToken for what is no token."""
    if len(written) > LONGEST:
        raise BadToken(f"the token is longer than {LONGEST} bytes")
    parts = _COMPACT(written)
    if parts is None:
        raise BadToken("the token is not in the form HEADER.PAYLOAD.SIGNATURE")
    header = _object(parts[1], "header")
    for name in ("crit", "b64"):  # extensions, of which there is none that we know (RFC 7515 4.1.11, RFC 7797 6)
        if name in header:
            raise BadToken(f"the token's header has {name!r}, which is not supported")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(key_id, str | None):
        raise BadToken("the token's header has no 'alg', or a 'kid', that is a string")
    claims = _object(parts[2], "payload")
    return Token(algorithm, key_id, claims, parts[2], parts[1] + b"." + parts[2], decoded(parts[3], "signature"))


def decoded(text: bytes, what: str) -> bytes:
    """The bytes that base64url stands for, without padding (RFC 7515 2). Raises BadToken unless it is how they are written."""
    try:
        found = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        found = b""
    if urlsafe_b64encode(found).rstrip(b"=") != text:
        raise BadToken(f"the token's {what} is not base64url")
    return found


def read_object(text: bytes) -> dict[str, Any]:
    """A JSON object in which no name stands twice. Raises ValueError for anything else."""
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _object(part: bytes, what: str) -> dict[str, Any]:
    try:
        return read_object(decoded(part, what))
    except ValueError:
        raise BadToken(f"the token's {what} is not a JSON object whose names stand once") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
