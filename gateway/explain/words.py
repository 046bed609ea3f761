"""Matches, filters and limits of a rule in words, from the resources as the controller sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from gateway.ir.backend import BackendProtocol
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
from gateway.ir.listener import ListenerOptions
from gateway.ir.rate_limit import RateLimit
from gateway.ir.rule import HeaderMatch, HttpRule, Match, PathMatch, QueryMatch
from gateway.policies.rate_limit import counts

if TYPE_CHECKING:
    from gateway.tracing.tracer import Tracer


def match_in_words(match: Match) -> str:
    """All conditions of a match besides its hostnames."""
    words = [_path(match.path)]
    if match.method is not None:
        words.append(f"method {match.method}")
    words += [f"header {header.name} {_value(header)}" for header in match.headers]
    words += [f"query {query.name} {_value(query)}" for query in match.queries]
    return ", ".join(words)


def _path(path: PathMatch) -> str:
    match path.type:
        case "Exact":
            return f"path is {path.value}"
        case "PathPrefix":
            return f"path under {path.value}"
        case "RegularExpression":
            return f"path matches '{path.value}'"
        case _:
            assert_never(path.type)


def _value(asked: HeaderMatch | QueryMatch) -> str:
    return f"is '{asked.value}'" if asked.type == "Exact" else f"matches '{asked.value}'"


CLIENT_CERTIFICATE: Final = {
    "AllowValidOnly": "the client must show a certificate that verifies, or the handshake fails",
    "AllowInsecureFallback": "the client is asked for a certificate; whatever it shows is let in",
}


PROTOCOLS: Final[dict[BackendProtocol, str]] = {
    "http/1.1": "HTTP/1.1",
    "h2c": "HTTP/2",
    "auto": "HTTP/2 or HTTP/1.1",
    "client": "what the client speaks, HTTP/2 or HTTP/1.1",
}
"""What requests to a backend are written in."""


def filters_in_words(filters: tuple[AnyFilter, ...]) -> tuple[str, ...]:
    """One sentence without full stop for each effect, in the order of the filters."""
    return tuple(words for each in filters for words in _filter(each))


def _filter(each: AnyFilter) -> list[str]:
    match each:
        case RequestHeaderModifier():
            return _edits("request", each)
        case ResponseHeaderModifier():
            return _edits("response", each)
        case RequestRedirect():
            return [f"redirects with {each.status}{_changes(each.scheme, each.hostname, each.port, each.path)}"]
        case UrlRewrite():
            return [f"rewrites the request{_changes(None, each.hostname, None, each.path)}"]
        case RequestMirror():
            return [f"mirrors {_share(each.numerator, each.denominator)} of the requests to {each.backend}"]
        case Cors():
            return [_cors(each)]
        case ExternalAuth():
            body = f", with up to {each.max_body} bytes of body" if each.max_body else ""
            how = " over gRPC" if each.protocol == "GRPC" else ""
            return [f"asks the authorization server {each.backend}{how} whether the request may pass{body}"]
        case Unresolved():
            return [f"answers 500: {each.reason}"]
        case _:
            assert_never(each)


def _edits(side: str, edits: RequestHeaderModifier | ResponseHeaderModifier) -> list[str]:
    words = [f"removes {side} header {name}" for name in edits.remove]
    words += [f"sets {side} header {name}: {value}" for name, value in edits.set]
    words += [f"adds {side} header {name}: {value}" for name, value in edits.add]
    return words


def _changes(scheme: str | None, hostname: str | None, port: int | None, path: PathModifier | None) -> str:
    words = [f"{name} {value}" for name, value in (("scheme", scheme), ("host", hostname), ("port", port)) if value is not None]
    if path is not None:
        replaced = "path" if path.type == "ReplaceFullPath" else "the matched prefix becomes"
        words.append(f"{replaced} {path.value or '/'}")
    return f": {', '.join(words)}" if words else ""


def _share(numerator: int, denominator: int) -> str:
    return "all" if numerator == denominator else f"{100 * numerator / denominator:g}%"


def _cors(cors: Cors) -> str:
    words = f"CORS for origins {', '.join(cors.allow_origins) or 'none'}"
    return f"{words}, with credentials" if cors.allow_credentials else words


def limits_in_words(rule: HttpRule) -> tuple[str, ...]:
    """Timeouts, retries and session persistence."""
    words = []
    if rule.timeouts.request:
        words.append(f"the whole request may take {time_in_words(rule.timeouts.request)}")
    if rule.timeouts.backend_request:
        words.append(f"one attempt may take {time_in_words(rule.timeouts.backend_request)}")
    if rule.retry is not None:
        codes = f" or {', '.join(map(str, rule.retry.codes))}" if rule.retry.codes else ""
        wait = f", at least {time_in_words(rule.retry.backoff)} apart" if rule.retry.backoff else ""
        words.append(f"up to {rule.retry.attempts} {'retry' if rule.retry.attempts == 1 else 'retries'} after no answer{codes}{wait}")
    if rule.persistence is not None:
        words.append(f"sessions by {rule.persistence.type.lower()} {rule.persistence.session_name}")
    return tuple(words)


def listener_limits_in_words(options: ListenerOptions, route: str) -> tuple[str, ...]:
    """What a listener takes of the requests that this route serves; '' for none."""
    words = [f"request bodies of at most {options.most_request_body} bytes"] if options.most_request_body else []
    return (*words, *(_rate_limit(limit) for limit in options.rate_limits if counts(limit, route)))


def _rate_limit(limit: RateLimit) -> str:
    number = f"{limit.requests} {'request' if limit.requests == 1 else 'requests'} each {time_in_words(limit.period)}"
    burst = "" if limit.burst == limit.requests else f", up to {limit.burst} at once"
    kind = {"ClientAddress": "client address", "Header": f"header {limit.header}", "Route": "route", "Listener": "listener"}[limit.by]
    routes = f", for routes {', '.join(limit.routes)}" if limit.routes else ""
    return f"rate limit {limit.name}: {number}{burst}, by {kind}{routes}"


def greeting_in_words(options: ListenerOptions) -> tuple[str, ...]:
    """What a connection has to begin with, before anything else."""
    if options.proxy_protocol == "Off":
        return ()
    senders = ", ".join(options.proxy_protocol_addresses) or "anybody"
    return (f"a connection {'must' if options.proxy_protocol == 'Require' else 'may'} begin with a PROXY header, believed from {senders}",)


def tracing_in_words(tracer: Tracer | None) -> tuple[str, ...]:
    """Whose requests are traced, and where that is told."""
    if tracer is None:
        return ()
    share = "the caller decides whether a request is traced, and"
    return (f"{share} where it does not {tracer.percent:g} % are; spans go to {tracer.exporter.sender.url}",)


def time_in_words(milliseconds: int) -> str:
    """As people write it."""
    if milliseconds and milliseconds % 3_600_000 == 0:
        return f"{milliseconds // 3_600_000} h"
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds} ms"
