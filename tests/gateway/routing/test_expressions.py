"""Expressions: RE2, full match, bytes, one by one and together."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.expressions import Expression, ExpressionSet, compile_expression

simple = st.lists(st.sampled_from(["a", "b", ".", "[ab]", "a*", "(a|bb)", "b+", ".*", "/"]), min_size=1, max_size=5).map("".join)


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("v[0-9]+", b"v12", True),
        ("v[0-9]+", b"v12 ", False),
        ("v[0-9]+", b"xv12", False),
        ("a|ab", b"ab", True),
        ("", b"", True),
        ("", b"a", False),
        (".", b"\xff", True),
        (".", b"\n", False),
        ("(?i)abc", b"ABC", True),
        ("^a$", b"a", True),
        ("é+", "ééé".encode(), True),
        ("é+", b"\xc3\xa9\xa9", False),
        ("[^é]", b"\xff", False),
        ("x{3}", b"xxx", True),
    ],
)
def test_an_expression_matches_the_whole_value(pattern: str, value: bytes, expected: bool) -> None:
    """HTTPHeaderMatch.value: full matches; a byte is a character unless the pattern has characters outside ASCII."""
    assert compile_expression(pattern).matches(value) is expected
    assert compile_expression(pattern).matches(value) is expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "'(' is not an RE2 expression: missing ): ("),
        ("(?=a)", "not an RE2 expression: invalid perl operator: (?="),
        (r"(a)\1", r"not an RE2 expression: invalid escape sequence: \1"),
        ("a{2000}", "not an RE2 expression: invalid repetition size: {2000}"),
        ("a" * 1025, "is 1025 characters long; an expression has at most 1024"),
    ],
)
def test_what_re2_refuses_is_refused_with_the_reason(pattern: str, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The user reads the reason in a condition; nothing is printed besides."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        compile_expression(pattern)
    assert capfd.readouterr() == ("", "")


def test_equal_patterns_share_one_expression() -> None:
    """Thousands of rules with one pattern hold one compiled expression."""
    assert compile_expression("shared.*") is compile_expression("shared.*")


@given(st.lists(simple | st.just("é*a"), max_size=8, unique=True), st.text("ab/", max_size=6))
def test_expressions_together_answer_as_one_by_one(patterns: list[str], text: str) -> None:
    """A set only saves time. `re` agrees on patterns that both engines know."""
    value = text.encode()
    expressions = tuple(Expression(pattern) for pattern in patterns)
    found = ExpressionSet(expressions).matching(value)
    assert {expression.pattern for expression in found} == {pattern for pattern in patterns if re.fullmatch(pattern, text)}
    assert len(found) == len({expression.pattern for expression in found})
    assert set(found) == {expression for expression in expressions if expression.matches(value)}


def test_patterns_too_large_to_be_asked_together_are_asked_one_by_one() -> None:
    """RE2 gives a set 8 MiB for its program; what does not fit still matches."""
    expressions = tuple(Expression(f"/{number}/[a-z]{{900}}[0-9]{{900}}.{{900}}") for number in range(64))
    together = ExpressionSet(expressions)
    together.prepare()
    assert together._set is None
    assert together.matching(b"/7/" + b"a" * 900 + b"1" * 900 + b"-" * 900) == [expressions[7]]
