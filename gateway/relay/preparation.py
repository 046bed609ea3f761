"""The part of a preparation that is about rules of TLSRoutes, TCPRoutes and UDPRoutes: see gateway/preparation.py.

Nothing that runs is touched: a relay keeps the rule, backend and endpoint that it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.draft import Draft
from gateway.ir.rule import BackendRef, StreamRule, TcpRule, TlsRule, UdpRule
from gateway.ir.value import Identity
from gateway.relay.rule import LiveStreamRule
from gateway.routing.streams import StreamTableEditor

if TYPE_CHECKING:
    from gateway.proxy.port import LiveListener
    from gateway.upstream.backend import Backend

KINDS: Final[tuple[type[TlsRule] | type[TcpRule] | type[UdpRule], ...]] = (TlsRule, TcpRule, UdpRule)


class StreamPreparation:
    """Used once: `change` for each rule that differs, `fill`, all of `merge`, then `commit`. `rejections` are the preparation's."""

    def __init__(
        self,
        live: dict[Identity, LiveStreamRule],
        listeners: dict[str, LiveListener],
        backend: Callable[[str], Backend],
        rejections: dict[Identity, str],
    ) -> None:
        self._live, self._listeners, self._backend, self._rejections = live, listeners, backend, rejections
        self._rules = Draft(live)
        self._editors: dict[str, StreamTableEditor[LiveStreamRule]] = {}

    def change(self, identity: Identity, resource: StreamRule | None) -> None:
        """A rule that is new, differs, or is gone."""
        previous = self._live.get(identity)
        for binding in previous.resource.bindings if previous is not None else ():
            if binding.listener in self._listeners:
                self._editor(binding.listener).remove(identity)
        rule = self._compile(resource) if resource is not None else None
        self._rules.put(identity, rule)
        if rule is not None:
            self._place(rule, self._listeners)

    def fill(self, new_listeners: Container[str], changed: Container[Identity]) -> Iterator[None]:
        """The rules that are there already, stay as they are, and were bound to a listener that was not."""
        for rule in self._live.values():
            if rule.resource.identity not in changed:
                self._place(rule, new_listeners)
            yield

    def _editor(self, listener: str) -> StreamTableEditor[LiveStreamRule]:
        editor = self._editors.get(listener)
        if editor is None:
            editor = self._editors[listener] = self._listeners[listener].streams.edit()
        return editor

    def _compile(self, resource: StreamRule) -> LiveStreamRule:
        try:
            for binding in resource.bindings:
                "".join(binding.hostnames).encode("ascii")
            return LiveStreamRule(resource, self._backend)
        except ValueError as refusal:
            self._rejections[resource.identity] = str(refusal)
            hopeless = msgspec.structs.replace(resource, backends=(BackendRef(error=str(refusal)),))
            return LiveStreamRule(hopeless, self._backend)

    def _place(self, rule: LiveStreamRule, listeners: Container[str]) -> None:
        resource = rule.resource
        for binding in resource.bindings:
            if binding.listener not in listeners:
                continue
            names = [hostname for hostname in binding.hostnames if hostname.isascii()]
            self._editor(binding.listener).put(resource, names, rule)

    def merge(self) -> Iterator[None]:
        yield from self._rules.merge()

    def commit(self) -> dict[Identity, LiveStreamRule]:
        """The rules, and every listener has its new table."""
        for key, editor in self._editors.items():
            listener = self._listeners.get(key)
            if listener is not None:
                listener.streams = editor.finish()
        return self._rules.commit()

    def replaced(self) -> list[LiveStreamRule]:
        """See Draft.replaced."""
        return self._rules.replaced()
