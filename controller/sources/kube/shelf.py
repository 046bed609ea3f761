"""The objects of one resource as the server has them: what an event or a list changes, told once and only if it matters.

Of an object stays a digest of what matters, and for kinds whose status we write what the server holds of it; the object itself
goes to whoever reads the changes. An event whose content is as before costs its digest and nothing more. Lists take
effect whole: until the last page has come nothing changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from controller.api.metadata import Key, Object
from controller.sources.kube.changes import Refusal, Waiting
from controller.sources.kube.reading import read, reduced
from controller.sources.kube.resources import Resource

_WITHOUT_STATUS = frozenset(("ReferenceGrant", "Service", "EndpointSlice", "Secret", "ConfigMap", "Namespace", "Pod"))
"""Kinds whose status nobody here writes."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the server holds of an object, as of its last event."""

    uid: str
    resource_version: str
    generation: int
    status: Mapping[str, Any]


@dataclass(slots=True)
class _Record:
    digest: bytes
    is_put: bool = False
    is_refused: bool = False
    uid: str = ""
    version: str = ""
    generation: int = 1
    status: bytes = b""


@dataclass(frozen=True, slots=True)
class _Found:
    """An object of a list: its key, its record, and unless it is as before what it is now."""

    key: Key
    record: _Record
    news: Object | Refusal | None


class Shelf:
    """The records of one resource, or of that part of it that one list and watch covers."""

    __slots__ = ("_records", "_waiting", "refused", "resource")

    def __init__(self, resource: Resource, waiting: Waiting) -> None:
        self.resource = resource
        self.refused = 0
        self._waiting = waiting
        self._records: dict[Key, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def held(self, key: Key) -> Held | None:
        """What the server holds of the object; None if nothing, or of a kind whose status we do not write."""
        record = self._records.get(key)
        if record is None or key[0] in _WITHOUT_STATUS:
            return None
        return Held(record.uid, record.version, record.generation, orjson.loads(record.status) if record.status else {})

    def listing(self) -> "Listing":
        """A list of all objects, to be filled page by page."""
        return Listing(self)

    def take(self, raw: dict[str, Any]) -> None:
        """An object was added or modified."""
        key = self._key(raw)
        if (found := self.look(raw)) is None:
            self._drop(key)
        else:
            self.place(found)

    def drop(self, raw: dict[str, Any]) -> None:
        """An object was deleted."""
        self._drop(self._key(raw))

    def clear(self) -> None:
        """The kind itself is gone."""
        for key in list(self._records):
            self._drop(key)

    def look(self, raw: dict[str, Any]) -> _Found | None:
        """What an object would change, None if it is of no interest. Changes nothing."""
        content = reduced(self.resource, raw)
        if content is None:
            return None
        key = self._key(raw)
        digest = blake2b(orjson.dumps(content), digest_size=16).digest()
        before = self._records.get(key)
        record = self._record(digest, raw)
        if before is not None and before.digest == digest:
            record.is_put, record.is_refused = before.is_put, before.is_refused
            return _Found(key, record, None)
        result = read(self.resource, content)
        if isinstance(result, str):
            record.is_put, record.is_refused = before is not None and before.is_put, True
            return _Found(key, record, Refusal(key, raw["metadata"].get("generation", 1), result, self._shown(raw)))
        record.is_put = True
        return _Found(key, record, result)

    def place(self, found: _Found) -> None:
        """Makes what was looked at the state."""
        before = self._records.get(found.key)
        self._records[found.key] = found.record
        was_refused = before is not None and before.is_refused
        self.refused += found.record.is_refused - was_refused
        if isinstance(found.news, Refusal):
            self._waiting.refuse(found.news)
        elif found.news is not None:
            self._waiting.put(found.news)
            if was_refused:
                self._waiting.permit(found.key)

    def keep_only(self, keys: Mapping[Key, Any]) -> None:
        """What is not among these is gone."""
        for key in [key for key in self._records if key not in keys]:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        record = self._records.pop(key, None)
        if record is None:
            return
        if record.is_put:
            self._waiting.remove(key)
        if record.is_refused:
            self.refused -= 1
            self._waiting.permit(key)

    def _key(self, raw: dict[str, Any]) -> Key:
        metadata = raw["metadata"]
        return (self.resource.kind, metadata.get("namespace") or "" if self.resource.namespaced else "", metadata["name"])

    def _record(self, digest: bytes, raw: dict[str, Any]) -> _Record:
        if self.resource.kind in _WITHOUT_STATUS:
            return _Record(digest)
        metadata = raw["metadata"]
        status = raw.get("status")
        return _Record(
            digest,
            uid=metadata.get("uid", ""),
            version=metadata.get("resourceVersion", ""),
            generation=metadata.get("generation", 1),
            # Copied, since orjson leaves what it writes in a buffer of several times its size.
            status=bytes(memoryview(orjson.dumps(status))) if isinstance(status, dict) and status else b"",
        )

    def _shown(self, raw: dict[str, Any]) -> dict[str, Any]:
        hidden = ("data", "stringData") if self.resource.kind == "Secret" else ()
        shown = {"apiVersion": self.resource.api_version, "kind": self.resource.kind} | {
            name: value for name, value in raw.items() if name not in hidden
        }
        return shown | {"metadata": {name: value for name, value in raw["metadata"].items() if name != "managedFields"}}


class Listing:
    """A list that is being read. Nothing changes until `finish`."""

    __slots__ = ("_found", "_shelf")

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._found: dict[Key, _Found] = {}

    @property
    def empties(self) -> bool:
        """Whether this list would remove every object there is."""
        return not self._found and len(self._shelf) > 0

    def add(self, raw: dict[str, Any]) -> None:
        """One object of it."""
        if (found := self._shelf.look(raw)) is not None:
            self._found[found.key] = found

    def finish(self) -> None:
        """All have come: what they change takes effect, and what is not among them is gone."""
        for found in self._found.values():
            self._shelf.place(found)
        self._shelf.keep_only(self._found)
