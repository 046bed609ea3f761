"""Spans in the wire format of OTLP (opentelemetry-proto 1.x, trace/v1/trace.proto): bytes in, bytes out.

A span is written once, when its exchange has ended; a batch of them only puts the pieces together.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.http.protobuf import (
    Malformed,
    fixed64_field,
    last_number,
    last_text,
    merged,
    message_field,
    number_field,
    read_fields,
    text_field,
)

LONGEST_VALUE: Final = 1024
"""Bytes of a text that a span carries; what is longer is cut, since clients choose it."""
SERVER: Final = 2
CLIENT: Final = 3
ERROR: Final = 2
"""Kinds of spans, and the code of the status of one that failed."""
_IS_REMOTE: Final = 0x300
"""Flags: that the parent is another process's, and that this is known."""

Attributes = bytes
"""Fields `attributes`, each a KeyValue: field 9 of a Span or field 1 of a Resource, so they are made for one of the two."""


class SpanData(NamedTuple):
    """What of a span is no attribute. Ids are raw bytes, times nanoseconds since 1970."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    state: bytes
    name: bytes
    kind: int
    began: int
    ended: int
    failure: bytes | None
    """What is said of a span that failed; None for one that did not."""


def span_field(data: SpanData, attributes: Attributes) -> bytes:
    """Field `spans` of a ScopeSpans."""
    written = [
        message_field(1, data.trace_id),
        message_field(2, data.span_id),
        text_field(3, data.state),
        text_field(4, data.parent_id),
        message_field(5, data.name),
        number_field(6, data.kind),
        fixed64_field(7, data.began),
        fixed64_field(8, data.ended),
        attributes,
    ]
    if data.failure is not None:
        written.append(message_field(15, text_field(2, data.failure) + number_field(3, ERROR)))
    written.append(b"\x85\x01" + (1 | (_IS_REMOTE if data.parent_id else 0)).to_bytes(4, "little"))  # field 16, fixed32: flags
    return message_field(2, b"".join(written))


def text_attribute(key: bytes, value: bytes, field: int = 9) -> Attributes:
    """Of a span; with `field` 1 of a resource. The value becomes UTF-8 and is cut at LONGEST_VALUE."""
    if len(value) > LONGEST_VALUE:
        value = value[:LONGEST_VALUE]
    if not value.isascii():
        value = value.decode("utf-8", "replace").encode()
    return message_field(field, _key(key) + message_field(2, message_field(1, value)))


def number_attribute(key: bytes, value: int) -> Attributes:
    """Of a span. The number is there even if it is 0, unlike a field."""
    return message_field(9, _key(key) + message_field(2, b"\x18" + _varint(value)))


@lru_cache(maxsize=256)
def _key(key: bytes) -> bytes:
    return message_field(1, key)


def _varint(value: int) -> bytes:
    return number_field(1, value)[1:] or b"\x00"


def spans_of_resource(resource: Attributes, version: bytes, spans: Iterable[bytes]) -> bytes:
    """Field `resource_spans` of an ExportTraceServiceRequest; one is a whole request. `spans` are fields as `span_field` makes them."""
    scope = message_field(1, message_field(1, b"tidegate") + text_field(2, version))
    return message_field(1, message_field(1, resource) + message_field(2, scope + b"".join(spans)))


def rejected(response: bytes) -> tuple[int, str]:
    """How many spans a collector did not take, and why, from its ExportTraceServiceResponse; what is no such message says nothing."""
    try:
        partial = merged(read_fields(response), 1)
        if partial is None:
            return 0, ""
        return max(last_number(partial, 1), 0), last_text(partial, 2).decode("utf-8", "replace")
    except Malformed:
        return 0, ""
