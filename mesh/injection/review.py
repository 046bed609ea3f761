"""AdmissionReview in, AdmissionReview out (admission.k8s.io/v1, pure): the change of a Pod as a JSON Patch (RFC 6902)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mesh.injection.inject import inject
from mesh.injection.settings import Refused, SidecarSettings

_VERSION: Final = "admission.k8s.io/v1"
_PARTS: Final = (
    ("metadata", "labels"),
    ("metadata", "annotations"),
    ("spec", "initContainers"),
    ("spec", "containers"),
    ("spec", "volumes"),
)
"""What injection may change."""
_LONGEST_WARNING: Final = 240
"""Characters: the API server cuts longer warnings, and all together at 4096 bytes (AdmissionResponse.warnings)."""
_MOST_WARNINGS: Final = 10


class BadReview(ValueError):
    """What came is no AdmissionReview that can be answered; the message says why."""


class _Kind(msgspec.Struct, frozen=True):
    kind: str
    group: str = ""


class _Request(msgspec.Struct, frozen=True):
    uid: str
    kind: _Kind
    namespace: str = ""
    operation: str = "CREATE"
    sub_resource: str = msgspec.field(default="", name="subResource")
    object: dict[str, Any] | None = None


class _Review(msgspec.Struct, frozen=True):
    api_version: str = msgspec.field(name="apiVersion")
    kind: str
    request: _Request


class Answer(msgspec.Struct, frozen=True):
    """`body` is the AdmissionReview; `refused` says of which Pod what was wrong, "" for one that was let in."""

    body: bytes
    refused: str = ""


def answer(body: bytes, settings: SidecarSettings) -> Answer:
    """Raises BadReview."""
    request = _read(body)
    if request.kind != _Kind("Pod") or request.operation != "CREATE" or request.sub_resource or request.object is None:
        return Answer(_encoded(request, {"allowed": True}))
    try:
        result = inject(request.object, request.namespace, settings)
    except Refused as error:
        place = f"Pod {request.namespace}/{_name_of(request.object)}"
        message = f"Tidegate cannot inject its sidecar: {error}"
        return Answer(_encoded(request, {"allowed": False, "status": {"code": 400, "message": message}}), f"{place}: {error}")
    response: dict[str, Any] = {"allowed": True}
    if operations := list(patch(request.object, result.pod)):
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(msgspec.json.encode(operations)).decode()}
    if result.warnings:
        response["warnings"] = [warning[:_LONGEST_WARNING] for warning in result.warnings[:_MOST_WARNINGS]]
    return Answer(_encoded(request, response))


def patch(before: dict[str, Any], after: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The operations that make one Pod of the other. "add" of a member that is there replaces it (RFC 6902 4.1)."""
    for outer, inner in _PARTS:
        value = (after.get(outer) or {}).get(inner)
        if value != (before.get(outer) or {}).get(inner):
            yield {"op": "add", "path": f"/{outer}/{inner}", "value": value}


def _read(body: bytes) -> _Request:
    try:
        review = msgspec.json.decode(body, type=_Review)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadReview(f"the body is no AdmissionReview: {error}") from None
    if (review.api_version, review.kind) != (_VERSION, "AdmissionReview"):
        raise BadReview(f"{review.api_version} {review.kind} is not understood: send an AdmissionReview of {_VERSION}")
    return review.request


def _encoded(request: _Request, response: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"apiVersion": _VERSION, "kind": "AdmissionReview", "response": {"uid": request.uid, **response}})


def _name_of(pod: dict[str, Any]) -> str:
    metadata = pod.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return str(metadata.get("name") or metadata.get("generateName") or "without a name")
