"""What the engine promises, one promise a test: right as from nothing, but only what a change concerns runs."""
from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from controller.failures import Failed
from controller.graph import Graph, Output, Stage, Unit, View
from controller.readers import Readers
from controller.store import Index, Key, Store, Tally


@dataclass(frozen=True)
class Item:
    """An object with a value that units read, and one that the index "group" files it under."""

    name: str
    value: Any = None
    group: str = ""
    kind: str = "Item"
    namespace: str = "n"

    @property
    def key(self) -> Key:
        return self.kind, self.namespace, self.name


INDEXES: dict[str, Index] = {"group": lambda obj: [obj.group] if isinstance(obj, Item) and obj.group else []}


class Counted:
    """A unit's function that counts its runs by key."""

    def __init__(self, run: Callable[[Any, View], Any]) -> None:
        self.run = run
        self.runs: list[Any] = []

    def __call__(self, key: Any, view: View) -> Any:
        self.runs.append(key)
        return self.run(key, view)


class Watched(Readers[Any]):
    """Remembers whose readers it was asked for: a suspect is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def of(self, thing: Hashable) -> Collection[Any]:
        self.asked.append(thing)
        return super().of(thing)


def graph_of(*units: Unit, tallies: Iterable[Tally] = ()) -> Graph:
    return Graph(Store(INDEXES), units, tallies)


def value_of(key: Key, view: View) -> Any:
    """The unit that gives its object's value, None without an object."""
    item = view.get(*key)
    return item.value if item is not None else None


def item_key(name: str) -> Key:
    return "Item", "n", name


EMPTY = dict.fromkeys(("objects", "index entries", "tallies", "tally owners", "nodes", "reads", "change"), 0)


# Roots, and what a change tells

def test_every_object_of_a_root_kind_has_its_node() -> None:
    """It comes with the object, changes and goes with it; the difference tells before and after."""
    graph = graph_of(Unit("value", value_of, roots=("Item",)))
    node = ("value", item_key("a"))
    assert graph.apply([Item("a", 1), Item("a", 1, kind="Other")]) == {node: (None, 1)}
    assert graph.apply([Item("a", 2)]) == {node: (1, 2)}
    assert graph.values() == {node: 2}
    assert graph.value(*node) == 2
    assert graph.apply(removes=[item_key("a")]) == {node: (2, None)}
    assert graph.value(*node) is None
    assert graph.apply(removes=[item_key("a")]) == {}


def test_one_change_removes_first_and_then_puts() -> None:
    """An object removed and put in one change is there afterwards, and of two puts of one object the last counts."""
    graph = graph_of(Unit("value", value_of, roots=("Item",)))
    graph.apply([Item("a", 1)])
    assert graph.apply([Item("a", 2), Item("a", 3)], [item_key("a")]) == {("value", item_key("a")): (1, 3)}
    assert graph.apply([Item("a", 3)], [item_key("a")]) == {}


def test_a_unit_that_gives_none_has_no_value() -> None:
    """Neither in the values nor in a difference."""
    graph = graph_of(Unit("value", value_of, roots=("Item",)))
    assert graph.apply([Item("a", None)]) == {}
    assert graph.values() == {}
    assert graph.apply([Item("a", 1)]) == {("value", item_key("a")): (None, 1)}
    assert graph.apply([Item("a", None)]) == {("value", item_key("a")): (1, None)}


def test_the_usual_value_compares_by_its_resources_and_statuses() -> None:
    """Output is an immutable pair of tuples, empty unless given."""
    assert Output(("rule",)) == Output(("rule",), ()) != Output((), ("rule",))
    assert Output[str, str]() == Output((), ())


# Who runs again

def test_an_equal_put_runs_nothing() -> None:
    """No read changed, so no unit is even looked at."""
    value = Counted(value_of)
    graph = graph_of(Unit("value", value, roots=("Item",)))
    graph.apply([Item("a", 1)])
    assert graph.apply([Item("a", 1)]) == {}
    assert len(value.runs) == 1


def test_only_readers_of_what_changed_run_again() -> None:
    """Of a hundred objects one changes: one run."""
    value = Counted(value_of)
    graph = graph_of(Unit("value", value, roots=("Item",)))
    graph.apply([Item(str(number), number) for number in range(100)])
    value.runs.clear()
    graph.apply([Item("7", "new")])
    assert value.runs == [item_key("7")]


