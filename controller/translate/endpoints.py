"""Where a port of a Service is right now: its EndpointSlices, or the name or address of an ExternalName.

Slices belong to a Service by label and to a port by its name, whether or not the Service has a selector or an address.
One changed slice runs the one unit of its Service again and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from controller.api.core import Service
from controller.api.endpoint_slice import Endpoint as SliceEndpoint
from controller.api.endpoint_slice import EndpointSlice
from controller.graph import View
from controller.store import Key
from controller.translate.destinations import Destination, Variant, backend_key, service_port
from controller.translate.objects import called, source_of
from controller.translate.options import Options
from controller.translate.places import leads_back
from controller.translate.statuses import Emission, Ignored
from gateway.ir.backend import Endpoint, EndpointSet

Found = tuple[EndpointSlice, Endpoint]

_VARIANTS: dict[str, tuple[Variant, ...]] = {"TCP": ("", "h2c", "client"), "UDP": ("udp",)}
"""The ways in which a port can be spoken to, by its transport."""


def translate_endpoints(options: Options, key: Key, view: View) -> Emission | None:
    """Unit "endpoints": the EndpointSets of a Service, of the ports that attached routes refer to."""
    service: Service | None = view.get(*key)
    if service is None or service.spec.type == "ExternalName":
        return None
    slices: tuple[EndpointSlice, ...] = view.select("slices of service", key[1:])
    ignored: dict[Ignored, None] = {}
    resources = []
    for destination in referred(view, service):
        protocol: Literal["TCP", "UDP"] = "UDP" if destination.variant == "udp" else "TCP"
        port = service_port(service, destination.port, protocol)
        usable: dict[tuple[str, int], Endpoint] = {}
        for found, endpoint in _of_one_family(service, list(_endpoints(slices, port.name or "" if port is not None else "", protocol))):
            if reason := leads_back(options, view, endpoint.address, endpoint.port, protocol == "UDP"):
                ignored[found.key, f"{reason}, where no backend may be"] = None
            else:
                _add(usable, endpoint)
        endpoints = tuple(usable[place] for place in sorted(usable))
        resources.append(EndpointSet(backend_key(destination), source_of(service), endpoints))
    return Emission(tuple(resources), ignored=tuple(ignored))


def referred(view: View, service: Service) -> tuple[Destination, ...]:
    """The ports of a Service that attached routes, or sidecars without them, refer to, in each way in which they do."""
    ways = [
        Destination(service.namespace, service.name, port.port, variant)
        for port in service.spec.ports
        for variant in _VARIANTS.get(port.protocol, ())
    ]
    return tuple(way for way in ways if view.tallied("references", way))


def _endpoints(slices: tuple[EndpointSlice, ...], port_name: str, protocol: str) -> Iterator[Found]:
    for found in slices:
        for port in found.ports:
            if (port.name, port.protocol) == (port_name, protocol) and port.port is not None:
                read = (_endpoint(endpoint, port.port) for endpoint in found.endpoints)
                yield from ((found, endpoint) for endpoint in read if endpoint.ready or not endpoint.terminating)


def _endpoint(endpoint: SliceEndpoint, port: int) -> Endpoint:
    """Unknown conditions are read as discovery/v1 has it. A terminating endpoint is ready as long as it serves, and then gone."""
    conditions = endpoint.conditions
    ready = conditions.ready is not False
    terminating = conditions.terminating is True
    if terminating:
        ready = ready if conditions.serving is None else conditions.serving
    return Endpoint(endpoint.addresses[0], port, zone=endpoint.zone or "", ready=ready, terminating=terminating)


def _of_one_family(service: Service, found: list[Found]) -> list[Found]:
    """Of a Service with addresses of two families those of its first, so that each endpoint counts once; all if there are none of it."""
    families = service.spec.ip_families
    first = [entry for entry in found if families and entry[0].address_type == families[0]]
    return first or found


def _add(usable: dict[tuple[str, int], Endpoint], endpoint: Endpoint) -> None:
    """An endpoint that is in two slices, as while slices are rearranged, counts once, and as ready if it is so in one."""
    place = (endpoint.address, endpoint.port)
    known = usable.get(place)
    if known is None or (endpoint.ready, not endpoint.terminating) > (known.ready, not known.terminating):
        usable[place] = endpoint


def external_endpoints(options: Options, view: View, service: Service, key: Destination) -> tuple[EndpointSet, tuple[Ignored, ...]]:
    """The one endpoint of an ExternalName: its name or address, and the port that the route names."""
    name = service.spec.external_name or ""
    source = source_of(service)
    if reason := leads_back(options, view, name, key.port, key.variant == "udp"):
        return EndpointSet(backend_key(key), source), ((service.key, f"{reason}, where {called(*service.key)} may not lead"),)
    return EndpointSet(backend_key(key), source, (Endpoint(name, key.port),)), ()
