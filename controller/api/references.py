"""References from one object to another (apis/v1/object_reference_types.go and shared_types.go)."""

from typing import Annotated, Self, TypeVar

from pydantic import Field, Strict, model_validator

from controller.api.base import Model, refusal
from controller.api.names import Group, Kind, NamespaceName, ObjectName, PortNumber, SectionName

GATEWAY_GROUP = "gateway.networking.k8s.io"


class LocalObjectReference(Model):
    """An object of the same namespace."""

    group: Group
    kind: Kind
    name: ObjectName


class ObjectReference(Model):
    """An object of this or another namespace."""

    group: Group
    kind: Kind
    name: ObjectName
    namespace: NamespaceName | None = None


class SecretObjectReference(Model):
    """A Secret, unless group and kind say otherwise."""

    group: Group = ""
    kind: Kind = "Secret"
    name: ObjectName
    namespace: NamespaceName | None = None


class BackendObjectReference(Model):
    """A backend: a port of a Service, unless group and kind say otherwise."""

    group: Group = ""
    kind: Kind = "Service"
    name: ObjectName
    namespace: NamespaceName | None = None
    port: PortNumber | None = None

    @model_validator(mode="after")
    def _service_has_port(self) -> Self:
        if self.group == "" and self.kind == "Service" and self.port is None:
            raise refusal("port", "a reference to a Service must have a port", "Add the port of the Service, for example `port: 80`.")
        return self


class BackendRef(BackendObjectReference):
    """A backend with its share of the traffic: weight / sum of the weights."""

    weight: Annotated[int, Strict(), Field(ge=0, le=1_000_000)] = 1


class ParentReference(Model):
    """The parent that a route asks to be attached to."""

    group: Group = GATEWAY_GROUP
    kind: Kind = "Gateway"
    namespace: NamespaceName | None = None
    name: ObjectName
    section_name: SectionName | None = None
    port: PortNumber | None = None


class LocalPolicyTargetReference(Model):
    """The target of a policy, in the policy's own namespace, or one section of it."""

    group: Group
    kind: Kind
    name: ObjectName
    section_name: SectionName | None = None


Target = TypeVar("Target", bound=LocalPolicyTargetReference)


def check_parents(parents: tuple[ParentReference, ...]) -> tuple[ParentReference, ...]:
    """References to one parent must differ in sectionName or port, and all must use the same of the two fields (CEL)."""
    seen: dict[tuple[str, str, str | None, str], dict[tuple[str | None, int | None], int]] = {}
    for index, parent in enumerate(parents):
        others = seen.setdefault((parent.group, parent.kind, parent.namespace, parent.name), {})
        section, port = parent.section_name, parent.port
        if (section, port) in others:
            raise refusal(
                f"[{index}]",
                f"refers to the same parent and section as parentRefs[{others[section, port]}]",
                "Give each reference to one parent its own sectionName or port, or remove one of them.",
            )
        if any(((section is None), (port is None)) != ((other is None), (other_port is None)) for other, other_port in others):
            raise refusal(
                f"[{index}]",
                "references to one parent must all have a sectionName, all have a port, or all have both",
                "Set the same of the two fields in each reference to this parent.",
            )
        others[section, port] = index
    return parents


def check_targets(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """References to one target must differ in sectionName, and all must have one (CEL)."""
    seen: dict[tuple[str, str, str], dict[str | None, int]] = {}
    for index, target in enumerate(targets):
        others = seen.setdefault((target.group, target.kind, target.name), {})
        if target.section_name in others:
            raise refusal(
                f"[{index}]",
                f"refers to the same target and section as targetRefs[{others[target.section_name]}]",
                "Give each reference to one target its own sectionName, or remove one of them.",
            )
        if others and (target.section_name is None or None in others):
            raise refusal(
                f"[{index}].sectionName",
                "references to one target must all have a sectionName",
                "Add sectionName to each reference to this target, or keep one reference to the whole.",
            )
        others[target.section_name] = index
    return targets
