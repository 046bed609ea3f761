"""ListenerSet (gateway.networking.k8s.io/v1): listeners that are added to a Gateway (apis/v1/listenerset_types.go)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controller.api.base import Model
from controller.api.listeners import Listener, check_listeners
from controller.api.metadata import Object
from controller.api.names import Group, Kind, NamespaceName, ObjectName
from controller.api.references import GATEWAY_GROUP


class ParentGatewayReference(Model):
    """The Gateway to which the listeners are added."""

    group: Group = GATEWAY_GROUP
    kind: Kind = "Gateway"
    namespace: NamespaceName | None = None
    name: ObjectName


class ListenerSetSpec(Model):
    """What is added, and to which Gateway. A name need only be unique inside the set."""

    parent_ref: ParentGatewayReference
    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=64), AfterValidator(check_listeners)]


class ListenerSet(Object):
    """Listeners of a Gateway that are somebody else's."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["ListenerSet"]
    spec: ListenerSetSpec
