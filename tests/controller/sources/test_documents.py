"""Splitting files at document markers and parsing YAML to JSON's values."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controller.sources.documents import LARGEST_FILE, MOST_LEVELS, Chunk, DocumentError, decode, parse, split

JSON_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
# YAML takes keys of at most 1024 characters, and an escape has six to twelve.
JSON_KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=80)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | JSON_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(JSON_KEYS, inner, max_size=4),
    max_leaves=20,
)


def value(text: str) -> Any:
    """The value of the only document."""
    (document,) = parse(text)
    return document.value


def error_of(text: str) -> DocumentError:
    """The error that a text gives."""
    with pytest.raises(DocumentError) as caught:
        parse(text)
    return caught.value


def test_a_file_is_split_at_document_markers() -> None:
    """Each document begins with its marker line and knows its first line (YAML 1.2, 9.2)."""
    text = "a: 1\n---\nb: 2\n--- # c\nc: 3\n"
    assert list(split(text)) == [Chunk("a: 1\n", 1), Chunk("---\nb: 2\n", 2), Chunk("--- # c\nc: 3\n", 4)]


def test_markers_are_whole_words_at_the_start_of_a_line() -> None:
    """Indented dashes, longer dashes and dashes inside a line separate nothing."""
    text = "a: |\n  ---\n  b\nc: ---\n---d: e\n"
    assert list(split(text)) == [Chunk(text, 1)]


def test_document_ends_and_directives() -> None:
    """`...` ends a document, and directives stay with the document that they are for (YAML 1.2, 9.1)."""
    chunks = list(split("a: 1\n...\n%YAML 1.1\n---\nb: 2\n"))
    assert [[document.value for document in parse(chunk.text)] for chunk in chunks] == [[{"a": 1}], [{"b": 2}]]
    assert [chunk.line for chunk in chunks] == [1, 2]


def test_blank_documents_are_skipped() -> None:
    """Files of blanks, comments and markers hold nothing."""
    assert list(split("")) == []
    assert [document for chunk in split("\n# nothing\n---\n---\n\n# here\n...\n") for document in parse(chunk.text)] == []


def test_lines_end_as_on_any_system() -> None:
    """CRLF separates like LF."""
    assert [chunk.line for chunk in split("a: 1\r\n---\r\nb: 2\r\n")] == [1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", True),
        ("Off", False),
        ("y", "y"),
        ("'yes'", "yes"),
        ("~", None),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("0b101", 5),
        ("-0", 0),
        ("+7", 7),
        ("1_000", 1000),
        ("12:30", "12:30"),
        ("2026-01-31", "2026-01-31"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.2.3", "1.2.3"),
        ("0x", "0x"),
        ("9" * 40, float("9" * 40)),
        ("-.inf", float("-inf")),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\\\ud83d"', "\\ud83d"),
        ("!!str 1", "1"),
        ("!!int '7'", 7),
        ("!!map {}", {}),
    ],
)
def test_plain_values(text: str, expected: object) -> None:
    """Scalars are those of Kubernetes: YAML 1.1 booleans and numbers, no dates and no base 60."""
    assert value(f"a: {text}")["a"] == expected
    assert type(value(f"a: {text}")["a"]) is type(expected)


@settings(deadline=None)
@given(data=JSON_VALUES)
def test_json_is_read_as_yaml(data: Any) -> None:
    """Whatever JSON holds is read as it is, escapes beyond U+FFFF included."""
    for ascii_only in (True, False):
        assert value(json.dumps({"a": data}, ensure_ascii=ascii_only))["a"] == data


@settings(deadline=None)
@given(data=st.dictionaries(JSON_KEYS, JSON_VALUES, min_size=1, max_size=4))
def test_yaml_with_tags_is_read_as_they_say(data: Any) -> None:
    """Quoted scalars with the tags of JSON's types, as PyYAML writes them, come back the same."""
    assert value(yaml.safe_dump(data, allow_unicode=True, default_style='"')) == data


@settings(deadline=None)
@given(data=st.dictionaries(st.from_regex(r"[a-z][a-z/.: #-]*", fullmatch=True), JSON_VALUES, min_size=1, max_size=4))
def test_plain_yaml_is_read_as_kubernetes_reads_it(data: Any) -> None:
    """What PyYAML writes plain comes back the same, but for text such as 1e5, a number to Kubernetes and YAML 1.2 alone."""

    def is_number(text: str) -> bool:
        return re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?|0o[0-7]+", text) is not None

    def ambiguous(part: Any) -> bool:
        if isinstance(part, dict):
            return any(is_number(name) or ambiguous(inner) for name, inner in part.items())
        return any(map(ambiguous, part)) if isinstance(part, list) else isinstance(part, str) and is_number(part)

    assume(not ambiguous(data))
    assert value(yaml.safe_dump(data, allow_unicode=True)) == data


