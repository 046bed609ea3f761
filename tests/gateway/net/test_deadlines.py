"""Deadlines: noticed in time, never too early, never after they were taken back. The clock is a value of the test."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.net.deadlines import GRAIN, NEVER, Deadlines


class Item:
    """Remembers when it expired; `then` is what it does on that occasion."""

    def __init__(self, then: Callable[[], None] | None = None) -> None:
        self.deadline, self.slot = NEVER, 0
        self.expired: list[float] = []
        self.then = then

    def expire(self, now: float) -> None:
        self.expired.append(now)
        if self.then is not None:
            self.then()


def test_a_deadline_is_noticed_once_it_has_passed_and_once_only() -> None:
    """Not before, and at most one grain late."""
    deadlines, item = Deadlines(100.0), Item()
    deadlines.set(item, 101.0)
    deadlines.sweep(100.99)
    assert item.expired == []
    deadlines.sweep(101.0 + GRAIN)
    deadlines.sweep(200.0)
    assert item.expired == [101.0 + GRAIN]
    assert len(deadlines) == 0


def test_a_deadline_moved_later_by_assignment_is_kept() -> None:
    """The cheap way of the request path: no slot is touched until the old one comes up."""
    deadlines, item = Deadlines(0.0), Item()
    deadlines.set(item, 1.0)
    item.deadline = 5.0
    deadlines.sweep(3.0)
    assert item.expired == []
    deadlines.sweep(6.0)
    assert item.expired == [6.0]


def test_a_deadline_taken_back_by_assignment_never_comes() -> None:
    """NEVER leaves the slots when its turn comes, so that no reference stays."""
    deadlines, item = Deadlines(0.0), Item()
    deadlines.set(item, 1.0)
    item.deadline = NEVER
    deadlines.sweep(10.0)
    assert (item.expired, len(deadlines)) == ([], 0)


def test_an_earlier_deadline_takes_the_place_of_a_later_one() -> None:
    """And the later one does not come as well."""
    deadlines, item = Deadlines(0.0), Item()
    deadlines.set(item, 50.0)
    deadlines.set(item, 1.0)
    deadlines.sweep(2.0)
    deadlines.sweep(60.0)
    assert item.expired == [2.0]


def test_a_deadline_that_has_passed_already_comes_with_the_next_sweep() -> None:
    """Also one before the time of the last sweep."""
    deadlines, item = Deadlines(100.0), Item()
    deadlines.sweep(200.0)
    deadlines.set(item, 1.0)
    deadlines.sweep(200.0 + 2 * GRAIN)
    assert len(item.expired) == 1


def test_what_is_forgotten_never_expires_and_is_not_held() -> None:
    """For an item that ends; forgetting twice, or what was never there, is nothing."""
    deadlines, item = Deadlines(0.0), Item()
    deadlines.forget(item)
    deadlines.set(item, 1.0)
    deadlines.forget(item)
    deadlines.forget(item)
    deadlines.sweep(10.0)
    assert (item.expired, item.slot, len(deadlines)) == ([], 0, 0)


def test_an_item_that_expires_may_set_itself_a_new_deadline() -> None:
    """A connection that answers 408 lingers for a while."""
    deadlines = Deadlines(0.0)
    item = Item()
    item.then = lambda: deadlines.set(item, 5.0) if len(item.expired) == 1 else None
    deadlines.set(item, 1.0)
    deadlines.sweep(2.0)
    deadlines.sweep(4.0)
    assert item.expired == [2.0]
    deadlines.sweep(6.0)
    assert item.expired == [2.0, 6.0]


def test_items_of_one_slot_may_forget_each_other() -> None:
    """Of two connections that end each other, whichever comes first, only one expires."""
    deadlines = Deadlines(0.0)
    one, other = Item(), Item()
    one.then, other.then = (lambda: deadlines.forget(other)), (lambda: deadlines.forget(one))
    deadlines.set(one, 1.0)
    deadlines.set(other, 1.0)
    deadlines.sweep(2.0)
    assert len(one.expired) + len(other.expired) == 1
    assert len(deadlines) == 0


def test_items_of_one_slot_may_move_each_other() -> None:
    """What was moved stands in one place only, and comes once."""
    deadlines = Deadlines(0.0)
    one, other = Item(), Item()

    def move(item: Item) -> None:
        item.deadline = 9.0
        deadlines.set(item, 4.0)

    one.then = lambda: move(other) if not other.expired else None
    other.then = lambda: move(one) if not one.expired else None
    deadlines.set(one, 1.0)
    deadlines.set(other, 1.0)
    deadlines.sweep(2.0)
    assert len(deadlines) == 1
    deadlines.sweep(20.0)
    assert sorted([one.expired, other.expired]) == [[2.0], [20.0]]


def test_slots_that_hold_nothing_wake_nobody() -> None:
    """The next sweep is as late as its caller likes, or a grain after the first deadline at most."""
    deadlines, item = Deadlines(100.0), Item()
    assert deadlines.next_sweep(100.0625) == 100.0625
    deadlines.set(item, 105.0)
    assert deadlines.next_sweep(100.125) == 100.125
    assert 105.0 < deadlines.next_sweep(200.0) <= 105.0 + GRAIN


def test_an_earlier_deadline_hurries_the_sweeper_once() -> None:
    """Only what comes before the sweep that is planned; the others of its slot come with it."""
    deadlines = Deadlines(100.0)
    hurried: list[float] = []
    deadlines.hurry = hurried.append
    deadlines.next_sweep(100.0625)
    deadlines.set(Item(), 100.5)
    assert hurried == []
    deadlines.set(Item(), 100.031)
    deadlines.set(Item(), 100.032)
    assert len(hurried) == 1
    assert 100.032 < hurried[0] <= 100.031 + GRAIN


def test_nobody_is_hurried_for_what_is_planned_already() -> None:
    """A deadline whose slot comes up just when the next sweep is to be."""
    hurried: list[float] = []
    deadlines = Deadlines(1000.0)
    deadlines.hurry = hurried.append
    assert deadlines.next_sweep(1000.1) == 1000.1
    deadlines.set(Item(), 1000.09375)
    assert hurried == []


class DeadlinesMachine(RuleBasedStateMachine):
    """Any history of setting, assigning, forgetting and sweeping, against the promise itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.deadlines = Deadlines(self.now)
        self.deadlines.hurry = self.hurry
        self.planned = self.deadlines.next_sweep(self.now + 0.1)
        self.items = [Item() for _ in range(4)]
        self.due: dict[int, float] = {}
        self.seen = [0, 0, 0, 0]

    def hurry(self, planned: float) -> None:
        assert planned < self.planned
        self.planned = planned

    @rule(number=st.integers(0, 3), wait=st.floats(-1, 1))
    def set(self, number: int, wait: float) -> None:
        self.deadlines.set(self.items[number], self.now + wait)
        self.due[number] = self.now + wait

    @rule(number=st.integers(0, 3), wait=st.floats(0, 1))
    def assign_later(self, number: int, wait: float) -> None:
        if number in self.due:
            self.items[number].deadline = self.due[number] = self.due[number] + wait

    @rule(number=st.integers(0, 3))
    def take_back(self, number: int) -> None:
        self.items[number].deadline = NEVER
        self.due.pop(number, None)

    @rule(number=st.integers(0, 3))
    def forget(self, number: int) -> None:
        self.deadlines.forget(self.items[number])
        self.due.pop(number, None)

    @rule(step=st.floats(0, 0.5))
    def sweep(self, step: float) -> None:
        self.now += step
        self.deadlines.sweep(self.now)
        for number, item in enumerate(self.items):
            expired = len(item.expired) - self.seen[number]
            due = self.due.get(number, NEVER)
            assert expired <= 1
            assert not expired or due <= self.now, "too early, or taken back"
            if expired:
                del self.due[number]
            self.seen[number] = len(item.expired)
            # a deadline set when it had passed already waits for the slot after the present one
            assert expired or due > self.now - 2 * GRAIN or step < 2 * GRAIN, "too late"
        self.planned = self.deadlines.next_sweep(self.now + 0.1)

    @invariant()
    def every_item_stands_in_one_slot_at_most(self) -> None:
        assert len(self.deadlines) <= len(self.items)
        assert set(self.due) <= {number for number, item in enumerate(self.items) if item.slot}

    @invariant()
    def a_sweep_is_planned_for_every_deadline(self) -> None:
        """No later than a grain after it, or after now where it has passed already."""
        assert all(self.planned <= max(due, self.now) + GRAIN + 1e-9 for due in self.due.values())


TestAnyHistory = DeadlinesMachine.TestCase
