"""A port of a Service as a Backend: how it is spoken to.

Backends of a Service are its own units, kept out of the routes' way: a tally tells which ports routes refer to. Only an
ExternalName, whose ports are those that routes name, hangs on the routes themselves.
"""

from __future__ import annotations

from controller.api.core import Service
from controller.graph import View
from controller.store import Key
from controller.translate.backend_policies import backend_options
from controller.translate.backend_tls_policies import backend_tls
from controller.translate.destinations import Destination, Judgement, backend_key, service_port
from controller.translate.endpoints import external_endpoints
from controller.translate.objects import source_of
from controller.translate.options import Options
from controller.translate.statuses import Emission
from gateway.ir.backend import Backend


def translate_backends(key: Key, view: View) -> Emission | None:
    """Unit "backends": the Backends of a Service, of the ports that attached routes refer to."""
    service: Service | None = view.get(*key)
    if service is None or service.spec.type == "ExternalName":
        return None
    ports = [port.port for port in service.spec.ports if port.protocol == "TCP"]
    referred = [port for port in ports if view.tally("references", (*key[1:], port))]
    return Emission(tuple(_backend(view, service, port) for port in referred))


def translate_external(options: Options, key: Destination, view: View) -> Emission | None:
    """Unit "external backend": Backend and endpoint of an ExternalName Service, for a port that attached routes refer to."""
    service: Service | None = view.get("Service", key[0], key[1])
    judgement: Judgement = view.result("destination", key)
    if service is None or judgement.problem is not None:
        return None
    endpoints, ignored = external_endpoints(options, view, service, key)
    return Emission((_backend(view, service, key[2]), endpoints), ignored=ignored)


def _backend(view: View, service: Service, number: int) -> Backend:
    port = service_port(service, number)
    section = port.name or "" if port is not None else ""
    tls, error = backend_tls(view, service.key, section)
    key = backend_key((service.namespace, service.name, number))
    return Backend(key, source_of(service), "http/1.1", tls, backend_options(view, service, section, key), error)
