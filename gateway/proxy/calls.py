"""What an exchange does besides when it is a gRPC call: a deadline of the client's, a status of the call besides that of HTTP.

Requests that are no calls pay for a look at `RequestHead.grpc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.http.grpc import UNAVAILABLE, ending, read_status, read_status_in_lines, read_timeout
from gateway.http.grpc_messages import MessageCount, TextMessageCount
from gateway.http.grpc_web import is_text, is_web
from gateway.proxy.guarded import answered_badly
from gateway.proxy.web_stream import WebStream, translates

if TYPE_CHECKING:
    from gateway.http.head import Fields, ResponseHead
    from gateway.proxy.exchange import Exchange

_BAD: Final = str(UNAVAILABLE)
"""The status that speaks against an endpoint, as 503 does."""


class Messages(NamedTuple):
    """How many passed each way."""

    request: MessageCount
    response: MessageCount


def begin(exchange: Exchange) -> None:
    """The call has a rule. The shorter of its own time limit and the rule's holds, both from the request's head on."""
    exchange.grpc_status = ""
    exchange.messages = Messages(_count(exchange.head.grpc), MessageCount())
    if translates(exchange.head, exchange.rule):
        exchange.head.trailers = False  # of the answer they are a part of the body
    limit = read_timeout(exchange.head.written())
    if limit is not None:
        exchange.request_deadline = exchange.began + limit
        exchange.core.deadlines.set(exchange, exchange.request_deadline)


def headed(exchange: Exchange, head: ResponseHead) -> None:
    """The head of an answer, which has the status already if nothing else was to follow, and says whether messages come as text."""
    exchange.grpc_status = read_status_in_lines(head.written())
    if exchange.messages is not None and is_web(exchange.head.grpc):
        kind = (head.get(b"content-type") or b"").lower()
        exchange.messages = Messages(exchange.messages.request, _count(kind))


def _count(kind: bytes) -> MessageCount:
    return TextMessageCount() if is_text(kind) else MessageCount()


def ended(exchange: Exchange, trailers: Fields) -> None:
    """The answer is complete: what its status says of the endpoint."""
    status = exchange.grpc_status = read_status(trailers) or exchange.grpc_status
    if status == _BAD:
        answered_badly(exchange, "answered UNAVAILABLE")
    elif exchange.lease is not None:
        exchange.lease.answered_well()


def cut(exchange: Exchange, flag: str, reason: str) -> Fields:
    """Trailers that end an answer which cannot be completed; none where they would not reach the client soon."""
    client, listener, stream = exchange.client, exchange.listener, exchange.last_stream
    web = isinstance(stream, WebStream) and stream.answering
    if client is None or not client.writable or not (exchange.head.trailers or web) or flag == "SI":
        return []
    trailers = ending(flag, reason, listener is not None and listener.options.reason_header)
    exchange.grpc_status = read_status(trailers)
    if isinstance(stream, WebStream):
        client.send_data(stream.last_frame(trailers))
    return trailers


def lasts(exchange: Exchange) -> bool:
    """Whether both directions may be silent for long, as in a tunnel: a call to a backend that can be asked over HTTP/2."""
    stream = exchange.last_stream
    return bool(exchange.head.grpc) and stream is not None and stream.pool.shared is not None
