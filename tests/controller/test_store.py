"""The store answers like a plain search through all objects, and names every read that a change makes different."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.store import Key, Read, Store, Tallies, Tally


@dataclass(frozen=True)
class Thing:
    """An object of any kind, with the labels it stands under."""

    kind: str
    namespace: str
    name: str
    labels: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return self.kind, self.namespace, self.name


def labels(thing: Thing) -> Iterable[str]:
    if "unreadable" in thing.labels:
        raise ValueError("unreadable label")
    return thing.labels


def names(thing: Thing) -> Iterable[tuple[str, str]]:
    """What each label lists: the names of things, of whatever kind and namespace."""
    return [(label, thing.name) for label in thing.labels]


def store_of(*things: Thing) -> Store:
    store = Store({"label": labels}, {"names": names})
    for thing in things:
        store.put(thing)
    return store


RED = Thing("Service", "shop", "red", ("warm",))
BLUE = Thing("Service", "shop", "blue", ("cold",))


def test_what_was_put_is_found_by_key() -> None:
    """`get` gives the object of exactly that kind, namespace and name, and None for any other."""
    store = store_of(RED)
    assert store.get("Service", "shop", "red") is RED
    assert store.get("Service", "shop", "blue") is None
    assert store.get("Secret", "shop", "red") is None
    assert RED.key in store
    assert BLUE.key not in store


def test_kind_is_an_index_of_every_store() -> None:
    """`select("kind", ...)` needs no declaration."""
    secret = Thing("Secret", "shop", "red")
    assert Store({}).select("kind", "Service") == ()
    assert store_of(RED, secret, BLUE).select("kind", "Service") == (BLUE, RED)


def test_the_name_kind_is_taken() -> None:
    """An index of one's own must not replace the built-in one."""
    with pytest.raises(ValueError, match='"kind" is built in'):
        Store({"kind": lambda thing: (thing.kind,)})


def test_an_unknown_index_is_named_with_those_there_are() -> None:
    """A misspelt index is an error, not an empty answer, also in an empty store."""
    with pytest.raises(LookupError, match=r"no index 'lable'.*'kind', 'label', 'names'"):
        Store({"label": labels}, {"names": names}).select("lable", "warm")


def test_an_index_and_a_listing_have_names_of_their_own() -> None:
    """Both are read by name."""
    with pytest.raises(ValueError, match="both an index and a listing are named label"):
        Store({"label": labels}, {"label": names})


def test_selection_is_ordered_by_key_whatever_the_order_of_arrival() -> None:
    """Order never depends on history."""
    things = [Thing("Service", namespace, name, ("warm",)) for namespace in ("b", "a") for name in ("2", "1", "3")]
    ordered = tuple(sorted(things, key=lambda thing: thing.key))
    assert store_of(*things).select("label", "warm") == ordered
    assert store_of(*reversed(things)).select("label", "warm") == ordered


def test_an_object_stands_once_under_a_value_it_names_twice() -> None:
    """Values of an index are a set."""
    store = store_of(Thing("Service", "shop", "red", ("warm", "warm")))
    assert len(store.select("label", "warm")) == 1
    store.remove(RED.key)
    assert store.select("label", "warm") == ()


def test_putting_an_equal_object_changes_nothing() -> None:
    """No read is named, and the object held stays the one it was."""
    store = store_of(RED)
    assert store.put(Thing("Service", "shop", "red", ("warm",))) == set()
    assert store.get("Service", "shop", "red") is RED


def test_a_new_object_changes_its_key_and_its_index_values() -> None:
    """Exactly the reads that would now give something else."""
    assert Store({"label": labels}).put(RED) == {("object", RED.key), ("index", ("kind", "Service")), ("index", ("label", "warm"))}


def test_a_replaced_object_changes_index_values_before_and_after() -> None:
    """A selection that loses the object changes as well as one that gains it or shows its new version."""
    store = Store({"label": labels})
    store.put(RED)
    changed = store.put(Thing("Service", "shop", "red", ("cold",)))
    assert changed == {("object", RED.key), ("index", ("kind", "Service")), ("index", ("label", "warm")), ("index", ("label", "cold"))}


def test_what_is_listed_by_several_is_there_once_and_changes_with_the_first_and_the_last() -> None:
    """Whoever reads a listing is not concerned by objects that come, change or go and leave it as it is."""
    store = store_of(RED, BLUE)
    other = Thing("Service", "other", "red", ("warm",))
    read = ("index", ("names", "warm"))
    assert store.select("names", "warm") == ("red",)
    assert read not in store.put(other)
    assert read not in store.put(Thing("Service", "shop", "red", ("warm", "wet")))
    assert store.select("names", "warm") == ("red",)
    assert read not in store.remove(RED.key)
    assert read in store.remove(other.key)
    assert store.select("names", "warm") == ()


def test_a_removed_object_changes_what_a_new_one_does() -> None:
    """And removing what is not there changes nothing."""
    store = Store({"label": labels})
    store.put(RED)
    assert store.remove(BLUE.key) == set()
    assert store.remove(RED.key) == {("object", RED.key), ("index", ("kind", "Service")), ("index", ("label", "warm"))}
    assert store.remove(RED.key) == set()


