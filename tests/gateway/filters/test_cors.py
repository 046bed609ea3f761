"""CORS (HTTPCORSFilter, Fetch standard 3.3): preflights, actual requests, origins, wildcards and what caches are told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.compile import compile_filters
from gateway.filters.cors import Origins
from gateway.filters.passage import Passage
from gateway.http.head import Fields, LocalReply, RequestHead, ResponseHead
from gateway.ir.filters import Cors

ONE = Cors(
    allow_origins=("https://www.foo.com", "https://*.bar.com"),
    allow_methods=("GET", "OPTIONS"),
    allow_headers=("x-header-1", "x-header-2"),
    expose_headers=("x-header-3", "x-header-4"),
    allow_credentials=True,
    max_age=3600,
)
METHODS = Cors(allow_origins=("https://www.foo.com",), allow_methods=("*",))
ORIGIN = Cors(allow_origins=("*",), allow_methods=("PUT",))
ALL_WITH_CREDENTIALS = Cors(allow_origins=("*",), allow_methods=("*",), allow_headers=("*",), allow_credentials=True)
ALL = Cors(allow_origins=("*",), allow_methods=("*",), allow_headers=("*",))

ANSWER_ONE = {
    "access-control-allow-methods": "GET, OPTIONS",
    "access-control-allow-headers": "x-header-1, x-header-2",
    "access-control-expose-headers": "x-header-3, x-header-4",
    "access-control-max-age": "3600",
    "access-control-allow-credentials": "true",
    "vary": "origin",
}


def run(rule: Cors, method: str, fields: dict[str, str]) -> tuple[LocalReply | None, Passage]:
    head = RequestHead(method.encode(), b"/", None, b"a.example", b"a.example")
    head.fields = [(name.encode(), value.encode()) for name, value in fields.items()]
    (request_filter,) = compile_filters((rule,)).request
    passage = Passage(b"https", 443)
    return request_filter(head, passage), passage


def preflight(rule: Cors, origin: str, method: str = "GET", headers: str | None = None) -> dict[str, str]:
    fields = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers is not None:
        fields["Access-Control-Request-Headers"] = headers
    reply, passage = run(rule, "OPTIONS", fields)
    assert reply is not None
    assert (reply.status, reply.body, passage.edits) == (204, b"", [])
    return as_text(reply.fields)


def actual(rule: Cors, fields: dict[str, str], backend: Fields, method: str = "GET") -> Fields:
    reply, passage = run(rule, method, fields)
    assert reply is None
    response = ResponseHead(200, b"OK", backend, 0)
    for edit in passage.edits:
        edit(response)
    return response.fields


def as_text(fields: Fields) -> dict[str, str]:
    names = [name.decode() for name, _ in fields]
    assert len(set(names)) == len(names)
    return {name.decode(): value.decode() for name, value in fields}


PREFLIGHTS: list[tuple[str, Cors, str, str, str | None, dict[str, str]]] = [
    (
        "exact origin",
        ONE,
        "https://www.foo.com",
        "GET",
        "x-header-1, x-header-2",
        {"access-control-allow-origin": "https://www.foo.com", **ANSWER_ONE},
    ),
    (
        "wildcard origin",
        ONE,
        "https://www.bar.com",
        "GET",
        "x-header-1",
        {"access-control-allow-origin": "https://www.bar.com", **ANSWER_ONE},
    ),
    ("several labels", ONE, "https://a.b.bar.com", "GET", None, {"access-control-allow-origin": "https://a.b.bar.com", **ANSWER_ONE}),
    ("default port", ONE, "https://www.foo.com:443", "GET", None, {"access-control-allow-origin": "https://www.foo.com:443", **ANSWER_ONE}),
    ("other method", ONE, "https://www.foo.com", "DELETE", "x-other", {"access-control-allow-origin": "https://www.foo.com", **ANSWER_ONE}),
    ("foreign origin", ONE, "https://foobar.com", "GET", None, {"vary": "origin"}),
    ("wildcard needs a label", ONE, "https://bar.com", "GET", None, {"vary": "origin"}),
    ("other scheme", ONE, "http://www.foo.com", "GET", None, {"vary": "origin"}),
    ("other port", ONE, "https://www.foo.com:8443", "GET", None, {"vary": "origin"}),
    ("null origin", ONE, "null", "GET", None, {"vary": "origin"}),
    (
        "any method",
        METHODS,
        "https://www.foo.com",
        "POST",
        None,
        {
            "access-control-allow-origin": "https://www.foo.com",
            "vary": "origin",
            "access-control-max-age": "5",
            "access-control-allow-methods": "POST",
        },
    ),
    (
        "any origin",
        ORIGIN,
        "https://foobar.com",
        "PUT",
        None,
        {"access-control-allow-origin": "*", "access-control-max-age": "5", "access-control-allow-methods": "PUT"},
    ),
    (
        "any origin with port",
        ORIGIN,
        "https://foobar.com:12345",
        "PUT",
        None,
        {"access-control-allow-origin": "*", "access-control-max-age": "5", "access-control-allow-methods": "PUT"},
    ),
    (
        "all with credentials",
        ALL_WITH_CREDENTIALS,
        "https://other.foo.com",
        "PUT",
        "x-header-1, x-header-2",
        {
            "access-control-allow-origin": "https://other.foo.com",
            "vary": "origin",
            "access-control-allow-credentials": "true",
            "access-control-max-age": "5",
            "access-control-allow-methods": "PUT",
            "access-control-allow-headers": "x-header-1, x-header-2",
        },
    ),
    (
        "all with credentials, no headers asked",
        ALL_WITH_CREDENTIALS,
        "https://other.foo.com",
        "PUT",
        None,
        {
            "access-control-allow-origin": "https://other.foo.com",
            "vary": "origin",
            "access-control-allow-credentials": "true",
            "access-control-max-age": "5",
            "access-control-allow-methods": "PUT",
        },
    ),
    (
        "all",
        ALL,
        "https://other.foo.com",
        "PUT",
        "x-header-1, x-header-2",
        {
            "access-control-allow-origin": "*",
            "access-control-max-age": "5",
            "access-control-allow-methods": "PUT",
            "access-control-allow-headers": "x-header-1, x-header-2",
        },
    ),
    ("nothing given", Cors(), "https://www.foo.com", "GET", None, {"vary": "origin"}),
    (
        "origins only",
        Cors(allow_origins=("https://a.example",)),
        "https://a.example",
        "GET",
        None,
        {"access-control-allow-origin": "https://a.example", "vary": "origin", "access-control-max-age": "5"},
    ),
]


@pytest.mark.parametrize(
    ("rule", "origin", "method", "headers", "expected"), [row[1:] for row in PREFLIGHTS], ids=[row[0] for row in PREFLIGHTS]
)
def test_preflight(rule: Cors, origin: str, method: str, headers: str | None, expected: dict[str, str]) -> None:
    """A preflight is answered 204 by the proxy; an origin that is not allowed gets no CORS field (HTTPCORSFilter.allowOrigins)."""
    assert preflight(rule, origin, method, headers) == expected


ACTUAL: list[tuple[str, Cors, dict[str, str], dict[str, str]]] = [
    (
        "exact origin",
        ONE,
        {"origin": "https://www.foo.com"},
        {
            "access-control-allow-origin": "https://www.foo.com",
            "vary": "origin",
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "x-header-3, x-header-4",
        },
    ),
    (
        "wildcard origin",
        ONE,
        {"origin": "https://www.bar.com", "access-control-request-method": "GET"},
        {
            "access-control-allow-origin": "https://www.bar.com",
            "vary": "origin",
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "x-header-3, x-header-4",
        },
    ),
    ("foreign origin", ONE, {"origin": "https://foobar.com"}, {"vary": "origin"}),
    ("two origins", ONE, {"origin": "https://www.foo.com, https://www.foo.com"}, {"vary": "origin"}),
    ("no origin", ONE, {}, {"vary": "origin"}),
    ("any origin", ORIGIN, {"origin": "https://foobar.com:12345"}, {"access-control-allow-origin": "*"}),
    ("any origin, none sent", ORIGIN, {}, {"access-control-allow-origin": "*"}),
    (
        "all with credentials",
        ALL_WITH_CREDENTIALS,
        {"origin": "https://other.foo.com"},
        {"access-control-allow-origin": "https://other.foo.com", "vary": "origin", "access-control-allow-credentials": "true"},
    ),
    ("all", ALL, {"origin": "https://other.foo.com"}, {"access-control-allow-origin": "*"}),
]


@pytest.mark.parametrize(("rule", "fields", "expected"), [row[1:] for row in ACTUAL], ids=[row[0] for row in ACTUAL])
def test_actual_request(rule: Cors, fields: dict[str, str], expected: dict[str, str]) -> None:
    """Actual requests reach the backend whatever their origin, and the CORS fields of its response are the filter's alone."""
    backend = [
        (b"Access-Control-Allow-Origin", b"https://backend.example"),
        (b"access-control-allow-credentials", b"true"),
        (b"ACCESS-CONTROL-EXPOSE-HEADERS", b"x-backend"),
        (b"access-control-max-age", b"1"),
        (b"content-type", b"text/plain"),
    ]
    assert as_text(actual(rule, fields, backend)) == {"content-type": "text/plain", **expected}


