"""The namespaces of the mesh, each a scope that sidecars subscribe to, and what all of them have besides.

A namespace belongs to the mesh while one of its Pods has a sidecar, or its label says that new Pods get one, so that the first finds its
scope. Nothing of the mesh is given to anybody before there is such a namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from controller.api.core import Namespace
from controller.api.injection import is_injected, is_meshed
from controller.api.pod import Pod
from controller.graph import View
from controller.store import Key
from controller.translate.options import Options
from controller.translate.statuses import Emission
from gateway.ir.backend import Backend
from gateway.ir.listener import Capture, Gateway, Listener
from gateway.ir.mesh_options import OUTBOUND
from gateway.ir.rule import BackendRef, Binding, TcpRule
from gateway.ir.value import Source
from gateway.ir.workload import OUTBOUND_PORT, SHARED, PeerAuthentication, mesh_scope

ALL: Final = ""
"""Under which the listing has all namespaces."""

_ELSEWHERE: Final = f"{SHARED}/elsewhere"
ELSEWHERE_BACKEND: Final = "@mesh/elsewhere"
"""The key of the Backend of what goes to no Service."""


def mesh_namespaces(obj: Any) -> Iterator[tuple[str, str]]:
    """The listing "mesh namespaces": each under its own name, and under ALL."""
    name = ""
    if isinstance(obj, Pod):
        name = obj.namespace if is_meshed(obj.metadata.labels) and obj.addresses else ""
    elif isinstance(obj, Namespace):
        name = obj.name if is_injected(obj.name, obj.metadata.labels) else ""
    if name:
        yield name, name
        yield ALL, name


def is_in_use(key: str, view: View) -> bool:
    """Unit "mesh in use": whether any namespace belongs to the mesh, or for its name whether that one does."""
    return bool(view.select("mesh namespaces", key))


def translate_injection(key: Key, view: View) -> None:
    """Unit "injection": keeps the scope of a namespace whose Pods get sidecars."""
    namespace: Namespace | None = view.get(*key)
    if namespace is not None and is_injected(namespace.name, namespace.metadata.labels):
        view.result("mesh namespace", namespace.name)


def translate_mesh_namespace(options: Options, name: str, view: View) -> None:
    """Unit "mesh namespace": keeps what a namespace of the mesh has. It is always the same to those who keep it, which are many."""
    if options.outbound == "AllowAny":
        view.result("elsewhere", ALL)
    view.result("mesh scope", name)


def translate_mesh_scope(name: str, view: View) -> Emission:
    """Unit "mesh scope": what the sidecars of a namespace subscribe to."""
    policies: tuple[PeerAuthentication, ...] = view.result("peer authentications of namespace", name)
    return Emission((Gateway(mesh_scope(name), Source("Namespace", "", name), peer_authentications=policies),))


def translate_elsewhere(key: str, view: View) -> Emission:
    """Unit "elsewhere": what goes to a destination that no Service has passes as it is."""
    source = Source("Mesh", "", "elsewhere")
    listener = Listener(
        key=_ELSEWHERE,
        source=source,
        gateway=SHARED,
        name="elsewhere",
        address="::",
        port=0,
        bind_port=OUTBOUND_PORT,
        location_port=0,
        protocol="TCP",
        options=OUTBOUND,
        capture=Capture("Outbound"),
    )
    backend = Backend(ELSEWHERE_BACKEND, source, "tcp", original_destination="Elsewhere")
    bindings = (Binding(_ELSEWHERE, ("",)),)
    rule = TcpRule("Mesh/@mesh/elsewhere/0", source, "@mesh/elsewhere", 0, bindings, backends=(BackendRef(ELSEWHERE_BACKEND),))
    return Emission((backend, listener, rule))