def test_an_index_function_that_raises_leaves_the_store_as_it_was() -> None:
    """Neither the old version nor its index entries are lost."""
    store = store_of(RED)
    with pytest.raises(ValueError, match="unreadable label"):
        store.put(Thing("Service", "shop", "red", ("cold", "unreadable")))
    assert store.get("Service", "shop", "red") is RED
    assert store.select("label", "warm") == (RED,)
    assert store.sizes() == {"objects": 1, "index entries": 3}


KINDS, NAMESPACES, NAMES, LABELS = ("Service", "Secret"), ("a", "b"), ("1", "2", "3"), ("x", "y", "z")
THINGS = st.builds(Thing, st.sampled_from(KINDS), st.sampled_from(NAMESPACES), st.sampled_from(NAMES),
                   st.lists(st.sampled_from(LABELS), max_size=3).map(tuple))


def answers(store: Store) -> dict[Read, object]:
    """Everything that can be read in the small world of THINGS."""
    selections = [("kind", kind) for kind in KINDS] + [(index, label) for index in ("label", "names") for label in LABELS]
    objects = {("object", key): store.get(*key) for key in product(KINDS, NAMESPACES, NAMES)}
    return objects | {("index", (index, value)): store.select(index, value) for index, value in selections}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), THINGS), max_size=20))
def test_any_history_gives_what_a_search_through_all_objects_gives(history: list[tuple[bool, Thing]]) -> None:
    """Answers are those of a plain search, each change names exactly the reads whose answers it changed, and nothing stays at the end."""
    store = store_of()
    plain: dict[Key, Thing] = {}
    for is_put, thing in history:
        before = answers(store)
        changed = store.put(thing) if is_put else store.remove(thing.key)
        plain.pop(thing.key, None)
        if is_put:
            plain[thing.key] = thing
        ordered = tuple(plain[key] for key in sorted(plain))
        after = answers(store)
        assert changed == {read for read in after if before[read] != after[read]}
        assert (tuple(store), len(store)) == (ordered, len(ordered))
        for kind in KINDS:
            assert after["index", ("kind", kind)] == tuple(each for each in ordered if each.kind == kind)
        for label in LABELS:
            labelled = tuple(each for each in ordered if label in each.labels)
            assert after["index", ("label", label)] == labelled
            assert after["index", ("names", label)] == tuple(sorted({each.name for each in labelled}))
    for key in list(plain):
        store.remove(key)
    assert store.sizes() == {"objects": 0, "index entries": 0}


def tallies_by_letter() -> Tallies:
    return Tallies([Tally("letters", "word", set), Tally("letters", "sentence", lambda value: [each for each in value if each != " "])])


def test_a_tally_counts_owners_not_mentions() -> None:
    """What one owner gives twice counts once; two owners count twice; what nobody gives is 0."""
    tallies = tallies_by_letter()
    tallies.count({"one": tallies.counted("word", "egg"), "two": tallies.counted("word", "go")})
    assert [tallies.get("letters", letter) for letter in "ego"] == [1, 2, 1]
    assert tallies.get("letters", "z") == 0


def test_tallies_of_one_name_add_up() -> None:
    """So that routes of several kinds count for one listener."""
    tallies = tallies_by_letter()
    tallies.count({"one": tallies.counted("word", "a"), "two": tallies.counted("sentence", "a b")})
    assert tallies.get("letters", "a") == 2
    assert tallies.get("letters", " ") == 0


def test_units_without_a_tally_and_absent_values_count_for_nothing() -> None:
    """A tally's function is not asked about None."""
    assert tallies_by_letter().counted("word", None) == ()
    assert tallies_by_letter().counted("number", 7) == ()


def test_only_sums_that_differ_in_the_end_are_named() -> None:
    """One owner's loss may be another's gain."""
    tallies = tallies_by_letter()
    assert tallies.count({"one": tallies.counted("word", "a")}) == {("tally", ("letters", "a")), ("tallied", ("letters", "a"))}
    assert tallies.count({"one": tallies.counted("word", "a")}) == set()
    moved = tallies.count({"one": (), "two": tallies.counted("word", "ab")})
    assert moved == {("tally", ("letters", "b")), ("tallied", ("letters", "b"))}


def test_whether_there_is_any_differs_only_with_the_first_and_the_last() -> None:
    """One owner more or less beside others changes the sum alone."""
    tallies = tallies_by_letter()
    word = tallies.counted("word", "a")
    tallies.count({"one": word})
    assert tallies.count({"two": word}) == {("tally", ("letters", "a"))}
    assert tallies.count({"one": ()}) == {("tally", ("letters", "a"))}
    assert tallies.count({"two": ()}) == {("tally", ("letters", "a")), ("tallied", ("letters", "a"))}


def test_no_sum_and_no_owner_is_kept_at_zero() -> None:
    """After the last owner is gone nothing is held."""
    tallies = tallies_by_letter()
    tallies.count({"one": tallies.counted("word", "egg")})
    tallies.count({"one": ()})
    assert tallies.sizes() == {"tallies": 0, "tally owners": 0}
