"""The matches of an HTTPRoute rule, with regular expressions proved to be ones that RE2 takes.

As in the proxies an expression of ASCII characters works on bytes, any other on UTF-8: paths, fields and queries have no
character set of their own.
"""

from __future__ import annotations

import re2

from controller.api.http_matches import HTTPHeaderMatch, HTTPPathMatch, HTTPQueryParamMatch, HTTPRouteMatch
from controller.api.http_route import HTTPRouteRule
from controller.translate.conditions import Problem
from gateway.ir.rule import HeaderMatch, Match, PathMatch, QueryMatch

LONGEST_EXPRESSION = 1024


def _options(encoding: re2.Options.Encoding) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.encoding = encoding
    return options


_BYTES = _options(re2.Options.Encoding.LATIN1)
_UTF8 = _options(re2.Options.Encoding.UTF8)


def matches_of(rule: HTTPRouteRule) -> tuple[Match, ...]:
    """The alternatives of a rule in the order written; none written is a prefix of '/', which matches all."""
    return tuple(_match(match) for match in rule.matches) or (Match(),)


def bad_expression(rule: HTTPRouteRule) -> Problem | None:
    """UnsupportedValue if RE2 refuses a regular expression of the rule."""
    for index, match in enumerate(rule.matches):
        for field, expression in _expressions(match):
            if fault := _fault(expression):
                return Problem("UnsupportedValue", f"matches[{index}].{field}: {fault}")
    return None


def _expressions(match: HTTPRouteMatch) -> list[tuple[str, str]]:
    found: list[tuple[str, HTTPPathMatch | HTTPHeaderMatch | HTTPQueryParamMatch]] = [("path.value", match.path)]
    found += [(f"headers[{index}].value", entry) for index, entry in enumerate(match.headers)]
    found += [(f"queryParams[{index}].value", entry) for index, entry in enumerate(match.query_params)]
    return [(field, entry.value) for field, entry in found if entry.type == "RegularExpression"]


def _fault(expression: str) -> str:
    if len(expression) > LONGEST_EXPRESSION:
        return f"the regular expression has {len(expression)} characters, at most {LONGEST_EXPRESSION} are allowed"
    try:
        re2.compile(expression.encode(), _BYTES if expression.isascii() else _UTF8)
    except UnicodeEncodeError:
        return f"the regular expression {expression!r} is no text"
    except re2.error as error:
        words = error.args[0]
        return f"RE2 refuses {expression!r}: {words.decode(errors='replace') if isinstance(words, bytes) else words}"
    return ""


def _match(match: HTTPRouteMatch) -> Match:
    return Match(
        _path(match.path),
        match.method,
        _headers(match.headers),
        tuple(QueryMatch(entry.name, entry.value, entry.type) for entry in match.query_params),
    )


def _path(path: HTTPPathMatch) -> PathMatch:
    """Whole segments match, so that a prefix means the same with and without a trailing slash."""
    value = path.value.rstrip("/") or "/" if path.type == "PathPrefix" else path.value
    return PathMatch(path.type, value)


def _headers(entries: tuple[HTTPHeaderMatch, ...]) -> tuple[HeaderMatch, ...]:
    """Of entries with equivalent names only the first counts (HTTPHeaderMatch.name)."""
    first: dict[str, HeaderMatch] = {}
    for entry in entries:
        first.setdefault(entry.name.lower(), HeaderMatch(entry.name.lower(), entry.value, entry.type))
    return tuple(first.values())
