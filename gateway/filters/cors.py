"""CORS (HTTPCORSFilter; Fetch standard 3.3): answers preflights in the backend's stead and writes the CORS fields of all answers.

The filter is the rule's whole policy: CORS fields of the backend are replaced, and taken away where an origin is not allowed. Such a
request still reaches the backend, since only a browser can enforce the policy.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.filters.checks import field_value, token
from gateway.filters.passage import Passage, RequestFilter, ResponseFilter
from gateway.http.fields import TOKEN, split_list
from gateway.http.head import Fields, LocalReply, RequestHead, ResponseHead
from gateway.ir.filters import Cors

ALLOW_ORIGIN: Final = b"access-control-allow-origin"
ALLOW_CREDENTIALS: Final = (b"access-control-allow-credentials", b"true")
ALLOW_METHODS: Final = b"access-control-allow-methods"
ALLOW_HEADERS: Final = b"access-control-allow-headers"
EXPOSE_HEADERS: Final = b"access-control-expose-headers"
MAX_AGE: Final = b"access-control-max-age"
VARY_ORIGIN: Final = (b"vary", b"origin")

_OURS: Final = frozenset((ALLOW_ORIGIN, ALLOW_CREDENTIALS[0], ALLOW_METHODS, ALLOW_HEADERS, EXPOSE_HEADERS, MAX_AGE))
_NEVER_EXPOSED: Final = frozenset((b"set-cookie", b"set-cookie2"))
_is_token = re.compile(TOKEN).fullmatch
_is_host = re.compile(rb"[0-9a-z_-][0-9a-z._-]*").fullmatch
_is_any_host = re.compile(rb"[0-9a-z_-][0-9a-z._-]*|\[[0-9a-f:.]+\]").fullmatch


class Origins:
    """Origins as the user lists them: exact, with a wildcard for the left part of the host, or '*' for all."""

    __slots__ = ("_exact", "_wildcards", "all")

    def __init__(self, allowed: tuple[str, ...]) -> None:
        """Raises ValueError."""
        values = [_canonical(field_value(entry)) for entry in allowed]
        self.all = b"*" in values
        self._exact = frozenset(value for value in values if b"*" not in value)
        self._wildcards = tuple((before, after) for before, star, after in (value.partition(b"*") for value in values) if star)

    def allow(self, origin: bytes) -> bool:
        """Whether the value of an Origin field is allowed."""
        if self.all:
            return True
        origin = _canonical(origin)
        return origin in self._exact or any(_covers(before, after, origin) for before, after in self._wildcards)


def _canonical(origin: bytes) -> bytes:
    """Lower case, without the scheme's own port: `https://example.com:443` is `https://example.com`."""
    origin = origin.lower()
    default = b":443" if origin.startswith(b"https://") else b":80"
    return origin.removesuffix(default)


def _covers(before: bytes, after: bytes, origin: bytes) -> bool:
    """Whether a host, or its left labels, can stand for the '*' between `before` and `after`."""
    if len(origin) <= len(before) + len(after) or not origin.startswith(before) or not origin.endswith(after):
        return False
    host = origin[len(before) : len(origin) - len(after)]
    return (_is_host if after[:1] == b"." else _is_any_host)(host) is not None


class Policy:
    """One CORS filter, everything that does not depend on the request prepared."""

    __slots__ = ("_answers_all", "_any_headers", "_any_methods", "_common", "_expose_present", "_origins", "_preflight")

    def __init__(self, rule: Cors) -> None:
        """Raises ValueError."""
        self._origins = Origins(rule.allow_origins)
        methods = [token(method) for method in rule.allow_methods]
        headers = [token(header) for header in rule.allow_headers]
        exposed = [token(header) for header in rule.expose_headers]
        self._any_methods, self._any_headers = b"*" in methods, b"*" in headers
        self._expose_present = rule.allow_credentials and b"*" in exposed
        self._answers_all = self._origins.all and not rule.allow_credentials
        self._common: Fields = [ALLOW_CREDENTIALS] if rule.allow_credentials else []
        if exposed and not self._expose_present:
            self._common.append((EXPOSE_HEADERS, b", ".join(exposed)))
        self._preflight: Fields = [*self._common, (MAX_AGE, b"%d" % rule.max_age)]
        if methods and not self._any_methods:
            self._preflight.append((ALLOW_METHODS, b", ".join(methods)))
        if headers and not self._any_headers:
            self._preflight.append((ALLOW_HEADERS, b", ".join(headers)))

    def apply(self, head: RequestHead, passage: Passage) -> LocalReply | None:
        """The request filter."""
        origin = head.get(b"origin")
        if origin is not None and head.method == b"OPTIONS":
            method = head.get(b"access-control-request-method")
            if method is not None:
                return LocalReply(204, "CORS preflight", self._answer_preflight(head, origin, method))
        passage.edits.append(self._edit(origin))
        return None

    def _allowed(self, origin: bytes | None) -> Fields:
        """Origin and Vary, the fields that every answer begins with. Where all origins are allowed without credentials, no answer depends
        on the origin, so that one stored for a request without Origin serves the others too."""
        if self._answers_all:
            return [(ALLOW_ORIGIN, b"*")]
        if origin is None or not self._origins.allow(origin):
            return [VARY_ORIGIN]
        return [(ALLOW_ORIGIN, origin), VARY_ORIGIN]

    def _answer_preflight(self, head: RequestHead, origin: bytes, method: bytes) -> Fields:
        """A wildcard answers with what was asked: '*' means itself with credentials, and never covers Authorization (Fetch 3.3.3)."""
        fields = self._allowed(origin)
        if fields[0] is VARY_ORIGIN:
            return fields
        fields += self._preflight
        if self._any_methods and _is_token(method):
            fields.append((ALLOW_METHODS, method))
        headers = head.get(b"access-control-request-headers") if self._any_headers else None
        if headers:
            fields.append((ALLOW_HEADERS, headers))
        return fields

    def _edit(self, origin: bytes | None) -> ResponseFilter:
        added = self._allowed(origin)
        allowed = added[0] is not VARY_ORIGIN
        if allowed:
            added += self._common
        expose_present = allowed and self._expose_present

        def edit(head: ResponseHead) -> None:
            fields = [pair for pair in head.fields if pair[0].lower() not in _OURS]
            if expose_present:
                _expose(fields)
            for pair in added:
                if pair is not VARY_ORIGIN or not _varies(fields):
                    fields.append(pair)
            head.fields = fields

        return edit


def _expose(fields: Fields) -> None:
    """'*' means itself where credentials are allowed (Fetch 3.3.3), so the names that are there are listed."""
    names = dict.fromkeys(name.lower() for name, _ in fields)
    exposed = b", ".join(name for name in names if name not in _NEVER_EXPOSED)
    if exposed:
        fields.append((EXPOSE_HEADERS, exposed))


def _varies(fields: Fields) -> bool:
    """Whether caches know already that the answer depends on Origin (RFC 9110 12.5.5)."""
    for name, value in fields:
        if name.lower() == b"vary":
            members = split_list(value)
            if b"origin" in members or b"*" in members:
                return True
    return False


def cors(rule: Cors) -> RequestFilter:
    """Raises ValueError."""
    return Policy(rule).apply
