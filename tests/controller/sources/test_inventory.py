"""Which object stands for each key, and the changes between two states."""

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.metadata import Object
from controller.sources.inventory import Inventory
from controller.sources.problems import Place
from controller.sources.reading import read
from tests.controller.sources.texts import documents, namespace, route


def objects(*texts: str) -> list[tuple[int, Object]]:
    """Objects with the lines on which they stand."""
    return [(found.line + 1, found.object) for found in read(documents(*texts), "default").found]


KEY = ("HTTPRoute", "default", "a")


def test_of_two_objects_with_one_key_the_first_by_path_stands() -> None:
    """The first by sorted path, then by order in the file, stands; the other is a problem that names both places."""
    inventory = Inventory()
    inventory.hold("b.yaml", objects(route("a", "/b1"), route("a", "/b2")))
    inventory.hold("a.yaml", objects(namespace("n"), route("a", "/a")))
    inventory.hold("c.yaml", objects(route("a", "/c")))
    puts, removes = inventory.changes()
    assert [(put.key, put.spec.rules[0].matches[0].path.value) for put in puts if put.key == KEY] == [(KEY, "/a")]  # type: ignore[attr-defined] # a route
    assert removes == ()
    assert inventory.place(KEY) == Place("a.yaml", 7)
    assert sorted((problem.file, problem.line) for problem in inventory.problems()) == [("b.yaml", 1), ("b.yaml", 11), ("c.yaml", 1)]
    assert all("already at a.yaml:7" in problem.message for problem in inventory.problems())


def test_when_the_first_goes_the_second_comes_in() -> None:
    """An object that another hid stands as soon as that one goes, and no removal is told."""
    inventory = Inventory()
    inventory.hold("a.yaml", objects(route("a", "/a")))
    inventory.hold("b.yaml", objects(route("a", "/b")))
    inventory.changes()
    inventory.hold("a.yaml", ())
    ((put,), removes) = inventory.changes()
    assert put.spec.rules[0].matches[0].path.value == "/b"  # type: ignore[attr-defined] # a route
    assert removes == ()
    assert inventory.problems() == []
    inventory.hold("b.yaml", ())
    assert inventory.changes() == ((), (KEY,))
    assert inventory.place(KEY) is None


def test_equal_objects_are_no_change() -> None:
    """An object that is read again and says the same, even from another file, is not told."""
    inventory = Inventory()
    inventory.hold("a.yaml", objects(route("a")))
    inventory.changes()
    inventory.hold("a.yaml", objects(namespace("n"), route("a")))
    ((put,), _) = inventory.changes()
    assert put.key == ("Namespace", "", "n")
    inventory.hold("a.yaml", ())
    inventory.hold("z.yaml", objects(namespace("n"), route("a")))
    assert inventory.changes() == ((), ())
    assert inventory.place(KEY) == Place("z.yaml", 7)


def generations(*texts: str) -> list[int]:
    """The generation of the object after each version of its text; 0 where the version is no change."""
    inventory = Inventory()
    found = []
    for text in texts:
        inventory.hold("a.yaml", objects(text))
        puts, _ = inventory.changes()
        found.append(puts[0].metadata.generation if puts else 0)
    return found


def test_a_changed_spec_is_a_new_generation() -> None:
    """The generation starts at 1 and grows with the spec, not with metadata (Kubernetes API conventions, "Metadata")."""
    labelled = route("a", "/2").replace("  name: a", "  name: a\n  labels: {x: y}")
    assert generations(route("a"), route("a", "/2"), route("a", "/2"), labelled, route("a", "/3")) == [1, 2, 0, 2, 3]


def test_a_generation_in_the_file_counts() -> None:
    """A generation that the file sets is kept as it is."""
    sevens = [route("a", path).replace("  name: a", "  name: a\n  generation: 7") for path in ("/", "/2")]
    assert generations(*sevens, route("a", "/2"), route("a", "/3")) == [7, 7, 0, 8]


def test_a_changed_data_map_is_a_new_generation() -> None:
    """Kinds without spec change by their other fields."""
    config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}\n"
    assert generations(config_map, config_map.replace("1'", "2'")) == [1, 2]


EDITS = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from(["/1", "/2"])), max_size=3)),
    max_size=12,
)


@settings(deadline=None)
@given(edits=EDITS)
def test_changes_lead_to_the_state_from_nothing(edits: list[tuple[str, list[tuple[str, str]]]]) -> None:
    """Applied one after another, the changes give what an inventory of the last contents gives."""
    inventory, state, files = Inventory(), {}, {}
    for file, contents in edits:
        files[file] = objects(*(route(name, path) for name, path in contents)) if contents else []
        inventory.hold(file, files[file])
        puts, removes = inventory.changes()
        state.update({put.key: put.spec for put in puts})  # type: ignore[attr-defined] # routes
        for key in removes:
            del state[key]
    fresh = Inventory()
    for file, found in files.items():
        fresh.hold(file, found)
    puts, _ = fresh.changes()
    assert state == {put.key: put.spec for put in puts}  # type: ignore[attr-defined] # routes
    assert sorted(inventory.problems()) == sorted(fresh.problems())
    assert {key: inventory.place(key) for key in state} == {key: fresh.place(key) for key in state}
