"""The admin pages, with a plain value for the data plane."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families

from gateway.admin import Page, Request
from gateway.ir.backend import Backend
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Certificate, Gateway, Secret
from gateway.ir.value import Source
from gateway.pages import pages
from gateway.telemetry.statistics import Sample, Statistics

SOURCE = Source("Secret", "default", "c")
CERTIFICATE = Certificate(key="default/c", source=SOURCE, chain="CHAIN", private_key=Secret("VERY PRIVATE"), fingerprint="abc")


class DataPlane:
    """See gateway.pages.Subject."""

    def __init__(self, reason: str = "", answer: bytes | None = b'{"rule":null}') -> None:
        self.reason = reason
        self.answer = answer
        self.asked: list[object] = []

    def not_ready(self) -> str:
        return self.reason

    async def statistics(self) -> Statistics:
        return Statistics(gauges=(Sample("tidegate_workers", (), 2),))

    def configuration(self) -> tuple[int, Iterable[AnyResource]]:
        gateway = Gateway(key="default/web", source=SOURCE, session_key=Secret("VERY PRIVATE"))
        return 7, (Backend(key="default/s:80", source=SOURCE), CERTIFICATE, gateway)

    async def explain(self, argument: bytes) -> bytes | None:
        self.asked.append(msgspec.json.decode(argument))
        return self.answer

    def status(self) -> bytes:
        return b'{"objects":[]}'


def get(path: str, plane: DataPlane | None = None, *query: tuple[str, str], accept: bytes = b"*/*") -> Page:
    async def serve() -> Page:
        return await pages(plane or DataPlane())[path](Request(query, ((b"accept", accept),)))

    return asyncio.run(serve())


def test_the_process_is_live_whenever_it_answers() -> None:
    """/healthz/live."""
    assert get("/healthz/live").status == 200


def test_readiness_says_why_not() -> None:
    """/healthz/ready is 503 until the first configuration is applied and while draining."""
    assert get("/healthz/ready").status == 200
    page = get("/healthz/ready", DataPlane("draining"))
    assert (page.status, page.body) == (503, b"not ready: draining\n")


def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    """Prometheus text by default, OpenMetrics on Accept (design 8)."""
    page = get("/metrics")
    assert page.content_type.startswith("text/plain; version=0.0.4")
    families = prometheus_families(page.body.decode())
    assert any(family.name == "tidegate_workers" for family in families)
    page = get("/metrics", accept=b"application/openmetrics-text; version=1.0.0")
    assert page.content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = openmetrics_families(page.body.decode())  # type: ignore[no-untyped-call]  # ships no types
    assert any(family.name == "tidegate_workers" for family in families)


def test_the_configuration_is_shown_without_private_keys() -> None:
    """/config: resources as JSON, in the order of a batch, redacted."""
    page = get("/config")
    assert b"PRIVATE" not in page.body
    shown = msgspec.json.decode(page.body)
    assert shown["revision"] == 7
    assert [resource["kind"] for resource in shown["resources"]] == ["Certificate", "Gateway", "Backend"]
    assert shown["resources"][0]["private_key"] == {"pem": "<redacted>"}
    assert shown["resources"][0]["fingerprint"] == "abc"
    assert shown["resources"][1]["session_key"] == {"pem": "<redacted>"}


def test_explain_hands_the_request_on_and_the_answer_back() -> None:
    """/explain?method=&url=&header=, the last as often as needed; GET by default."""
    plane = DataPlane()
    query = (("method", "PUT"), ("url", "http://a/b?c"), ("header", "x: 1"), ("header", "x:  2:3 "))
    page = get("/explain", plane, *query)
    assert (page.status, page.body, page.content_type) == (200, b'{"rule":null}\n', "application/json")
    get("/explain", plane, ("url", "http://a/"))
    assert plane.asked == [
        {"method": "PUT", "url": "http://a/b?c", "headers": [["x", "1"], ["x", "2:3"]]},
        {"method": "GET", "url": "http://a/", "headers": []},
    ]


def test_explain_says_what_is_wrong_with_a_question() -> None:
    """400 with the remedy: no url, two urls, a header without a colon, a misspelt parameter."""
    url = ("url", "a")
    for query in ((), (url, ("url", "b")), (url, ("header", "x")), (url, ("headers", "x: 1")), (url, ("header", ": 1"))):
        plane = DataPlane()
        page = get("/explain", plane, *query)
        assert page.status == 400, query
        assert "error" in msgspec.json.decode(page.body)
        assert plane.asked == []


def test_explain_passes_on_what_the_worker_refuses() -> None:
    """A url that a worker cannot take is the asker's mistake; no worker at all is ours."""
    assert get("/explain", DataPlane(answer=b'{"error":"no scheme"}'), ("url", "a")).status == 400
    assert get("/explain", DataPlane(answer=None), ("url", "a")).status == 503


def test_the_status_is_json() -> None:
    """/status, whatever the owner of the statuses says."""
    page = get("/status")
    assert (page.status, page.content_type, page.body) == (200, "application/json", b'{"objects":[]}\n')
