"""What gRPC says in the fields of HTTP/2 (PROTOCOL-HTTP2 of gRPC): statuses, messages, deadlines, and our own answers in its form.

A request is one of gRPC by its content type, whatever route it takes; `RequestHead.grpc` holds it.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.http.head import Fields, LocalReply
from gateway.http.phrases import phrase

OK: Final = 0
UNKNOWN: Final = 2
DEADLINE_EXCEEDED: Final = 4
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16

_BY_HTTP_STATUS: Final = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    413: RESOURCE_EXHAUSTED,
    429: UNAVAILABLE,
    431: RESOURCE_EXHAUSTED,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}
"""http-grpc-status-mapping of gRPC; 413 and 431, of which it does not speak, as gRPC itself says of a message that is too large."""
_BY_FLAG: Final = {"UT": DEADLINE_EXCEEDED, "NC": UNAVAILABLE}
"""What we know better than the status says: a time limit, and backends that are not valid (GRPCRouteRule.backendRefs)."""
_CUT: Final = {"UT": DEADLINE_EXCEEDED, "DPE": INTERNAL}

_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {ord("%")}
_timeout = re.compile(rb"([0-9]{1,8})([HMSmun])").fullmatch
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_OF_CONTENT: Final = (b"content-type", b"content-length", b"content-encoding")


def status_of(status: int, flag: str = "") -> int:
    """The gRPC status that stands for an answer of ours with this status and flag."""
    return _BY_FLAG.get(flag) or _BY_HTTP_STATUS.get(status, UNKNOWN)


def trailers_only(reply: LocalReply, content_type: bytes, told: bool) -> LocalReply:
    """The same answer to a request with this content type: no body, and what would follow one in the head (Trailers-Only).

    Whom `told` is False does not learn the reason from us, as with other answers, but may read what another server said.
    """
    message = reply.body or (reply.reason.encode() if told else phrase(reply.status))
    fields: Fields = [(b"content-type", content_type), *status_fields(status_of(reply.status, reply.flag), message)]
    fields += [pair for pair in reply.fields if pair[0].lower() not in _OF_CONTENT]
    return LocalReply(200, reply.reason, fields, flag=reply.flag)


def ending(flag: str, reason: str, told: bool) -> Fields:
    """Trailers for an answer that has begun and cannot be completed, by the flag of its end."""
    status = _CUT.get(flag, UNAVAILABLE)
    return status_fields(status, reason.encode() if told else b"the answer was cut off")


def status_fields(status: int, message: bytes) -> Fields:
    fields = [(b"grpc-status", b"%d" % status)]
    if message:
        fields.append((b"grpc-message", encode_message(message)))
    return fields


def encode_message(message: bytes) -> bytes:
    """Percent-encoded as Status-Message: all but printable ASCII, and the percent sign."""
    return b"".join([b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in message])


def read_status(fields: Fields) -> str:
    """The status in trailers, or in a head that has them; '' where there is none, or something that is none."""
    for name, value in fields:
        if name.lower() == b"grpc-status":
            return _status_text(value)
    return ""


def read_status_in_lines(lines: list[bytes]) -> str:
    """The same in the lines of a head, which need not be cut for it."""
    for line in lines:
        if line[:12].lower() == b"grpc-status:":
            return _status_text(line[12:].strip(b" \t\r\n"))
    return ""


def _status_text(value: bytes) -> str:
    return value.decode("ascii") if value.isdigit() and len(value) <= 3 else ""


def read_timeout(lines: list[bytes]) -> float | None:
    """Seconds that the client gives its call, by the lines of its head; None without grpc-timeout, and for a malformed one, which is
    the server's to judge."""
    for line in lines:
        if line[:14].lower() == b"grpc-timeout: ":
            matched = _timeout(line, 14, len(line) - 2)
            return int(matched[1]) * _SECONDS[matched[2]] if matched is not None else None
    return None


def message_frame(message: bytes) -> bytes:
    """A message that is not compressed, as it goes in DATA (Length-Prefixed-Message)."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def read_message(body: bytes) -> bytes:
    """The only message of a body. Raises ValueError."""
    if len(body) < 5 or body[0] or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise ValueError("not one message" if not body[:1].strip(b"\0") else "a compressed message, which nobody asked for")
    return body[5:]
