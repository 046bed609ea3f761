"""Filters of a rule, or of one of its backends, as functions in the order in which the route lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from gateway.filters.cors import cors
from gateway.filters.header_modifier import request_header_modifier, response_header_modifier
from gateway.filters.mirror import Mirror, mirror
from gateway.filters.passage import RequestFilter, ResponseFilter
from gateway.filters.redirect import redirect
from gateway.filters.unresolved import unresolved
from gateway.filters.url_rewrite import url_rewrite
from gateway.ir.filters import (
    AnyFilter,
    Cors,
    ExternalAuth,
    RequestHeaderModifier,
    RequestMirror,
    RequestRedirect,
    ResponseHeaderModifier,
    Unresolved,
    UrlRewrite,
)
from gateway.policies.authorization_policy import AuthorizationPolicy
from gateway.policies.external_authorization import ExternalAuthorization
from gateway.policies.grpc_authorization import GrpcAuthorization

_Other = RequestHeaderModifier | ResponseHeaderModifier | RequestRedirect | UrlRewrite | RequestMirror | Cors | Unresolved


@dataclass(frozen=True, slots=True)
class Filters:
    """What to run on requests and on responses. The first request filter that answers ends the request.

    edits_request  whether some request filter edits fields, so that the head must be unfolded first
    mirrors        get the request after all request filters, wherever the route lists them
    authorization  who is asked when `request` has run; only if it allows the request, `authorized` runs: what the route lists after it
    """

    request: tuple[RequestFilter, ...]
    response: tuple[ResponseFilter, ...]
    mirrors: tuple[Mirror, ...]
    edits_request: bool
    authorization: AuthorizationPolicy | None = None
    authorized: tuple[RequestFilter, ...] = ()


NO_FILTERS: Final = Filters((), (), (), False)


def compile_filters(filters: tuple[AnyFilter, ...]) -> Filters:
    """`NO_FILTERS` for an empty list. Raises ValueError with the place, type and fault of a filter that must not run."""
    if not filters:
        return NO_FILTERS
    request: list[RequestFilter] = []
    authorized: list[RequestFilter] = []
    response: list[ResponseFilter] = []
    mirrors: list[Mirror] = []
    authorization: AuthorizationPolicy | None = None
    for index, entry in enumerate(filters):
        try:
            if not isinstance(entry, ExternalAuth):
                _add(entry, request if authorization is None else authorized, response, mirrors)
            elif authorization is None:
                authorization = (GrpcAuthorization if entry.protocol == "GRPC" else ExternalAuthorization).compile(entry)
            else:
                raise ValueError("a second one is not asked: remove it")
        except ValueError as error:
            raise ValueError(f"filters[{index}] ({entry.__struct_config__.tag}): {error}") from None
    edits_request = any(isinstance(entry, RequestHeaderModifier) for entry in filters)
    return Filters(tuple(request), tuple(response), tuple(mirrors), edits_request, authorization, tuple(authorized))


def _add(entry: _Other, request: list[RequestFilter], response: list[ResponseFilter], mirrors: list[Mirror]) -> None:
    match entry:
        case RequestHeaderModifier():
            if (edit := request_header_modifier(entry)) is not None:
                request.append(edit)
        case ResponseHeaderModifier():
            if (response_edit := response_header_modifier(entry)) is not None:
                response.append(response_edit)
        case RequestRedirect():
            request.append(redirect(entry))
        case UrlRewrite():
            request.append(url_rewrite(entry))
        case RequestMirror():
            mirrors.append(mirror(entry))
        case Cors():
            request.append(cors(entry))
        case Unresolved():
            request.append(unresolved(entry))
        case _:
            assert_never(entry)
