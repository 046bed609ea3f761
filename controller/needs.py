"""What a resource names, and what therefore has to be wherever it is (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.ir.backend import Backend, EndpointSet
from gateway.ir.batch import AnyResource
from gateway.ir.filters import AnyFilter, ExternalAuth, RequestMirror
from gateway.ir.listener import Certificate, Gateway, Listener, TrustBundle
from gateway.ir.rule import BackendRef, HttpRule, TcpRule, TlsRule, UdpRule
from gateway.ir.value import Identity


def needs(resource: AnyResource) -> Iterator[Identity]:
    """The identities, each as often as it is named."""
    match resource:
        case Gateway(client_certificate=str(certificate)):
            yield (Certificate.__name__, certificate)
        case Listener():
            yield from ((Certificate.__name__, key) for key in resource.certificates)
            if resource.client_validation is not None:
                yield from ((TrustBundle.__name__, key) for key in resource.client_validation.trust_bundles)
        case HttpRule():
            yield from _backends_of(resource.filters)
            yield from _backends(resource.backends)
        case TlsRule() | TcpRule() | UdpRule():
            yield from _backends(resource.backends)
        case Backend():
            yield (EndpointSet.__name__, resource.key)
            if resource.tls is not None:
                yield from ((TrustBundle.__name__, key) for key in resource.tls.trust_bundles)
        case _:
            pass


def _backends(references: Iterable[BackendRef]) -> Iterator[Identity]:
    for reference in references:
        yield from _backend(reference.backend)
        yield from _backends_of(reference.filters)


def _backends_of(filters: Iterable[AnyFilter]) -> Iterator[Identity]:
    for filter in filters:
        if isinstance(filter, RequestMirror | ExternalAuth):
            yield from _backend(filter.backend)


def _backend(key: str) -> Iterator[Identity]:
    if key:
        yield (Backend.__name__, key)
