"""Filters of HTTPRoute: the field of the type and no other, no type twice, and the rules of each."""

from typing import Any

import pytest

from controller.api.http_filters import HTTPRouteFilter
from controller.api.http_route import HTTPRoute
from tests.controller.api.objects import filtered, read, refused, refused_fields, rule

BACKEND = {"name": "s", "port": 80}
FILTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "RequestHeaderModifier": ("requestHeaderModifier", {"set": [{"name": "a", "value": "b"}]}),
    "ResponseHeaderModifier": ("responseHeaderModifier", {"remove": ["a"]}),
    "RequestMirror": ("requestMirror", {"backendRef": BACKEND}),
    "RequestRedirect": ("requestRedirect", {"port": 81}),
    "URLRewrite": ("urlRewrite", {"hostname": "b.example.com"}),
    "CORS": ("cors", {"allowOrigins": ["*"]}),
    "ExternalAuth": ("externalAuth", {"protocol": "HTTP", "backendRef": BACKEND, "http": {}}),
    "ExtensionRef": ("extensionRef", {"group": "example.com", "kind": "Thing", "name": "t"}),
}
AT = "spec.rules[0].filters[0]"


def whole(kind: str) -> dict[str, Any]:
    """A valid filter of a type."""
    field, value = FILTERS[kind]
    return {"type": kind, field: value}


def only(data: dict[str, Any]) -> HTTPRouteFilter:
    """The one filter of a route."""
    found = read(data)
    assert isinstance(found, HTTPRoute)
    return found.spec.rules[0].filters[0]


@pytest.mark.parametrize("kind", FILTERS)
def test_each_type_is_read(kind: str) -> None:
    """Each type of the experimental channel is read with its field."""
    assert only(rule(filters=[whole(kind)])).type == kind


@pytest.mark.parametrize("kind", FILTERS)
def test_a_filter_needs_the_field_of_its_type(kind: str) -> None:
    """The field of the type must be specified (CEL of HTTPRouteFilter)."""
    assert refused_fields(filtered(type=kind)) == [f"{AT}.{FILTERS[kind][0]}"]


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("other", FILTERS)
def test_a_filter_has_no_field_of_another_type(kind: str, other: str) -> None:
    """A field of another type must be absent (CEL of HTTPRouteFilter)."""
    expected = [] if kind == other else [f"{AT}.{FILTERS[other][0]}"]
    assert refused_fields(rule(filters=[whole(other) | whole(kind)])) == expected


def test_an_unknown_type_is_refused() -> None:
    """The type is one of the enumeration."""
    assert refused_fields(filtered(type="Magic")) == [f"{AT}.type"]


@pytest.mark.parametrize("kind", FILTERS)
def test_types_that_may_be_repeated(kind: str) -> None:
    """Only RequestMirror and ExtensionRef may be repeated, on a rule and on a backend (CEL)."""
    twice = [whole(kind), whole(kind)]
    allowed = kind in ("RequestMirror", "ExtensionRef")
    assert refused_fields(rule(filters=twice)) == ([] if allowed else ["spec.rules[0].filters[1].type"])
    on_backend = rule(backendRefs=[{**BACKEND, "filters": twice}])
    assert refused_fields(on_backend) == ([] if allowed else ["spec.rules[0].backendRefs[0].filters[1].type"])


def test_redirect_and_rewrite_exclude_each_other() -> None:
    """RequestRedirect and URLRewrite exclude each other in either order (CEL)."""
    for kinds in (("RequestRedirect", "URLRewrite"), ("URLRewrite", "RequestRedirect")):
        assert refused_fields(rule(filters=[whole(kind) for kind in kinds])) == ["spec.rules[0].filters[1].type"]


