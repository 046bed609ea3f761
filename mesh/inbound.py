"""What a sidecar serves for the workload beside it, made of its own Workload (pure).

A listener for each port of which something is said, one for all others, and behind all of them the application: HTTP as HTTP, anything
else as bytes. None of it is an object that somebody wrote, so it stands under the Pod's name.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from gateway.ir.backend import Backend, BackendOptions, Ejection, Limits
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Capture, ClientValidation, Listener
from gateway.ir.mesh_options import INBOUND
from gateway.ir.rule import BackendRef, Binding, HttpRule, TcpRule
from gateway.ir.value import Source
from gateway.ir.workload import IDENTITY, INBOUND_PORT, ROOTS, Workload, WorkloadPort, mesh_scope

APPLICATION: Final = "@mesh/inbound"
"""Key of the Backend that is the application, spoken to in HTTP."""
APPLICATION_BYTES: Final = "@mesh/inbound/tcp"
"""The same, handed bytes."""
EVERY_OTHER: Final = 0
"""In the place of a port: all of which nothing is said."""

_OPTIONS: Final = BackendOptions(
    # There is one endpoint and nobody to go to instead: leaving it out would make an answer of the application's own into one of ours.
    ejection=Ejection(consecutive_errors=0, connect_failures=False),
    # What the application can bear is its own to say, and without us nobody would count.
    limits=Limits(connections=2**31 - 1),
    # As long as the application likes to take over a request's body.
    send_timeout=0,
)


def inbound(workload: Workload, *, is_selected: bool) -> tuple[AnyResource, ...]:
    """Resources by which a sidecar serves its workload. `is_selected`: an AuthorizationPolicy judges by paths there, perhaps.

    Key of a listener: namespace/@mesh/inbound/port.
    """
    ports = {port.number: port for port in workload.ports}
    others = WorkloadPort(EVERY_OTHER)
    listeners = tuple(_listener(workload, port, is_selected) for _, port in sorted({**ports, EVERY_OTHER: others}.items()))
    return (*_backends(workload.source), *listeners, *_rules(workload, listeners))


def _listener(workload: Workload, port: WorkloadPort, is_selected: bool) -> Listener:
    scope = mesh_scope(_namespace(workload))
    mutual_tls = port.mutual_tls or workload.mutual_tls
    return Listener(
        key=f"{scope}/inbound/{port.number}",
        source=workload.source,
        gateway=scope,
        name=f"inbound/{port.number}",
        address="::",
        port=port.number,
        bind_port=INBOUND_PORT,
        location_port=port.number,
        protocol=port.protocol,
        certificates=() if mutual_tls == "Disable" else (IDENTITY,),
        client_validation=None if mutual_tls == "Disable" else ClientValidation((ROOTS,)),
        # Two spellings of a path that many applications take for one must not be two to who may ask for it (design 7).
        options=replace(INBOUND, merge_slashes=True) if is_selected else INBOUND,
        capture=Capture("Inbound", mutual_tls=mutual_tls),
    )


def _backends(source: Source) -> tuple[Backend, Backend]:
    return (
        Backend(APPLICATION, source, protocol="client", options=_OPTIONS, original_destination="OwnPod"),
        Backend(APPLICATION_BYTES, source, protocol="tcp", options=_OPTIONS, original_destination="OwnPod"),
    )


def _rules(workload: Workload, listeners: tuple[Listener, ...]) -> tuple[HttpRule, TcpRule]:
    """No timeouts and no retries: those are the caller's to set. Bytes may come to any listener: what is TLS, but not of the mesh."""
    name, key = workload.key, f"{workload.source.kind}/{workload.key}/0"
    bindings = tuple(Binding(listener.key, ("",)) for listener in listeners)
    reading = tuple(Binding(listener.key, ("",)) for listener in listeners if listener.protocol != "TCP")
    return (
        HttpRule(key, workload.source, route=name, index=0, bindings=reading, backends=(BackendRef(APPLICATION),)),
        TcpRule(key, workload.source, route=name, index=0, bindings=bindings, backends=(BackendRef(APPLICATION_BYTES),)),
    )


def _namespace(workload: Workload) -> str:
    return workload.key.partition("/")[0]
