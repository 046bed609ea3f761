"""One sweeper over the deadlines of a worker: nothing on the request path ever makes or cancels a timer.

An item stands in the slot of the deadline it had when it was put there. Moving a deadline later costs one assignment: when
the slot comes up, the item is put into its new one. Only a deadline earlier than the slot, or a first one, touches the slots.
Slots that hold nothing wake nobody: the sweeper says when it is needed next, and has itself called earlier where that changes.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import Final, Protocol

GRAIN: Final = 0.02
"""Seconds of a slot: a deadline is noticed at most this late."""

NEVER: Final = float("inf")


class Expiring(Protocol):
    """`deadline` in seconds of the worker's clock, NEVER for none; `slot` belongs to Deadlines and starts as 0."""

    deadline: float
    slot: int

    def expire(self, now: float) -> None:
        """The deadline has passed; may set a new one."""


class Deadlines:
    """Owner of the slots. `sweep` is called by the worker's loop when `next_sweep` said, or `hurry` asked for meanwhile."""

    __slots__ = ("_order", "_planned", "_slots", "_swept", "hurry")

    def __init__(self, now: float) -> None:
        self._slots: dict[int, set[Expiring]] = {}
        self._order: list[int] = []
        """The numbers of the slots there are, as a heap."""
        self._swept = self._planned = int(now / GRAIN)
        self.hurry: Callable[[float], None] | None = None
        """Told when the next sweep has to be, if that is earlier than `next_sweep` said."""

    def set(self, item: Expiring, deadline: float) -> None:
        """Gives the item a deadline, or none."""
        item.deadline = deadline
        if deadline != NEVER and (not item.slot or deadline < item.slot * GRAIN):
            if item.slot:
                self.forget(item)
            self._place(item)

    def _place(self, item: Expiring) -> None:
        slot = item.slot = max(int(item.deadline / GRAIN), self._swept) + 1
        items = self._slots.get(slot)
        if items is None:
            self._slots[slot] = {item}
            heappush(self._order, slot)
            if slot < self._planned and self.hurry is not None:
                self._planned = slot
                self.hurry(slot * GRAIN)
        else:
            items.add(item)

    def forget(self, item: Expiring) -> None:
        """For an item that ends; no reference to it is kept."""
        items = self._slots.get(item.slot)
        if items is not None:
            items.discard(item)
        item.slot = 0

    def sweep(self, now: float) -> None:
        """Expires what is due."""
        last, order = int(now / GRAIN), self._order
        while order and order[0] <= last:
            self._swept = order[0]  # what is placed meanwhile comes after it
            items = self._slots[self._swept]
            while items:  # an item that expires may forget or move others of its slot
                item = items.pop()
                item.slot = 0
                if item.deadline <= now:
                    item.expire(now)
                elif item.deadline != NEVER:
                    self._place(item)
            del self._slots[heappop(order)]
        self._swept = max(self._swept, last)

    def next_sweep(self, latest: float) -> float:
        """When to sweep next: when the first slot comes up, at the latest at `latest`."""
        self._planned = ceil(latest / GRAIN)
        if self._order and self._order[0] < self._planned:
            self._planned = self._order[0]
            return self._planned * GRAIN
        return latest

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))
