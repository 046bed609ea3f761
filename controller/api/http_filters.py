"""Filters of rules and backends of HTTPRoutes and GRPCRoutes (apis/v1/httproute_types.go, grpcroute_types.go): one class a type;
`HTTPRouteFilter` and `GRPCRouteFilter` hold one of them."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, Strict, model_validator

from controller.api.base import Boolean, Integer, Model, Text, refusal, text
from controller.api.http_matches import HTTPMethodWithWildcard, check_names
from controller.api.names import HeaderName, HeaderValue, PortNumber, PreciseHostname
from controller.api.references import BackendObjectReference, LocalObjectReference

_ORIGIN = r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)"
_URI_PATH = r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$"


def _check_unique(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    seen: set[Any] = set()
    for index, entry in enumerate(entries):
        if entry in seen:
            raise refusal(f"[{index}]", f"{entry!r} is given twice", "Remove one of the two.")
        seen.add(entry)
    return entries


def _wildcard_alone(entries: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in entries and len(entries) > 1:
        raise refusal("", "'*' stands for all and must then be the only entry", "Keep '*' alone, or remove it.")
    return _check_unique(entries)


class HTTPHeader(Model):
    """A header field."""

    name: HeaderName
    value: HeaderValue


class HTTPHeaderFilter(Model):
    """Header fields to replace, to append to and to remove; names compare without regard to case."""

    set: Annotated[tuple[HTTPHeader, ...], Field(max_length=16), AfterValidator(check_names)] = ()
    add: Annotated[tuple[HTTPHeader, ...], Field(max_length=16), AfterValidator(check_names)] = ()
    remove: Annotated[tuple[Text, ...], Field(max_length=16), AfterValidator(_check_unique)] = ()


class HTTPPathModifier(Model):
    """A new path, or a new prefix in place of the one that matched."""

    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: Annotated[str, text(longest=1024)] | None = None
    replace_prefix_match: Annotated[str, text(longest=1024)] | None = None

    @model_validator(mode="after")
    def _field_of_type(self) -> Self:
        fields = {
            "ReplaceFullPath": ("replaceFullPath", self.replace_full_path),
            "ReplacePrefixMatch": ("replacePrefixMatch", self.replace_prefix_match),
        }
        _check_field_of_type(self.type, fields)
        return self


def _check_field_of_type(chosen: str, fields: dict[str, tuple[str, Any]]) -> None:
    for kind, (field, value) in fields.items():
        if kind == chosen and value is None:
            raise refusal(field, f"type {chosen} needs {field}", f"Add {field}.")
        if kind != chosen and value is not None:
            raise refusal(field, f"type {chosen} has no {field}", f"Remove {field}, or set type {kind}.")


class HTTPRequestRedirectFilter(Model):
    """An answer that sends the client elsewhere; what is absent is taken from the request."""

    scheme: Literal["http", "https"] | None = None
    hostname: PreciseHostname | None = None
    path: HTTPPathModifier | None = None
    port: PortNumber | None = None
    status_code: Literal[301, 302, 303, 307, 308] = 302


class HTTPURLRewriteFilter(Model):
    """A new host or path of the request towards the backend."""

    hostname: PreciseHostname | None = None
    path: HTTPPathModifier | None = None


class Fraction(Model):
    """A share of the requests."""

    numerator: Annotated[int, Strict(), Field(ge=0)]
    denominator: Annotated[int, Strict(), Field(ge=1)] = 100

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if self.numerator > self.denominator:
            message = f"numerator {self.numerator} is greater than denominator {self.denominator}"
            raise refusal("numerator", message, "Write a share of at most 1.")
        return self


class HTTPRequestMirrorFilter(Model):
    """A second backend that gets a copy of all requests, or of a share of them."""

    backend_ref: BackendObjectReference
    percent: Annotated[int, Strict(), Field(ge=0, le=100)] | None = None
    fraction: Fraction | None = None

    @model_validator(mode="after")
    def _one_share(self) -> Self:
        if self.percent is not None and self.fraction is not None:
            raise refusal("fraction", "percent and fraction exclude each other", "Remove one of the two.")
        return self


class HTTPCORSFilter(Model):
    """Cross-origin requests that are allowed (Fetch standard); `max_age` in seconds."""

    allow_origins: Annotated[
        tuple[Annotated[str, text(pattern=_ORIGIN, shortest=1, longest=253)], ...], Field(max_length=64), AfterValidator(_wildcard_alone)
    ] = ()
    allow_credentials: Boolean = False
    allow_methods: Annotated[tuple[HTTPMethodWithWildcard, ...], Field(max_length=9), AfterValidator(_wildcard_alone)] = ()
    allow_headers: Annotated[tuple[HeaderName, ...], Field(max_length=64), AfterValidator(_wildcard_alone)] = ()
    expose_headers: Annotated[tuple[HeaderName, ...], Field(max_length=64), AfterValidator(_check_unique)] = ()
    max_age: Annotated[int, Strict(), Field(ge=1, le=2**31 - 1)] = 5


class GRPCAuthConfig(Model):
    """Authorization over gRPC; no headers means all are sent."""

    allowed_headers: Annotated[tuple[Text, ...], Field(max_length=64), AfterValidator(_check_unique)] = ()


class HTTPAuthConfig(Model):
    """Authorization over HTTP."""

    path: Annotated[str, text(pattern=_URI_PATH, longest=1024)] = ""
    allowed_headers: Annotated[tuple[Text, ...], Field(max_length=64), AfterValidator(_check_unique)] = ()
    allowed_response_headers: Annotated[tuple[Text, ...], Field(max_length=64), AfterValidator(_check_unique)] = ()


class ForwardBodyConfig(Model):
    """How many bytes of the body go to the authorization server; 0 for none."""

    max_size: Annotated[Integer, Field(ge=0, le=2**31 - 1)] = 0


class HTTPExternalAuthFilter(Model):
    """A server that is asked whether a request may pass."""

    protocol: Literal["HTTP", "GRPC"]
    backend_ref: BackendObjectReference
    grpc: GRPCAuthConfig | None = None
    http: HTTPAuthConfig | None = None
    forward_body: ForwardBodyConfig | None = None

    @model_validator(mode="after")
    def _field_of_protocol(self) -> Self:
        for protocol, field, value in (("GRPC", "grpc", self.grpc), ("HTTP", "http", self.http)):
            if protocol == self.protocol and value is None:
                raise refusal(field, f"protocol {protocol} needs {field}", f"Add {field}.")
            if protocol != self.protocol and value is not None:
                raise refusal(field, f"protocol {self.protocol} has no {field}", f"Remove {field}, or set protocol {protocol}.")
        return self


class RouteFilter(Model):
    """The filters that HTTPRoutes and GRPCRoutes have in common: the field of its type is given, the others are not."""

    type: Text
    request_header_modifier: HTTPHeaderFilter | None = None
    response_header_modifier: HTTPHeaderFilter | None = None
    request_mirror: HTTPRequestMirrorFilter | None = None
    extension_ref: LocalObjectReference | None = None

    @model_validator(mode="after")
    def _field_of_type(self) -> Self:
        _check_field_of_type(self.type, self._fields())
        return self

    def _fields(self) -> dict[str, tuple[str, Any]]:
        """Of each type its field and what that holds."""
        return {
            "RequestHeaderModifier": ("requestHeaderModifier", self.request_header_modifier),
            "ResponseHeaderModifier": ("responseHeaderModifier", self.response_header_modifier),
            "RequestMirror": ("requestMirror", self.request_mirror),
            "ExtensionRef": ("extensionRef", self.extension_ref),
        }


class GRPCRouteFilter(RouteFilter):
    """One filter of a GRPCRoute (apis/v1/grpcroute_types.go)."""

    type: Literal["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"]


class HTTPRouteFilter(RouteFilter):
    """One filter of an HTTPRoute."""

    type: Literal[
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestMirror",
        "RequestRedirect",
        "URLRewrite",
        "CORS",
        "ExternalAuth",
        "ExtensionRef",
    ]
    request_redirect: HTTPRequestRedirectFilter | None = None
    url_rewrite: HTTPURLRewriteFilter | None = None
    cors: HTTPCORSFilter | None = None
    external_auth: HTTPExternalAuthFilter | None = None

    def _fields(self) -> dict[str, tuple[str, Any]]:
        return super()._fields() | {
            "RequestRedirect": ("requestRedirect", self.request_redirect),
            "URLRewrite": ("urlRewrite", self.url_rewrite),
            "CORS": ("cors", self.cors),
            "ExternalAuth": ("externalAuth", self.external_auth),
        }

    @property
    def path_modifier(self) -> HTTPPathModifier | None:
        """The path modifier of a redirect or rewrite."""
        if self.request_redirect is not None:
            return self.request_redirect.path
        return self.url_rewrite.path if self.url_rewrite is not None else None


_REPEATABLE = frozenset(("RequestMirror", "ExtensionRef"))


Filters = TypeVar("Filters", bound=tuple[RouteFilter, ...])


def check_filters(filters: Filters) -> Filters:
    """Each type at most once, mirrors and extensions apart; a redirect and a rewrite exclude each other (CEL)."""
    seen: dict[str, int] = {}
    for index, entry in enumerate(filters):
        if entry.type in seen and entry.type not in _REPEATABLE:
            raise refusal(f"[{index}].type", f"{entry.type} is already filters[{seen[entry.type]}]", "Merge the two filters into one.")
        seen[entry.type] = index
    if "RequestRedirect" in seen and "URLRewrite" in seen:
        later = max(seen["RequestRedirect"], seen["URLRewrite"])
        raise refusal(f"[{later}].type", "RequestRedirect and URLRewrite exclude each other", "Remove one of the two filters.")
    return filters
