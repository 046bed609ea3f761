"""XMesh: the status of a mesh that is ours, with the features that routes on Services have."""

from __future__ import annotations

from typing import Final

from controller.api.mesh import XMesh
from controller.graph import View
from controller.store import Key
from controller.translate.classes import MESH_CONTROLLER_NAME, SUPPORTED_FEATURES
from controller.translate.conditions import Problem, met
from controller.translate.statuses import Emission, MeshStatus

_OF_ROUTES: Final = tuple(name for name in SUPPORTED_FEATURES if name.startswith(("HTTPRoute", "GRPCRoute")))

MESH_FEATURES: Final = tuple(
    sorted(
        (
            *_OF_ROUTES,
            "Mesh",
            "MeshClusterIPMatching",
            "MeshConsumerRoute",
            "MeshHTTPRouteBackendRequestHeaderModification",
            "MeshHTTPRouteNamedRouteRule",
            "MeshHTTPRouteQueryParamMatching",
            "MeshHTTPRouteRedirectPath",
            "MeshHTTPRouteRedirectPort",
            "MeshHTTPRouteRewritePath",
            "MeshHTTPRouteSchemeRedirect",
        )
    )
)
"""Names of pkg/features of the Gateway API, ascending."""


def translate_mesh(key: Key, view: View) -> Emission | None:
    """Unit "mesh": the status of an XMesh that names us."""
    mesh: XMesh | None = view.get(*key)
    if mesh is None or mesh.spec.controller_name != MESH_CONTROLLER_NAME:
        return None
    problem = None
    if mesh.spec.parameters_ref is not None:
        problem = Problem("InvalidParameters", "spec.parametersRef: a mesh has no parameters; its settings are those of the controller")
    accepted = met("Accepted", mesh.metadata.generation, problem)
    features = () if problem is not None else MESH_FEATURES
    return Emission(statuses=(MeshStatus(key, mesh.metadata.generation, (accepted,), features),))
