"""The judge of all wire tests judges: an explanation that is wrong about an exchange fails (tests/wire/agreement.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.wire.agreement import Outcome, check
from tests.wire.conftest import Serve
from tests.wire.serving import Answer

RULES = """
- matches: [{path: {value: /served}}]
  backendRefs: [{name: blue, port: 80}]
- matches: [{path: {value: /moved}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org}}]
- matches: [{path: {value: /empty}}]
"""


def outcome(answer: Answer) -> Outcome:
    return Outcome(answer.status, answer.headers, answer.received, answer.counted)


def with_reply(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda said: {**said, "reply": {**said["reply"], **fields}}


def with_portion(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda said: {**said, "portions": [{**said["portions"][0], **fields}]}


def with_forwarded(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda said: {**said, "portions": [{**said["portions"][0], "forwarded": {**said["portions"][0]["forwarded"], **fields}}]}


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        ("/served", lambda said: {**said, "closed": "nothing listens"}),
        ("/served", lambda said: {**said, "rule": {**said["rule"], "rule": "1"}}),
        ("/served", lambda said: {**said, "rule": {**said["rule"], "route": "default/other"}}),
        ("/served", lambda said: {**said, "rule": None}),
        ("/served", lambda said: {**said, "listener": {**said["listener"], "name": "other"}}),
        ("/served", lambda said: {**said, "portions": []}),
        ("/served", with_portion(backend="default/green:80")),
        ("/served", with_portion(percent=0.0)),
        ("/served", with_portion(endpoints=[{"address": "127.0.0.1:1", "percent": 100.0, "fault": ""}])),
        ("/served", with_forwarded(target="/other")),
        ("/served", with_forwarded(host="other.example")),
        ("/served", with_forwarded(headers=[])),
        ("/served", with_forwarded(headers=[("x-invented", "1")])),
        ("/served", lambda said: {**said, "reply": {"status": 200, "reason": "", "flag": "", "headers": []}}),
        ("/moved", with_reply(status=301)),
        ("/moved", with_reply(headers=[("location", "http://example.net/moved")])),
        ("/moved", with_reply(headers=[])),
        ("/empty", with_reply(flag="UH")),
        ("/empty", with_reply(headers=[("x-tidegate-reason", "another")])),
        ("/nowhere", with_reply(status=503)),
        ("/nowhere", lambda said: {**said, "reply": None}),
    ],
)
def test_a_wrong_explanation_is_found(serve: Serve, target: str, wrong: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """What `explain` says is held to what happened, part by part."""
    answer = serve(RULES).ask(target)
    explanation = msgspec.json.decode(msgspec.json.encode(answer.explanation))
    check(explanation, outcome(answer))
    with pytest.raises(AssertionError):
        check(wrong(explanation), outcome(answer))