@pytest.mark.parametrize(
    ("modifier", "fields"),
    [
        ({}, []),
        ({"set": [{"name": "a", "value": "b"}], "add": [{"name": "a", "value": "b"}], "remove": ["a"]}, []),
        ({"set": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]}, ["set[1].name"]),
        ({"add": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]}, ["add[1].name"]),
        ({"remove": ["a", "a"]}, ["remove[1]"]),
        ({"set": [{"name": "a", "value": "b\r\nc: d"}]}, ["set[0].value"]),
        ({"set": [{"name": "a:", "value": "b"}]}, ["set[0].name"]),
        ({"set": [{"name": "a"}]}, ["set[0].value"]),
        ({"remove": [f"h{index}" for index in range(17)]}, ["remove"]),
        ({"delete": ["a"]}, ["delete"]),
    ],
)
def test_header_modifiers(modifier: dict[str, Any], fields: list[str]) -> None:
    """Names and values of fields, each name once in set, add and remove, at most 16 of each (HTTPHeaderFilter)."""
    data = filtered(type="RequestHeaderModifier", requestHeaderModifier=modifier)
    assert refused_fields(data) == [f"{AT}.requestHeaderModifier.{field}" for field in fields]


@pytest.mark.parametrize(
    ("redirect", "fields"),
    [
        ({}, []),
        ({"scheme": "https", "hostname": "a.example.com", "port": 8443, "statusCode": 308}, []),
        ({"scheme": "ftp"}, ["scheme"]),
        ({"hostname": "*.example.com"}, ["hostname"]),
        ({"hostname": "10.0.0.1"}, ["hostname"]),
        ({"port": 0}, ["port"]),
        ({"statusCode": 300}, ["statusCode"]),
        ({"statusCode": "301"}, ["statusCode"]),
        ({"path": {"type": "ReplaceFullPath"}}, ["path.replaceFullPath"]),
        ({"path": {"type": "ReplaceFullPath", "replaceFullPath": ""}}, []),
        ({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/a", "replacePrefixMatch": "/b"}}, ["path.replacePrefixMatch"]),
        ({"path": {"type": "ReplacePrefixMatch"}}, ["path.replacePrefixMatch"]),
        ({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": ""}}, []),
        ({"path": {"type": "ReplacePrefixMatch", "replaceFullPath": "/a", "replacePrefixMatch": "/b"}}, ["path.replaceFullPath"]),
        ({"path": {"type": "Replace"}}, ["path.type"]),
        ({"path": {"replaceFullPath": "/a"}}, ["path.type"]),
    ],
)
def test_redirects(redirect: dict[str, Any], fields: list[str]) -> None:
    """Scheme, precise hostname, port, status and the path modifier with the field of its type (HTTPRequestRedirectFilter)."""
    data = filtered(type="RequestRedirect", requestRedirect=redirect)
    assert refused_fields(data) == [f"{AT}.requestRedirect.{field}" for field in fields]


def test_a_redirect_has_status_302_by_default() -> None:
    """statusCode defaults to 302; 301, 302, 303, 307 and 308 are read."""
    redirect = only(filtered(type="RequestRedirect", requestRedirect={})).request_redirect
    assert redirect is not None
    assert redirect.status_code == 302
    for status in (301, 302, 303, 307, 308):
        assert refused(filtered(type="RequestRedirect", requestRedirect={"statusCode": status})) == []


@pytest.mark.parametrize(
    ("mirror", "fields"),
    [
        ({"backendRef": BACKEND, "percent": 0}, []),
        ({"backendRef": BACKEND, "percent": 100}, []),
        ({"backendRef": BACKEND, "percent": 101}, ["percent"]),
        ({"backendRef": BACKEND, "percent": -1}, ["percent"]),
        ({"backendRef": BACKEND, "percent": 1, "fraction": {"numerator": 1}}, ["fraction"]),
        ({"backendRef": BACKEND, "fraction": {"numerator": 100}}, []),
        ({"backendRef": BACKEND, "fraction": {"numerator": 101}}, ["fraction.numerator"]),
        ({"backendRef": BACKEND, "fraction": {"numerator": 3, "denominator": 2}}, ["fraction.numerator"]),
        ({"backendRef": BACKEND, "fraction": {"numerator": 0, "denominator": 0}}, ["fraction.denominator"]),
        ({"backendRef": BACKEND, "fraction": {}}, ["fraction.numerator"]),
        ({"backendRef": {"name": "s"}}, ["backendRef.port"]),
        ({}, ["backendRef"]),
    ],
)
def test_mirrors(mirror: dict[str, Any], fields: list[str]) -> None:
    """A percentage or a fraction of at most one, not both (CEL of HTTPRequestMirrorFilter and Fraction)."""
    assert refused_fields(filtered(type="RequestMirror", requestMirror=mirror)) == [f"{AT}.requestMirror.{field}" for field in fields]


def test_a_fraction_is_of_a_hundred_by_default() -> None:
    """denominator defaults to 100."""
    mirror = only(filtered(type="RequestMirror", requestMirror={"backendRef": BACKEND, "fraction": {"numerator": 7}})).request_mirror
    assert mirror is not None
    assert mirror.fraction is not None
    assert (mirror.fraction.numerator, mirror.fraction.denominator) == (7, 100)


@pytest.mark.parametrize(
    ("cors", "fields"),
    [
        ({}, []),
        ({"allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"], "exposeHeaders": ["*"]}, []),
        ({"allowOrigins": ["https://a.example.com", "http://*.example.com:8080", "https://*"]}, []),
        ({"allowOrigins": ["*", "https://a.example.com"]}, ["allowOrigins"]),
        ({"allowOrigins": ["a.example.com"]}, ["allowOrigins[0]"]),
        ({"allowOrigins": ["ftp://a.example.com"]}, ["allowOrigins[0]"]),
        ({"allowOrigins": ["https://a.example.com/path"]}, ["allowOrigins[0]"]),
        ({"allowOrigins": ["https://a", "https://a"]}, ["allowOrigins[1]"]),
        ({"allowMethods": ["*", "GET"]}, ["allowMethods"]),
        ({"allowMethods": ["get"]}, ["allowMethods[0]"]),
        ({"allowHeaders": ["*", "x-a"]}, ["allowHeaders"]),
        ({"allowHeaders": ["a b"]}, ["allowHeaders[0]"]),
        ({"allowCredentials": "true"}, ["allowCredentials"]),
        ({"maxAge": 0}, ["maxAge"]),
    ],
)
def test_cors(cors: dict[str, Any], fields: list[str]) -> None:
    """Origins with scheme and host, '*' only alone, methods in upper case, maxAge at least 1 (HTTPCORSFilter)."""
    assert refused_fields(filtered(type="CORS", cors=cors)) == [f"{AT}.cors.{field}" for field in fields]


def test_cors_defaults() -> None:
    """maxAge defaults to 5 seconds, credentials to not allowed."""
    cors = only(filtered(type="CORS", cors={})).cors
    assert cors is not None
    assert (cors.max_age, cors.allow_credentials, cors.allow_origins) == (5, False, ())


@pytest.mark.parametrize(
    ("auth", "fields"),
    [
        ({"protocol": "GRPC", "backendRef": BACKEND, "grpc": {"allowedHeaders": ["a"]}}, []),
        ({"protocol": "HTTP", "backendRef": BACKEND, "http": {"path": "/check"}, "forwardBody": {"maxSize": 10}}, []),
        ({"protocol": "GRPC", "backendRef": BACKEND}, ["grpc"]),
        ({"protocol": "HTTP", "backendRef": BACKEND}, ["http"]),
        ({"protocol": "HTTP", "backendRef": BACKEND, "http": {}, "grpc": {}}, ["grpc"]),
        ({"protocol": "GRPC", "backendRef": BACKEND, "http": {}, "grpc": {}}, ["http"]),
        ({"protocol": "HTTP", "backendRef": BACKEND, "http": {"path": "a b"}}, ["http.path"]),
        ({"protocol": "HTTP", "backendRef": BACKEND, "http": {}, "forwardBody": {"maxSize": -1}}, ["forwardBody.maxSize"]),
    ],
)
def test_external_auth(auth: dict[str, Any], fields: list[str]) -> None:
    """The field of the protocol and not the other (CEL of HTTPExternalAuthFilter)."""
    assert refused_fields(filtered(type="ExternalAuth", externalAuth=auth)) == [f"{AT}.externalAuth.{field}" for field in fields]


def test_the_path_modifier_of_a_filter() -> None:
    """A redirect and a rewrite have a path modifier, other filters have none."""
    modifier = {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/a"}}
    for kind, field in (("RequestRedirect", "requestRedirect"), ("URLRewrite", "urlRewrite")):
        found = only(filtered(type=kind, **{field: modifier})).path_modifier
        assert found is not None
        assert found.replace_full_path == "/a"
    assert only(rule(filters=[whole("CORS")])).path_modifier is None
