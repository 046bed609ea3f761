"""What is seen of a listener's traffic besides counters and the access log: traces, and who it is that a workload is asked by.

A listener of which nothing is to be seen has no Observer, and its requests pay for one look at an attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.proxy.guard import caller_of

if TYPE_CHECKING:
    import asyncio

    from gateway.ir.listener import Listener
    from gateway.net.peer import Origin
    from gateway.proxy.core import Core
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.stream import ClientStream
    from gateway.tracing.tracer import Tracer


class Observer:
    """As long as the resource of its listener holds."""

    __slots__ = ("_meets", "tracer")

    def __init__(self, tracer: Tracer | None, *, meets: bool) -> None:
        """`meets` whether callers are named in metrics."""
        self.tracer, self._meets = tracer, meets

    @classmethod
    def of(cls, resource: Listener, core: Core) -> Observer | None:
        """Raises ValueError for options that cannot be used."""
        tracer = core.tracing.tracer(resource)
        meets = resource.capture is not None and resource.capture.direction == "Inbound"
        return cls(tracer, meets=meets) if tracer is not None or meets else None

    def begin(self, exchange: Exchange, client: ClientStream) -> None:
        """The exchange has its listener, and its own fields for backends."""
        self.meet(client.origin, client.transport)
        if self.tracer is not None:
            self.tracer.begin(exchange, client)

    def meet(self, origin: Origin, transport: asyncio.BaseTransport) -> None:
        """A connection is there: who is at its other end can be asked as long as it is."""
        if self._meets and origin.caller is None:
            caller_of(origin, transport)
