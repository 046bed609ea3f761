"""Pods for the tests of this folder, and what the API server does with an answer."""

from __future__ import annotations

import copy
import json
from typing import Any

from mesh.injection.settings import SidecarSettings

SETTINGS = SidecarSettings("tidegate:1", "tidegate-controller.tidegate-system.svc:15010", "tidegate-system")


def pod(*containers: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A Pod of namespace shop; without containers it has one."""
    plain = [{"name": "app", "image": "cart:1"}]
    place = {"name": "cart", "namespace": "shop"} | metadata
    return {"apiVersion": "v1", "kind": "Pod", "metadata": place, "spec": {"containers": list(containers) or plain}}


def applied(raw: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """A Pod after a JSON Patch of "add" to members of objects, which is all that is used (RFC 6902 4.1)."""
    found = copy.deepcopy(raw)
    for operation in operations:
        assert operation["op"] == "add"
        *outer, last = operation["path"].removeprefix("/").split("/")
        target = found
        for step in outer:
            target = target[step]
        target[last] = operation["value"]
    return found


def review(raw: dict[str, Any], **request: Any) -> bytes:
    """What the API server sends when this Pod is created; `request` are fields of AdmissionRequest that are otherwise."""
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    asked = {"uid": "a-uid", "kind": kind, "namespace": "shop", "operation": "CREATE", "object": raw, "dryRun": False} | request
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}).encode()
