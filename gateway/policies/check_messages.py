"""The messages of envoy.service.auth.v3.Authorization/Check: a CheckRequest written, a CheckResponse read (HTTPExternalAuthFilter, GRPC).

Only what is filled and looked at here has a name; the rest of an answer is skipped, as Protocol Buffers have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from gateway.http.head import RequestHead
from gateway.http.protobuf import (
    Message,
    last_number,
    last_text,
    merged,
    message_field,
    number_field,
    read_fields,
    text_field,
    texts,
)


class Party(NamedTuple):
    """AttributeContext.Peer: an end of the client's connection."""

    address: bytes
    port: int
    principal: str = ""
    """The name in its verified certificate."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Of the request in question, besides what its head says. `moment` is in seconds of the wall clock."""

    source: Party
    destination: Party
    moment: float
    scheme: bytes
    request_id: bytes
    size: int
    """Of the body; -1 where nobody knows it yet."""


class Action(Enum):
    """What becomes of fields of the same name (HeaderValueOption)."""

    SET = "set"
    ADD = "add"
    ADD_IF_ABSENT = "add if absent"
    SET_IF_PRESENT = "set if present"


_ACTIONS: Final = {1: Action.ADD_IF_ABSENT, 2: Action.SET, 3: Action.SET_IF_PRESENT}
"""By HeaderAppendAction. Its 0 is what stands for nothing said, which in these messages sets."""


class Edit(NamedTuple):
    name: bytes
    """Lower case."""
    value: bytes
    action: Action


@dataclass(frozen=True, slots=True)
class Answer:
    """A CheckResponse. `status` is the client's if the request is denied, 0 where the server leaves it open."""

    allowed: bool
    edits: tuple[Edit, ...] = ()
    """Of the request if it is allowed, of the answer to the client if it is denied."""
    removed: tuple[bytes, ...] = ()
    response_edits: tuple[Edit, ...] = ()
    """Of the backend's answer."""
    status: int = 0
    body: bytes = b""


def write_request(attributes: Attributes, head: RequestHead, fields: dict[bytes, bytes], body: bytes) -> bytes:
    """CheckRequest. `head` has method, target and authority as they are to be shown, `fields` the values by lower-case name. A body that is
    no text goes as bytes, since a string must be text."""
    http = [
        text_field(1, attributes.request_id),
        text_field(2, _text(head.method)),
        *[message_field(3, text_field(1, _text(name)) + text_field(2, _text(value))) for name, value in fields.items()],
        text_field(4, _text(head.target)),
        text_field(5, _text(head.authority)),
        text_field(6, attributes.scheme),
        number_field(9, attributes.size),
        text_field(10, b"HTTP/%b" % head.version),
        text_field(11 if _text(body) == body else 12, body),
    ]
    seconds = int(attributes.moment)
    moment = number_field(1, seconds) + number_field(2, int((attributes.moment - seconds) * 1e9))
    request = message_field(1, moment) + message_field(2, b"".join(http))
    source, destination = _write_party(attributes.source), _write_party(attributes.destination)
    return message_field(1, message_field(1, source) + message_field(2, destination) + message_field(4, request))


def _write_party(party: Party) -> bytes:
    """AttributeContext.Peer with a core.v3.Address; a port is said even where it is 0, because it stands for a choice of two fields."""
    socket_address = text_field(2, party.address) + (number_field(3, party.port) or _PORT_ZERO)
    return message_field(1, message_field(1, socket_address)) + text_field(4, party.principal.encode())


_PORT_ZERO: Final = bytes((3 << 3, 0))


def _text(value: bytes) -> bytes:
    """UTF-8, whatever a client sent: a server takes no message with anything else in a string."""
    return value if value.isascii() else value.decode("utf-8", "replace").encode()


def read_response(data: bytes) -> Answer:
    """CheckResponse. It allows if its status is OK, or absent, and it has no denied response. Raises Malformed."""
    fields = read_fields(data)
    status, denied, ok = (merged(fields, number) for number in (1, 2, 3))
    if denied is not None or (status is not None and last_number(status, 1)):
        denied = denied or []
        return Answer(False, _edits(denied, 2), status=last_number(merged(denied, 1) or [], 1), body=last_text(denied, 3))
    ok = ok or []
    return Answer(True, _edits(ok, 2), tuple([name.lower() for name in texts(ok, 5)]), _edits(ok, 6))


def _edits(fields: Message, number: int) -> tuple[Edit, ...]:
    return tuple([_read_edit(read_fields(option)) for option in texts(fields, number)])


def _read_edit(option: Message) -> Edit:
    """HeaderValueOption. `append`, which is older than the action, says whether it is added to what is there."""
    header = merged(option, 1) or []
    value = last_text(header, 2) or last_text(header, 3)
    append = merged(option, 2)
    if append is not None:
        action = Action.ADD if last_number(append, 1) else Action.SET
    else:
        action = _ACTIONS.get(last_number(option, 3), Action.SET)
    return Edit(last_text(header, 1).lower(), value, action)
