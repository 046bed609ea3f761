"""The proof of the engine: a toy translation through random histories equals itself from nothing, and leaves nothing behind.

The translation has all that the real one has: references across namespaces that a grant allows, listeners matched by host,
backends shared by routes, attached routes counted, statuses that read counts, chains that may close to cycles, and
objects that make a unit or a tally raise. A second opinion computes each value without the engine.
"""
from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from controller.failures import Failed, Node
from controller.graph import Diff, Graph, Output, Stage, Unit, View
from controller.store import Index, Key, Store, Tally

HISTORIES = int(os.environ.get("TIDEGATE_TEST_HISTORIES", "1500"))
"""How many the engine is put through; the second opinion is asked about half as many."""


@dataclass(frozen=True)
class Named:
    namespace: str
    name: str

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def key(self) -> Key:
        return self.kind, self.namespace, self.name


@dataclass(frozen=True)
class Gateway(Named):
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Route(Named):
    gateway: str
    host: str
    services: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Service(Named):
    port: int


@dataclass(frozen=True)
class Grant(Named):
    source: str


@dataclass(frozen=True)
class Alias(Named):
    target: str


INDEXES: dict[str, Index] = {
    "grants in namespace": lambda obj: [obj.namespace] if isinstance(obj, Grant) else [],
    "routes of gateway": lambda obj: [(obj.namespace, obj.gateway)] if isinstance(obj, Route) else [],
}


def listeners(key: Key, view: View) -> frozenset[str]:
    gateway = view.get(*key)
    return frozenset(gateway.hosts) if gateway else frozenset()


def granted(key: tuple[str, str], view: View) -> bool:
    source, target = key
    return source == target or any(grant.source == source for grant in view.select("grants in namespace", target))


