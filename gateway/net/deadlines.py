"""One sweeper over the deadlines of a worker: nothing on the request path ever makes or cancels a timer.

An item stands in the slot of the deadline it had when it was put there. Moving a deadline later costs one assignment: when
the slot comes up, the item is put into its new one. Only a deadline earlier than the slot, or a first one, touches the slots.
"""

from __future__ import annotations

from typing import Final, Protocol

GRAIN: Final = 0.02
"""Seconds of a slot, and how often the sweeper runs: a deadline is noticed at most this late."""

NEVER: Final = float("inf")


class Expiring(Protocol):
    """`deadline` in seconds of the worker's clock, NEVER for none; `slot` belongs to Deadlines and starts as 0."""

    deadline: float
    slot: int

    def expire(self, now: float) -> None:
        """The deadline has passed; may set a new one."""


class Deadlines:
    """Owner of the slots. `sweep` is called every GRAIN seconds by the worker's loop."""

    __slots__ = ("_slots", "_swept")

    def __init__(self, now: float) -> None:
        self._slots: dict[int, set[Expiring]] = {}
        self._swept = int(now / GRAIN)

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
        last = int(now / GRAIN)
        while self._swept < last:
            self._swept += 1
            items = self._slots.get(self._swept)
            while items:  # an item that expires may forget or move others of its slot
                item = items.pop()
                item.slot = 0
                if item.deadline <= now:
                    item.expire(now)
                elif item.deadline != NEVER:
                    self._place(item)
            self._slots.pop(self._swept, None)

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))
