"""What a file holds over its versions: unchanged documents are not read again, unreadable ones keep what they had."""

from collections.abc import Sequence

import pytest

from controller.sources.contents import Entry, refreshed
from tests.controller.sources.texts import BROKEN, documents, namespace, route

INVALID = route("a", "no-slash")
A, A2, B, C = route("a"), route("a", "/2"), route("b"), route("c")


def versions(*texts: str) -> tuple[Entry, ...]:
    """The entries of a file after these versions."""
    entries: tuple[Entry, ...] = ()
    for text in texts:
        entries = refreshed(entries, text.encode(), "default")
    return entries


def held(entries: Sequence[Entry]) -> dict[str, str]:
    """Name and path of each route that the file holds."""
    return {found.object.name: found.object.spec.rules[0].matches[0].path.value for entry in entries for found in entry.objects()}  # type: ignore[attr-defined] # routes only


def test_unchanged_documents_are_not_read_again() -> None:
    """An object whose document keeps its text is the same object, on its new line."""
    before = versions(documents(A, B))
    after = refreshed(before, documents(A2, C, B).encode(), "default")
    assert held(after) == {"a": "/2", "b": "/", "c": "/"}
    assert next(after[2].objects()).object is next(before[1].objects()).object
    assert [next(entry.objects()).line for entry in after] == [1, 11, 21]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((documents(A2, B), documents(INVALID, B)), {"a": "/2", "b": "/"}),
        ((documents(A2, B), documents(BROKEN, B)), {"a": "/2", "b": "/"}),
        ((documents(A2, B), BROKEN), {"a": "/2", "b": "/"}),
        ((documents(A2, B), BROKEN, documents(BROKEN, "more: [")), {"a": "/2", "b": "/"}),
        ((documents(A2, B), BROKEN, documents(A, B)), {"a": "/", "b": "/"}),
        ((documents(A2, B), BROKEN, documents(INVALID, B)), {"a": "/2", "b": "/"}),
        ((documents(A2, B), BROKEN, B), {"b": "/"}),
        ((documents(A2, B), documents(INVALID, B), documents(INVALID, C)), {"a": "/2", "c": "/"}),
        ((documents(A2, B), documents(INVALID, B), B), {"b": "/"}),
        ((documents(A2, B), documents(B, INVALID)), {"a": "/2", "b": "/"}),
        ((documents(A2, B, C), documents(A2, BROKEN, C)), {"a": "/2", "b": "/", "c": "/"}),
        ((documents(A2, B, C), documents(A2, BROKEN, C), documents(A2, C)), {"a": "/2", "c": "/"}),
        ((documents(A2, BROKEN), documents("", BROKEN)), {}),
        ((documents(A2, B), ""), {}),
        ((INVALID,), {}),
        ((INVALID, A), {"a": "/"}),
    ],
)
def test_what_cannot_be_read_keeps_its_last_readable_version(texts: tuple[str, ...], expected: dict[str, str]) -> None:
    """Left out on start, kept later; what was removed goes, and what is readable again counts at once."""
    assert held(versions(*texts)) == expected


def test_a_misspelt_kind_keeps_the_object_of_that_name() -> None:
    """The document of an unknown kind stands for the object of its name that stood in its place, and for no other."""
    misspelt = A2.replace("HTTPRoute", "HTTPRoot")
    assert held(versions(documents(A2, B), documents(misspelt, B))) == {"a": "/2", "b": "/"}
    assert held(versions(documents(A2, B), documents(A2, misspelt.replace("name: a", "name: z")))) == {"a": "/2"}


def test_another_object_does_not_keep_one_that_was_removed() -> None:
    """Unreadable objects of other names keep nothing."""
    assert held(versions(documents(B, C), documents(INVALID, C))) == {"c": "/"}


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: 1\n" * 4_000_000], ids=["not UTF-8", "too large"])
def test_a_file_that_is_no_text_keeps_everything(content: bytes) -> None:
    """A file that cannot even be split keeps all its objects, and is read again when it can be."""
    before = versions(documents(A, B))
    broken = refreshed(before, content, "default")
    assert held(broken) == {"a": "/", "b": "/"}
    assert "stays in use" in str(next(broken[0].problems("f")))
    assert held(refreshed(broken, C.encode(), "default")) == {"c": "/"}


def test_problems_name_lines_of_the_file() -> None:
    """Lines count from the first of the file, whatever the document; the remedy says when an old version stays."""
    first = versions(documents(A, INVALID))
    ((problem,),) = [list(entry.problems("f.yaml")) for entry in first if entry.reading.faults]
    field = "spec.rules[0].matches[0].path.value"
    assert str(problem).startswith(f"f.yaml:19: HTTPRoute default/a: {field}: a path of type PathPrefix must start with '/'")
    assert "stays in use" not in str(problem)
    ((kept,),) = [list(entry.problems("f.yaml")) for entry in versions(documents(B, A), documents(B, INVALID)) if entry.reading.faults]
    assert kept.line == 19
    assert kept.remedy.endswith("Until then its last readable version stays in use.")


def test_an_object_that_is_read_elsewhere_in_the_file_is_not_kept() -> None:
    """When an object's document breaks and the object appears further down, the new one alone is held."""
    entries = versions(documents(A2, namespace("n")), documents(INVALID, namespace("n")), documents(INVALID, namespace("n"), A))
    assert [found.object.key for entry in entries for found in entry.objects()] == [("Namespace", "", "n"), ("HTTPRoute", "default", "a")]
