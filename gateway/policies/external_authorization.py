"""External authorization over HTTP (HTTPExternalAuthFilter): what is asked, and what an answer does to a request.

The question is the client's method, its path and Host as they were matched, Authorization and our own forwarded fields; of the
other fields only those that the filter lists, and never a cookie unless it is one of them. 200 lets the request pass, and no
other answer does. Sending and waiting are `gateway.proxy.authorization`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gateway.http import fields as kinds
from gateway.http.fields import TOKEN, kind_of
from gateway.http.head import LocalReply, RequestHead, ResponseHead
from gateway.ir.filters import ExternalAuth

FLAG: Final = "UAEX"
"""In the access log: the authorization server said no, or could not be asked."""
FAILED: Final = 403
"""Status where no usable answer came, as Envoy has it: the filter must fail closed (HTTPRouteFilter.externalAuth)."""
TOO_LARGE: Final = 413
"""Status where the body is longer than the question may carry. A cut body is never judged: what follows would pass unseen."""
ALLOWED: Final = 200
"""The only status that lets a request pass."""

_ALWAYS_SENT: Final = frozenset({b"authorization"})
"""Besides method, path, Host and Content-Length (HTTPAuthConfig.allowedHeaders)."""
_PASSABLE: Final = frozenset({0, kinds.IDENTITY})
"""Kinds of fields that the codec passes on from an answer: no framing, nothing hop-by-hop, and no x-forwarded-for."""

_is_token = re.compile(TOKEN).fullmatch
_is_prefix = re.compile(r"(?:/[-A-Za-z0-9._~!$&'()*+,;=:@%]+)*").fullmatch


class ExternalAuthorization:
    """One filter, compiled. `backend` is the key of the Backend that is asked; `max_body` how much of a body it is sent, 0 for none."""

    __slots__ = ("_asked", "_prefix", "backend", "max_body", "taken")

    def __init__(self, backend: str, prefix: bytes, asked: frozenset[bytes], taken: frozenset[bytes], max_body: int) -> None:
        self.backend, self.max_body = backend, max_body
        self._prefix, self._asked = prefix, asked | _ALWAYS_SENT
        self.taken = taken
        """Fields of the answer that the request takes over; empty for all that say something of it."""

    @classmethod
    def compile(cls, rule: ExternalAuth) -> ExternalAuthorization:
        """Raises ValueError for a path or a name that must not go on the wire, and for a negative size."""
        if not _is_prefix(rule.path):
            raise ValueError(f"path {rule.path!r} is no prefix: begin it with '/' and leave out empty segments and a slash at its end")
        if rule.max_body < 0:
            raise ValueError(f"maxSize {rule.max_body} is negative: write 0 or more")
        asked, taken = _names(rule.allowed_headers), _names(rule.allowed_response_headers)
        return cls(rule.backend, rule.path.encode("ascii"), asked, taken, rule.max_body)

    def question(self, head: RequestHead, path: bytes, authority: bytes) -> RequestHead:
        """The request to the server, without a length. `path` and `authority` are those of the request as it was matched; what filters
        before this one did to the fields of `head` shows, what they did to the target does not."""
        if path != b"*":
            path = self._prefix + path
        elif self._prefix:
            path = self._prefix
        question = RequestHead(head.method, path, head.query, authority, head.host)
        asked = self._asked
        question.fields = [pair for pair in head.fields if (name := pair[0].lower()) in asked or kind_of(name) in _OURS]
        question.forwarded = head.forwarded
        return question

    def permit(self, head: RequestHead, answer: ResponseHead) -> None:
        """Has the request take over what the answer says of it. A field that the filter lists comes from the server or not at all: a
        client that sends one of the same name cannot speak in its place."""
        taken = self.taken
        if taken:
            new = [pair for pair in answer.fields if pair[0].lower() in taken]
        else:
            new = [pair for pair in answer.fields if _is_told(pair[0].lower())]
        names = taken or frozenset(name.lower() for name, _ in new)
        if not names:
            return
        if any(map(kind_of, names)):
            head.unfold()
        gone = frozenset(map(_read_as, names))
        head.fields = [pair for pair in head.fields if _read_as(pair[0].lower()) not in gone] + new
        head.changed()

    def denial(self, answer: ResponseHead, body: bytes) -> LocalReply:
        """The server's own answer, for the client."""
        reason = f"the authorization server {self.backend} answered {answer.status}"
        return LocalReply(answer.status, reason, answer.fields, body, FLAG, None if body else answer.length)

    def failure(self, reason: str, status: int = FAILED) -> LocalReply:
        """No answer, and why."""
        return LocalReply(status, f"the authorization server {self.backend} {reason}", flag=FLAG)

    def too_large(self) -> LocalReply:
        """The body is longer than `max_body`."""
        return LocalReply(TOO_LARGE, f"the body is longer than the {self.max_body} bytes that the authorization server sees", flag=FLAG)


_OURS: Final = frozenset({kinds.FORWARDED_FOR, kinds.IDENTITY})
"""Kinds of what we say of a client. In the fields of a head they stand only when a filter has unfolded it: the codec takes out what
clients send."""


def _names(names: Iterable[str]) -> frozenset[bytes]:
    """Lower-case names, without those that the codec writes anew. Raises ValueError."""
    found = [name.lower().encode() for name in names]
    for name in found:
        if not _is_token(name):
            raise ValueError(f"{name.decode()!r} is no name of a header field: write letters, digits and '-'")
    return frozenset(name for name in found if kind_of(name) in _PASSABLE)


def _read_as(name: bytes) -> bytes:
    """Many backends read `x_user` and `x.user` as `x-user`."""
    return name.replace(b"_", b"-").replace(b".", b"-")


def _is_told(name: bytes) -> bool:
    """Whether a field of an answer says something of the request: not of the answer's own content, not how it is framed, and not
    what we say of the client, which the server may change only where the filter lists it."""
    return kind_of(name) == 0 and not name.startswith(b"content-")
