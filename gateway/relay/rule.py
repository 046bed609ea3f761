"""A rule of a TLSRoute, TCPRoute or UDPRoute as it is live: compiled once from its resource, shared by the streams it serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.ir.listener import Listener
from gateway.ir.rule import BackendRef, StreamRule
from gateway.telemetry.counters import CounterLabels
from gateway.upstream.balancing import WeightedChoice

if TYPE_CHECKING:
    from gateway.proxy.core import Core
    from gateway.telemetry.streams import StreamAccount, StreamProtocol
    from gateway.upstream.backend import Backend

NO_ROUTE: Final = "no route is attached to this listener"
NO_WEIGHT: Final = "no backend with a weight above zero"


class StreamShare:
    """One backendRef of a rule: its backend, or the error for which streams that fall to it are ended."""

    __slots__ = ("accounts", "backend", "error", "reference")

    def __init__(self, reference: BackendRef, backend: Callable[[str], Backend]) -> None:
        self.reference, self.error = reference, reference.error
        self.backend = None if reference.error else backend(reference.backend)
        self.accounts: dict[str, StreamAccount] = {}
        """By key of the listener."""


class LiveStreamRule:
    """Raises ValueError for what cannot be compiled; the resource is then rejected with that reason."""

    __slots__ = ("choice", "name", "resource", "shares")

    def __init__(self, resource: StreamRule, backend: Callable[[str], Backend]) -> None:
        self.resource = resource
        self.name = resource.name or str(resource.index)
        self.shares = tuple([StreamShare(reference, backend) for reference in resource.backends])
        self.choice: WeightedChoice[StreamShare] = WeightedChoice([(share, share.reference.weight) for share in self.shares])

    def choose(self, core: Core) -> StreamShare | None:
        """A share by weight; None where none has any."""
        choice = self.choice
        if not choice.total:
            return None
        return choice.only if choice.only is not None else choice.choose(core.random.random())


def account_of(core: Core, listener: Listener, rule: LiveStreamRule | None, share: StreamShare | None) -> StreamAccount:
    """Where a stream through a listener is counted: under its rule and backend, as far as it has got."""
    account = share.accounts.get(listener.key) if share is not None else None
    if account is None:
        if rule is None:
            labels = CounterLabels(listener.gateway, listener.name)
        else:
            backend = share.reference.backend if share is not None else ""
            resource = rule.resource
            labels = CounterLabels(listener.gateway, listener.name, resource.source.kind, resource.route, rule.name, backend)
        account = core.stream_account(labels, _PROTOCOLS[listener.protocol])
        if share is not None:
            share.accounts[listener.key] = account
    return account


_PROTOCOLS: Final[dict[str, StreamProtocol]] = {"HTTP": "TCP", "HTTPS": "TLS", "TLS": "TLS", "TCP": "TCP", "Detect": "TCP", "UDP": "UDP"}