@pytest.mark.parametrize(
    "fields", [{"origin": "https://www.foo.com"}, {"access-control-request-method": "GET"}], ids=["no method", "no origin"]
)
def test_other_options_requests_pass(fields: dict[str, str]) -> None:
    """OPTIONS without Origin or without Access-Control-Request-Method is no preflight (Fetch 3.3.2) and goes to the backend."""
    actual(ONE, fields, [], method="OPTIONS")


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ([], [(b"vary", b"origin")]),
        ([(b"Vary", b"Accept")], [(b"Vary", b"Accept"), (b"vary", b"origin")]),
        ([(b"Vary", b"Accept, Origin")], [(b"Vary", b"Accept, Origin")]),
        ([(b"Vary", b"*")], [(b"Vary", b"*")]),
    ],
)
def test_vary(backend: Fields, expected: Fields) -> None:
    """Caches are told once that the answer depends on Origin, also where the request had none (RFC 9110 12.5.5)."""
    assert actual(METHODS, {}, backend) == expected


def test_expose_all_with_credentials() -> None:
    """With credentials '*' would be a field's name (Fetch 3.3.3), so the fields that are there are listed, cookies excepted."""
    rule = Cors(allow_origins=("*",), allow_credentials=True, expose_headers=("*",))
    backend = [(b"Content-Type", b"text/plain"), (b"X-Total", b"1"), (b"Set-Cookie", b"a=1"), (b"x-total", b"2")]
    fields = actual(rule, {"origin": "https://a.example"}, backend)
    assert [value for name, value in fields if name == b"access-control-expose-headers"] == [b"content-type, x-total"]
    assert b"access-control-expose-headers" not in dict(actual(rule, {"origin": "https://a.example"}, []))
    without = Cors(allow_origins=("*",), expose_headers=("*",))
    assert dict(actual(without, {"origin": "https://a.example"}, []))[b"access-control-expose-headers"] == b"*"