def test_a_value_equal_to_before_wakes_nobody() -> None:
    """The unit whose object changed runs, its readers do not."""
    parity = Counted(lambda key, view: value_of(key, view) % 2)
    reader = Counted(lambda key, view: view.result("parity", item_key("a")))
    graph = graph_of(Unit("parity", parity, roots=("Item",)), Unit("reader", reader, roots=("Other",)))
    graph.apply([Item("a", 1), *(Item(str(number), kind="Other") for number in range(10))])
    parity.runs.clear()
    reader.runs.clear()
    assert graph.apply([Item("a", 3)]) == {}
    assert (parity.runs, reader.runs) == ([item_key("a")], [])
    assert len(graph.apply([Item("a", 4)])) == 11
    assert len(reader.runs) == 10


def test_a_node_runs_once_a_change_however_many_ways_lead_to_it() -> None:
    """A diamond: both sides change, the top runs once, after both."""
    top = Counted(lambda key, view: (view.result("left", key), view.result("right", key)))
    graph = graph_of(Unit("top", top, roots=("Item",)), Unit("left", value_of), Unit("right", value_of))
    graph.apply([Item("a", 1)])
    assert graph.apply([Item("a", 2)])["top", item_key("a")] == ((1, 1), (2, 2))
    assert len(top.runs) == 2


def test_reads_of_absent_objects_wake_when_they_come() -> None:
    """A read that found nothing is a read."""
    graph = graph_of(Unit("reader", lambda key, view: view.get("Secret", "n", "s") is not None, roots=("Item",)))
    node = ("reader", item_key("a"))
    assert graph.apply([Item("a")]) == {node: (None, False)}
    assert graph.apply([Item("s", kind="Secret")]) == {node: (False, True)}
    assert graph.apply(removes=[("Secret", "n", "s")]) == {node: (True, False)}


def test_reads_of_an_index_wake_for_their_value_only() -> None:
    """For objects that come under it, change under it or leave it, also when there were none; not for others."""
    names = Counted(lambda key, view: tuple((item.name, item.value) for item in view.select("group", "red")))
    graph = graph_of(Unit("names", names, roots=("Root",)))
    node = ("names", ("Root", "n", "r"))
    assert graph.apply([Item("r", kind="Root")]) == {node: (None, ())}
    assert graph.apply([Item("b", 1, "red")]) == {node: ((), (("b", 1),))}
    assert graph.apply([Item("a", 1, "red")]) == {node: ((("b", 1),), (("a", 1), ("b", 1)))}
    runs = len(names.runs)
    assert graph.apply([Item("c", 1, "blue")]) == {}
    assert len(names.runs) == runs
    assert graph.apply([Item("b", 1, "blue")]) == {node: ((("a", 1), ("b", 1)), (("a", 1),))}
    assert graph.apply([Item("a", 2, "red")]) == {node: ((("a", 1),), (("a", 2),))}


def test_what_a_unit_no_longer_reads_does_not_wake_it() -> None:
    """The reads of the last run count."""
    chosen = Counted(lambda key, view: view.result("value", item_key(value_of(key, view))))
    graph = graph_of(Unit("value", value_of), Unit("chosen", chosen, roots=("Choice",)))
    graph.apply([Item("a", 1), Item("b", 2), Item("c", "a", kind="Choice")])
    graph.apply([Item("c", "b", kind="Choice")])
    runs = len(chosen.runs)
    assert graph.apply([Item("a", 9)]) == {}
    assert len(chosen.runs) == runs


def test_ten_thousand_readers_of_one_result_need_no_stack() -> None:
    """Readers are walked in a loop."""
    reader = Counted(lambda key, view: (key[2], view.result("value", item_key("shared"))))
    graph = graph_of(Unit("value", value_of), Unit("reader", reader, roots=("Other",)))
    others = [Item(str(number), kind="Other") for number in range(10_000)]
    graph.apply([Item("shared", 1), *others])
    assert len(graph.apply([Item("shared", 2)])) == 10_001
    assert len(graph.apply(removes=[other.key for other in others[1:]])) == 9_999
    assert set(graph.values()) == {("value", item_key("shared")), ("reader", others[0].key)}


# Nodes without an object

