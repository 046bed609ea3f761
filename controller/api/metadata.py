"""ObjectMeta and the base of all objects (Kubernetes API conventions, "Metadata").

Unknown metadata is ignored. Status is an output and not read, but for that of Services (`Object.reads_status`).
"""

from typing import Any, ClassVar

from pydantic import AwareDatetime, Field, model_validator

from controller.api.base import Integer, Model, Text, TolerantModel
from controller.api.names import NamespaceName, SubdomainName

Key = tuple[str, str, str]
"""Kind, namespace ("" for kinds of the whole cluster) and name of an object."""


class ObjectMeta(TolerantModel):
    """The part of metadata that we read."""

    name: SubdomainName
    namespace: NamespaceName | None = None
    labels: dict[Text, Text] = Field(default_factory=dict)
    annotations: dict[Text, Text] = Field(default_factory=dict)
    generation: Integer = 1
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None
    uid: Text = ""
    resource_version: Text = ""


class Object(Model):
    """Any object that we read; `kind` and `api_version` are fixed by the subclass."""

    namespaced: ClassVar[bool] = True
    reads_status: ClassVar[bool] = False
    """Whether something of the status is read, so that it must be handed in and its changes are changes."""

    api_version: Text
    kind: Text
    metadata: ObjectMeta

    @model_validator(mode="before")
    @classmethod
    def _without_status(cls, data: Any) -> Any:
        if not cls.reads_status and isinstance(data, dict) and "status" in data:
            return {field: value for field, value in data.items() if field != "status"}
        return data

    @property
    def name(self) -> str:
        """The name of the object."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """The namespace of the object, "" for kinds of the whole cluster."""
        return (self.metadata.namespace or "default") if self.namespaced else ""

    @property
    def key(self) -> Key:
        """Kind, namespace and name."""
        return (self.kind, self.namespace, self.metadata.name)
