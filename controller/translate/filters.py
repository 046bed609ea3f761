"""The filters of a rule or of one of its backends.

What cannot be resolved is never skipped: requests that would pass it get 500. Only a mirror may be dropped alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol

from controller.api.http_filters import (
    HTTPCORSFilter,
    HTTPExternalAuthFilter,
    HTTPHeader,
    HTTPPathModifier,
    HTTPRequestMirrorFilter,
    HTTPRequestRedirectFilter,
    HTTPRouteFilter,
    RouteFilter,
)
from controller.api.references import BackendObjectReference, LocalObjectReference
from controller.translate.conditions import Problem
from controller.translate.destinations import Use
from controller.translate.objects import of_group
from gateway.ir.filters import (
    AnyFilter,
    Cors,
    ExternalAuth,
    PathModifier,
    RequestHeaderModifier,
    RequestMirror,
    RequestRedirect,
    ResponseHeaderModifier,
    Unresolved,
    UrlRewrite,
)

_PATH = re.compile(r"(?:/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_AMBIGUOUS = re.compile(r"/(?:\.|%2[eE]){0,2}/|%(?:2[fF]|5[cC]|00)")
"""What servers read differently: empty and dot segments, escaped slashes, NUL."""


class Resolve(Protocol):
    """From a reference to a backend to its key, or why there is none; without a use it is used as the route uses its backends."""

    def __call__(self, reference: BackendObjectReference, use: Use | None = None) -> str | Problem: ...


@dataclass(slots=True)
class FilterFindings:
    """What the translation of filters finds besides them: bad references, filters that close a rule, values that spoil it."""

    unresolved: list[Problem] = field(default_factory=list)
    closing: list[Problem] = field(default_factory=list)
    invalid: list[Problem] = field(default_factory=list)


def translate_filters(filters: tuple[RouteFilter, ...], place: str, resolve: Resolve, findings: FilterFindings) -> tuple[AnyFilter, ...]:
    """The filters in their order; `place` is their field in the rule, for messages."""
    found = [_translate(entry, f"{place}[{index}]", resolve, findings) for index, entry in enumerate(filters)]
    return tuple(entry for entry in found if entry is not None)


def _translate(entry: RouteFilter, place: str, resolve: Resolve, findings: FilterFindings) -> AnyFilter | None:
    if (edit := entry.request_header_modifier) is not None:
        return RequestHeaderModifier(_fields(edit.set), _fields(edit.add), _names(edit.remove))
    if (edit := entry.response_header_modifier) is not None:
        return ResponseHeaderModifier(_fields(edit.set), _fields(edit.add), _names(edit.remove))
    if (mirror := entry.request_mirror) is not None:
        return _mirror(mirror, place, resolve, findings)
    if entry.extension_ref is not None:
        return _extension(entry.extension_ref, place, findings)
    assert isinstance(entry, HTTPRouteFilter)
    return _translate_http(entry, place, resolve, findings)


def _translate_http(entry: HTTPRouteFilter, place: str, resolve: Resolve, findings: FilterFindings) -> AnyFilter:
    """The filters that only HTTPRoutes have."""
    if (redirect := entry.request_redirect) is not None:
        return _redirect(redirect, place, findings)
    if (rewrite := entry.url_rewrite) is not None:
        return UrlRewrite(rewrite.hostname, _path(rewrite.path, f"{place}.urlRewrite", findings))
    if (cors := entry.cors) is not None:
        return _cors(cors)
    assert entry.external_auth is not None
    return _external_auth(entry.external_auth, f"{place}.externalAuth", resolve, findings)


def _extension(extension: LocalObjectReference, place: str, findings: FilterFindings) -> Unresolved:
    """An extension, of which there are none: closed."""
    message = f"{place}: there is no filter that is a {of_group(extension.kind, extension.group)}"
    findings.unresolved.append(Problem("InvalidKind", message))
    return Unresolved(f"InvalidKind: {message}")


def _external_auth(question: HTTPExternalAuthFilter, place: str, resolve: Resolve, findings: FilterFindings) -> ExternalAuth | Unresolved:
    """Closed where it cannot be asked as it says. Its rule is never dropped: its requests would go to rules that ask nobody."""
    if (fault := _unaskable(question)) is not None:
        problem = Problem("UnsupportedValue", f"{place}.{fault}")
        findings.closing.append(problem)
        return Unresolved(str(problem))
    backend = resolve(question.backend_ref, question.protocol)
    if isinstance(backend, Problem):
        problem = backend.at(f"{place}.backendRef")
        findings.unresolved.append(problem)
        return Unresolved(str(problem))
    size = question.forward_body.max_size if question.forward_body is not None else 0
    if question.grpc is not None:
        return ExternalAuth(backend, allowed_headers=_names(question.grpc.allowed_headers), max_body=size, protocol="GRPC")
    http = question.http
    assert http is not None
    names = (_names(http.allowed_headers), _names(http.allowed_response_headers))
    return ExternalAuth(backend, http.path.rstrip("/"), *names, size)


def _unaskable(question: HTTPExternalAuthFilter) -> str | None:
    """What cannot be asked, with its field: a path or name that must not go on the wire."""
    if question.grpc is not None:
        return _no_name("grpc.allowedHeaders", question.grpc.allowed_headers)
    http = question.http
    assert http is not None
    path = http.path.rstrip("/")
    if path and (not path.startswith("/") or _AMBIGUOUS.search(path + "/")):
        return f"http.path: {http.path!r} is no prefix; it must begin with '/' and have no empty or dot segment and no escaped slash"
    fault = _no_name("http.allowedHeaders", http.allowed_headers)
    return fault or _no_name("http.allowedResponseHeaders", http.allowed_response_headers)


def _no_name(place: str, names: tuple[str, ...]) -> str | None:
    for index, name in enumerate(names):
        if _TOKEN.fullmatch(name) is None:
            return f"{place}[{index}]: {name!r} is no name of a header field"
    return None


def _fields(entries: tuple[HTTPHeader, ...]) -> tuple[tuple[str, str], ...]:
    """Names in lower case; of entries with equivalent names the first counts."""
    first: dict[str, str] = {}
    for entry in entries:
        first.setdefault(entry.name.lower(), entry.value)
    return tuple(first.items())


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.lower() for name in names))


def _redirect(redirect: HTTPRequestRedirectFilter, place: str, findings: FilterFindings) -> RequestRedirect:
    path = _path(redirect.path, f"{place}.requestRedirect", findings)
    return RequestRedirect(redirect.scheme, redirect.hostname, redirect.port, path, redirect.status_code)


def _path(modifier: HTTPPathModifier | None, place: str, findings: FilterFindings) -> PathModifier | None:
    if modifier is None:
        return None
    full = modifier.type == "ReplaceFullPath"
    value = (modifier.replace_full_path or "/") if full else (modifier.replace_prefix_match or "")
    if _PATH.fullmatch(value) is None:
        name = "replaceFullPath" if full else "replacePrefixMatch"
        message = f"{place}.path.{name}: {value!r} is no path; it must begin with '/' and hold only characters of a URI path, no query"
        findings.invalid.append(Problem("UnsupportedValue", message))
    return PathModifier(modifier.type, value)


def _mirror(mirror: HTTPRequestMirrorFilter, place: str, resolve: Resolve, findings: FilterFindings) -> RequestMirror | None:
    backend = resolve(mirror.backend_ref)
    if isinstance(backend, Problem):
        findings.unresolved.append(backend.at(f"{place}.requestMirror.backendRef"))
        return None
    if mirror.fraction is not None:
        return RequestMirror(backend, mirror.fraction.numerator, mirror.fraction.denominator)
    return RequestMirror(backend, 100 if mirror.percent is None else mirror.percent, 100)


def _cors(cors: HTTPCORSFilter) -> Cors:
    return Cors(cors.allow_origins, cors.allow_credentials, cors.allow_methods, cors.allow_headers, cors.expose_headers, cors.max_age)


def incompatible(rule: tuple[HTTPRouteFilter, ...], backends: tuple[tuple[HTTPRouteFilter, ...], ...]) -> Problem | None:
    """IncompatibleFilters if a backend redirects, or rewrites once more, what the rule's own URLRewrite rewrites.

    Inside one list of filters such pairs are not readable at all.
    """
    rewrite = next((entry.url_rewrite for entry in rule if entry.url_rewrite is not None), None)
    if rewrite is None:
        return None
    for index, filters in enumerate(backends):
        for place, entry in enumerate(filters):
            again = entry.url_rewrite
            if entry.request_redirect is not None or (
                again is not None and ((rewrite.path and again.path) or (rewrite.hostname and again.hostname))
            ):
                message = f"backendRefs[{index}].filters[{place}]: {entry.type} cannot follow the rule's own URLRewrite; keep one"
                return Problem("IncompatibleFilters", message)
    return None