def test_a_node_lives_as_long_as_a_root_needs_it() -> None:
    """It is in the difference when it comes, when it changes and when it is forgotten, and one node serves all its readers."""
    backend = Counted(lambda key, view: f"port {value_of(item_key(key), view)}")

    def route(key: Key, view: View) -> None:
        view.result("backend", value_of(key, view))

    graph = graph_of(Unit("route", route, roots=("Route",)), Unit("backend", backend))
    node = ("backend", "service")
    assert graph.apply([Item("1", "service", kind="Route"), Item("2", "service", kind="Route")]) == {node: (None, "port None")}
    assert graph.apply([Item("service", 80)]) == {node: ("port None", "port 80")}
    assert len(backend.runs) == 2
    assert graph.apply([Item("1", "other", kind="Route")]) == {("backend", "other"): (None, "port None")}
    assert graph.apply(removes=[("Route", "n", "2")]) == {node: ("port 80", None)}
    assert graph.apply([Item("service", 81)]) == {}
    assert len(backend.runs) == 3


def test_what_only_the_forgotten_needed_is_forgotten_too() -> None:
    """However long the chain."""
    chain = Unit("chain", lambda key, view: key and view.result("chain", key - 1) + 1)
    graph = graph_of(chain, Unit("top", lambda key, view: view.result("chain", 5), roots=("Item",)))
    graph.apply([Item("a")])
    assert len(graph.values()) == 7
    assert len(graph.apply(removes=[item_key("a")])) == 7
    assert graph.sizes() == EMPTY


def test_the_node_of_a_removed_object_stays_while_it_is_read() -> None:
    """It runs again and finds no object; when nobody reads it any more it goes."""
    listeners = Unit("listeners", lambda key, view: value_of(key, view) or "none", roots=("Item",))
    graph = graph_of(listeners, Unit("route", lambda key, view: view.result("listeners", item_key("a")), roots=("Route",)))
    graph.apply([Item("a", "some"), Item("r", kind="Route")])
    assert graph.apply(removes=[item_key("a")])["listeners", item_key("a")] == ("some", "none")
    assert graph.apply(removes=[("Route", "n", "r")])["listeners", item_key("a")] == ("none", None)
    assert graph.sizes() == EMPTY


# Stages and tallies

def attached(late: Callable[[Any, View], Any]) -> Graph:
    """Routes count for what their value names; gateways show what `late` gives."""
    return graph_of(Unit("route", value_of, roots=("Route",)), Unit("shown", late, roots=("Gateway",), stage=Stage.LAST),
                    tallies=[Tally("attached", "route", lambda value: value.split())])


def test_what_a_stage_gives_as_before_makes_no_suspects_in_the_next() -> None:
    """Readers of what stays the same are not even looked at; of what differs they all run."""
    parity = Counted(lambda key, view: value_of(key, view) % 2)
    reader = Counted(lambda key, view: view.result("parity", item_key("a")))
    graph = graph_of(Unit("parity", parity, roots=("Item",), stage=Stage.FIRST), Unit("reader", reader, roots=("Other",)))
    graph._readers[Stage.MAIN] = watched = Watched()
    graph.apply([Item("a", 1), *(Item(str(number), kind="Other") for number in range(10))])
    watched.asked.clear()
    graph.apply([Item("a", 3)])
    assert (len(reader.runs), [thing for thing in watched.asked if thing[0] == "result" and thing[1][0] == "reader"]) == (10, [])
    graph.apply([Item("a", 4)])
    assert len(reader.runs) == 20


def test_the_first_stage_is_told_before_the_others_run() -> None:
    """`begin` gives what differs so far, `finish` all of it, as `apply` would have."""
    reader = Counted(lambda key, view: view.result("value", item_key("a")))
    graph = graph_of(Unit("value", value_of, roots=("Item",), stage=Stage.FIRST), Unit("reader", reader, roots=("Other",)))
    graph.apply([Item("a", 1), Item("b", kind="Other")])
    reader.runs.clear()
    first = ("value", item_key("a"))
    assert graph.begin([Item("a", 2)]) == {first: (1, 2)}
    assert reader.runs == []
    assert graph.finish() == {first: (1, 2), ("reader", ("Other", "n", "b")): (1, 2)}


