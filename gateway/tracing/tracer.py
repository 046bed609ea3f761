"""What makes the spans of a listener: the context of each request goes on with our span as its parent, and those that are sampled go to
the exporter when their exchange has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.http.trace_context import TraceContext, lines, read, take
from gateway.proxy.guard import caller_of
from gateway.tracing.attributes import attributes_of, failure_of, name_of
from gateway.tracing.otlp import CLIENT, SERVER, SpanData, span_field
from gateway.tracing.sampling import is_kept, threshold_of

if TYPE_CHECKING:
    from gateway.ir.listener import Listener
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.stream import ClientStream
    from gateway.tracing.exporter import Exporter


class Span:
    """Of one exchange, from its admission on.

    context   that of the caller, with the trace id that was drawn where it had none
    span_id   ours, 16 hex digits
    sampled   whether it is told to the collector
    peer      address of the connection's other end
    identity  SPIFFE ID of that end, where it is proven
    """

    __slots__ = ("context", "identity", "peer", "sampled", "span_id", "tracer", "user_agent")

    def __init__(self, tracer: Tracer, context: TraceContext, span_id: bytes, *, sampled: bool) -> None:
        self.tracer, self.context, self.span_id, self.sampled = tracer, context, span_id, sampled
        self.peer = self.identity = self.user_agent = b""


class Tracer:
    """Of one listener, as long as it lives; the exporter belongs to `Tracing`. Raises ValueError for a share that is none."""

    __slots__ = ("__weakref__", "_threshold", "exporter", "kind", "percent", "service")

    def __init__(self, listener: Listener, exporter: Exporter, percent: float) -> None:
        self.exporter, self.percent, self._threshold = exporter, percent, threshold_of(percent)
        self.service = listener.gateway
        """What the spans are said to be of: the Gateway's key."""
        self.kind = CLIENT if listener.capture is not None and listener.capture.direction == "Outbound" else SERVER

    def begin(self, exchange: Exchange, client: ClientStream) -> None:
        """The exchange has its listener, and its own fields for backends."""
        head, core = exchange.head, exchange.core
        context, forms = read(take(head))
        if not context.trace_id:
            context = TraceContext(core.request_id(), sampled=context.sampled, debug=context.debug)
        sampled = context.sampled if context.sampled is not None else is_kept(context.trace_id, self._threshold)
        span = exchange.span = Span(self, context, core.request_id()[:16], sampled=sampled)
        head.forwarded += lines(context, forms, span.span_id, sampled=sampled)
        if sampled:
            span.peer = client.origin.peer
            principal = caller_of(client.origin, client.transport).principal
            span.identity = b"spiffe://" + principal if principal else b""
            span.user_agent = _user_agent(exchange)

    def ended(self, exchange: Exchange, span: Span) -> None:
        """Called once, whatever became of it."""
        if span.sampled:
            self.exporter.take(exchange)

    def written(self, exchange: Exchange, span: Span, offset: float) -> bytes:
        """The span, as a field of OTLP; `offset` leads from the monotonic clock to the wall's, in seconds."""
        failure = failure_of(exchange, self.kind)
        context = span.context
        data = SpanData(
            bytes.fromhex(context.trace_id.decode()),
            bytes.fromhex(span.span_id.decode()),
            bytes.fromhex(context.parent_id.decode()),
            context.state,
            name_of(exchange),
            self.kind,
            int((exchange.began + offset) * 1e9),
            int((exchange.ended + offset) * 1e9),
            failure[1] if failure is not None else None,
        )
        return span_field(data, attributes_of(exchange, span, failure[0] if failure is not None else None))


def _user_agent(exchange: Exchange) -> bytes:
    """As the client said it: filters may change it afterwards."""
    for line in exchange.head.written():
        if line[:11].lower() == b"user-agent:":
            return line[11:].strip()
    return b""
