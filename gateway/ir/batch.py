"""What one change sets and removes, and the messages of the configuration stream (newline-delimited JSON, design.md section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from sys import intern
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from gateway.ir.backend import Backend, EndpointSet
from gateway.ir.listener import Certificate, Gateway, Listener, TrustBundle
from gateway.ir.policy import AuthorizationPolicy, RequestAuthentication
from gateway.ir.rule import HttpRule, StreamRule, TcpRule, TlsRule, UdpRule
from gateway.ir.value import Identity, Value
from gateway.ir.workload import Workload

AnyResource = (
    Gateway
    | Listener
    | Certificate
    | TrustBundle
    | HttpRule
    | TcpRule
    | TlsRule
    | UdpRule
    | Backend
    | EndpointSet
    | AuthorizationPolicy
    | RequestAuthentication
    | Workload
)

ORDER: tuple[type[AnyResource], ...] = (
    TrustBundle, Certificate, Gateway, AuthorizationPolicy, RequestAuthentication, Workload, EndpointSet, Backend, Listener, HttpRule,
    TlsRule, TcpRule, UdpRule,
)  # fmt: skip
"""The order inside a batch: what is named comes before what names it."""

_RANK = {kind: rank for rank, kind in enumerate(ORDER)}


def in_order(resources: tuple[AnyResource, ...]) -> tuple[AnyResource, ...]:
    """Named before naming, then by key, so that equal content gives equal bytes."""
    return tuple(sorted(resources, key=lambda resource: (_RANK[type(resource)], resource.key)))


class Message(Value, frozen=True, tag_field="type"):
    """One line of the stream."""


class Subscribe(Message, frozen=True, tag="subscribe"):
    """Client: who I am, what I want, what I have."""

    proxy: str
    scope: str = ""
    """namespace/name of the Gateway; '' where the stream has one scope only."""
    revision: int = 0
    digest: str = ""
    anywhere: bool = False
    """Whether a replica may serve me that does not lead, since the one that does could not be reached."""
    """`digest` of all resources that I have: if they are what is current, the first Batch is an empty one, and no snapshot."""


class Batch(Message, frozen=True, tag="batch"):
    """Server: apply this in one step. `snapshot` means that whatever is not set here is gone.

    A large batch comes in several lines of one revision, so that no line takes long to read: all but the last say `more`.
    """

    revision: int
    set: tuple[AnyResource, ...] = ()
    remove: tuple[Identity, ...] = ()
    snapshot: bool = False
    more: bool = False


class Rejection(Value, frozen=True):
    """A resource of a batch that the proxy could not build, and why."""

    kind: str
    key: str
    reason: str


class Ack(Message, frozen=True, tag="ack"):
    """Client: the swap is done."""

    revision: int
    rejected: tuple[Rejection, ...] = ()


class Report(Message, frozen=True, tag="report"):
    """Client, between two acknowledgements: what stands now of what it could not build, as when a port has become free."""

    rejected: tuple[Rejection, ...] = ()


class Ask(Message, frozen=True, tag="ask"):
    """Server to client: `what` is statistics, explain or time, from a parent to its worker also drain; the answer carries the same
    number."""

    number: int
    what: str
    argument: msgspec.Raw = msgspec.Raw(b"null")


class Answer(Message, frozen=True, tag="answer"):
    """Client to server."""

    number: int
    body: msgspec.Raw = msgspec.Raw(b"null")


AnyMessage = Subscribe | Batch | Ack | Report | Ask | Answer

PART: Final = 128 << 10
"""Bytes of resources in one line of a batch, or one resource that is larger."""


class _Part(Message, frozen=True, tag="batch"):
    """A Batch whose resources are encoded already."""

    revision: int
    set: tuple[msgspec.Raw, ...] = ()
    remove: tuple[Identity, ...] = ()
    snapshot: bool = False
    more: bool = False


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyMessage)


def encode(message: AnyMessage) -> bytes:
    """One line, newline included."""
    return _encoder.encode(message) + b"\n"


def digest(resources: Iterable[AnyResource]) -> str:
    """Hex SHA-256 over all resources in order: equal at both ends exactly if they have the same. Takes as long as encoding them."""
    hashed = sha256()
    for resource in in_order(tuple(resources)):
        hashed.update(_encoder.encode(resource))
        hashed.update(b"\n")
    return hashed.hexdigest()


def share_names(resource: AnyResource) -> None:
    """Has the names in a resource be the same strings as in others: its source's, its own where others say it, and those that it says.

    Several resources come from one object, and say each other's keys. A string that nobody says any more is forgotten.
    """
    _share(resource.source, "kind", "namespace", "name")
    if isinstance(resource, HttpRule | StreamRule):
        for binding in resource.bindings:
            _share(binding, "listener")
        for reference in resource.backends:
            _share(reference, "backend")
    else:
        _share(resource, "key")


def _share(value: Value, *names: str) -> None:
    """The value is equal to what it was."""
    for name in names:
        force_setattr(value, name, intern(getattr(value, name)))


def encode_in_parts(batch: Batch) -> tuple[bytes, ...]:
    """The lines of a batch."""
    parts: list[list[msgspec.Raw]] = [[]]
    size = 0
    for resource in batch.set:
        encoded = _encoder.encode(resource)
        size += len(encoded)
        if size > PART and parts[-1]:
            parts.append([])
            size = len(encoded)
        parts[-1].append(msgspec.Raw(encoded))
    last = len(parts) - 1
    return tuple(
        _encoder.encode(_Part(batch.revision, tuple(part), () if number else batch.remove, batch.snapshot, number < last)) + b"\n"
        for number, part in enumerate(parts)
    )


def decode(line: bytes) -> AnyMessage:
    """Raises msgspec.ValidationError or msgspec.DecodeError on a line that is not a message of ours."""
    message: AnyMessage = _decoder.decode(line)
    return message
