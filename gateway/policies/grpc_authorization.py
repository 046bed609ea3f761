"""External authorization over gRPC (HTTPExternalAuthFilter): what is asked of envoy.service.auth.v3.Authorization/Check, and what its
answer does to a request.

The server sees the request as it was matched, with all its fields unless the filter lists some, and our own forwarded fields. What an
answer wants to set goes on the wire as it is or not at all: one field that must not go makes the whole answer unusable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar, Final

from gateway.http import grpc
from gateway.http.fields import kind_of
from gateway.http.head import Fields, LocalReply, RequestHead, ResponseHead
from gateway.http.protobuf import Malformed
from gateway.ir.filters import ExternalAuth
from gateway.policies.authorization_policy import (
    FAILED,
    FLAG,
    OURS,
    PASSABLE,
    AuthorizationPolicy,
    Permission,
    Unusable,
    check_size,
    is_token,
    names_of,
    read_as,
)
from gateway.policies.check_messages import Action, Answer, Attributes, Edit, read_response, write_request

PATH: Final = b"/envoy.service.auth.v3.Authorization/Check"

_UNAVAILABLE: Final = str(grpc.UNAVAILABLE)
_has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


class GrpcAuthorization(AuthorizationPolicy):
    """`shown` are the fields of the client's that the server sees, all if there are none."""

    __slots__ = ("_shown",)

    protocol: ClassVar[str] = "GRPC"

    def __init__(self, backend: str, shown: frozenset[bytes], max_body: int) -> None:
        super().__init__(backend, max_body, frozenset())
        self._shown = shown

    @classmethod
    def compile(cls, rule: ExternalAuth) -> GrpcAuthorization:
        """Raises ValueError for a name that is none, for a negative size, and for what only a question over HTTP has."""
        if rule.path or rule.allowed_response_headers:
            raise ValueError("a path and allowed response headers are for a server that is asked over HTTP: remove them")
        check_size(rule.max_body)
        return cls(rule.backend, names_of(rule.allowed_headers), rule.max_body)

    def asked(self, head: RequestHead, path: bytes, authority: bytes) -> RequestHead:
        asked = RequestHead(head.method, path, head.query, authority, head.host)
        asked.version, shown = head.version, self._shown
        fields = head.fields
        if shown:
            fields = [pair for pair in fields if (name := pair[0].lower()) in shown or kind_of(name) in OURS]
        asked.fields, asked.forwarded = list(fields), head.forwarded
        return asked

    def question(self, asked: RequestHead, attributes: Callable[[], Attributes], body: list[bytes]) -> tuple[RequestHead, list[bytes]]:
        """A call with a CheckRequest, in which the pseudo-header fields stand among the others, as Envoy has them."""
        said = attributes()
        pseudo = {b":authority": asked.authority, b":method": asked.method, b":path": asked.target, b":scheme": said.scheme}
        message = write_request(said, asked, pseudo | asked.index(), b"".join(body) if self.max_body else b"")
        head = RequestHead(b"POST", PATH, None, b"", b"")
        head.fields = [(b"content-type", b"application/grpc")]
        head.trailers, head.length = True, None
        return head, [grpc.message_frame(message)]

    def reads(self, answer: ResponseHead) -> bool:
        return True

    def fault(self, answer: ResponseHead, trailers: Fields) -> str:
        return "answered UNAVAILABLE" if _status(answer, trailers) == _UNAVAILABLE else ""

    def verdict(self, answer: ResponseHead, body: bytes, trailers: Fields) -> Permission | LocalReply | Unusable:
        if answer.status != 200:
            return Unusable(f"answered with status {answer.status} instead of a call's 200")
        status = _status(answer, trailers)
        if status != "0":
            return Unusable(f"ended the call with {f'gRPC status {status}' if status else 'no gRPC status'}")
        try:
            said = read_response(grpc.read_message(body))
            edits, response_edits = _checked(said.edits), _checked(said.response_edits)
        except (Malformed, ValueError) as fault:
            return Unusable(f"answered with what cannot be used: {fault}")
        if not said.allowed:
            return self._denial(said, edits)
        removed = frozenset([read_as(name) for name in said.removed if kind_of(name) in PASSABLE and name != b"host"])
        return Permission(partial(_permit, edits=edits, removed=removed), partial(_edit, edits=response_edits) if response_edits else None)

    def _denial(self, said: Answer, edits: list[Edit]) -> LocalReply:
        status = said.status if 200 <= said.status <= 599 else FAILED
        fields = _apply([], edits)
        if said.body and not any(name == b"content-type" for name, _ in fields):
            fields.append((b"content-type", b"text/plain"))
        return LocalReply(status, f"the authorization server {self.backend} denied the request", fields, said.body, FLAG)

    def foreseen(self, head: RequestHead) -> None:
        """It may set and remove any field, so that nothing is sure."""


def _status(answer: ResponseHead, trailers: Fields) -> str:
    return grpc.read_status(trailers) or grpc.read_status(answer.fields)


def _checked(edits: Iterable[Edit]) -> list[Edit]:
    """Those of fields that an answer may set: framing, Host and what is hop-by-hop are left out. Raises ValueError for what is no field."""
    found = []
    for edit in edits:
        if not is_token(edit.name):
            raise ValueError(f"{edit.name[:64]!r} is no name of a header field")
        if _has_control(edit.value):
            raise ValueError(f"a control character in the value of {edit.name.decode('ascii')}")
        if kind_of(edit.name) in PASSABLE:
            found.append(edit._replace(value=edit.value.strip(b" \t")))
    return found


def _permit(head: RequestHead, edits: list[Edit], removed: frozenset[bytes]) -> None:
    """As Envoy has it: first what is set, then what is removed."""
    if not edits and not removed:
        return
    head.unfold()
    fields = _apply(head.fields, edits)
    head.fields = [pair for pair in fields if read_as(pair[0].lower()) not in removed]
    head.changed()


def _edit(head: ResponseHead, edits: list[Edit]) -> None:
    head.fields = _apply(head.fields, edits)


def _apply(fields: Fields, edits: list[Edit]) -> Fields:
    """A field that is set takes the place of all that a server may read as the same name."""
    for name, value, action in edits:
        same = read_as(name)
        present = any(read_as(pair[0].lower()) == same for pair in fields)
        if (action is Action.ADD_IF_ABSENT and present) or (action is Action.SET_IF_PRESENT and not present):
            continue
        if action in (Action.SET, Action.SET_IF_PRESENT):
            fields = [pair for pair in fields if read_as(pair[0].lower()) != same]
        fields = [*fields, (name, value)]
    return fields
