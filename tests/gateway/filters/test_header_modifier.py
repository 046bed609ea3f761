"""Header modifiers (HTTPHeaderFilter): what they do to fields, and what they refuse to touch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.checks import FRAMING
from gateway.filters.compile import compile_filters
from gateway.filters.passage import Passage
from gateway.http.head import Fields, RequestHead, ResponseHead
from gateway.ir.filters import AnyFilter, RequestHeaderModifier, ResponseHeaderModifier


def request(fields: Fields, modifier: AnyFilter) -> RequestHead:
    head = RequestHead(b"GET", b"/", None, b"example.com:8080", b"example.com")
    head.fields = fields
    for request_filter in compile_filters((modifier,)).request:
        assert request_filter(head, Passage(b"http", 80)) is None
    return head


def response(fields: Fields, modifier: AnyFilter) -> Fields:
    head = ResponseHead(200, b"OK", fields, 0)
    for response_filter in compile_filters((modifier,)).response:
        response_filter(head)
    return head.fields


@pytest.mark.parametrize(
    ("fields", "modifier", "expected"),
    [
        ([], {"set": (("x-a", "1"),)}, [(b"x-a", b"1")]),
        ([(b"X-A", b"0"), (b"b", b"2"), (b"x-a", b"00")], {"set": (("x-a", "1"),)}, [(b"b", b"2"), (b"x-a", b"1")]),
        ([], {"add": (("x-a", "1"),)}, [(b"x-a", b"1")]),
        ([(b"X-A", b"0"), (b"b", b"2")], {"add": (("x-a", "1"),)}, [(b"X-A", b"0,1"), (b"b", b"2")]),
        ([(b"x-a", b"0"), (b"x-a", b"00")], {"add": (("x-a", "1"),)}, [(b"x-a", b"0"), (b"x-a", b"00,1")]),
        ([(b"x-a", b"")], {"add": (("x-a", "1"),)}, [(b"x-a", b"1")]),
        ([(b"X-A", b"0"), (b"b", b"2"), (b"x-a", b"00")], {"remove": ("x-a",)}, [(b"b", b"2")]),
        ([(b"b", b"2")], {"remove": ("x-a",)}, [(b"b", b"2")]),
        ([(b"x-a", b"0")], {"set": (("X-A", "1"), ("x-a", "2"))}, [(b"x-a", b"1")]),
        (
            [(b"a", b"0"), (b"b", b"0"), (b"c", b"0")],
            {"set": (("a", "1"),), "add": (("b", "1"),), "remove": ("c",)},
            [(b"b", b"0,1"), (b"a", b"1")],
        ),
    ],
    ids=[
        "set-new",
        "set-replaces-all",
        "add-new",
        "add-joins",
        "add-joins-last",
        "add-to-empty",
        "remove-all",
        "remove-none",
        "first-of-name",
        "all",
    ],
)
def test_fields(fields: Fields, modifier: dict[str, tuple[object, ...]], expected: Fields) -> None:
    """Set replaces all fields of a name by one, add appends with a comma, remove removes; names ignore case (HTTPHeaderFilter)."""
    assert request(list(fields), RequestHeaderModifier(**modifier)).fields == expected  # type: ignore[arg-type]  # the table's tuples
    assert response(list(fields), ResponseHeaderModifier(**modifier)) == expected  # type: ignore[arg-type]  # the table's tuples


def test_added_values_join_as_the_conformance_suite_joins_them() -> None:
    """A comma without a space: the suite joins values of separate fields so, and compares request headers byte by byte."""
    head = request([(b"X-Header-Add-Append", b"append-val-1")], RequestHeaderModifier(add=(("x-header-add-append", "header-val-2"),)))
    assert head.get(b"x-header-add-append") == b"append-val-1,header-val-2"


def test_edits_are_seen_by_whoever_asks_next() -> None:
    """A value that was read before the edit is read anew after it, so that later filters see what earlier ones wrote."""
    head = RequestHead(b"GET", b"/", None, b"a", b"a")
    head.fields = [(b"x-a", b"0")]
    assert head.get(b"x-a") == b"0"
    (edit,) = compile_filters((RequestHeaderModifier(set=(("x-a", "1"),)),)).request
    edit(head, Passage(b"http", 80))
    assert head.get(b"x-a") == b"1"


def test_cookies_are_not_joined_by_commas() -> None:
    """Set-Cookie stays a field of its own (RFC 6265 3), Cookie pairs join with '; ' (RFC 6265 5.4)."""
    assert response([(b"Set-Cookie", b"a=1")], ResponseHeaderModifier(add=(("set-cookie", "b=2"),))) == [
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    ]
    assert request([(b"Cookie", b"a=1")], RequestHeaderModifier(add=(("cookie", "b=2"),))).fields == [(b"Cookie", b"a=1; b=2")]


def test_host_is_the_authority() -> None:
    """Setting host on a request changes the authority that the backend gets, not what was matched, and adds no field."""
    head = request([], RequestHeaderModifier(set=(("Host", "other.example:81"),)))
    assert (head.authority, head.host, head.fields) == (b"other.example:81", b"example.com", [])


@pytest.mark.parametrize("modifier", [{"add": (("host", "a"),)}, {"remove": ("Host",)}], ids=["add", "remove"])
def test_a_request_has_one_host(modifier: dict[str, tuple[object, ...]]) -> None:
    """Host can neither be added to nor removed (RFC 9112 3.2)."""
    with pytest.raises(ValueError, match=r"filters\[0\] \(RequestHeaderModifier\): .*set it instead"):
        compile_filters((RequestHeaderModifier(**modifier),))  # type: ignore[arg-type]  # the table's tuples


@pytest.mark.parametrize("name", [*sorted(name.decode() for name in FRAMING), "Transfer_Encoding", "CONTENT-LENGTH"])
@pytest.mark.parametrize("action", ["set", "add", "remove"])
@pytest.mark.parametrize("kind", [RequestHeaderModifier, ResponseHeaderModifier])
def test_framing_is_out_of_reach(kind: type[RequestHeaderModifier] | type[ResponseHeaderModifier], action: str, name: str) -> None:
    """Framing and hop-by-hop fields are the codec's, whatever a route says (RFC 9110 7.6.1)."""
    entry = name if action == "remove" else (name, "1")
    with pytest.raises(ValueError, match=f"{action}: .*belongs to the connection"):
        compile_filters((kind(**{action: (entry,)}),))  # type: ignore[arg-type]  # one entry of either shape


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b", "a\x7f", "\x1b[0m", " a", "a\t"])
def test_values_that_must_not_reach_the_wire(value: str) -> None:
    """CR, LF, NUL and other control bytes in values are refused, as is white space at the ends (RFC 9110 5.5)."""
    with pytest.raises(ValueError, match="set 'x-a': "):
        compile_filters((RequestHeaderModifier(set=(("x-a", value),)),))


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "é", "a\0", "(a)"])
def test_names_that_are_no_tokens(name: str) -> None:
    """A field name is a token (RFC 9110 5.1)."""
    for modifier in (
        ResponseHeaderModifier(set=((name, "1"),)),
        ResponseHeaderModifier(add=((name, "1"),)),
        ResponseHeaderModifier(remove=(name,)),
    ):
        with pytest.raises(ValueError, match="is not a token"):
            compile_filters((modifier,))


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a@b", "a,b", "a:", "a:http", "-", "a:123456"])
def test_bad_hosts(host: str) -> None:
    """What is set as Host must be a host (RFC 9110 7.2)."""
    with pytest.raises(ValueError, match="is not a host"):
        compile_filters((RequestHeaderModifier(set=(("host", host),)),))


def test_an_empty_modifier_costs_nothing() -> None:
    """A modifier without entries leaves no filter behind."""
    filters = compile_filters((RequestHeaderModifier(), ResponseHeaderModifier()))
    assert (filters.request, filters.response) == ((), ())


_names = st.sampled_from([b"x-a", b"X-A", b"x-b", b"X-b", b"x-c"])
_values = st.sampled_from([b"", b"1", b"a, b"])


@given(st.lists(st.tuples(_names, _values)), st.sampled_from(["x-a", "x-b", "x-d"]))
def test_other_fields_are_untouched(fields: Fields, name: str) -> None:
    """Whatever a modifier does to one name, fields of other names keep their bytes and their order."""
    others = [pair for pair in fields if pair[0].lower() != name.encode()]
    for modifier in ({"set": ((name, "v"),)}, {"add": ((name, "v"),)}, {"remove": (name,)}):
        head = request(list(fields), RequestHeaderModifier(**modifier))
        assert [pair for pair in head.fields if pair[0].lower() != name.encode()] == others
        assert (head.get(name.encode()) is None) == ("remove" in modifier)
