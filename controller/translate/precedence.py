"""Of several that want what only one can have, the first that stands.

Whether one stands is a unit's word, which itself may ask who stands before that one. So that a thousand which do not stand are
not looked at by each of a thousand others, they are asked in blocks of powers of two, each a node that all share. The blocks of
the unit "x" are the unit "first x".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from typing import Any, NamedTuple

from controller.api.metadata import Object
from controller.graph import View
from controller.store import Entry
from controller.translate.objects import Rank, rank


class Question(NamedTuple):
    """Which of those that are listed stands: the listing and the value, the unit that knows of each, and what it is asked about.

    The unit runs for the key of an object and the subject; what it gives is kept, None where the object does not stand.
    """

    listed: Entry
    unit: str
    subject: Hashable


Block = tuple[Question, int, int]
"""A question, the place of the first that is asked, and how many are: a power of two, of which the place is a multiple."""

Found = tuple[Rank, Any]
"""Who stands, and what the unit gave."""


def first_standing(view: View, question: Question, before: Object) -> Found | None:
    """The first that stands of those that come before an object."""
    ranks: tuple[Rank, ...] = view.select(*question.listed)
    start, end = 0, bisect_left(ranks, rank(before)) if ranks else 0
    found: Found | None = None
    while found is None and start < end:
        size = 1 << (end - start).bit_length() - 1
        found = view.result(f"first {question.unit}", (question, start, size))
        start += size
    return found


def first_of_block(key: Block, view: View) -> Found | None:
    """Units "first ...": the first that stands of a block."""
    question, start, size = key
    if size > 1:
        half = size // 2
        first: Found | None = view.result(f"first {question.unit}", (question, start, half))
        return first or view.result(f"first {question.unit}", (question, start + half, half))
    ranks: tuple[Rank, ...] = view.select(*question.listed)
    found = view.result(question.unit, (ranks[start].key, question.subject))
    return (ranks[start], found) if found is not None else None
