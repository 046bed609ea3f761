"""What is wrong with an input, as values: where, in which object and field, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A file as it was named or found, and a line from 1 (0 for the whole file)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something that keeps an input, or a part of it, from being used.

    `object` is "Kind namespace/name" or "" when it is not known, `field` a path such as spec.rules[0].name or "".
    `message` has no closing full stop, `remedy` is a sentence.
    """

    file: str
    line: int
    object: str
    field: str
    message: str
    remedy: str

    def __str__(self) -> str:
        parts = (str(Place(self.file, self.line)), self.object, self.field, f"{self.message}. {self.remedy}")
        return ": ".join(part for part in parts if part)


Path = tuple[str | int, ...]
"""The way to a value inside a document: field names and list positions."""


def field_path(path: Path) -> str:
    """A path in the form spec.rules[0].name."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
