"""XMesh (gateway.networking.x-k8s.io/v1alpha1): a mesh, and who runs it (apisx/v1alpha1/xmesh_types.go)."""

from typing import Annotated, ClassVar, Literal

from controller.api.base import Model, text
from controller.api.gateway_class import ParametersReference
from controller.api.metadata import Object
from controller.api.names import ControllerName


class XMeshSpec(Model):
    """Which controller runs the mesh."""

    controller_name: ControllerName
    parameters_ref: ParametersReference | None = None
    description: Annotated[str, text(longest=64)] | None = None


class XMesh(Object):
    """A mesh."""

    namespaced: ClassVar[bool] = False

    api_version: Literal["gateway.networking.x-k8s.io/v1alpha1"]
    kind: Literal["XMesh"]
    spec: XMeshSpec
