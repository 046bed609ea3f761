"""External authorization over HTTP (HTTPExternalAuthFilter): what is asked, and what an answer does to a request.

The question is the client's method, its path and Host as they were matched, Authorization and our own forwarded fields; of the
other fields only those that the filter lists, and never a cookie unless it is one of them. 200 lets the request pass, and no
other answer does. Sending and waiting are `gateway.proxy.authorization`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.http.fields import kind_of
from gateway.http.head import WITHOUT_BODY, Fields, LocalReply, RequestHead, ResponseHead
from gateway.ir.filters import ExternalAuth
from gateway.policies.authorization_policy import (
    FLAG,
    OURS,
    AuthorizationPolicy,
    Permission,
    check_size,
    names_of,
    read_as,
)
from gateway.policies.check_messages import Attributes

ALLOWED: Final = 200
"""The only status that lets a request pass."""

_ALWAYS_SENT: Final = frozenset({b"authorization"})
"""Besides method, path, Host and Content-Length (HTTPAuthConfig.allowedHeaders)."""

_is_prefix = re.compile(r"(?:/[-A-Za-z0-9._~!$&'()*+,;=:@%]+)*").fullmatch


class ExternalAuthorization(AuthorizationPolicy):
    """`taken` are the fields of the answer that the request takes over; empty for all that say something of it."""

    __slots__ = ("_asked", "_prefix")

    def __init__(self, backend: str, prefix: bytes, asked: frozenset[bytes], taken: frozenset[bytes], max_body: int) -> None:
        super().__init__(backend, max_body, taken)
        self._prefix, self._asked = prefix, asked | _ALWAYS_SENT

    @classmethod
    def compile(cls, rule: ExternalAuth) -> ExternalAuthorization:
        """Raises ValueError for a path or a name that must not go on the wire, and for a negative size."""
        if not _is_prefix(rule.path):
            raise ValueError(f"path {rule.path!r} is no prefix: begin it with '/' and leave out empty segments and a slash at its end")
        check_size(rule.max_body)
        asked, taken = names_of(rule.allowed_headers), names_of(rule.allowed_response_headers)
        return cls(rule.backend, rule.path.encode("ascii"), asked, taken, rule.max_body)

    def asked(self, head: RequestHead, path: bytes, authority: bytes) -> RequestHead:
        """The request to the server itself, without a length."""
        if path != b"*":
            path = self._prefix + path
        elif self._prefix:
            path = self._prefix
        question = RequestHead(head.method, path, head.query, authority, head.host)
        asked = self._asked
        question.fields = [pair for pair in head.fields if (name := pair[0].lower()) in asked or kind_of(name) in OURS]
        question.forwarded = head.forwarded
        return question

    def question(self, asked: RequestHead, attributes: Callable[[], Attributes], body: list[bytes]) -> tuple[RequestHead, list[bytes]]:
        body = body if self.max_body else []
        asked.length = sum(map(len, body))
        if not asked.length and asked.method in WITHOUT_BODY:
            asked.forwarded += b"content-length: 0\r\n"  # the API wants it said (HTTPAuthConfig.allowedHeaders)
        return asked, body

    def reads(self, answer: ResponseHead) -> bool:
        """What an answer that allows says besides is not for the client."""
        return answer.status != ALLOWED

    def verdict(self, answer: ResponseHead, body: bytes, trailers: Fields) -> Permission | LocalReply:
        if answer.status == ALLOWED:
            return Permission(partial(self.permit, answer=answer))
        reason = f"the authorization server {self.backend} answered {answer.status}"
        return LocalReply(answer.status, reason, answer.fields, body, FLAG, None if body else answer.length)

    def foreseen(self, head: RequestHead) -> None:
        """A field that only the server may set is not the client's."""
        self.permit(head, ResponseHead(ALLOWED, b"", [], 0))

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
        gone = frozenset(map(read_as, names))
        head.fields = [pair for pair in head.fields if read_as(pair[0].lower()) not in gone] + new
        head.changed()


def _is_told(name: bytes) -> bool:
    """Whether a field of an answer says something of the request: not of the answer's own content, not how it is framed, and not
    what we say of the client, which the server may change only where the filter lists it."""
    return kind_of(name) == 0 and not name.startswith(b"content-")