def test_a_late_unit_sees_tallies_of_this_change() -> None:
    """Counted up, down, and not run when the sum comes out equal."""
    shown = Counted(lambda key, view: view.tally("attached", key[2]))
    graph = attached(shown)
    node = ("shown", ("Gateway", "n", "g"))
    assert graph.apply([Item("g", kind="Gateway")]) == {node: (None, 0)}
    assert graph.apply([Item("1", "g g", kind="Route"), Item("2", "g h", kind="Route")])[node] == (0, 2)
    runs = len(shown.runs)
    assert node not in graph.apply([Item("1", "h", kind="Route"), Item("3", "g", kind="Route")])
    assert node not in graph.apply([Item("2", "g", kind="Route")])
    assert len(shown.runs) == runs
    assert graph.apply(removes=[("Route", "n", "2")])[node] == (2, 1)


def test_who_asks_whether_any_counts_runs_again_for_the_first_and_the_last_alone() -> None:
    """A route more to a Service that others lead to costs its Backends nothing."""
    shown = Counted(lambda key, view: view.tallied("attached", key[2]))
    graph = attached(shown)
    node = ("shown", ("Gateway", "n", "g"))
    assert graph.apply([Item("g", kind="Gateway")]) == {node: (None, False)}
    assert graph.apply([Item("1", "g", kind="Route")])[node] == (False, True)
    runs = len(shown.runs)
    assert node not in graph.apply([Item("2", "g", kind="Route"), Item("3", "g", kind="Route")])
    assert node not in graph.apply(removes=[("Route", "n", "1"), ("Route", "n", "2")])
    assert len(shown.runs) == runs
    assert graph.apply(removes=[("Route", "n", "3")])[node] == (True, False)


def test_only_roots_are_counted() -> None:
    """A node that is merely read, also one whose object is gone, counts for nothing until its object comes."""
    route = Unit("route", lambda key, view: "g", roots=("Route",))
    reader = Unit("reader", lambda key, view: view.result("route", ("Route", "n", "1")), roots=("Item",))
    shown = Unit("shown", lambda key, view: view.tally("attached", "g"), roots=("Item",), stage=Stage.LAST)
    graph = graph_of(route, reader, shown, tallies=[Tally("attached", "route", lambda value: [value])])
    graph.apply([Item("a")])
    assert graph.value("shown", item_key("a")) == 0
    graph.apply([Item("1", kind="Route")])
    assert graph.value("shown", item_key("a")) == 1
    graph.apply(removes=[("Route", "n", "1")])
    assert graph.value("shown", item_key("a")) == 0
    assert graph.value("route", ("Route", "n", "1")) == "g"


def test_a_late_unit_may_read_early_and_late_results() -> None:
    """Also early nodes that nobody asked for before."""
    early = Unit("early", lambda key, view: (key, value_of(item_key("a"), view)))
    late = Unit("late", lambda key, view: ("late", key), stage=Stage.LAST)
    last = Unit("last", lambda key, view: (view.result("early", 1), view.result("late", 2)), roots=("Item",), stage=Stage.LAST)
    graph = graph_of(early, late, last)
    graph.apply([Item("a", 1)])
    assert graph.value("last", item_key("a")) == ((1, 1), ("late", 2))
    graph.apply([Item("a", 2)])
    assert graph.value("last", item_key("a")) == ((1, 2), ("late", 2))


@pytest.mark.parametrize(("read", "message"), [
    (lambda view: view.result("late", 1), "unit 'early' is of stage MAIN and may not read the unit 'late' of LAST: give it that stage"),
    (lambda view: view.tally("sum", 1), "unit 'early' is of stage MAIN and may not read the tally 'sum' of LAST: give it that stage"),
    (lambda view: view.result("lost", 1), "LookupError: there is no unit 'lost': give it to the Graph"),
    (lambda view: view.tally("lost", 1), "LookupError: there is no tally 'lost': give it to the Graph"),
    (lambda view: view.select("lost", 1), "LookupError: there is no index 'lost'"),
])
def test_what_a_unit_may_not_read_is_said_plainly(read: Callable[[View], Any], message: str) -> None:
    """An early unit that reads what is late, or anybody who reads what does not exist, fails with the remedy."""
    graph = graph_of(Unit("early", lambda key, view: read(view), roots=("Item",)), Unit("late", lambda key, view: 0, stage=Stage.LAST),
                     tallies=[Tally("sum", "early", lambda value: [])])
    graph.apply([Item("a")])
    assert message in graph.value("early", item_key("a")).error  # type: ignore[union-attr]  # it failed, so it is no None


