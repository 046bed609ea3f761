"""The filters of a rule or of one of its backends.

What cannot be resolved is never skipped: requests that would pass it get 500. Only a mirror may be dropped alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from controller.api.http_filters import (
    HTTPCORSFilter,
    HTTPHeader,
    HTTPPathModifier,
    HTTPRequestMirrorFilter,
    HTTPRequestRedirectFilter,
    HTTPRouteFilter,
)
from controller.api.references import BackendObjectReference
from controller.translate.conditions import Problem
from controller.translate.objects import of_group
from gateway.ir.filters import (
    AnyFilter,
    Cors,
    PathModifier,
    RequestHeaderModifier,
    RequestMirror,
    RequestRedirect,
    ResponseHeaderModifier,
    Unresolved,
    UrlRewrite,
)

_PATH = re.compile(r"(?:/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*)?")

Resolve = Callable[[BackendObjectReference], str | Problem]
"""From a reference to a backend to its key, or why there is none."""


@dataclass(slots=True)
class FilterFindings:
    """What the translation of filters finds besides them: bad references, filters that close a rule, values that spoil it."""

    unresolved: list[Problem] = field(default_factory=list)
    closing: list[Problem] = field(default_factory=list)
    invalid: list[Problem] = field(default_factory=list)


def translate_filters(
    filters: tuple[HTTPRouteFilter, ...], place: str, resolve: Resolve, findings: FilterFindings
) -> tuple[AnyFilter, ...]:
    """The filters in their order; `place` is their field in the rule, for messages."""
    found = [_translate(entry, f"{place}[{index}]", resolve, findings) for index, entry in enumerate(filters)]
    return tuple(entry for entry in found if entry is not None)


def _translate(entry: HTTPRouteFilter, place: str, resolve: Resolve, findings: FilterFindings) -> AnyFilter | None:
    if (edit := entry.request_header_modifier) is not None:
        return RequestHeaderModifier(_fields(edit.set), _fields(edit.add), _names(edit.remove))
    if (edit := entry.response_header_modifier) is not None:
        return ResponseHeaderModifier(_fields(edit.set), _fields(edit.add), _names(edit.remove))
    if (redirect := entry.request_redirect) is not None:
        return _redirect(redirect, place, findings)
    if (rewrite := entry.url_rewrite) is not None:
        return UrlRewrite(rewrite.hostname, _path(rewrite.path, f"{place}.urlRewrite", findings))
    if (mirror := entry.request_mirror) is not None:
        return _mirror(mirror, place, resolve, findings)
    if (cors := entry.cors) is not None:
        return _cors(cors)
    return _unresolved(entry, place, findings)


def _unresolved(entry: HTTPRouteFilter, place: str, findings: FilterFindings) -> Unresolved:
    """An extension, of which there are none, or an authorization that is not there yet: closed either way."""
    if (extension := entry.extension_ref) is not None:
        message = f"{place}: there is no filter that is a {of_group(extension.kind, extension.group)}"
        findings.unresolved.append(Problem("InvalidKind", message))
        return Unresolved(f"InvalidKind: {message}")
    message = f"{place}: a filter of type {entry.type} is not supported and must be removed"
    findings.closing.append(Problem("UnsupportedValue", message))
    return Unresolved(f"UnsupportedValue: {message}")


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