@pytest.mark.parametrize(
    ("allowed", "origin", "expected"),
    [
        ("https://a.example:443", "https://a.example", True),
        ("http://a.example", "http://a.example:80", True),
        ("http://a.example:8080", "http://a.example:8080", True),
        ("http://a.example:8080", "http://a.example", False),
        ("HTTPS://A.example", "https://a.example", True),
        ("https://*.a.example:8443", "https://x.a.example:8443", True),
        ("https://*.a.example:8443", "https://x.a.example", False),
        ("https://*.a.example", "https://x.a.example:8443", False),
        ("https://*.a.example", "https://xa.example", False),
        ("https://*.a.example", "https://.a.example", False),
        ("https://*.a.example", "https://evil/.a.example", False),
        ("https://*.a.example", "https://evil:80.a.example", False),
        ("https://*.a.example", "https://x.a.example.evil", False),
        ("https://*.a.example", "https://[::1].a.example", False),
        ("https://*", "https://anything.example", True),
        ("https://*", "https://[::1]", True),
        ("https://*", "http://anything.example", False),
        ("https://*", "https://anything.example:8443", False),
        ("http://*:8080", "http://anything.example:8080", True),
        ("*", "null", True),
        ("*", "chrome-extension://abc", True),
    ],
)
def test_origins(allowed: str, origin: str, expected: bool) -> None:
    """Exact origins with default ports implied; '*' stands for the left labels of the host, or for all of it (CORSOrigin)."""
    assert Origins((allowed,)).allow(origin.encode()) is expected


_LISTED = rb"(?i:https://(www\.foo\.com|[0-9a-z_-][0-9a-z._-]*\.bar\.com)(:443)?)"


@given(
    st.binary(max_size=40)
    | st.from_regex(_LISTED, fullmatch=True)
    | st.from_regex(rb"https?://[a./:]{0,4}(bar|foo)\.com(:443|:80)?", fullmatch=True)
)
def test_only_listed_origins_are_allowed(origin: bytes) -> None:
    """Listed origins pass in any case of letters, and no other does, whatever the client sends."""
    allowed = Origins(("https://www.foo.com", "https://*.bar.com"))
    assert allowed.allow(origin) is (re.fullmatch(_LISTED, origin) is not None)


def test_asked_method_that_is_no_token() -> None:
    """What is echoed must be able to stand there: a method is a token."""
    assert "access-control-allow-methods" not in preflight(METHODS, "https://www.foo.com", "GET, PUT")


@pytest.mark.parametrize(
    "fields",
    [{"allow_origins": ("https://a\r\n",)}, {"allow_methods": ("GET, PUT",)}, {"allow_headers": ("a b",)}, {"expose_headers": ("a:b",)}],
)
def test_refused_values(fields: dict[str, Any]) -> None:
    """What cannot be a member of a list of names is refused when it is compiled."""
    with pytest.raises(ValueError, match=r"filters\[0\] \(CORS\): "):
        compile_filters((Cors(**fields),))
