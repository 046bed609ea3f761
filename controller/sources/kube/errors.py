"""What the API server refuses, or why it was not reached: typed, with what was asked, of what, and the remedy where one is known."""

from collections.abc import Mapping
from typing import Any

import orjson

from controller.sources.kube.resources import Resource

_LONGEST_PAUSE = 60.0
"""Seconds for which a Retry-After is honoured; a longer one counts as this."""

_LONGEST_MESSAGE = 600


class ApiError(Exception):
    """A request that failed. `status` is HTTP's (0 when there was no answer), `reason` that of metav1.Status, `message` the server's.

    `retry_after` is in seconds, None when the server asks for no pause.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None, asked: str = "") -> None:
        super().__init__(f"{asked}: {message}" if asked else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFound(ApiError):
    """404: neither the object, nor perhaps its kind, is there."""


class Conflict(ApiError):
    """409: the object is another than the request thinks, or is there already."""


class Gone(ApiError):
    """410: the page token or the resourceVersion is too old, and a list must begin anew."""


class Unreachable(ApiError):
    """No answer: refused, cut off, timed out, or not to be trusted (TLS)."""


_TYPES: Mapping[int, type[ApiError]] = {404: NotFound, 409: Conflict, 410: Gone}


def asked(verb: str, resource: Resource, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """A request in words: `patch status of HTTPRoute shop/cart`, `list Services in all namespaces`."""
    if not resource.plural:
        return f"{verb} {resource.kind} of {resource.api_version}"
    what = f"{verb} {subresource} of {resource.kind}" if subresource else f"{verb} {resource.kind}"
    if name:
        return f"{what} {namespace}/{name}" if namespace else f"{what} {name}"
    if not resource.namespaced:
        return f"{what}: all"
    return f"{what}: all in namespace {namespace}" if namespace else f"{what}: all in every namespace"


def refused(status: int, body: Any, retry_after: float | None, request: str, remedy: str = "") -> ApiError:
    """The error of an answer with this status; `body` is a metav1.Status, bytes that hold one, or anything that came instead."""
    details = body if isinstance(body, dict) else _status(body)
    reason = str(details.get("reason") or "")
    message = str(details.get("message") or f"the answer was HTTP {status}")[:_LONGEST_MESSAGE]
    text = f"{status} {reason}: {message}" if reason else message
    return _TYPES.get(status, ApiError)(status, reason, text + (f". {remedy}" if remedy else ""), retry_after, request)


def pause_of(field: str | None) -> float | None:
    """Seconds of a Retry-After field (RFC 9110 10.2.3). The API server writes seconds; a date counts as absent."""
    if field is None or not field.isascii() or not field.isdigit():
        return None
    return min(float(field[:6]), _LONGEST_PAUSE)


def remedy_of(status: int, verb: str, resource: Resource, subresource: str = "") -> str:
    """What helps against a refusal of this status, "" where the server's own words must do."""
    if status == 401:
        return "The token or client certificate is not accepted: look at the ServiceAccount of this Pod, or at the user of the kubeconfig"
    if status == 403:
        plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
        scope = "a Role or ClusterRole" if resource.namespaced else "a ClusterRole"
        return f'Allow verb "{verb}" on resource "{plural}" of apiGroup "{resource.group}" in {scope} of this ServiceAccount'
    return ""


def _status(body: bytes) -> dict[str, Any]:
    try:
        details = orjson.loads(body)
    except orjson.JSONDecodeError:
        details = None
    return details if isinstance(details, dict) else {"message": body[:_LONGEST_MESSAGE].decode(errors="replace").strip()}
