"""Objects with their conditions as lines for people, from the form in which Kubernetes has a status.

    fault   HTTPRoute default/shop  routes.yaml:3
            Gateway web: Accepted True, ResolvedRefs False
              routes.yaml:14 BackendNotFound: spec.rules[0].backendRefs[0]: Service default/shop does not exist
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from controller.api.kinds import kind_of
from controller.api.routes import ROUTES
from controller.status import NOTES, is_fault
from controller.translate.conditions import Condition
from controller.translate.objects import called

STYLES: Final = {
    "ok": "green",
    "note": "yellow",
    "fault": "bold red",
    "problem": "bold red",
    "solved": "green",
    "gone": "dim",
    "ignored": "yellow",
    "": "",
}
"""How the first word of a line looks on a terminal."""

_KINDS: Final = ("GatewayClass", "Gateway", "ListenerSet", *(kind_of(model) for model in ROUTES))


def rank(kind: str) -> int:
    """The place of a kind of objects among others: what others hang on comes first."""
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


WhereIs = Callable[[str, str], str]
"""From the part of an object ('' or 'listener NAME') and a message to file:line."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is judged by itself: the object, a listener, a parent or an ancestor. `name` is '' for the object."""

    name: str
    conditions: tuple[Condition, ...]
    note: str = ""

    @property
    def faulty(self) -> bool:
        return any(is_fault(condition) for condition in self.conditions)


def parts_of(status: Mapping[str, Any]) -> Iterator[Part]:
    """The parts of an object's `status`."""
    if "conditions" in status:
        yield Part("", _conditions(status["conditions"], status.get("observedGeneration", 0)))
    for listener in status.get("listeners", ()):
        number = listener["attachedRoutes"]
        yield Part(f"listener {listener['name']}", _conditions(listener["conditions"]), f"{number} route{'' if number == 1 else 's'}")
    for parent in status.get("parents", ()):
        yield Part(_reference(parent["parentRef"]), _conditions(parent["conditions"]))
    for ancestor in status.get("ancestors", ()):
        yield Part(_reference(ancestor["ancestorRef"]), _conditions(ancestor["conditions"]))


def _conditions(conditions: Sequence[Mapping[str, Any]], generation: int = 0) -> tuple[Condition, ...]:
    """`generation` is that of the object, where conditions have none of their own."""
    fields = ("type", "status", "reason", "message", "observedGeneration")
    whole = ({"observedGeneration": generation, **condition} for condition in conditions)
    return tuple(Condition(*(condition[field] for field in fields)) for condition in whole)


def _reference(reference: Mapping[str, Any]) -> str:
    place = called(reference["kind"], reference.get("namespace", ""), reference["name"])
    details = [str(reference[field]) for field in ("sectionName", "port") if field in reference]
    return ", ".join((place, *details))


class Report:
    """Writes lines to a console: a word, then text below which everything of one object stands."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, word: str, text: str) -> None:
        """One line."""
        self._console.print(Text().append(f"{word:8}", STYLES[word] or "none").append(text))

    def under(self, text: str, style: str = "") -> None:
        """A line that belongs to the one above."""
        self._console.print(Text(" " * 8).append(text, style or "none"))

    def judged(self, named: str, place: str, parts: Sequence[Part], where: WhereIs) -> None:
        """An object with all its conditions."""
        faulty = any(part.faulty for part in parts)
        noted = any(_worth_a_note(condition) for part in parts for condition in part.conditions)
        self.line("fault" if faulty else "note" if noted else "ok", f"{named}  {place}" if place else named)
        for part in parts:
            self._part(part, where)

    def _part(self, part: Part, where: WhereIs) -> None:
        """What several conditions say in the same words is told once, with the reason of the first."""
        judged = ", ".join(f"{condition.type} {condition.status}" for condition in part.conditions)
        name = f"{part.name}: " if part.name else ""
        self.under(f"{name}{judged}; {part.note}" if part.note else f"{name}{judged}")
        told: set[str] = set()
        for condition in part.conditions:
            if condition.message not in told and (is_fault(condition) or _worth_a_note(condition)):
                told.add(condition.message)
                place = where(part.name, condition.message)
                style = "red" if is_fault(condition) else "yellow"
                self.under(f"  {place}{' ' if place else ''}{condition.reason}: {condition.message}", style)


def _worth_a_note(condition: Condition) -> bool:
    told = condition.type in NOTES or (condition.type == "Accepted" and condition.reason != "Accepted")
    return condition.status == "True" and told
