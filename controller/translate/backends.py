"""A port of a Service as a Backend: how it is spoken to.

Backends of a Service are its own units, kept out of the routes' way: a tally tells which ports routes refer to. Only an
ExternalName, whose ports are those that routes name, hangs on the routes themselves.
"""

from __future__ import annotations

from typing import Literal

from controller.api.core import Service
from controller.graph import View
from controller.store import Key
from controller.translate.backend_policies import backend_options
from controller.translate.backend_tls_policies import backend_tls
from controller.translate.destinations import H2C, WS, WSS, Destination, backend_key, service_port
from controller.translate.endpoints import external_endpoints, referred
from controller.translate.objects import source_of
from controller.translate.options import Options
from controller.translate.statuses import Emission
from gateway.ir.backend import Backend, BackendProtocol, BackendTls


def translate_backends(key: Key, view: View) -> Emission | None:
    """Unit "backends": the Backends of a Service, of the ports that attached routes refer to."""
    service: Service | None = view.get(*key)
    if service is None or service.spec.type == "ExternalName":
        return None
    return Emission(tuple(_backend(view, service, destination) for destination in referred(view, service)))


def translate_external(options: Options, key: Destination, view: View) -> Emission | None:
    """Unit "external backend": Backend and endpoint of an ExternalName Service, for a port that attached routes refer to."""
    service: Service | None = view.get("Service", key.namespace, key.service)
    if service is None:
        return None
    endpoints, ignored = external_endpoints(options, view, service, key)
    return Emission((_backend(view, service, key), endpoints), ignored=ignored)


def _backend(view: View, service: Service, destination: Destination) -> Backend:
    protocol: Literal["TCP", "UDP"] = "UDP" if destination.variant == "udp" else "TCP"
    port = service_port(service, destination.port, protocol)
    section = port.name or "" if port is not None else ""
    tls, error = backend_tls(view, service.key, section) if protocol == "TCP" else (None, None)
    key = backend_key(destination)
    return Backend(
        key, source_of(service), _protocol(view, destination, tls), tls, backend_options(view, service, section, key), error
    )  # fmt: skip


def _protocol(view: View, destination: Destination, tls: BackendTls | None) -> BackendProtocol:
    """What HTTP is spoken in: what the port says, else HTTP/2 to what serves gRPC, else what the endpoint chooses where TLS lets it, else
    in a mesh what the caller speaks."""
    match destination.variant:
        case "udp":
            return "udp"
        case "h2c":
            return "h2c"
    application: str | None = view.result("application protocol", destination[:3])
    if application == H2C:
        return "h2c"
    if tls is not None and application not in (WS, WSS):
        return "auto"
    return "client" if destination.variant == "client" else "http/1.1"
