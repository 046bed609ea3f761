"""The first that stands is found as a search through all finds it, whatever changes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.api.core import ConfigMap
from controller.graph import Graph, Unit, View
from controller.store import Key, Store
from controller.translate.objects import rank
from controller.translate.precedence import Question, first_of_block, first_standing
from tests.controller.translate.golden import parse

QUESTION = Question(("things", "all"), "stands", "it")


def thing(number: int, is_standing: bool) -> Any:
    """One of those that want the same, which stands or not."""
    return parse({"kind": "ConfigMap", "metadata": {"name": f"{number:02}"}, "data": {"stands": "yes"} if is_standing else {}})


def stands(key: tuple[Key, str], view: View) -> str | None:
    found: ConfigMap | None = view.get(*key[0])
    return f"{found.name} for {key[1]}" if found is not None and found.data else None


def before(key: Key, view: View) -> Any:
    found: ConfigMap | None = view.get(*key)
    return first_standing(view, QUESTION, found) if found is not None else None


things = st.lists(st.builds(thing, st.integers(0, 39), st.booleans()), max_size=30)
removals = st.frozensets(st.integers(0, 39), max_size=20)


@given(st.lists(st.tuples(things, removals), min_size=1, max_size=3))
def test_the_first_that_stands_before_each_is_found(changes: list[tuple[list[Any], frozenset[int]]]) -> None:
    """Of those before it in order the first for which the unit gives something, with what it gives."""
    store = Store({}, {"things": lambda found: [("all", rank(found))]})
    graph = Graph(store, [Unit("before", before, roots=("ConfigMap",)), Unit("first stands", first_of_block), Unit("stands", stands)])
    there: dict[Key, Any] = {}
    for puts, numbers in changes:
        removes = [key for key in there if int(key[2]) in numbers]
        there = {key: found for key, found in there.items() if key not in removes} | {found.key: found for found in puts}
        graph.apply(puts, removes)
        for key in there:
            first = next((there[other] for other in sorted(there) if other < key and there[other].data), None)
            assert graph.value("before", key) == (None if first is None else (rank(first), f"{first.name} for it"))
    graph.apply(removes=list(there))
    assert set(graph.sizes().values()) == {0}
