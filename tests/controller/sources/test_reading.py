"""Reading never fails: whatever a text holds, the answer is objects and faults."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.sources.reading import Subject, read
from tests.controller.sources.texts import documents, namespace, route

ROUTE: dict[str, Any] = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "a", "labels": {"x": "y"}, "creationTimestamp": "2026-01-31T12:00:00Z"},
    "spec": {
        "parentRefs": [{"name": "g", "sectionName": "s", "port": 80}],
        "hostnames": ["a.example.com"],
        "rules": [
            {
                "name": "r",
                "matches": [{"path": {"type": "Exact", "value": "/a"}, "headers": [{"name": "h", "value": "v"}], "method": "GET"}],
                "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}],
                "backendRefs": [{"name": "s", "port": 80, "weight": 1, "filters": []}],
                "timeouts": {"request": "1s"},
                "retry": {"codes": [500], "attempts": 1, "backoff": "1ms"},
                "sessionPersistence": {"type": "Cookie", "cookieConfig": {"lifetimeType": "Session"}},
            }
        ],
    },
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "eA=="}, "stringData": {"b": "c"}}


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to each part of a value."""
    steps = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [path, *(found for step, inner in steps for found in paths(inner, (*path, step)))]


def changed(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """The value with another part at `path`."""
    if not path:
        return new
    step, *below = path
    inside = changed(value[step], tuple(below), new)
    if isinstance(value, dict):
        return {**value, step: inside}
    return [inside if index == step else item for index, item in enumerate(value)]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "type", "value", "port", "x"]), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("whole", [ROUTE, SECRET], ids=["HTTPRoute", "Secret"])
@settings(deadline=None)
@given(data=st.data())
def test_a_wrong_part_is_a_fault_at_its_place(whole: dict[str, Any], data: st.DataObject) -> None:
    """Any value in any place gives an object or faults, each with message, remedy and a line of the text."""
    path = data.draw(st.sampled_from(paths(whole)))
    text = json.dumps(changed(whole, path, data.draw(ANYTHING)), indent=1).replace("NaN", ".nan").replace("Infinity", ".inf")
    reading = read(text, "default")
    assert len(reading.found) + bool(reading.faults) <= 1
    for fault in reading.faults:
        assert fault.message
        assert fault.remedy
        assert 0 <= fault.line <= text.count("\n")


@settings(deadline=None)
@given(text=st.text() | st.text(alphabet="{}[]:,-&*!|>'\"#%@`?~<a1 \n\t"))
def test_any_text_is_read(text: str) -> None:
    """Whatever the text, the answer is a reading."""
    for fault in read(text.encode(errors="replace").decode(), "default").faults:
        assert fault.message
        assert 0 <= fault.line <= text.count("\n") + 1


@settings(deadline=None)
@given(position=st.integers(0, 200), length=st.integers(0, 20), new=st.text(alphabet="{}[]:-&*!|'\" \nab", max_size=5))
def test_any_edit_of_a_route_is_read(position: int, length: int, new: str) -> None:
    """However a valid text is edited, the other documents of the file are unharmed and nothing is raised."""
    text = route("a", "/edited")
    reading = read(text[:position] + new + text[position + length :], "default")
    assert reading.found or reading.faults or not (text[:position] + new + text[position + length :]).strip()


def test_several_documents_and_their_lines() -> None:
    """Objects know the line of their document, faults the line of their field, in one text."""
    reading = read(documents(namespace("n"), route("a"), route("b", "x")), "default")
    assert [(found.object.key, found.line) for found in reading.found] == [(("Namespace", "", "n"), 0), (("HTTPRoute", "default", "a"), 6)]
    assert [(fault.line, fault.field) for fault in reading.faults] == [(24, "spec.rules[0].matches[0].path.value")]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (Subject(), True),
        (Subject("HTTPRoute", "default", "a"), True),
        (Subject(None, "default", "a"), True),
        (Subject("HTTPRoute", None, None), True),
        (Subject("Gateway", "default", "a"), False),
        (Subject("HTTPRoute", "other", "a"), False),
        (Subject(None, None, "b"), False),
    ],
)
def test_which_object_a_subject_may_be(subject: Subject, expected: bool) -> None:
    """What is known must fit, what is not known fits anything."""
    assert subject.may_be(("HTTPRoute", "default", "a")) is expected
