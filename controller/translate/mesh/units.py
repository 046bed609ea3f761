"""The units of the mesh, with what they find objects by. Without a mesh there are none of them, and what only a mesh reads is told."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import Final

from controller.api.kinds import MESH_ALONE
from controller.graph import Stage, Unit, View
from controller.store import Index, Key, Listing, Tally
from controller.translate.mesh.entry_places import (
    claims_of_name,
    scopes_of_place,
    translate_elsewhere_of_requests,
    translate_place,
    uses_of_place,
)
from controller.translate.mesh.frontends import consumers_of_frontend, judge_frontend, routes_of_frontend, translate_frontend
from controller.translate.mesh.meshes import translate_mesh
from controller.translate.mesh.mutual_tls import in_order, namespace_mode, policies_of_namespace, translate_peer_authentication
from controller.translate.mesh.namespaces import (
    is_in_use,
    mesh_namespaces,
    translate_elsewhere,
    translate_injection,
    translate_mesh_namespace,
    translate_mesh_scope,
)
from controller.translate.mesh.service_entries import translate_service_entry
from controller.translate.mesh.workloads import services_by_label, translate_workload
from controller.translate.options import Options
from controller.translate.statuses import Emission

MESH_INDEXES: Final = MappingProxyType[str, Index]({"peer authentications": policies_of_namespace})
MESH_LISTINGS: Final = MappingProxyType[str, Listing](
    {
        "mesh namespaces": mesh_namespaces,
        "services by label": services_by_label,
        "routes of frontend": routes_of_frontend,
        "consumers of frontend": consumers_of_frontend,
        "entry scopes": scopes_of_place,
        "entry uses": uses_of_place,
        "entry claims": claims_of_name,
    }
)
MESH_TALLIES: Final = (Tally("references", "frontend", lambda frontend: frontend.destinations),)
"""Sidecars refer to every port of every Service."""


def units_of_mesh(options: Options) -> tuple[Unit, ...]:
    """All of them."""
    if not options.mesh:
        return (Unit("without a mesh", _told, roots=tuple(sorted(MESH_ALONE))),)
    return (
        Unit("mesh", translate_mesh, roots=("XMesh",)),
        Unit("mesh in use", is_in_use),
        Unit("mesh namespace", partial(translate_mesh_namespace, options)),
        Unit("mesh scope", translate_mesh_scope),
        Unit("elsewhere", translate_elsewhere),
        Unit("injection", translate_injection, roots=("Namespace",)),
        Unit("mutual TLS of namespace", partial(namespace_mode, options)),
        Unit("peer authentications of namespace", partial(in_order, options)),
        Unit("peer authentication", partial(translate_peer_authentication, options), roots=("PeerAuthentication",)),
        Unit("service entry", partial(translate_service_entry, options), roots=("ServiceEntry",)),
        Unit("entry place", partial(translate_place, options)),
        Unit("elsewhere of requests", translate_elsewhere_of_requests),
        Unit("workload", partial(translate_workload, options), roots=("Pod",)),
        Unit("frontend", judge_frontend, roots=("Service",)),
        Unit("frontend listeners", translate_frontend, roots=("Service",), stage=Stage.LAST),
    )


def _told(key: Key, view: View) -> Emission | None:
    """Unit "without a mesh"."""
    if view.get(*key) is None:
        return None
    where = "in a cluster with `tidegate controller --mesh`, and on one machine with `tidegate run --mesh`"
    return Emission(ignored=((key, f"has no effect without a mesh, which there is {where}"),))
