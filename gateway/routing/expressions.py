"""Regular expressions from users: RE2 only, so that no pattern and no input takes more than linear time.

All are full matches. Evaluation goes through RE2's sets, also for one pattern: `Set.Match` costs half of `fullmatch`, and a set
answers which of many patterns match in one pass. A set has no slower engine to fall back to when its memory runs out, and would
then say that nothing matches. So each holds one more pattern that matches everything: when not even that is found the patterns
are tried one by one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

LONGEST_PATTERN: Final = 1024
MOST_MEMORY: Final = 8 << 20
_EVERYTHING: Final = b"(?s).*"


def _options(encoding: Any) -> Any:
    options = re2.Options()
    options.encoding = encoding
    options.max_mem = MOST_MEMORY
    options.log_errors = False
    options.never_capture = True
    return options


_BYTES: Final = _options(re2.Options.Encoding.LATIN1)
_UTF8: Final = _options(re2.Options.Encoding.UTF8)


def _set(patterns: tuple[bytes, ...], options: Any) -> Any | None:
    """None where the patterns together do not fit into RE2's memory."""
    together = re2.Set.FullMatchSet(options)
    try:
        for pattern in (*patterns, _EVERYTHING):
            together.Add(pattern)
        together.Compile()
    except re2.error:
        return None
    return together


class Expression:
    """One pattern. '.' stands for one byte, in a pattern with characters outside ASCII for one UTF-8 character."""

    __slots__ = ("_alone", "_ready", "_set", "ascii", "pattern")

    def __init__(self, pattern: str) -> None:
        """Raises ValueError, with the reason, for what RE2 refuses and for more than 1024 characters."""
        if len(pattern) > LONGEST_PATTERN:
            raise ValueError(f"is {len(pattern)} characters long; an expression has at most {LONGEST_PATTERN}")
        self.pattern: Final = pattern
        self.ascii: Final = pattern.isascii()
        self._alone: Any | None = None
        self._set: Any | None = None
        self._ready = False
        try:
            self._compile()
        except re2.error as error:
            reason = error.args[0]
            words = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            raise ValueError(f"{pattern!r} is not an RE2 expression: {words}") from None

    def matches(self, value: bytes) -> bool:
        """Whether the whole of `value` matches."""
        if not self._ready:
            self._set = _set((self.pattern.encode(),), _BYTES if self.ascii else _UTF8)
            self._ready = True
        found = self._set.Match(value) if self._set is not None else None
        return 0 in found if found else self._matches_alone(value)

    def _matches_alone(self, value: bytes) -> bool:
        if self._alone is None:
            self._alone = self._compile()
        return self._alone.fullmatch(value) is not None

    def _compile(self) -> Any:
        return re2.compile(self.pattern.encode(), _BYTES if self.ascii else _UTF8)


@lru_cache(maxsize=4096)
def compile_expression(pattern: str) -> Expression:
    """Shared by all who use the same pattern. Raises ValueError, with the reason, for what RE2 refuses."""
    return Expression(pattern)


class ExpressionSet:
    """Several patterns, asked together where all are ASCII, else one by one."""

    __slots__ = ("_ready", "_set", "expressions")

    def __init__(self, expressions: tuple[Expression, ...]) -> None:
        self.expressions: Final = expressions
        self._set: Any | None = None
        self._ready = False

    def prepare(self) -> None:
        """Compiles the set now rather than at the first question."""
        if not self._ready:
            if all(expression.ascii for expression in self.expressions):
                self._set = _set(tuple(expression.pattern.encode() for expression in self.expressions), _BYTES)
            self._ready = True

    def matching(self, value: bytes) -> list[Expression]:
        """The expressions that match the whole of `value`, in no order."""
        self.prepare()
        found = self._set.Match(value) if self._set is not None else None
        if found:
            return [self.expressions[index] for index in found if index < len(self.expressions)]
        return [expression for expression in self.expressions if expression.matches(value)]
