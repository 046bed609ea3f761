"""The bases of everything in the contract: a frozen value, and a resource, which is a value with a key and a source object."""

from __future__ import annotations

import msgspec

Identity = tuple[str, str]
"""(kind, key) of a resource; a key is unique within its kind."""


class Value(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a resource. Never tracked by the garbage collector: it holds tuples and other values only, so no cycle can form."""


class Source(Value, frozen=True):
    """The object a user wrote, so that logs, `explain` and `status` can name it. A cluster-scoped object has namespace ''."""

    kind: str
    namespace: str
    name: str
    generation: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Resource(Value, frozen=True, tag_field="kind"):
    """One unit of proxy configuration. Children name their parents by key; parents hold no lists of children."""

    key: str
    source: Source

    @property
    def identity(self) -> Identity:
        return (type(self).__name__, self.key)
