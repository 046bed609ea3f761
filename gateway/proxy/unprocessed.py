"""What a callee's sidecar says of a request that its application has not seen, and what the proxy of the caller makes of that.

It stays between two proxies of the mesh: the field stands on nothing but a 503 of our own making, for a caller that has proven to be one;
it is taken off every 503 that comes, and believed only of a callee that has proven to be one. So no application can say it, or hear it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.http.head import LocalReply, ResponseHead
    from gateway.proxy.exchange import Exchange

FIELD: Final = b"x-tidegate-unprocessed"
STATUS: Final = 503


def mark(exchange: Exchange, reply: LocalReply) -> None:
    """On a reply to a request of which nothing was sent on, for a caller of the mesh that called the workload beside us.

    A call of gRPC gets it in HTTP's form, too: the caller's proxy makes the answer that its application gets.
    """
    listener = exchange.listener
    if listener is None or not exchange.origin.identity:
        return
    capture = listener.resource.capture
    if capture is not None and capture.direction == "Inbound" and reply.status == STATUS:
        reply.fields.append((FIELD, b"1"))
        exchange.head.grpc = b""


def unmark(exchange: Exchange, head: ResponseHead) -> bool:
    """Whether the callee's sidecar says of its 503 that the request was not processed. The head loses what says so, whoever wrote it."""
    if head.get(FIELD) is None:
        return False
    head.edited = [pair for pair in head.fields if pair[0].lower() != FIELD]
    stream = exchange.last_stream
    settings = stream.pool.settings if stream is not None else None
    return settings is not None and settings.inside
