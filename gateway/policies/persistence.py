"""Session persistence of a rule: requests of one session go to one endpoint (SessionPersistence, GEP-1619).

A client carries a token, in a cookie or in a header field. It holds the time of issue and a keyed hash of rule and endpoint, sealed
by another: it tells nothing about addresses, cannot be made up, and serves no other rule. There is no table of sessions, so every
worker understands every token, and none is lost when one ends. An endpoint that is gone is nobody's: the session is pinned anew.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from gateway.filters.checks import field_name, token
from gateway.http.head import Fields, RequestHead, ResponseHead
from gateway.ir.rule import Persistence


class Labelled(Protocol):
    """An endpoint. `label` is address:port."""

    @property
    def label(self) -> bytes: ...


E = TypeVar("E", bound=Labelled)

SECRET_MINIMUM: Final = 16
_VERSION: Final = b"\x01"
_HASH_SIZE: Final = 9
_PLAIN_SIZE: Final = len(_VERSION) + 5 + _HASH_SIZE
_is_text = re.compile(rb"[A-Za-z0-9_-]{32}").fullmatch
_is_cookie_path = re.compile(r"/[!-:<-~]*").fullmatch


class Token(NamedTuple):
    """A genuine token: seconds since the epoch at which it was issued, and the keyed hash of rule and endpoint."""

    issued: int
    mark: bytes


class Tokens:
    """Makes and reads tokens; the text is 32 characters of base64url: version, 5 bytes of time, mark, seal."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        """Raises ValueError for a secret that could be guessed."""
        if len(secret) < SECRET_MINIMUM:
            raise ValueError(f"the secret of session tokens has {len(secret)} bytes: {SECRET_MINIMUM} are needed")
        self._secret = blake2b(secret, digest_size=32).digest()

    def mark(self, rule: bytes, label: bytes) -> bytes:
        """Stands for an endpoint within one rule."""
        return self._hash(b"tidegate mark", rule + b"\0" + label)

    def write(self, issued: int, mark: bytes) -> bytes:
        plain = _VERSION + issued.to_bytes(5, "big") + mark
        return base64.urlsafe_b64encode(plain + self._hash(b"tidegate seal", plain))

    def read(self, text: bytes) -> Token | None:
        """None for everything that was not written here."""
        if not _is_text(text):
            return None
        raw = base64.urlsafe_b64decode(text)
        plain, seal = raw[:_PLAIN_SIZE], raw[_PLAIN_SIZE:]
        if not plain.startswith(_VERSION) or not compare_digest(seal, self._hash(b"tidegate seal", plain)):
            return None
        return Token(int.from_bytes(plain[1:6], "big"), plain[6:])

    def _hash(self, purpose: bytes, data: bytes) -> bytes:
        return blake2b(data, digest_size=_HASH_SIZE, key=self._secret, person=purpose).digest()


class Sessions(Generic[E]):
    """The sessions of one rule.

    The index from marks to endpoints is kept as long as `choose` is handed the same tuple.
    """

    __slots__ = ("_attributes", "_cookie", "_endpoints", "_index", "_marks", "_name", "_rule", "_timeout", "_tokens")

    def __init__(self, persistence: Persistence, rule: str, secret: bytes) -> None:
        self._tokens = Tokens(secret)
        self._rule = rule.encode()
        self._cookie = persistence.type == "Cookie"
        self._name = token(persistence.session_name) if self._cookie else field_name(persistence.session_name)
        self._timeout = persistence.absolute_timeout
        self._attributes = _attributes(persistence) if self._cookie else b""
        self._endpoints: tuple[E, ...] = ()
        self._index: dict[bytes, E] = {}
        self._marks: dict[bytes, bytes] = {}

    @classmethod
    def compile(cls, persistence: Persistence, rule: str, secret: bytes) -> Sessions[E]:
        """`rule` is the HttpRule's key; `secret` is shared by all proxies of the Gateway, or each would pin anew what another pinned.

        Raises ValueError with the field and its fault.
        """
        try:
            return cls(persistence, rule, secret)
        except ValueError as error:
            raise ValueError(f"sessionPersistence: {error}") from None

    def read(self, head: RequestHead) -> list[Token]:
        """Genuine tokens in the order sent: a client may send several cookies of one name (RFC 6265 5.4)."""
        found = []
        for value in self._values(head.fields):
            genuine = self._tokens.read(value)
            if genuine is not None:
                found.append(genuine)
        return found

    def choose(self, tokens: list[Token], endpoints: tuple[E, ...], now: int) -> E | None:
        """The endpoint of the first token that still holds, None if there is none. `now` is seconds since the epoch.

        `endpoints` are those of all backends of the rule, whatever their weight: a session outranks weights.
        """
        if not tokens:
            return None
        if endpoints is not self._endpoints:
            self._follow(endpoints)
        for issued, mark in tokens:
            if self._timeout is None or now - issued < self._timeout:
                endpoint = self._index.get(mark)
                if endpoint is not None:
                    return endpoint
        return None

    def strip(self, head: RequestHead) -> None:
        """Takes the session's tokens out of what the backend gets, and nothing else: a cookie of the same name may be the backend's own."""
        fields: Fields = []
        for pair in head.fields:
            name, value = pair
            lower = name.lower()
            if self._cookie and lower == b"cookie":
                value = b"; ".join(part for part in _cookies(value) if not self._genuine(part))
                if value:
                    fields.append((name, value))
            elif self._cookie or lower != self._name or self._tokens.read(value) is None:
                fields.append(pair)
        head.fields = fields
        head.changed()

    def edit(self, head: ResponseHead, endpoint: E, now: int, secure: bool) -> None:
        """Pins the session to an endpoint; for a response to a request that carried no token for it. `secure` if the client came by TLS."""
        text = self._tokens.write(now, self._mark(endpoint.label))
        if self._cookie:
            cookie = self._name + b"=" + text + self._attributes
            head.fields.append((b"set-cookie", cookie + b"; Secure" if secure else cookie))
        else:
            head.fields = [pair for pair in head.fields if pair[0].lower() != self._name]
            head.fields.append((self._name, text))

    def _values(self, fields: Fields) -> Iterator[bytes]:
        """What may be tokens: values of the cookies, or of the header field, with the session's name."""
        wanted = b"cookie" if self._cookie else self._name
        for name, value in fields:
            if len(name) == len(wanted) and name.lower() == wanted:
                if not self._cookie:
                    yield value
                elif self._name in value:
                    for part in _cookies(value):
                        name, equals, value = part.partition(b"=")
                        if equals and name == self._name:
                            yield value

    def _genuine(self, cookie: bytes) -> bool:
        name, _, value = cookie.partition(b"=")
        return name == self._name and self._tokens.read(value) is not None

    def _follow(self, endpoints: tuple[E, ...]) -> None:
        """Hashes only what is new. Of two endpoints with one label the first counts."""
        self._marks = {endpoint.label: self._mark(endpoint.label) for endpoint in endpoints}
        self._index = {self._marks[endpoint.label]: endpoint for endpoint in reversed(endpoints)}
        self._endpoints = endpoints

    def _mark(self, label: bytes) -> bytes:
        return self._marks.get(label) or self._tokens.mark(self._rule, label)


def _cookies(value: bytes) -> list[bytes]:
    """name=value pairs of a Cookie field (RFC 6265 4.2.1), empty ones left out."""
    return [cookie for part in value.split(b";") if (cookie := part.strip(b" \t"))]


def _attributes(persistence: Persistence) -> bytes:
    """What follows the token in Set-Cookie, but for Secure."""
    if not _is_cookie_path(persistence.path):
        raise ValueError(f"path {persistence.path!r} cannot stand in a cookie: begin it with '/', without ';' and spaces")
    attributes = f"; Path={persistence.path}; HttpOnly; SameSite=Strict"
    if persistence.permanent:
        if persistence.absolute_timeout is None:
            raise ValueError("a permanent cookie needs absoluteTimeout")
        attributes += f"; Max-Age={persistence.absolute_timeout}"
    return attributes.encode()
