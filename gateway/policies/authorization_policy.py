"""What external authorization is in both of its protocols: whom it asks, what it may not do, and how it fails (HTTPExternalAuthFilter).

`external_authorization` asks over HTTP, `grpc_authorization` over gRPC. Sending and waiting are `gateway.proxy.authorization`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import ClassVar, Final, NamedTuple

from gateway.filters.passage import ResponseFilter
from gateway.http import fields as kinds
from gateway.http.fields import TOKEN, kind_of
from gateway.http.head import Fields, LocalReply, RequestHead, ResponseHead
from gateway.policies.check_messages import Attributes

FLAG: Final = "UAEX"
"""In the access log: the authorization server said no, or could not be asked."""
FAILED: Final = 403
"""Status where no usable answer came, as Envoy has it: the filter must fail closed (HTTPRouteFilter.externalAuth)."""
TOO_LARGE: Final = 413
"""Status where the body is longer than the question may carry. A cut body is never judged: what follows would pass unseen."""

PASSABLE: Final = frozenset({0, kinds.IDENTITY})
"""Kinds of fields that the codec passes on from an answer: no framing, nothing hop-by-hop, and no x-forwarded-for."""
OURS: Final = frozenset({kinds.FORWARDED_FOR, kinds.IDENTITY})
"""Kinds of what we say of a client. In the fields of a head they stand only when a filter has unfolded it: the codec takes out what
clients send."""

is_token: Final = re.compile(TOKEN).fullmatch


class Permission(NamedTuple):
    """The request may pass."""

    permit: Callable[[RequestHead], None]
    """What the answer does to it."""
    edit: ResponseFilter | None = None
    """What it does to the backend's answer."""


class Unusable(NamedTuple):
    """No answer, though one came: why."""

    reason: str


class AuthorizationPolicy:
    """One filter, compiled. `backend` is the key of the Backend that is asked; `max_body` how much of a body it is sent, 0 for none."""

    __slots__ = ("backend", "max_body", "taken")

    protocol: ClassVar[str] = "HTTP"

    def __init__(self, backend: str, max_body: int, taken: frozenset[bytes]) -> None:
        self.backend, self.max_body, self.taken = backend, max_body, taken
        """`taken` are the fields of the request that only the answer may set; empty where it may set any."""

    def asked(self, head: RequestHead, path: bytes, authority: bytes) -> RequestHead:
        """What is asked about, without a length. `path` and `authority` are those of the request as it was matched; what filters
        before this one did to the fields of `head` shows, what they did to the target does not."""
        raise NotImplementedError

    def question(self, asked: RequestHead, attributes: Callable[[], Attributes], body: list[bytes]) -> tuple[RequestHead, list[bytes]]:
        """Head and body of the request to the server; `body` is that of the client's request, as far as it has come."""
        raise NotImplementedError

    def reads(self, answer: ResponseHead) -> bool:
        """Whether the body of this answer says anything."""
        raise NotImplementedError

    def fault(self, answer: ResponseHead, trailers: Fields) -> str:
        """What the answer says against the endpoint that gave it, besides its status of HTTP; '' for nothing."""
        return ""

    def verdict(self, answer: ResponseHead, body: bytes, trailers: Fields) -> Permission | LocalReply | Unusable:
        """What becomes of the request; a reply is the server's own answer, for the client."""
        raise NotImplementedError

    def foreseen(self, head: RequestHead) -> None:
        """Has the request lose what it is sure to lose if it may pass."""
        raise NotImplementedError

    def failure(self, reason: str, status: int = FAILED) -> LocalReply:
        """No answer, and why."""
        return LocalReply(status, f"the authorization server {self.backend} {reason}", flag=FLAG)

    def too_large(self) -> LocalReply:
        """The body is longer than `max_body`."""
        return LocalReply(TOO_LARGE, f"the body is longer than the {self.max_body} bytes that the authorization server sees", flag=FLAG)


def check_size(size: int) -> None:
    """Raises ValueError."""
    if size < 0:
        raise ValueError(f"maxSize {size} is negative: write 0 or more")


def names_of(names: Iterable[str]) -> frozenset[bytes]:
    """Lower-case names, without those that the codec writes anew. Raises ValueError."""
    found = [name.lower().encode() for name in names]
    for name in found:
        if not is_token(name):
            raise ValueError(f"{name.decode()!r} is no name of a header field: write letters, digits and '-'")
    return frozenset(name for name in found if kind_of(name) in PASSABLE)


def read_as(name: bytes) -> bytes:
    """Many backends read `x_user` and `x.user` as `x-user`."""
    return name.replace(b"_", b"-").replace(b".", b"-")
