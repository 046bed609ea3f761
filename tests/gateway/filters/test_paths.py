"""Path modifiers: the table of HTTPPathModifier, its properties, and values that no path may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.paths import compile_path, escape_path, escape_query, replace_prefix
from gateway.ir.filters import PathModifier

TABLE = [
    ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
    ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
    ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
    ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
    ("/foo", "/foo", "/xyz", "/xyz"),
    ("/foo/", "/foo", "/xyz", "/xyz/"),
    ("/foo/bar", "/foo", "", "/bar"),
    ("/foo/", "/foo", "", "/"),
    ("/foo", "/foo", "", "/"),
    ("/foo/", "/foo", "/", "/"),
    ("/foo", "/foo", "/", "/"),
    ("/foo/bar", "/foo", "/", "/bar"),
    ("/foo/bar", "/", "/xyz", "/xyz/foo/bar"),
    ("/", "/", "/xyz", "/xyz/"),
    ("/foo//bar", "/foo", "/xyz", "/xyz//bar"),
    ("/a%2Fb/c", "/a%2Fb", "/x y", "/x%20y/c"),
]


@pytest.mark.parametrize(("path", "prefix", "value", "expected"), TABLE)
def test_replace_prefix(path: str, prefix: str, value: str, expected: str) -> None:
    """The table of HTTPPathModifier.replacePrefixMatch: trailing slashes of prefix and value are ignored, that of the path stays."""
    edit = compile_path(PathModifier("ReplacePrefixMatch", value))
    assert edit(path.encode(), prefix.encode()) == expected.encode()


@pytest.mark.parametrize(("value", "expected"), [("/one", b"/one"), ("/one/", b"/one/"), ("", b"/"), ("/é", b"/%C3%A9"), ("/%7eu", b"/~u")])
def test_replace_full_path(value: str, expected: bytes) -> None:
    """HTTPPathModifier.replaceFullPath takes the place of the whole path, in the form in which paths are forwarded."""
    assert compile_path(PathModifier("ReplaceFullPath", value))(b"/any/path", None) == expected


def test_a_prefix_that_is_not_there_is_not_replaced() -> None:
    """Without a matched prefix, or after another rewrite took it away, there is nothing to replace."""
    edit = compile_path(PathModifier("ReplacePrefixMatch", "/xyz"))
    assert edit(b"/foo", None) is None
    assert edit(b"/bar/foo", b"/foo") is None
    assert edit(b"/foobar", b"/foo") is None


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("xyz", "not absolute"),
        ("/a?b", "a query"),
        ("/a#b", "a fragment"),
        ("/a\r\nb", "control"),
        ("/a\0", "control"),
        ("/a/../b", "dot segment"),
        ("/a/%2e%2E/b", "dot segment"),
        ("/.", "dot segment"),
        ("/%zz", "bad escape"),
        ("/100%", "bad escape"),
    ],
)
@pytest.mark.parametrize("kind", ["ReplaceFullPath", "ReplacePrefixMatch"])
def test_values_that_are_no_paths(kind: str, value: str, fault: str) -> None:
    """A new path must be one: absolute, no query, nothing that a request line or two readers would read differently."""
    with pytest.raises(ValueError, match=fault):
        compile_path(PathModifier(kind, value))  # type: ignore[arg-type]  # a literal of the list above


_segments = st.lists(st.text("ab.%", min_size=0, max_size=3).map(str.encode), max_size=4)


@given(_segments, _segments, _segments)
def test_prefix_replacement_keeps_the_rest(prefix: list[bytes], rest: list[bytes], replacement: list[bytes]) -> None:
    """Whatever follows the prefix follows the replacement, and the result is an absolute path."""
    before = b"".join(b"/" + segment for segment in prefix if segment)
    after = b"".join(b"/" + segment for segment in rest)
    value = b"".join(b"/" + segment for segment in replacement).rstrip(b"/")
    result = replace_prefix(before + after or b"/", before or b"/", value)
    assert result is not None
    assert result.startswith(b"/")
    assert result == (value + (after if before or after else b"/") or b"/")
    assert replace_prefix(before + after or b"/", before + b"/", value) == result


@given(st.binary())
def test_escaped_text_may_stand_in_a_uri(raw: bytes) -> None:
    """Only characters of RFC 3986 3.3 and 3.4 come out, escaping again changes nothing, and no '%' is left alone."""
    allowed = set(b"!$%&'()*+,-./0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~")
    path, query = escape_path(raw), escape_query(raw)
    assert set(path) <= allowed
    assert set(query) <= allowed | set(b"?")
    assert escape_path(path) == path
    assert escape_query(query) == query