@pytest.mark.parametrize(("units", "tallies", "message"), [
    ([Unit("a", value_of), Unit("a", value_of)], [], "two units are named 'a'"),
    ([Unit("a", value_of)], [Tally("t", "b", set)], "tally 't' counts over 'b', which is not an earlier unit"),
    ([Unit("a", value_of)], [Tally("t", "a", set)], "tally 't' counts over 'a', which is not an earlier unit"),
    ([Unit("a", value_of, ("Item",), stage=Stage.LAST)], [Tally("t", "a", set)], "tally 't' counts over 'a', which is not an earlier unit"),
])
def test_units_and_tallies_that_do_not_fit_are_refused(units: list[Unit], tallies: list[Tally], message: str) -> None:
    """When the graph is made, not when it is used."""
    with pytest.raises(ValueError, match=message):
        graph_of(*units, tallies=tallies)


# Failures

def inverse(key: Key, view: View) -> float:
    return 1 / view.get(*key).value  # type: ignore[union-attr, no-any-return]  # a root's object is there


def test_a_unit_that_raises_harms_its_node_only() -> None:
    """The failure is the node's value: what was raised, where, for whom. Others go on, and the node heals with its object."""
    graph = graph_of(Unit("inverse", inverse, roots=("Item",)))
    graph.apply([Item("a", 1), Item("b", 2)])
    node = ("inverse", item_key("a"))
    (before, failed), other = (diff := graph.apply([Item("a", 0), Item("b", 4)]))[node], diff["inverse", item_key("b")]
    assert before == 1
    assert failed.node == node
    assert str(failed).startswith("inverse Item/n/a: ZeroDivisionError: division by zero (test_graph.py:")
    assert other == (0.5, 0.25)
    assert graph.apply([Item("a", 5)]) == {node: (failed, 0.2)}


def test_who_needs_a_failed_result_fails_for_the_same_reason() -> None:
    """The failure keeps the node where it began, so that it is reported once; it cannot be passed over."""
    def stubborn(key: Key, view: View) -> Any:
        try:
            return view.result("inverse", item_key("a"))
        except Exception:
            return "went on"

    graph = graph_of(Unit("inverse", inverse, roots=("Item",)), Unit("stubborn", stubborn, roots=("Other",)))
    graph.apply([Item("a", 0), Item("o", kind="Other")])
    failed = graph.value("inverse", item_key("a"))
    assert isinstance(failed, Failed)
    assert graph.value("stubborn", ("Other", "n", "o")) == failed
    graph.apply([Item("a", 1)])
    assert graph.value("stubborn", ("Other", "n", "o")) == 1


def test_a_tally_function_that_raises_fails_the_node_it_was_asked_about() -> None:
    """And the node counts for nothing."""
    graph = attached(lambda key, view: view.tally("attached", key[2]))
    graph.apply([Item("g", kind="Gateway"), Item("1", "g", kind="Route"), Item("2", 5, kind="Route")])
    assert "AttributeError: 'int' object has no attribute 'split'" in graph.value("route", ("Route", "n", "2")).error  # type: ignore[union-attr]  # it failed
    assert graph.value("shown", ("Gateway", "n", "g")) == 1
    graph.apply([Item("1", 5, kind="Route"), Item("2", "g", kind="Route")])
    assert graph.value("shown", ("Gateway", "n", "g")) == 1


def follow(key: Key, view: View) -> Any:
    """The end of a chain of names."""
    item = view.get(*key)
    if item is None:
        return "nowhere"
    return view.result("follow", item_key(item.value)) if item.value else f"end {item.name}"


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_a_cycle_names_its_path_whatever_the_order(order: str) -> None:
    """Every node of it, and who needs one of them, fails with the same words; without the cycle all are right again."""
    graph = graph_of(Unit("follow", follow, roots=("Item",)))
    graph.apply([Item("free"), Item("reader", "c")])
    for name in order:
        graph.apply([Item(name, {"a": "b", "b": "c", "c": "a"}[name])])
    path = "follow Item/n/a > follow Item/n/b > follow Item/n/c > follow Item/n/a"
    failed = Failed(("follow", item_key("a")), f"needs its own result, by way of {path}")
    wanted = {"a": failed, "b": failed, "c": failed, "reader": failed, "free": "end free"}
    assert graph.values() == {("follow", item_key(name)): value for name, value in wanted.items()}
    graph.apply([Item("b", "free")])
    assert set(graph.values().values()) == {"end free"}


