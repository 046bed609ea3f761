"""`tidegate inject`: what the webhook does to Pods, done to files. Pods and their templates get a sidecar, everything else passes through.

Either all of it can be injected, or nothing is written: half of an application in the mesh is nothing to apply.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from controller.sources.documents import DocumentError, decode, parse, reads_as_text, split
from mesh.injection.inject import inject
from mesh.injection.settings import Refused, SidecarSettings

STANDARD_INPUT: Final = Path("-")

Value = dict[str, Any]

_TEMPLATE: Final = ("spec", "template")
_PLACES: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("", "Pod"): (),
    ("", "ReplicationController"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
}
"""Where the Pod is in an object, by group and kind."""


@dataclass(frozen=True, slots=True)
class Injected:
    """The documents as YAML; what kept some from it, in which case `text` is ""; and what somebody should know of the rest."""

    text: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def inject_files(files: Sequence[Path], namespace: str, settings: SidecarSettings) -> Injected:
    """Of files in this order, "-" for standard input. `namespace` is that of objects that name none, "" where it is not known."""
    work = _Work(namespace, settings)
    done: list[Any] = []
    for file in files:
        try:
            content = sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
        except OSError as error:
            work.problems.append(f"{file}: it cannot be read: {error.strerror}")
            continue
        done += work.documents("standard input" if file == STANDARD_INPUT else str(file), content)
    text = "" if work.problems else yaml.dump_all(done, Dumper=_Dumper, sort_keys=False, width=140, allow_unicode=True)
    return Injected(text, tuple(work.problems), tuple(work.notes))


class _Work:
    """Owner of what is wrong, and of what is to be told, on the way through the files."""

    def __init__(self, namespace: str, settings: SidecarSettings) -> None:
        self._namespace = namespace
        self._settings = settings
        self.problems: list[str] = []
        self.notes: list[str] = []

    def documents(self, file: str, content: bytes) -> Iterator[Any]:
        """Each document, injected."""
        line, number = 1, 0
        try:
            for chunk in split(decode(content)):
                line = chunk.line
                for document in parse(chunk.text):
                    number += 1
                    yield self._object(f"{file}: document {number} (line {line + document.node.start_mark.line})", document.value)
        except DocumentError as error:
            self.problems.append(f"{file}:{line + error.line}: {error.message}. {error.remedy}")

    def _object(self, place: str, value: Any) -> Any:
        """An object, or a list of objects, with its Pods injected; whatever it is otherwise."""
        if not isinstance(value, dict):
            return value
        group, _, _ = str(value.get("apiVersion")).rpartition("/")
        kind = str(value.get("kind"))
        if (group, kind) == ("", "List") and isinstance(value.get("items"), list):
            items = [self._object(f"{place}, items[{index}]", item) for index, item in enumerate(value["items"])]
            return value | {"items": items}
        path = _PLACES.get((group, kind))
        return value if path is None else self._pod(f"{place}, {kind} {_name(value)}", value, path)

    def _pod(self, place: str, value: Value, path: tuple[str, ...]) -> Value:
        pod = value
        for step in path:
            found = pod.get(step)
            if not isinstance(found, dict):
                self.problems.append(f"{place}: {'.'.join(path)} is missing or no map, so there is no template of a Pod. Add it")
                return value
            pod = found
        metadata = value.get("metadata")
        namespace = str((metadata.get("namespace") if isinstance(metadata, dict) else "") or self._namespace)
        try:
            result = inject(pod, namespace, self._settings)
        except Refused as error:
            self.problems.append(f"{place}: {error}")
            return value
        if result.reason:
            self.notes.append(f"{place} stays as it is: {result.reason}")
        else:
            self.notes += [f"{place}: {warning}" for warning in result.warnings]
        return _with(value, path, result.pod)


def _with(value: Value, path: tuple[str, ...], pod: Value) -> Value:
    if not path:
        return pod
    first, *rest = path
    return value | {first: _with(value[first], tuple(rest), pod)}


def _name(value: Value) -> str:
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = metadata.get("name") or metadata.get("generateName") or "without a name"
    return f"{metadata['namespace']}/{name}" if metadata.get("namespace") else str(name)


class _Dumper(yaml.CSafeDumper):
    """Text stays text for whoever reads it next: `1e3` is a number to some readers of YAML, and a text to others."""

    def ignore_aliases(self, _: Any) -> bool:
        """Values that occur twice are written twice."""
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None if reads_as_text(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
