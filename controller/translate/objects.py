"""What translation asks of any object: how it is called in messages, its source and its age."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from controller.api.metadata import Object
from controller.store import Key
from gateway.ir.value import Source

Age = tuple[str, str, str]
"""Creation time ("" where unknown), namespace, name: of two objects the one with the lesser age wins (conflict resolution in GEP-713)."""


def called(kind: str, namespace: str, name: str) -> str:
    """The object in messages, for example `Service default/shop`."""
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def of_group(kind: str, group: str) -> str:
    """A kind in messages, with its group unless that is the core group."""
    return f"{kind} of group {group}" if group else kind


def source_of(obj: Object) -> Source:
    """The source of a resource. Without the generation: an edit of one rule or listener must not change its siblings' resources."""
    return Source(obj.kind, obj.namespace, obj.name)


def created(obj: Object) -> str:
    """The creation time in RFC 3339 in UTC, "" where unknown, which is older than any other."""
    moment = obj.metadata.creation_timestamp
    if moment is None:
        return ""
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def age(obj: Object) -> Age:
    """The order in which objects win where only one can."""
    return (created(obj), obj.namespace, obj.name)


class Rank(NamedTuple):
    """The place of an object among those that want what only one can have: in this order they come."""

    later: bool
    """Whether it comes after all that are not: a Gateway before its ListenerSets (ListenerSetSpec.listeners)."""
    created: str
    namespace: str
    name: str
    kind: str

    @property
    def key(self) -> Key:
        """The object."""
        return self.kind, self.namespace, self.name


def rank(obj: Object) -> Rank:
    """By age, then by namespace and name, and where even those are the same by kind."""
    return Rank(obj.kind != "Gateway", *age(obj), obj.kind)
