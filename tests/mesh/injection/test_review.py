"""AdmissionReview (admission.k8s.io/v1): what is answered to each kind of question."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mesh.injection.inject import inject
from mesh.injection.review import BadReview, answer
from tests.mesh.injection.pods import SETTINGS, applied, pod, review


def answered(raw: dict[str, Any], **request: Any) -> dict[str, Any]:
    body = json.loads(answer(review(raw, **request), SETTINGS).body)
    assert (body["apiVersion"], body["kind"], body["response"]["uid"]) == ("admission.k8s.io/v1", "AdmissionReview", "a-uid")
    found: dict[str, Any] = body["response"]
    return found


def test_a_pod_is_changed_by_a_patch() -> None:
    """AdmissionResponse.patch: base64 of a JSON Patch, which gives the Pod that injection gives."""
    raw = pod(labels={"app": "cart"}, annotations={"note": "a"})
    response = answered(raw)
    assert (response["allowed"], response["patchType"]) == (True, "JSONPatch")
    assert applied(raw, json.loads(base64.b64decode(response["patch"]))) == inject(raw, "shop", SETTINGS).pod


def test_the_namespace_is_that_of_the_request() -> None:
    """A Pod that is created need not name its namespace; the request does."""
    raw = pod()
    del raw["metadata"]["namespace"]
    assert "patch" in answered(raw)
    assert "patch" not in answered(raw, namespace="kube-system")


def test_a_pod_that_stays_as_it_is_has_no_patch() -> None:
    """Allowed, without patchType; with a warning where the Pod asks for a sidecar and cannot have one."""
    raw = pod(labels={"tidegate.dev/inject": "true"})
    raw["spec"]["hostNetwork"] = True
    response = answered(raw)
    assert (response["allowed"], "patch" in response, "patchType" in response) == (True, False, False)
    assert response["warnings"][0].startswith("this Pod gets no sidecar of Tidegate: it has hostNetwork")


def test_warnings_are_as_short_as_the_api_server_wants_them() -> None:
    """AdmissionResponse.warnings: those over 256 characters, and all over 4096 together, are cut."""
    annotations = {f"tidegate.dev/{'x' * 50}{number}": "" for number in range(100)}
    containers = [{"name": f"{'c' * 200}{number}", "ports": [{"containerPort": 15001}]} for number in range(9)]
    warnings = answered(pod(*containers, annotations=annotations))["warnings"]
    assert all(len(warning) <= 256 for warning in warnings)
    assert 0 < sum(map(len, warnings)) <= 4096


def test_a_pod_that_is_wrong_is_refused_with_the_message() -> None:
    """AdmissionResponse.status.message is what `kubectl` shows; the log says of which Pod."""
    raw = pod(annotations={"tidegate.dev/exclude-inbound-ports": "http"})
    response = answered(raw)
    assert (response["allowed"], response["status"]["code"]) == (False, 400)
    assert "annotation tidegate.dev/exclude-inbound-ports: 'http'" in response["status"]["message"]
    assert answer(review(raw), SETTINGS).refused.startswith("Pod shop/cart: annotation ")


@pytest.mark.parametrize(
    "request_fields",
    [
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": {"group": "pods.example", "version": "v1", "kind": "Pod"}},
        {"operation": "DELETE", "object": None},
        {"operation": "UPDATE"},
        {"subResource": "binding"},
        {"object": None},
    ],
)
def test_whatever_is_not_the_creation_of_a_pod_is_let_through(request_fields: dict[str, Any]) -> None:
    """A webhook configuration that asks for more than it should blocks nothing."""
    assert answered(pod(), **request_fields) == {"uid": "a-uid", "allowed": True}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is no AdmissionReview"),
        (b"\xff\xfe", "the body is no AdmissionReview"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field"),
        (review({}, uid=7), "$.request.uid"),
        (review({}, object=[]), "$.request.object"),
        (review({}).replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1"), "send an AdmissionReview of admission.k8s.io/v1"),
        (b"[" * 100_000, "the body is no AdmissionReview"),
    ],
)
def test_what_is_no_review_is_said_to_be_none(body: bytes, words: str) -> None:
    """It cannot be answered by a review, since it has no uid; the reason is told."""
    with pytest.raises(BadReview, match=r".") as caught:
        answer(body, SETTINGS)
    assert words in str(caught.value)
