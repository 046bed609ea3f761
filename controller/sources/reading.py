"""The text of documents to objects: finds the model of each, fills in the namespace, and says what cannot be read.

Pure: takes text, gives values. Lists (kind List, HTTPRouteList ...) are unfolded.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from controller.api.kinds import MODELS, VERSIONS
from controller.api.local_pod import LocalPod
from controller.api.metadata import Key, Object
from controller.api.pod import Pod
from controller.sources.complaints import complaints
from controller.sources.documents import Document, DocumentError, parse
from controller.sources.problems import Path, field_path


@dataclass(frozen=True, slots=True)
class Found:
    """An object and its line, from 0 in the text that was read."""

    object: Object
    line: int


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of an object that cannot be read: kind, namespace and name as far as they can be told."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None

    def may_be(self, key: Key) -> bool:
        """Whether the object could be the one with this key."""
        return all(known in (None, part) for known, part in zip((self.kind, self.namespace, self.name), key, strict=True))


NOTHING_KNOWN = Subject()


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an object is left out. `line` counts from 0 in the text that was read; `title` is how the object calls itself."""

    line: int
    subject: Subject
    title: str
    field: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text holds."""

    found: tuple[Found, ...] = ()
    faults: tuple[Fault, ...] = ()


def read(text: str, namespace: str) -> Reading:
    """The objects in `text`; objects without a namespace get `namespace`, those of the whole cluster none."""
    try:
        documents = parse(text)
    except DocumentError as error:
        return Reading(faults=(Fault(error.line, NOTHING_KNOWN, "", "", error.message, error.remedy),))
    found: list[Found] = []
    faults: list[Fault] = []
    for document in documents:
        for path, value in _unfolded(document.value, ()):
            result = _Candidate(document, path, value, namespace).read()
            if isinstance(result, Object):
                found.append(Found(result, document.line_of(path)))
            else:
                faults.extend(result)
    return Reading(tuple(found), tuple(faults))


def object_paths(value: Any) -> Iterator[Path]:
    """Where the objects of a document stand in it: at its root, or as the items of a list."""
    return (path for path, _ in _unfolded(value, ()))


def _unfolded(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("items"), list) or not str(value.get("kind", "")).endswith("List"):
        yield path, value
        return
    kind = str(value["kind"]).removesuffix("List")
    for index, item in enumerate(value["items"]):
        whole = item
        if kind and isinstance(item, dict):
            whole = {"apiVersion": value.get("apiVersion"), "kind": kind, **item}
        yield from _unfolded(whole, (*path, "items", index))


def _model(version: str, kind: str) -> type[Object] | None:
    """A Pod of files may be run on this machine, for which more of it is read."""
    model = MODELS.get((version, kind))
    return LocalPod if model is Pod else model


class _Candidate:
    """One value that should be an object, and where it stands."""

    __slots__ = ("_document", "_kind", "_name", "_namespace", "_path", "_value", "_version")

    def __init__(self, document: Document, path: Path, value: Any, namespace: str) -> None:
        self._document = document
        self._path = path
        self._value = value if isinstance(value, dict) else None
        metadata = value.get("metadata") if isinstance(value, dict) else None
        metadata = metadata if isinstance(metadata, dict) else {}
        self._version = _text(value, "apiVersion")
        self._kind = _text(value, "kind")
        self._name = _text(metadata, "name")
        self._namespace = _text(metadata, "namespace") or namespace

    def read(self) -> Object | list[Fault]:
        if self._value is None:
            return [self._fault((), "", "the document is not an object", "Write apiVersion, kind and metadata.")]
        for field, value, example in (("apiVersion", self._version, "gateway.networking.k8s.io/v1"), ("kind", self._kind, "HTTPRoute")):
            if value is None:
                return [self._fault((field,), field, "the field is missing or not text", f"Add it, for example `{field}: {example}`.")]
        model = _model(self._version or "", self._kind or "")
        if model is None:
            return [self._unknown_kind()]
        return self._read_as(model, self._value)

    def _read_as(self, model: type[Object], value: dict[str, Any]) -> Object | list[Fault]:
        metadata = value.get("metadata")
        if isinstance(metadata, dict):
            scope = {"namespace": self._namespace} if model.namespaced else {"namespace": None}
            if model.namespaced and not isinstance(metadata.get("namespace"), str | None):
                scope = {}
            value = {**value, "metadata": {**metadata, **scope}}
        try:
            return model.model_validate(value)
        except ValidationError as error:
            return self._refused(error, model)

    def _refused(self, error: ValidationError, model: type[BaseModel]) -> list[Fault]:
        return [
            self._fault(complaint.path, complaint.field, complaint.message, complaint.remedy)
            for complaint in complaints(error, model, show_values=self._kind != "Secret")
        ]

    def _unknown_kind(self) -> Fault:
        kind, version = self._kind or "", self._version or ""
        versions = VERSIONS.get(kind, ())
        groups = {known.rpartition("/")[0] for known in versions}
        if version.rpartition("/")[0] in groups:
            return self._fault(("apiVersion",), "apiVersion", f"{kind} is not read in version {version}", f"Write {versions[0]}.")
        near = difflib.get_close_matches(kind, VERSIONS, n=1)
        remedy = f"Kinds that are read: {', '.join(VERSIONS)}. Move other objects to files that are not given."
        if near and near[0] == kind:
            remedy = f"Write {versions[0]} if that {kind} is meant, otherwise move the object to a file that is not given."
        elif near:
            remedy = f"Did you mean {near[0]}? {remedy}"
        return self._fault(("kind",), "kind", f"the kind {kind} of {version} is not known", remedy)

    def _fault(self, path: Path, field: str, message: str, remedy: str) -> Fault:
        line = self._document.line_of((*self._path, *path))
        known = self._kind if (self._version, self._kind) in MODELS else None
        namespaced = known is None or MODELS[self._version or "", known].namespaced
        namespace = self._namespace if namespaced else ""
        subject = Subject(known, namespace if self._name is not None else None, self._name)
        place = f"{namespace}/{self._name or '?'}" if namespaced else self._name or "?"
        title = f"{self._kind} {place}" if self._kind is not None else ""
        if self._path:
            title = title or f"entry {field_path(self._path)}"
        return Fault(line, subject, title, field, message, remedy)


def _text(value: Any, field: str) -> str | None:
    found = value.get(field) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None