def test_anchors_and_merge_keys() -> None:
    """Aliases repeat a value, `<<` merges maps, own keys win, then earlier maps over later ones."""
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd: *a\n"
    assert value(text)["c"] == {"x": 3, "y": 1, "z": 2}
    assert value(text)["d"] == {"x": 1, "y": 1}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 2, "the key 'a' is given twice"),
        ("a:\n  b: 1\n  b: 2\n", 2, "the key 'b' is given twice"),
        ("a: 1\nb: !!binary eA==\n", 1, "the tag 'tag:yaml.org,2002:binary' does not fit"),
        ("a: !mine x\n", 0, "the tag '!mine' does not fit"),
        ("a: !!set {x}\n", 0, "the tag 'tag:yaml.org,2002:set' does not fit"),
        ("a: !!int x\n", 0, "the tag 'tag:yaml.org,2002:int' does not fit"),
        ("a: !!bool 1\n", 0, "the tag 'tag:yaml.org,2002:bool' does not fit"),
        ("a: 1\n[b]: 2\n", 1, "a list or map is used as a key"),
        ("a: b: c\n", 0, "the YAML cannot be parsed"),
        ("a: 1\nb: [\n", 2, "the YAML cannot be parsed"),
        ("a: 1\n\tb: 2\n", 1, "the YAML cannot be parsed"),
        ("a: *b\n", 0, "the YAML cannot be parsed"),
        ("a: 1\nb: \x01\n", 1, "the character U+0001 is not allowed"),
        ("\U0001f600: 1\nb: \x02\n", 1, "the character U+0002 is not allowed"),
        ("a: &a [*a]\n", 0, "multiply the document"),
        ("<<: 1\n", 0, "a merge key (<<) needs a map"),
        ("a: 'b\n", 1, "the YAML cannot be parsed"),
    ],
)
def test_texts_that_are_refused(text: str, line: int, message: str) -> None:
    """Each refusal names the line, what is wrong, and a remedy."""
    error = error_of(text)
    assert error.line == line
    assert message in error.message
    assert error.remedy.endswith(".")


def test_nesting_is_limited() -> None:
    """64 levels are read, more are refused, a million too without harm to the parser."""
    assert value("[" * (MOST_LEVELS - 1) + "]" * (MOST_LEVELS - 1)) is not None
    for levels in (MOST_LEVELS + 1, 1_000_000):
        assert f"more than {MOST_LEVELS} levels" in error_of("[" * levels).message


def test_anchors_may_not_multiply_a_document() -> None:
    """A small document that stands for a billion values is refused, not built."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)]
    assert "multiply the document" in error_of("\n".join(lines)).message


def test_merge_keys_may_not_multiply_a_document() -> None:
    """Merges count like other aliases."""
    lines = ["a0: &a0 {x: 1}"] + [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}" for level in range(1, 10)]
    assert "multiply the document" in error_of("\n".join(lines)).message


def test_what_bytes_are_text() -> None:
    """Files are UTF-8, with or without a byte order mark, of at most 16 MiB; a wrong byte is named by its line."""
    assert decode(b"\xef\xbb\xbfa: \xc3\xa4") == "a: ä"
    with pytest.raises(DocumentError) as wrong:
        decode(b"a: 1\nb: \xff\n")
    assert (wrong.value.line, wrong.value.message) == (1, "the text is not UTF-8")
    with pytest.raises(DocumentError, match="larger than 16 MiB"):
        decode(b" " * (LARGEST_FILE + 1))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("spec",), 2),
        (("spec", "rules"), 3),
        (("spec", "rules", 0), 4),
        (("spec", "rules", 1), 5),
        (("spec", "rules", 1, "b"), 6),
        (("spec", "rules", 1, "missing"), 5),
        (("spec", "rules", 9), 3),
        (("spec", "rules", "name"), 3),
        (("missing", "below"), 1),
    ],
)
def test_the_line_of_a_value(path: tuple[str | int, ...], line: int) -> None:
    """A field stands on the line of its name, an entry where it begins; what is missing, at the deepest part that is there."""
    (document,) = parse("---\na: 1\nspec:\n  rules:\n  - {a: 1}\n  - a: 1\n    b: 2\n")
    assert document.line_of(path) == line
