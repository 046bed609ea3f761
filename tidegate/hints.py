"""What no condition says and a user wants to know all the same: routes that lead to Services without an endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from controller.api.endpoint_slice import SERVICE_NAME_LABEL
from gateway.ir.backend import Backend, EndpointSet
from gateway.ir.batch import AnyResource
from gateway.ir.rule import AnyRule, HttpRule, UdpRule
from gateway.ir.value import Identity, Source


def without_endpoints(rules: Iterable[AnyRule], resources: Mapping[Identity, AnyResource]) -> Iterator[tuple[Source, str]]:
    """Services that rules send traffic to and that have no endpoint to take it, each once, with what happens and the remedy."""
    seen: set[str] = set()
    for rule in rules:
        for key in (reference.backend for reference in rule.backends if reference.weight and not reference.error):
            if key in seen:
                continue
            seen.add(key)
            backend, endpoints = resources.get(("Backend", key)), resources.get(("EndpointSet", key))
            usable = isinstance(endpoints, EndpointSet) and any(each.ready or each.terminating for each in endpoints.endpoints)
            if isinstance(backend, Backend) and not backend.error and not usable:
                yield backend.source, _words(key, isinstance(endpoints, EndpointSet) and bool(endpoints.endpoints), _outcome(rule))


def _outcome(rule: AnyRule) -> str:
    if isinstance(rule, HttpRule):
        return "requests get 503"
    return "datagrams are dropped" if isinstance(rule, UdpRule) else "connections are closed"


def _words(key: str, listed: bool, outcome: str) -> str:
    service, _, variant = key.rpartition(":")
    name, port = service.rpartition("/")[2], variant.partition("/")[0]
    if listed:
        return f"port {port} has no endpoint that is ready: {outcome} until one is"
    remedy = f"add an EndpointSlice with the label {SERVICE_NAME_LABEL}: {name}, or set spec.type ExternalName"
    return f"port {port} has no endpoint: {outcome}; {remedy}"
