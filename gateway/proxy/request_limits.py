"""What a listener takes of requests: how many (policies.rate_limit), and how long their bodies may be.

A listener without such limits has none of this, and its requests are asked nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.filters.passage import Passage, ResponseFilter
from gateway.http.head import Fields, LocalReply, ResponseHead
from gateway.ir.listener import Listener
from gateway.policies.rate_limit import FLAG, Exceeded, Limit, RateLimits, announced

if TYPE_CHECKING:
    from gateway.proxy.core import Core
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.port import LiveListener
    from gateway.proxy.rule import Rule

TOO_LARGE: Final = "request body too large"


class RequestLimits:
    """Of one listener: `rates` and `body` in bytes, each None where there is no limit."""

    __slots__ = ("body", "rates")

    def __init__(self, rates: RateLimits | None, body: int | None) -> None:
        self.rates, self.body = rates, body

    @classmethod
    def of(cls, resource: Listener, core: Core) -> RequestLimits | None:
        """None where the listener sets none. Raises ValueError."""
        options = resource.options
        if not options.rate_limits and not options.most_request_body:
            return None
        rates = [Limit(rule, resource.key, core.secret) for rule in options.rate_limits]
        return cls(RateLimits(rates, core.buckets) if rates else None, options.most_request_body or None)

    def too_large(self) -> LocalReply:
        """For a request that says itself how long its body is (RFC 9110 15.5.14)."""
        return LocalReply(413, TOO_LARGE, flag="DPE")


def refuses(exchange: Exchange, listener: LiveListener, limits: RequestLimits, rule: Rule | None) -> bool:
    """Whether the request got its answer: it is over a limit. `rule` is the one it matched."""
    exchange.rule = rule
    length = exchange.head.length
    if limits.body is not None and length != 0:
        come = exchange.received  # while the request waited for the keys of its token
        if length is None and come <= limits.body:
            exchange.mirrors = (BodyLimit(exchange, limits.body - come),)
        elif length is None or length > limits.body:
            exchange.reply(limits.too_large())
            return True
    return limits.rates is not None and _over(exchange, listener, limits.rates, rule.resource.route if rule is not None else "")


def _over(exchange: Exchange, listener: LiveListener, rates: RateLimits, route: str) -> bool:
    now = monotonic()
    taken = rates.take(exchange.head, exchange.client_address, route, now)
    if isinstance(taken, Exceeded):
        count_limited(exchange.core, listener.resource, taken)
        exchange.reply(LocalReply(429, taken.reason, taken.fields(), flag=FLAG))
        return True
    fields = announced(taken, now)
    if fields:
        exchange.passage = Passage(listener.scheme, listener.location_port)
        exchange.passage.edits.append(_adding(fields))
    return False


def count_limited(core: Core, listener: Listener, exceeded: Exceeded) -> None:
    key = (listener.gateway, listener.name, exceeded.limit.name.decode("ascii"))
    core.rate_limited[key] = core.rate_limited.get(key, 0) + 1


def _adding(fields: Fields) -> ResponseFilter:
    """Beside those that the backend may send of its own: both fields are lists (RFC 9110 5.3)."""

    def add(head: ResponseHead) -> None:
        head.fields += fields

    return add


class BodyLimit:
    """Watches a body whose length nobody has said, beside the mirrors that get it; ends the exchange when it is too long."""

    __slots__ = ("_exchange", "_left")

    def __init__(self, exchange: Exchange, most: int) -> None:
        self._exchange: Exchange | None = exchange
        self._left = most

    def send_data(self, data: bytes) -> None:
        self._left -= len(data)
        exchange = self._exchange
        if self._left < 0 and exchange is not None:
            self._exchange = None
            if exchange.client is not None:
                exchange.client.close_after()
            exchange.request_broken(TOO_LARGE, 413)

    def send_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        self._exchange = None

    def abandon(self) -> None:
        self._exchange = None