def backend(key: str, view: View) -> tuple[str, int]:
    """For a key that is no object's; port 0 raises; an Alias of the name stands before a Service."""
    namespace, name = key.split("/")
    if view.get("Alias", namespace, name):
        name = view.result("alias", ("Alias", namespace, name))
    service = view.get("Service", namespace, name)
    return (f"{namespace}/{name}", 100 // service.port) if service else ("no such service", 500)


def alias(key: Key, view: View) -> str | None:
    """The end of a chain of names, which may be a cycle; None without an object or without a grant for its namespace."""
    found = view.get(*key)
    if found is None or not view.result("granted", (key[1], "a")):
        return None
    return view.result("alias", ("Alias", key[1], found.target)) or str(found.target)


def rule(key: Key, view: View) -> Output[Any, Any] | None:
    route = view.get(*key)
    if route is None:
        return None
    if route.host not in view.result("listeners", ("Gateway", route.namespace, route.gateway)):
        return Output((), (f"{route.host} does not match",))
    backends = tuple(
        view.result("backend", f"{namespace}/{name}") if view.result("granted", (route.namespace, namespace)) else "not permitted"
        for namespace, name in route.services
    )
    return Output(((route.namespace, route.gateway, route.host), *backends))


def attached(value: Output[Any, Any]) -> Iterable[tuple[str, str]]:
    """Raises for a rule whose only backend is not permitted, so that a unit's value may be refused by its tally."""
    if value.resources[1:] == ("not permitted",):
        raise ValueError("nothing to count")
    return [value.resources[0][:2]] if value.resources else []


def status(key: Key, view: View) -> Any:
    """Late: reads a count, a late node without an object, and the rule of a route that may not exist."""
    _, namespace, name = key
    is_missing = view.result("rule", ("Route", namespace, name)) is None
    return view.tally("attached", (namespace, name)), view.result("summary", namespace), is_missing


def summary(key: str, view: View) -> Any:
    """Late: reads a count, and early nodes, also some that no early node asks for."""
    counts = view.tally("hosts", "h0"), view.tallied("hosts", "h1")
    return counts, view.result("granted", (key, "a")), view.result("alias", ("Alias", key, "0"))


UNITS = [
    Unit("listeners", listeners, ("Gateway",), Stage.FIRST),
    Unit("granted", granted, stage=Stage.FIRST),
    Unit("backend", backend),
    Unit("alias", alias, ("Alias",)),
    Unit("rule", rule, ("Route",)),
    Unit("status", status, ("Gateway",), Stage.LAST),
    Unit("summary", summary, stage=Stage.LAST),
]
TALLIES = [
    Tally("attached", "rule", attached),
    Tally("hosts", "listeners", lambda value: value),
    Tally("hosts", "rule", lambda value: [each[2] for each in value.resources[:1]]),
]


def new_graph() -> Graph:
    return Graph(Store(INDEXES), UNITS, TALLIES)


class SecondOpinion:
    """Computes a node from the objects alone, without memory; stands where a unit expects its View. Raises where a node must fail."""

    def __init__(self, objects: dict[Key, Any]) -> None:
        self.objects = objects
        self.path: list[Node] = []

    def get(self, kind: str, namespace: str, name: str) -> Any:
        return self.objects.get((kind, namespace, name))

    def select(self, index: str, value: Any) -> tuple[Any, ...]:
        return tuple(self.objects[key] for key in sorted(self.objects) if value in INDEXES[index](self.objects[key]))

    def result(self, unit: str, key: Any) -> Any:
        if (unit, key) in self.path:
            raise RecursionError(unit)
        self.path.append((unit, key))
        try:
            (run,) = (each.run for each in UNITS if each.name == unit)
            value = run(key, self)  # type: ignore[arg-type]  # it has what units call of a View
            for tally in TALLIES:
                if tally.unit == unit and value is not None:
                    tuple(tally.counted(value))
        finally:
            self.path.pop()
        return value

    def tally(self, name: str, value: Any) -> int:
        """How many roots give the value; a root that fails gives none."""
        apart = SecondOpinion(self.objects)
        total = 0
        for unit in UNITS:
            counted = [tally.counted for tally in TALLIES if (tally.name, tally.unit) == (name, unit.name)]
            for key in [key for key in self.objects if counted and key[0] in unit.roots]:
                try:
                    result = apart.result(unit.name, key)
                except Exception:
                    continue
                total += sum(value in set(each(result)) for each in counted)
        return total

    def tallied(self, name: str, value: Any) -> bool:
        """Whether any root gives the value."""
        return self.tally(name, value) > 0


NAMESPACES = st.sampled_from("ab")
NAMES = st.sampled_from("012")
HOSTS = st.sampled_from(("h0", "h1"))
OBJECTS = st.one_of(
    st.builds(Gateway, NAMESPACES, NAMES, st.lists(HOSTS, max_size=2).map(tuple)),
    st.builds(Route, NAMESPACES, NAMES, NAMES, HOSTS, st.lists(st.tuples(NAMESPACES, NAMES), max_size=2).map(tuple)),
    st.builds(Service, NAMESPACES, NAMES, st.sampled_from((0, 1, 2))),
    st.builds(Grant, NAMESPACES, NAMES, NAMESPACES),
    st.builds(Alias, NAMESPACES, NAMES, NAMES),
)
CHANGES = st.tuples(st.lists(OBJECTS, max_size=4), st.lists(st.integers(0, 20), max_size=2))


def play(graph: Graph, held: dict[Key, Any], state: dict[Node, Any], change: tuple[list[Any], list[int]]) -> None:
    """Applies a change to the graph, to a plain record of the objects, and its difference to a plain record of the values."""
    puts, places = change
    removes = sorted({key for place, key in enumerate(sorted(held)) if place in places})
    update(state, graph.apply(puts, removes))
    for key in removes:
        del held[key]
    held.update({obj.key: obj for obj in puts})


def update(state: dict[Node, Any], diff: Diff) -> None:
    for node, (before, after) in diff.items():
        assert before != after
        assert state.pop(node, None) == before
        if after is not None:
            state[node] = after


@settings(max_examples=HISTORIES, deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_after_any_history_the_incremental_result_equals_that_from_nothing(history: list[tuple[list[Any], list[int]]], order: Any) -> None:
    """Same values in the same nodes, same sizes inside, the differences add up to them, and without objects all is empty."""
    graph = new_graph()
    held: dict[Key, Any] = {}
    state: dict[Node, Any] = {}
    for change in history:
        play(graph, held, state, change)
        assert state == graph.values()
    fresh = new_graph()
    objects = list(held.values())
    order.shuffle(objects)
    fresh.apply(objects)
    assert graph.values() == fresh.values()
    assert graph.sizes() == fresh.sizes()
    event(f"{sum(isinstance(value, Failed) for value in state.values())} failed")
    update(state, graph.apply(removes=sorted(held)))
    assert state == {}
    assert set(graph.sizes().values()) == {0}


@settings(max_examples=max(HISTORIES // 2, 1), deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_after_any_history_each_value_is_what_its_unit_gives_without_the_engine(history: list[tuple[list[Any], list[int]]]) -> None:
    """A node has failed exactly where its unit, its tally or what it needs raises, or where it needs itself."""
    graph = new_graph()
    held: dict[Key, Any] = {}
    for change in history:
        play(graph, held, graph.values(), change)
    values = graph.values()
    roots = {(unit.name, key) for unit in UNITS for key in held if key[0] in unit.roots}
    for unit, key in values.keys() | roots:
        try:
            wanted = SecondOpinion(held).result(unit, key)
        except Exception:
            assert isinstance(values[unit, key], Failed)
        else:
            assert values.get((unit, key)) == wanted
