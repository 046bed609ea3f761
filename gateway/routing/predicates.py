"""What a match asks of a request besides its host and path: method, header fields, query parameters (HTTPRouteMatch).

A predicate is asked with the head and the request's parameters, which are parsed at the first question. The same objects answer
`match` and say, for `explain`, why they do not hold.
"""

from __future__ import annotations

from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.http.head import RequestHead
from gateway.ir.rule import HeaderMatch, Match, QueryMatch
from gateway.routing.expressions import Expression, compile_expression

LONGEST_SHOWN: Final = 200


class Parameters(msgspec.Struct, gc=False):
    """The query of one request: the first value of each parameter, percent-decoded, '+' as a space. ';' separates nothing."""

    query: bytes | None
    values: dict[bytes, bytes] | None = None

    def get(self, name: bytes) -> bytes | None:
        if self.values is None:
            self.values = _first_values(self.query or b"")
        return self.values.get(name)


def _first_values(query: bytes) -> dict[bytes, bytes]:
    raw: dict[bytes, bytes] = {}
    for pair in query.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            raw.setdefault(_decoded(name), value)
    return {name: _decoded(value) for name, value in raw.items()}


def _decoded(text: bytes) -> bytes:
    if b"+"[0] in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%"[0] in text else text


class Predicate(Protocol):
    """One condition on a request."""

    def holds(self, head: RequestHead, parameters: Parameters) -> bool: ...

    def failure(self, head: RequestHead, parameters: Parameters) -> str:
        """Why it does not hold, where it does not."""


class MethodIs:
    __slots__ = ("method",)

    def __init__(self, method: bytes) -> None:
        self.method: Final = method

    def holds(self, head: RequestHead, parameters: Parameters) -> bool:
        return head.method == self.method

    def failure(self, head: RequestHead, parameters: Parameters) -> str:
        return f"method {shown(head.method)} is not {shown(self.method)}"


class HeaderIs:
    __slots__ = ("name", "value")

    def __init__(self, name: bytes, value: bytes) -> None:
        self.name: Final = name
        self.value: Final = value

    def holds(self, head: RequestHead, parameters: Parameters) -> bool:
        return head.get(self.name) == self.value

    def failure(self, head: RequestHead, parameters: Parameters) -> str:
        return _failure("header", self.name, head.get(self.name), f"is not '{shown(self.value)}'")


class HeaderMatches:
    __slots__ = ("expression", "name")

    def __init__(self, name: bytes, expression: Expression) -> None:
        self.name: Final = name
        self.expression: Final = expression

    def holds(self, head: RequestHead, parameters: Parameters) -> bool:
        value = head.get(self.name)
        return value is not None and self.expression.matches(value)

    def failure(self, head: RequestHead, parameters: Parameters) -> str:
        return _failure("header", self.name, head.get(self.name), f"does not match '{self.expression.pattern}'")


class QueryIs:
    __slots__ = ("name", "value")

    def __init__(self, name: bytes, value: bytes) -> None:
        self.name: Final = name
        self.value: Final = value

    def holds(self, head: RequestHead, parameters: Parameters) -> bool:
        return parameters.get(self.name) == self.value

    def failure(self, head: RequestHead, parameters: Parameters) -> str:
        return _failure("query parameter", self.name, parameters.get(self.name), f"is not '{shown(self.value)}'")


class QueryMatches:
    __slots__ = ("expression", "name")

    def __init__(self, name: bytes, expression: Expression) -> None:
        self.name: Final = name
        self.expression: Final = expression

    def holds(self, head: RequestHead, parameters: Parameters) -> bool:
        value = parameters.get(self.name)
        return value is not None and self.expression.matches(value)

    def failure(self, head: RequestHead, parameters: Parameters) -> str:
        return _failure("query parameter", self.name, parameters.get(self.name), f"does not match '{self.expression.pattern}'")


def _failure(kind: str, name: bytes, value: bytes | None, fault: str) -> str:
    return f"{kind} {shown(name)} is absent" if value is None else f"{kind} {shown(name)}: '{shown(value)}' {fault}"


def shown(text: bytes) -> str:
    """For people: no control bytes, no more than a line bears."""
    start = text[:LONGEST_SHOWN].decode(errors="backslashreplace")
    words = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in start)
    return f"{words}..." if len(text) > LONGEST_SHOWN else words


def predicates_of(match: Match) -> tuple[Predicate, ...]:
    """The cheapest first. Of several entries of one name only the first counts (HTTPRouteMatch.headers, .queryParams).

    Raises ValueError, with the field, for an expression that RE2 refuses.
    """
    if match.method is None and not match.headers and not match.queries:
        return ()
    predicates: list[Predicate] = [] if match.method is None else [MethodIs(match.method.encode())]
    headers: dict[bytes, Predicate] = {}
    for place, header in enumerate(match.headers):
        headers.setdefault(header.name.lower().encode(), _of_header(header, place))
    queries: dict[bytes, Predicate] = {}
    for place, query in enumerate(match.queries):
        queries.setdefault(query.name.encode(), _of_query(query, place))
    return (*predicates, *headers.values(), *queries.values())


def _of_header(header: HeaderMatch, place: int) -> Predicate:
    name = header.name.lower().encode()
    if header.type == "Exact":
        return HeaderIs(name, header.value.encode())
    return HeaderMatches(name, _expression(header.value, f"headers[{place}].value"))


def _of_query(query: QueryMatch, place: int) -> Predicate:
    if query.type == "Exact":
        return QueryIs(query.name.encode(), query.value.encode())
    return QueryMatches(query.name.encode(), _expression(query.value, f"queryParams[{place}].value"))


def _expression(pattern: str, field: str) -> Expression:
    try:
        return compile_expression(pattern)
    except ValueError as error:
        raise ValueError(f"{field} {error}") from None
