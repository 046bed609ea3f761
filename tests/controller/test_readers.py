"""Who has read what, beside a model of plain sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.readers import Readers

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 20)), max_size=120)


@given(STEPS)
def test_readers_are_those_that_were_added_and_not_removed(steps: list[tuple[bool, int, int]]) -> None:
    """Whether they are few or many, and each once; what nobody reads is not held."""
    readers: Readers[int] = Readers()
    model: dict[int, set[int]] = {}
    for adds, thing, reader in steps:
        if adds:
            readers.add(thing, reader)
            model.setdefault(thing, set()).add(reader)
        elif reader in model.get(thing, ()):
            readers.remove(thing, reader)
            model[thing].discard(reader)
    held = {thing: found for thing, found in model.items() if found}
    assert len(readers) == len(held)
    for thing in range(3):
        assert sorted(readers.of(thing)) == sorted(held.get(thing, ()))