def test_a_cycle_stays_what_it_was_when_what_it_reads_comes_out_equal() -> None:
    """Its nodes are looked at one through the other, and that ends."""
    def ring(key: int, view: View) -> Any:
        view.result("exists", item_key("a"))
        return view.result("ring", (key + 1) % 3)

    graph = graph_of(Unit("exists", lambda key, view: view.get(*key) is not None), Unit("ring", ring),
                     Unit("top", lambda key, view: view.result("ring", 1), roots=("Root",)))
    graph.apply([Item("a", 1), Item("r", kind="Root")])
    before = graph.values()
    assert graph.apply([Item("a", 2)]) == {}
    assert graph.values() == before


def test_a_dependency_that_turns_round_is_no_cycle() -> None:
    """Old reads are looked at in their order, and none after one that changed."""
    graph = graph_of(Unit("follow", follow, roots=("Item",)))
    graph.apply([Item("a", "b"), Item("b")])
    for first, second in [("b", "a"), ("a", "b")] * 3:
        graph.apply([Item(first, second), Item(second)])
        assert set(graph.values().values()) == {f"end {second}"}


def test_a_forgotten_cycle_leaves_nothing() -> None:
    """Nodes that read each other do not keep each other."""
    ring = Unit("ring", lambda key, view: view.result("ring", (key + 1) % 3))
    graph = graph_of(ring, Unit("top", lambda key, view: view.result("ring", 1), roots=("Item",)))
    graph.apply([Item("a")])
    assert graph.sizes()["nodes"] == 4
    graph.apply(removes=[item_key("a")])
    assert graph.sizes() == EMPTY


def names(count: int) -> list[str]:
    return [f"{number:05}" for number in range(count)]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_long_chain_needs_no_deep_stack(backwards: bool) -> None:
    """Longer than Python's stack, from nothing, after a change at its end, and when it is forgotten."""
    chain = names(sys.getrecursionlimit() + 500)
    items = [Item(name, following) for name, following in zip(chain, [*chain[1:], None], strict=True)]
    graph = graph_of(Unit("follow", follow, roots=("Item",)))
    graph.apply(reversed(items) if backwards else items)
    assert set(graph.values().values()) == {f"end {chain[-1]}"}
    assert len(graph.apply([Item(chain[-1], "beyond")])) == len(chain) + 1
    assert set(graph.values().values()) == {"nowhere"}
    graph.apply(removes=[item.key for item in items])
    assert graph.sizes() == EMPTY


def test_a_long_cycle_is_found_too() -> None:
    """Also where it is longer than the stack."""
    ring = names(500)
    graph = graph_of(Unit("follow", follow, roots=("Item",)))
    graph.apply(Item(name, following) for name, following in zip(ring, [*ring[1:], ring[0]], strict=True))
    (failed,) = set(graph.values().values())
    assert failed.node == ("follow", item_key(ring[0]))
    assert failed.error.count(" > ") == 500


# What ends a change early

def test_a_change_that_an_index_function_ends_joins_the_next_one() -> None:
    """What was taken before stays taken; the object that could not be filed keeps its last version."""
    def group(item: Item) -> list[str]:
        return ["none"] if item.group != "bad" else [str(1 / 0)]

    graph = Graph(Store({"group": group}), [Unit("value", value_of, roots=("Item",))])
    graph.apply([Item("a", 1), Item("b", 1)])
    with pytest.raises(ZeroDivisionError):
        graph.apply([Item("a", 2), Item("b", 2, "bad")])
    assert graph.apply() == {("value", item_key("a")): (1, 2)}
    assert graph.apply([Item("b", 2)]) == {("value", item_key("b")): (1, 2)}


def test_a_change_that_an_interrupt_ends_is_completed_by_the_next_one() -> None:
    """Nothing of it is lost or told twice."""
    interrupts = iter([False, False, True])

    def interrupted(key: Key, view: View) -> Any:
        value = view.result("value", key)
        if next(interrupts, False):
            raise KeyboardInterrupt
        return value

    graph = graph_of(Unit("value", value_of), Unit("top", interrupted, roots=("Item",)))
    graph.apply([Item("a", 1), Item("b", 1)])
    with pytest.raises(KeyboardInterrupt):
        graph.apply([Item("a", 2), Item("b", 2)])
    wanted = {"a": (1, 2), "b": (1, 3)}
    assert graph.apply([Item("b", 3)]) == {(unit, item_key(name)): change for unit in ("value", "top") for name, change in wanted.items()}
    graph.apply(removes=[item_key("a"), item_key("b")])
    assert graph.sizes() == EMPTY
