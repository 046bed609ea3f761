"""The filters of a rule or of one of its backends, in the words of the Gateway API (HTTPRouteFilter)."""

from __future__ import annotations

from typing import Literal

from gateway.ir.value import Value

NameValue = tuple[str, str]


class Filter(Value, frozen=True, tag_field="type"):
    """Base of the tagged union `AnyFilter`."""


class RequestHeaderModifier(Filter, frozen=True, tag="RequestHeaderModifier"):
    """Names are lower case."""

    set: tuple[NameValue, ...] = ()
    add: tuple[NameValue, ...] = ()
    remove: tuple[str, ...] = ()


class ResponseHeaderModifier(Filter, frozen=True, tag="ResponseHeaderModifier"):
    """Names are lower case."""

    set: tuple[NameValue, ...] = ()
    add: tuple[NameValue, ...] = ()
    remove: tuple[str, ...] = ()


class PathModifier(Value, frozen=True):
    """ReplacePrefixMatch replaces the prefix that the rule's match named; ReplaceFullPath the whole path. The query stays."""

    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    value: str


class RequestRedirect(Filter, frozen=True, tag="RequestRedirect"):
    """Absent parts are taken from the request; an absent port follows the scheme, else the listener's location port."""

    scheme: Literal["http", "https"] | None = None
    hostname: str | None = None
    port: int | None = None
    path: PathModifier | None = None
    status: Literal[301, 302, 303, 307, 308] = 302


class UrlRewrite(Filter, frozen=True, tag="URLRewrite"):
    hostname: str | None = None
    path: PathModifier | None = None


class RequestMirror(Filter, frozen=True, tag="RequestMirror"):
    """Sends numerator of denominator requests to a second backend and throws the answers away. Translation leaves out an invalid one."""

    backend: str
    numerator: int = 100
    denominator: int = 100


class Cors(Filter, frozen=True, tag="CORS"):
    """Fields as written by the user (HTTPCORSFilter); empty means not given."""

    allow_origins: tuple[str, ...] = ()
    allow_credentials: bool = False
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int = 5
    """Seconds."""


class ExternalAuth(Filter, frozen=True, tag="ExternalAuth"):
    """Asks a second backend whether a request may pass (HTTPExternalAuthFilter). Names are lower case."""

    backend: str
    """Key of the Backend that is asked. Translation makes an Unresolved of a filter whose backend cannot be."""
    path: str = ""
    """What stands before the request's path in the question; '' or a path without a slash at its end."""
    allowed_headers: tuple[str, ...] = ()
    """Fields that the question carries besides those that it always does."""
    allowed_response_headers: tuple[str, ...] = ()
    """Fields of the answer that the request takes over; empty for all."""
    max_body: int = 0
    """Bytes of body that the question may carry; a request with more is refused. 0: it carries none."""
    protocol: Literal["HTTP", "GRPC"] = "HTTP"
    """GRPC: envoy.service.auth.v3.Authorization/Check, of a Backend that speaks HTTP/2, without a path. `allowed_headers` are then all that
    it sees, every field if there are none, and its answer itself says what the request takes over."""


class Unresolved(Filter, frozen=True, tag="Unresolved"):
    """A filter that could not be resolved (an ExtensionRef): the request gets 500 and the reason, never passes unfiltered."""

    reason: str


AnyFilter = (
    RequestHeaderModifier | ResponseHeaderModifier | RequestRedirect | UrlRewrite | RequestMirror | Cors | ExternalAuth | Unresolved
)
