"""A rule as it is live: compiled from its resource on its first request, shared by every exchange it matches, never changed after that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from sys import intern
from typing import TYPE_CHECKING, Final

from gateway.filters.compile import Filters, compile_filters
from gateway.ir.filters import AnyFilter, ExternalAuth, RequestMirror
from gateway.ir.listener import Listener
from gateway.ir.rule import BackendRef, HttpRule
from gateway.policies.persistence import Sessions
from gateway.policies.retry import RetryPolicy
from gateway.proxy.authorization import Server
from gateway.telemetry.access_log import fragment
from gateway.telemetry.counters import CounterLabels, Counters
from gateway.upstream.balancing import WeightedChoice

if TYPE_CHECKING:
    from gateway.proxy.core import Core
    from gateway.upstream.backend import Backend
    from gateway.upstream.endpoint import Endpoint


class Account:
    """Where an exchange is counted, and the part of its log line that is the same for all of them."""

    __slots__ = ("counters", "fragment", "labels")

    def __init__(self, counters: Counters, labels: CounterLabels) -> None:
        self.counters, self.labels = counters, labels
        self.fragment = fragment(labels)


_NONE_YET: Final[dict[str, Account]] = {}
"""Never changed: most rules of a large configuration have had no request yet."""


def _server(filters: Filters | None, backend: Callable[[str], Backend]) -> Server | None:
    policy = filters.authorization if filters is not None else None
    return (policy, backend(policy.backend)) if policy is not None else None


def _named(resource: HttpRule) -> Iterator[str]:
    """Keys of the backends that a rule asks."""
    yield from _asked(resource.filters)
    for reference in resource.backends:
        if not reference.error:
            yield reference.backend
        yield from _asked(reference.filters)


def _asked(filters: tuple[AnyFilter, ...]) -> list[str]:
    return [entry.backend for entry in filters if isinstance(entry, RequestMirror | ExternalAuth)]


def _may_be_refused(resource: HttpRule) -> bool:
    """Whether anything in the rule can be such that it cannot be compiled."""
    shares = any(reference.filters or reference.weight < 0 for reference in resource.backends)
    return bool(shares or resource.filters or resource.retry is not None or resource.persistence is not None)


class Share:
    """One backendRef of a rule: its backend or the error it answers 500 with, and the filters that only it has."""

    __slots__ = ("accounts", "authorization", "backend", "error", "filters", "reference")

    def __init__(self, reference: BackendRef, backend: Callable[[str], Backend]) -> None:
        self.reference, self.error = reference, reference.error
        self.backend = None if reference.error else backend(reference.backend)
        self.filters = compile_filters(reference.filters) if reference.filters else None
        self.authorization = _server(self.filters, backend)
        self.accounts = _NONE_YET
        """By key of the listener."""


class Rule:
    """Of thousands of rules few are asked at one time, so a rule is asleep until its first request: it holds its resource, and the backends
    that were there under their keys when it was made. Whoever is about to ask it wakes it; what has no meaning before is not there.

    `plain` rules have no filter, mirror, session or timeout and one backend: their requests take the shortest way.
    """

    __slots__ = (
        "_backends",
        "_endpoints",
        "accounts",
        "authorization",
        "awake",
        "backend_timeout",
        "choice",
        "core",
        "filters",
        "mirrors",
        "name",
        "plain",
        "request_timeout",
        "resource",
        "retry",
        "seeks",
        "sessions",
        "shares",
    )

    def __init__(self, resource: HttpRule, backend: Callable[[str], Backend], core: Core) -> None:
        self.resource, self.core = resource, core
        self.name = resource.name or intern(str(resource.index))
        self.awake = self.plain = False
        self._backends: tuple[Backend, ...] = tuple([backend(key) for key in _named(resource)])
        """Only while it is asleep."""
        self._endpoints: tuple[Endpoint, ...] = ()
        self.accounts = _NONE_YET
        """By key of the listener, for what is answered without a backend."""

    def check(self) -> None:
        """Raises ValueError for what cannot be compiled; the resource is then rejected with that reason. The rule sleeps on: what is
        compiled to find out is let go of, and nothing is compiled where nothing can be refused."""
        if _may_be_refused(self.resource):
            held = {backend.key: backend for backend in self._backends}
            Rule(self.resource, held.__getitem__, self.core).wake()

    def wake(self) -> None:
        """Compiles it. Raises nothing for a rule that was checked."""
        resource = self.resource
        held = {backend.key: backend for backend in self._backends}
        backend = held.__getitem__
        self.shares = tuple([Share(reference, backend) for reference in resource.backends])
        self.choice: WeightedChoice[Share] = WeightedChoice([(share, share.reference.weight) for share in self.shares])
        self.filters: Filters = compile_filters(resource.filters)
        self.mirrors = tuple([(mirror, backend(mirror.backend)) for mirror in self.filters.mirrors])
        self.authorization = _server(self.filters, backend)
        self.retry = RetryPolicy.compile(resource.retry)
        self.sessions: Sessions[Endpoint] | None = None
        if resource.persistence is not None:
            self.sessions = Sessions.compile(resource.persistence, resource.key, self.core.session_secret)
        self.request_timeout = (resource.timeouts.request or 0) / 1000
        self.backend_timeout = (resource.timeouts.backend_request or 0) / 1000
        edits = self.filters.request or self.filters.response or self.mirrors or self.authorization
        special = edits or self.sessions or self.request_timeout or self.backend_timeout
        self.plain = not special and len(self.shares) == 1 and self.shares[0].filters is None and self.choice.only is not None
        self.seeks = self.sessions is not None or not self.plain
        """Whether a session may lead to any of several endpoints or backends; that of a plain rule is for its backend to find."""
        self._backends = ()
        self.awake = True

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Of all backends of the rule, ready or draining: where a session may lead. The same tuple as long as they are the same."""
        backends = [share.backend for share in self.shares if share.backend is not None and share.backend.error is None]
        now = tuple([endpoint for backend in backends for endpoint in backend.usable])
        if now != self._endpoints:
            self._endpoints = now
        return self._endpoints

    def share_of(self, endpoint: Endpoint) -> Share:
        """The share through which a session reaches its endpoint."""
        return next(share for share in self.shares if share.backend is not None and endpoint in share.backend.endpoints.values())

    def account(self, listener: Listener, share: Share | None) -> Account:
        """The account of exchanges through a listener to a share, or answered without one."""
        owner: Rule | Share = self if share is None else share
        account = owner.accounts.get(listener.key)
        if account is None:
            backend = share.reference.backend if share is not None else ""
            labels = CounterLabels(listener.gateway, listener.name, self.resource.source.kind, self.resource.route, self.name, backend)
            account = Account(self.core.counters_for(labels), labels)
            owner.accounts = {**owner.accounts, listener.key: account}
        return account
