"""GatewayClass (gateway.networking.k8s.io/v1, v1beta1)."""

from typing import Annotated, ClassVar, Literal

from controller.api.base import Model, text
from controller.api.metadata import Object
from controller.api.names import ControllerName, Group, Kind, NamespaceName, ObjectName


class ParametersReference(Model):
    """The object with parameters of a class."""

    group: Group
    kind: Kind
    name: ObjectName
    namespace: NamespaceName | None = None


class GatewayClassSpec(Model):
    """Which controller serves the Gateways of the class."""

    controller_name: ControllerName
    parameters_ref: ParametersReference | None = None
    description: Annotated[str, text(longest=64)] | None = None


class GatewayClass(Object):
    """A class of Gateways."""

    namespaced: ClassVar[bool] = False

    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]
    kind: Literal["GatewayClass"]
    spec: GatewayClassSpec
