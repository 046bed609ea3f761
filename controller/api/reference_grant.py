"""ReferenceGrant (gateway.networking.k8s.io/v1, v1beta1): consent to references from other namespaces."""

from typing import Annotated, Literal

from pydantic import Field

from controller.api.base import Model
from controller.api.metadata import Object
from controller.api.names import Group, Kind, NamespaceName, ObjectName


class ReferenceGrantFrom(Model):
    """Objects that may refer to this namespace."""

    group: Group
    kind: Kind
    namespace: NamespaceName


class ReferenceGrantTo(Model):
    """Objects of this namespace that may be referred to: one, or all of the kind without a name."""

    group: Group
    kind: Kind
    name: ObjectName | None = None


class ReferenceGrantSpec(Model):
    """Each of `from_` may refer to each of `to`."""

    from_: tuple[ReferenceGrantFrom, ...] = Field(alias="from", min_length=1, max_length=16)
    to: Annotated[tuple[ReferenceGrantTo, ...], Field(min_length=1, max_length=16)]


class ReferenceGrant(Object):
    """Consent of a namespace to be referred to."""

    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]
    kind: Literal["ReferenceGrant"]
    spec: ReferenceGrantSpec
