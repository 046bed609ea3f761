"""Pods (v1) of files, as far as `tidegate run --mesh` must know of them to run their containers on this machine (core/v1 PodSpec)."""

from typing import Annotated, Literal

from pydantic import Field

from controller.api.base import Boolean, Integer, Text, TolerantModel
from controller.api.pod import Container, Pod, PodSpec


class FieldSelector(TolerantModel):
    """A field of the Pod (ObjectFieldSelector)."""

    field_path: Text


class KeySelector(TolerantModel):
    """An entry of a ConfigMap or Secret."""

    name: Text = ""
    key: Text
    optional: Boolean = False


class VariableSource(TolerantModel):
    """Where a variable's value is found (EnvVarSource)."""

    field_ref: FieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None


class Variable(TolerantModel):
    """A variable of a container's environment (EnvVar)."""

    name: Annotated[str, Field(strict=True, min_length=1)]
    value: Text = ""
    value_from: VariableSource | None = None


class ObjectName(TolerantModel):
    """A ConfigMap or Secret."""

    name: Text = ""
    optional: Boolean = False


class Variables(TolerantModel):
    """All entries of a ConfigMap or Secret, as variables (EnvFromSource)."""

    prefix: Text = ""
    config_map_ref: ObjectName | None = None
    secret_ref: ObjectName | None = None


class LocalContainer(Container):
    """A container, which is a program of this machine here: of its image nothing is known."""

    command: tuple[Text, ...] = ()
    args: tuple[Text, ...] = ()
    working_dir: Text = ""
    env: tuple[Variable, ...] = ()
    env_from: tuple[Variables, ...] = ()


class LocalPodSpec(PodSpec):
    """The part of a Pod's spec that is read."""

    containers: tuple[LocalContainer, ...] = ()
    init_containers: tuple[LocalContainer, ...] = ()
    node_name: Text = ""
    enable_service_links: Boolean = True
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    termination_grace_period_seconds: Annotated[Integer, Field(ge=0)] = 30


class LocalPod(Pod):
    """A Pod whose containers are programs of this machine."""

    spec: LocalPodSpec = LocalPodSpec()
