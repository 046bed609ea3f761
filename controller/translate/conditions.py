"""Conditions of an object's status, and the problems from which those that are not True come.

A condition has no time here: lastTransitionTime is set by whoever writes the status.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

SHOWN = 4
"""How many problems of one condition are written out."""


class Problem(msgspec.Struct, frozen=True):
    """Why something is not accepted or not resolved: a reason in the API's words, and a message for the user."""

    reason: str
    message: str

    def at(self, place: str) -> Problem:
        """The same problem, with the field in which it is."""
        return Problem(self.reason, f"{place}: {self.message}")

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class Condition(msgspec.Struct, frozen=True):
    """One condition (meta/v1 Condition); `generation` is the observedGeneration, that of the object judged."""

    type: str
    status: Literal["True", "False"]
    reason: str
    message: str
    generation: int


def met(name: str, generation: int, problem: Problem | None = None) -> Condition:
    """A condition that is True, with its own name as the reason, unless there is a problem."""
    if problem is None:
        return Condition(name, "True", name, "", generation)
    return Condition(name, "False", problem.reason, problem.message, generation)


def warned(name: str, generation: int, problem: Problem) -> Condition:
    """A condition that is True and says that something is wrong or deserves attention."""
    return Condition(name, "True", problem.reason, problem.message, generation)


def combined(problems: Iterable[Problem]) -> Problem | None:
    """All problems as one: the reason of the first, the messages of the first few. None if there are none."""
    found = list(dict.fromkeys(problems))
    if not found:
        return None
    messages = [problem.message for problem in found[:SHOWN]]
    if len(found) > SHOWN:
        messages.append(f"and {len(found) - SHOWN} more")
    return Problem(found[0].reason, "; ".join(messages))
