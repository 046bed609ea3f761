"""Predicates: method, headers, query parameters, and the words for their failure."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.head import RequestHead
from gateway.ir.rule import Match
from gateway.routing.predicates import LONGEST_SHOWN, Parameters, predicates_of, shown
from tests.gateway.routing.rules import head, match


def failures(asked: Match, request: RequestHead) -> list[str]:
    parameters = Parameters(request.query)
    return [predicate.failure(request, parameters) for predicate in predicates_of(asked) if not predicate.holds(request, parameters)]


@pytest.mark.parametrize(
    ("asked", "request_head", "expected"),
    [
        (match(method="POST"), head(method="POST"), []),
        (match(method="POST"), head(), ["method GET is not POST"]),
        (match(method="get"), head(), ["method GET is not get"]),
        (match(headers="X-A=v"), head(x_A="v"), []),
        (match(headers="x-a=v"), head(x_a="w"), ["header x-a: 'w' is not 'v'"]),
        (match(headers="x-a=v"), head(x_a="V"), ["header x-a: 'V' is not 'v'"]),
        (match(headers="x-a=v"), head(), ["header x-a is absent"]),
        (match(headers="x-a~v.*"), head(x_a="vw"), []),
        (match(headers="x-a~v.*"), head(x_a="wv"), ["header x-a: 'wv' does not match 'v.*'"]),
        (match(headers="x-a~.*"), head(), ["header x-a is absent"]),
        (match(headers="host=a.example"), head("a.example"), []),
        (match(queries="q=1"), head(target="/?q=1"), []),
        (match(queries="q=1"), head(target="/?q=2&q=1"), ["query parameter q: '2' is not '1'"]),
        (match(queries="q=1"), head(target="/?Q=1"), ["query parameter q is absent"]),
        (match(queries="q=1"), head(), ["query parameter q is absent"]),
        (match(queries="q~[0-9]+"), head(target="/?q=12"), []),
        (match(queries="q~[0-9]+"), head(target="/?q=x"), ["query parameter q: 'x' does not match '[0-9]+'"]),
        (match(queries="q~.*"), head(), ["query parameter q is absent"]),
        (match(None, "PUT", "x-a=1", "q=1"), head(), ["method GET is not PUT", "header x-a is absent", "query parameter q is absent"]),
    ],
)
def test_a_predicate_holds_or_says_why_not(asked: Match, request_head: RequestHead, expected: list[str]) -> None:
    """HTTPRouteMatch: method, header names case-insensitive, parameter names exact, the first value of a parameter."""
    assert failures(asked, request_head) == expected


def test_only_the_first_of_equivalent_names_counts() -> None:
    """HTTPRouteMatch.headers and .queryParams: later entries of the same name are ignored; parameter names are exact."""
    assert failures(match(headers="X-A=1 x-a=2"), head(x_a="1")) == []
    assert failures(match(queries="q=1 q=2"), head(target="/?q=1")) == []
    assert failures(match(queries="q=1 Q=2"), head(target="/?q=1")) == ["query parameter Q is absent"]


def test_repeated_fields_are_matched_joined() -> None:
    """RFC 9110 5.3: a repeated field is one list."""
    request = head()
    request.fields = [(b"X-A", b"1"), (b"x-a", b"2")]
    assert failures(match(headers="x-a~1,.2"), request) == []
    assert failures(match(headers="x-a=1"), request) == ["header x-a: '1, 2' is not '1'"]


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        (b"a=1&b=2", b"b", b"2"),
        (b"a=b%20c+d%2B", b"a", b"b c d+"),
        (b"%61=1", b"a", b"1"),
        (b"a+b=1", b"a b", b"1"),
        (b"a", b"a", b""),
        (b"a=", b"a", b""),
        (b"a=1=2", b"a", b"1=2"),
        (b"a=1;b=2", b"a", b"1;b=2"),
        (b"a=1;b=2", b"b", None),
        (b"&&a=1&", b"a", b"1"),
        (b"&&a=1&", b"", None),
        (b"a=%zz%4", b"a", b"%zz%4"),
        (b"a=%ff", b"a", b"\xff"),
        (b"a=%252e", b"a", b"%2e"),
        (b"", b"a", None),
        (None, b"a", None),
    ],
)
def test_parameters_are_decoded_once(query: bytes | None, name: bytes, value: bytes | None) -> None:
    """URL standard, application/x-www-form-urlencoded: '+' is a space; only '&' separates; a bad escape stays as it is."""
    assert Parameters(query).get(name) == value


@given(st.text("ab=&+%41;", max_size=20))
def test_parameters_agree_with_the_standard_library(query: str) -> None:
    """The first value of each name, as urllib reads it."""
    expected: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, encoding="latin-1"):
        expected.setdefault(name, value)
    parameters = Parameters(query.encode())
    assert {name: parameters.get(name.encode("latin-1")) for name in expected} == {
        name: value.encode("latin-1") for name, value in expected.items()
    }


def test_a_bad_expression_names_its_field() -> None:
    """The place is counted as the user wrote it."""
    with pytest.raises(ValueError, match=r"headers\[1\]\.value '\(' is not an RE2 expression"):
        predicates_of(match(headers="x-a=1 x-b~("))
    with pytest.raises(ValueError, match=r"queryParams\[0\]\.value '\(' is not an RE2 expression"):
        predicates_of(match(queries="q~("))


def test_what_is_shown_fits_a_line() -> None:
    """Explanations hold what clients sent: no control bytes, not without end."""
    assert shown(b"a\r\n\x1b[31m\xff\xc3\xa9") == "a\\r\\n\\x1b[31m\\xffé"
    assert shown(b"a" * 10_000) == "a" * LONGEST_SHOWN + "..."
