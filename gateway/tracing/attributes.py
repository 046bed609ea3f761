"""What a span says of its exchange: OpenTelemetry's semantic conventions for HTTP and gRPC (1.x), and names of ours beside them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway.tracing.otlp import CLIENT, Attributes, number_attribute, text_attribute

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.tracing.tracer import Span

_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"QUERY"})
_OTHER: Final = b"_OTHER"
_SERVER_FAULTS: Final = frozenset({"2", "4", "12", "13", "14", "15"})
"""Statuses of gRPC for which a server is to blame: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS."""
_CUT: Final = frozenset({"UC", "UT", "SI", "LR"})
"""Flags of an exchange that was cut inside its answer by somebody else than the client."""
_secrets = re.compile(rb"(?i)((?:^|&)(?:AWSAccessKeyId|Signature|sig|X-Goog-Signature)=)[^&]*").sub
"""Parameters that are credentials, whose values a span must not show (semantic conventions, url.query)."""


def name_of(exchange: Exchange) -> bytes:
    """Method and route of a request, service and method of a call: of few values, whatever clients send."""
    head = exchange.head
    if head.grpc:
        # the path of a call that no rule names could be anything
        return exchange.matched_path[1:257] if exchange.rule is not None else b"grpc"
    method = head.method if head.method in _METHODS else b"HTTP"
    return b"%b %b" % (method, exchange.route) if exchange.route else method


def failure_of(exchange: Exchange, kind: int) -> tuple[bytes, bytes] | None:
    """error.type and what is said of it, None where nothing failed that this side of the exchange answers for."""
    status, reason = exchange.status, exchange.reason.encode("latin-1", "replace")
    if exchange.flag in _CUT and (status < 400 or exchange.flag == "LR"):
        return exchange.flag.encode(), reason
    if status >= (400 if kind == CLIENT else 500):
        return b"%d" % status, reason
    code = exchange.grpc_status
    if code and code != "0" and (kind == CLIENT or code in _SERVER_FAULTS):
        return code.encode(), reason
    return None


def attributes_of(exchange: Exchange, span: Span, failure: bytes | None) -> Attributes:
    """All of them, for an exchange that has ended."""
    head, account = exchange.head, exchange.account
    assert account is not None
    known = head.method in _METHODS
    written = [
        text_attribute(b"http.request.method", head.method if known else _OTHER),
        b"" if known else text_attribute(b"http.request.method_original", head.method),
        *_target(exchange),
        _server(head.authority),
        text_attribute(b"client.address", exchange.client_address),
        text_attribute(b"network.peer.address", span.peer),
        text_attribute(b"network.protocol.version", head.version),
        text_attribute(b"user_agent.original", span.user_agent) if span.user_agent else b"",
        number_attribute(b"http.response.status_code", exchange.status) if exchange.status else b"",
        number_attribute(b"http.request.body.size", exchange.received),
        number_attribute(b"http.response.body.size", exchange.sent),
        text_attribute(b"error.type", failure) if failure is not None else b"",
        _of_account(*account.labels.texts),
        *_ours(exchange, span),
    ]
    if head.grpc:
        written += _call(exchange)
    return b"".join(written)


def _target(exchange: Exchange) -> list[Attributes]:
    """As the client asked for it; filters may have changed what was sent on."""
    listener = exchange.listener
    target = exchange.asked[0] if exchange.asked is not None else exchange.head.target
    path, _, query = target.partition(b"?")
    return [
        text_attribute(b"url.scheme", listener.scheme if listener is not None else b"http"),
        text_attribute(b"url.path", path),
        text_attribute(b"url.query", _secrets(rb"\1REDACTED", query)) if query else b"",
        text_attribute(b"http.route", exchange.route) if exchange.route else b"",
    ]


@lru_cache(maxsize=1024)
def _server(authority: bytes) -> Attributes:
    """server.address and server.port, as the client named them."""
    host, colon, port = authority.rpartition(b":")
    if not colon or not port.isdigit():
        host, port = authority, b""
    written = text_attribute(b"server.address", host.removeprefix(b"[").removesuffix(b"]"))
    return written + number_attribute(b"server.port", int(port)) if 0 < len(port) <= 5 else written


def _call(exchange: Exchange) -> list[Attributes]:
    service, _, method = exchange.matched_path[1:].rpartition(b"/")
    status = exchange.grpc_status
    return [
        text_attribute(b"rpc.system", b"grpc"),
        text_attribute(b"rpc.service", service),
        text_attribute(b"rpc.method", method),
        number_attribute(b"rpc.grpc.status_code", int(status)) if status and status.isdigit() and len(status) < 5 else b"",
    ]


@lru_cache(maxsize=4096)
def _of_account(*texts: tuple[bytes, str]) -> Attributes:
    """The same for all exchanges of a rule and a backend: CounterLabels.texts."""
    return b"".join([text_attribute(b"tidegate." + name, text.encode()) for name, text in texts])


def _ours(exchange: Exchange, span: Span) -> list[Attributes]:
    endpoint = exchange.endpoint
    return [
        text_attribute(b"tidegate.request_id", exchange.request_id),
        text_attribute(b"tidegate.response_flags", exchange.flag.encode()) if exchange.flag else b"",
        text_attribute(b"tidegate.reason", exchange.reason.encode("latin-1", "replace")) if exchange.reason else b"",
        text_attribute(b"tidegate.endpoint", endpoint.label) if endpoint is not None else b"",
        text_attribute(b"tidegate.peer.identity", span.identity) if span.identity else b"",
        number_attribute(b"http.request.resend_count", exchange.attempt) if exchange.attempt else b"",
    ]
