"""`tidegate check`: what `tidegate run` would make of files, without serving: every problem, every condition of every object.

Resources are also compiled as the data plane compiles them, so that what a proxy would refuse is said here. Whether ports are
free is not asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

import msgspec
from rich.console import Console

from controller.api.gateway import Gateway
from controller.api.listener_set import ListenerSet, ParentGatewayReference
from controller.api.metadata import Key, Object
from controller.api.references import ParentReference
from controller.api.routes import AnyRoute
from controller.sources.problems import Path as FieldPath
from controller.status import Live, is_fault, placed, programmed, to_json
from controller.translate.objects import called
from controller.translate.statuses import Ignored, Status
from gateway.ir.rule import AnyRule
from gateway.ir.value import Source
from gateway.offline import Offline
from tidegate.files import Reading, read_files
from tidegate.hints import without_endpoints
from tidegate.options import RunOptions
from tidegate.report import Report, parts_of, rank

_FIELD: Final = re.compile(r"\bspec(?:\.\w+|\[\d+\])+")
_DROPPED: Final = re.compile(r"\bDropped Rule (\d+): (\w+(?:\.\w+|\[\d+\])*)")
_IN_LISTENER: Final = re.compile(r"^\w+(?:\.\w+|\[\d+\])+")
_STEP: Final = re.compile(r"[^.\[\]]+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. `hints` say what no condition does; `failures` are faults of Tidegate itself."""

    reading: Reading
    statuses: Mapping[Key, Status]
    hints: tuple[tuple[Source, str], ...]
    ignored: tuple[Ignored, ...]

    @property
    def good(self) -> bool:
        """Whether there is no problem, no condition that says that something is wrong, and nobody whose parent is not there."""
        wrong = any(is_fault(condition) for status in self.statuses.values() for _, condition in placed(status))
        return not (self.reading.change.problems or self.reading.failures or wrong or self.parentless)

    @property
    def parentless(self) -> frozenset[Key]:
        """Routes and ListenerSets whose parent no file holds. The API gives them no status, but in files that is a mistake."""
        objects = self.reading.change.puts
        there = {obj.key for obj in objects if isinstance(obj, Gateway | ListenerSet)}
        return frozenset(obj.key for obj in objects for parent in _parents(obj) if parent not in there)

    def objects(self) -> tuple[Object, ...]:
        """All that could be read, by kind, namespace and name; those with a status first."""
        return tuple(sorted(self.reading.change.puts, key=lambda obj: (obj.key not in self.statuses, rank(obj.kind), obj.key)))

    def where(self, key: Key, field: FieldPath = ()) -> str:
        """file:line of an object or of one of its fields, '' for what no file holds."""
        place = self.reading.source.place(key, field)
        return "" if place is None else str(place)


def _parents(obj: Object) -> Iterator[Key]:
    """The Gateways and ListenerSets that an object names as its parents."""
    references: tuple[ParentReference | ParentGatewayReference, ...] = ()
    if isinstance(obj, AnyRoute):
        references = obj.spec.parent_refs
    elif isinstance(obj, ListenerSet):
        references = (obj.spec.parent_ref,)
    for reference in references:
        if reference.kind in ("Gateway", "ListenerSet"):
            yield reference.kind, reference.namespace or obj.namespace, reference.name


def check(options: RunOptions) -> Verdict:
    """Judges the files that `options` name. Raises nothing for what they say."""
    reading = read_files(options)
    resources = reading.translator.resources()
    with Offline(resources.values(), options.admin) as offline:
        live = Live(rejected={(each.kind, each.key): (each.reason,) for each in offline.rejections})
    statuses = {key: programmed(status, live) for key, status in reading.translator.statuses().items()}
    rules = [resource for resource in resources.values() if isinstance(resource, AnyRule)]
    hints = tuple(sorted(without_endpoints(rules, resources), key=lambda hint: (str(hint[0]), hint[1])))
    return Verdict(reading, statuses, hints, reading.translator.ignored())


def as_json(verdict: Verdict) -> bytes:
    """Everything; field names do not change."""
    found = {
        "good": verdict.good,
        "objects": [_object(verdict, obj.key) for obj in verdict.objects()],
        "problems": verdict.reading.change.problems,
        "ignored": [_named(key) | {"reason": reason} for key, reason in verdict.ignored],
        "hints": [_named((source.kind, source.namespace, source.name)) | {"hint": hint} for source, hint in verdict.hints],
        "failures": verdict.reading.failures,
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _object(verdict: Verdict, key: Key) -> dict[str, Any]:
    place = verdict.reading.source.place(key)
    where = {} if place is None else {"file": place.file, "line": place.line}
    status = verdict.statuses.get(key)
    return _named(key) | where | {"status": None if status is None else to_json(status)}


def _named(key: Key) -> dict[str, Any]:
    return {"kind": key[0], "namespace": key[1], "name": key[2]}


def show(verdict: Verdict, stream: IO[str]) -> None:
    """Lines for people."""
    report = Report(Console(file=stream, highlight=False, soft_wrap=True))
    for problem in verdict.reading.change.problems:
        report.line("problem", str(problem))
    for failure in verdict.reading.failures:
        report.line("problem", f"a fault of Tidegate, please report it: {failure}")
    for obj in verdict.objects():
        status = verdict.statuses.get(obj.key)
        if status is not None:
            parts = tuple(parts_of(to_json(status)))
            report.judged(called(*obj.key), verdict.where(obj.key), parts, _Places(verdict, obj))
    for key, reason in verdict.ignored:
        report.line("problem" if key in verdict.parentless else "ignored", f"{called(*key)}  {verdict.where(key)}")
        report.under(reason)
    for source, hint in verdict.hints:
        report.line("note", f"{source}  {verdict.where((source.kind, source.namespace, source.name))}")
        report.under(hint)
    report.line("", _summary(verdict))


def _summary(verdict: Verdict) -> str:
    kinds: dict[str, int] = {}
    for obj in verdict.objects():
        kinds[obj.kind] = kinds.get(obj.kind, 0) + 1
    faulty = sum(any(is_fault(condition) for _, condition in placed(status)) for status in verdict.statuses.values())
    read = ", ".join(f"{number} {kind}" for kind, number in kinds.items()) or "no object"
    problems = len(verdict.reading.change.problems)
    return f"{read}: {problems} problem{'' if problems == 1 else 's'}, {faulty} object{'' if faulty == 1 else 's'} with a fault"


class _Places:
    """From a condition's message to the line of the field that it names, else that of the object."""

    def __init__(self, verdict: Verdict, obj: Object) -> None:
        self._verdict = verdict
        self._object = obj

    def __call__(self, part: str, message: str) -> str:
        return self._verdict.where(self._object.key, field_in(self._object, part, message))


def field_in(obj: Object, part: str, message: str) -> FieldPath:
    """The field of an object that a message names, () if it names none. `part` is '' or 'listener NAME'."""
    if found := _DROPPED.search(message):
        return ("spec", "rules", int(found[1]), *_steps(found[2]))
    if found := _FIELD.search(message):
        return _steps(found[0])
    if isinstance(obj, Gateway | ListenerSet) and part.startswith("listener "):
        names = [f"listener {listener.name}" for listener in obj.spec.listeners]
        rest = _IN_LISTENER.match(message)
        return ("spec", "listeners", names.index(part), *(_steps(rest[0]) if rest is not None else ())) if part in names else ()
    return ()


def _steps(field: str) -> FieldPath:
    return tuple(_each_step(field))


def _each_step(field: str) -> Iterator[str | int]:
    for step in _STEP.findall(field):
        yield int(step) if step.isdigit() else step
