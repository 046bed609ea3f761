"""Where tokens stand in a request: fields, parameters of the query and cookies; found, and taken away.

A place in which two tokens stand is refused: which of them a backend would take is not for us to guess.
"""

from __future__ import annotations

from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.http.head import RequestHead
from gateway.ir.policy import TokenRule
from gateway.policies.token import BadToken

Kind = Literal["header", "parameter", "cookie"]


class Place(NamedTuple):
    """`name` is in lower case where it is a header's; `prefix` stands there before the token."""

    kind: Kind
    name: bytes
    prefix: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind} {self.name.decode('latin-1')}"


DEFAULTS = (Place("header", b"authorization", b"Bearer "), Place("parameter", b"access_token"))
"""Where a rule that names no place looks."""


def places_of(rule: TokenRule) -> tuple[Place, ...]:
    """Where the tokens of a rule may stand."""
    headers = [Place("header", header.name.encode(), header.prefix.encode()) for header in rule.headers]
    params = [Place("parameter", name.encode()) for name in rule.params]
    cookies = [Place("cookie", name.encode()) for name in rule.cookies]
    return (*headers, *params, *cookies) or DEFAULTS


def find(head: RequestHead, place: Place) -> bytes | None:
    """The token that stands there, None without one. Raises BadToken for more than one."""
    match place.kind:
        case "header":
            given = [value for name, value in head.fields if name.lower() == place.name]
            found = [value[len(place.prefix) :].strip(b" \t") for value in given if _begins(value, place)]
            if found and len(given) > 1:
                raise BadToken(f"{place} stands in the request {len(given)} times")
        case "parameter":
            found = [unquote_to_bytes(value) for name, value in _parameters(head) if name == place.name]
        case "cookie":
            found = [value for name, value in _cookies(head) if name == place.name]
    tokens = [token for token in found if token]
    if len(tokens) > 1:
        raise BadToken(f"{place} stands in the request {len(tokens)} times")
    return tokens[0] if tokens else None


def take_away(head: RequestHead, place: Place) -> None:
    """What stands there does not reach backends."""
    match place.kind:
        case "header":
            head.fields = [(name, value) for name, value in head.fields if name.lower() != place.name or not _begins(value, place)]
        case "parameter":
            pieces = [piece for piece in (head.query or b"").split(b"&") if _name(piece) != place.name]
            head.query = b"&".join(pieces) if pieces else None
        case "cookie":
            head.fields = _without_cookie(head, place.name)
    head.changed()


def _begins(value: bytes, place: Place) -> bool:
    """The scheme of Authorization is in any case (RFC 9110 11.1)."""
    begin = value[: len(place.prefix)]
    return begin.lower() == place.prefix.lower() if place.name == b"authorization" else begin == place.prefix


def _parameters(head: RequestHead) -> list[tuple[bytes, bytes]]:
    return [(_name(piece), piece.partition(b"=")[2]) for piece in (head.query or b"").split(b"&")]


def _name(piece: bytes) -> bytes:
    return unquote_to_bytes(piece.partition(b"=")[0].replace(b"+", b" "))


def _cookies(head: RequestHead) -> list[tuple[bytes, bytes]]:
    """RFC 6265 5.4, whatever the number of fields."""
    crumbs = [crumb for name, value in head.fields if name.lower() == b"cookie" for crumb in value.split(b";")]
    pairs = [crumb.strip(b" \t").partition(b"=") for crumb in crumbs]
    return [(name.rstrip(b" \t"), value.strip(b" \t").strip(b'"')) for name, _, value in pairs]


def _without_cookie(head: RequestHead, cookie: bytes) -> list[tuple[bytes, bytes]]:
    kept = []
    for name, value in head.fields:
        if name.lower() == b"cookie":
            crumbs = [crumb for crumb in value.split(b";") if crumb.partition(b"=")[0].strip(b" \t") != cookie]
            value = b";".join(crumbs).strip(b" \t")
            if not value:
                continue
        kept.append((name, value))
    return kept
