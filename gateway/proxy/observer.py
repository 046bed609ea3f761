"""What is seen of a listener's exchanges besides counters and the access log: their traces.

A listener of which nothing is to be seen has no Observer, and its requests pay for one look at an attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.ir.listener import Listener
    from gateway.proxy.core import Core
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.stream import ClientStream
    from gateway.tracing.tracer import Tracer


class Observer:
    """As long as the resource of its listener holds."""

    __slots__ = ("tracer",)

    def __init__(self, tracer: Tracer | None) -> None:
        self.tracer = tracer

    @classmethod
    def of(cls, resource: Listener, core: Core) -> Observer | None:
        """Raises ValueError for options that cannot be used."""
        tracer = core.tracing.tracer(resource)
        return None if tracer is None else cls(tracer)

    def begin(self, exchange: Exchange, client: ClientStream) -> None:
        """The exchange has its listener, and its own fields for backends."""
        if self.tracer is not None:
            self.tracer.begin(exchange, client)
