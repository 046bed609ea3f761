"""Traces: what is passed on of their context, which exchanges become spans, and what these say (docs/observing.md, Traces)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.wire.backends import Echo, Planned, closed_port
from tests.wire.collectors import Collector, collecting
from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing
from tests.wire.serving import Site, service

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    with collecting() as collector:
        yield collector


def traced(collector: Collector, fields: str = "samplingPercent: 100") -> str:
    """A ListenerPolicy that sends traces to the collector."""
    tracing = f"{{collector: '{collector.url}', {fields}}}"
    spec = f"{{targetRefs: [{{name: web}}], reasonHeader: true, tracing: {tracing}}}"
    return f"kind: ListenerPolicy\nmetadata: {{name: reasons}}\nspec: {spec}"


def counted(site: Site, name: str) -> float:
    return sum(sample.value for sample in site.statistics().counters if sample.name == name)


# context


@every_pairing
def test_without_tracing_context_passes_as_it_came(serve: Serve) -> None:
    """A proxy that takes no part changes neither traceparent nor tracestate nor B3 (Trace Context 3.4, "pass through")."""
    fields = [("traceparent", TRACEPARENT), ("tracestate", "vendor=1"), ("b3", f"{TRACE}-{PARENT}-0"), ("x-b3-sampled", "0")]
    site = serve(TO_BLUE)
    request = site.ask(headers=fields).request
    assert [(name, request.value(name)) for name, _ in fields] == fields
    assert "trace_id" not in site.log.wait_for(1)[0]


@every_pairing
def test_our_span_is_the_parent_of_the_next(serve: Serve, collector: Collector) -> None:
    """Trace Context 3.4: the trace stays, the parent is the span that is told to the collector, and tracestate passes."""
    site = serve(TO_BLUE, traced(collector))
    request = site.ask(headers=[("Traceparent", TRACEPARENT), ("Tracestate", "a=1"), ("tracestate", "b=2")]).request
    (span,) = collector.wait_for(1)
    assert (span.trace_id, span.parent_id, span.state) == (TRACE, PARENT, "a=1,b=2")
    assert request.values("traceparent") == [f"00-{TRACE}-{span.span_id}-01"]
    assert request.values("tracestate") == ["a=1,b=2"]
    assert site.log.wait_for(1)[0]["trace_id"] == TRACE


def test_two_hops_are_one_trace(serve: Serve, collector: Collector) -> None:
    """The span of the second proxy is a child of that of the first."""
    behind = serve(TO_BLUE, traced(collector))
    site = serve("- backendRefs: [{name: behind, port: 80}]", service("behind", behind.address()[1]), traced(collector))
    with site.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n")
        while connection.recv(65536):
            pass
    spans = {span.parent_id: span for span in collector.wait_for(2)}
    first = spans.pop("")
    assert list(spans) == [first.span_id]
    assert {span.trace_id for span in spans.values()} == {first.trace_id}


@pytest.mark.parametrize(
    "traceparent",
    ["garbage", TRACEPARENT.upper(), f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"{TRACEPARENT}-more"],
)
def test_malformed_context_is_replaced(serve: Serve, collector: Collector, traceparent: str) -> None:
    """Trace Context 3.2.2 and 3.4: of an invalid traceparent nothing is kept, and its tracestate is not sent on."""
    request = serve(TO_BLUE, traced(collector)).ask(headers=[("traceparent", traceparent), ("tracestate", "a=1")]).request
    (span,) = collector.wait_for(1)
    assert request.value("traceparent") == f"00-{span.trace_id}-{span.span_id}-01"
    assert request.value("tracestate") is None
    assert (span.parent_id, span.trace_id.lower() != TRACE) == ("", True)


def test_b3_in_one_field_is_passed_on_in_one_field(serve: Serve, collector: Collector) -> None:
    """B3 "Single Header", with a trace id of 64 bits, beside the traceparent of the same trace."""
    request = serve(TO_BLUE, traced(collector)).ask(headers=[("b3", f"{TRACE[:16]}-{PARENT}-1")]).request
    (span,) = collector.wait_for(1)
    assert (span.trace_id, span.parent_id) == ("0" * 16 + TRACE[:16], PARENT)
    assert request.value("b3") == f"{TRACE[:16]}-{span.span_id}-1-{PARENT}"
    assert request.value("traceparent") == f"00-{span.trace_id}-{span.span_id}-01"


def test_b3_in_several_fields_is_passed_on_in_several(serve: Serve, collector: Collector) -> None:
    """B3 "Multiple Headers"."""
    fields = [("X-B3-TraceId", TRACE), ("X-B3-SpanId", PARENT), ("X-B3-Sampled", "1")]
    request = serve(TO_BLUE, traced(collector, "samplingPercent: 0")).ask(headers=fields).request
    (span,) = collector.wait_for(1)
    assert request.value("x-b3-traceid") == span.trace_id == TRACE
    assert (request.value("x-b3-spanid"), request.value("x-b3-parentspanid")) == (span.span_id, PARENT)
    assert (request.value("x-b3-sampled"), request.value("b3")) == ("1", None)


def test_filters_see_the_context_that_is_sent_on(serve: Serve, collector: Collector) -> None:
    """A RequestHeaderModifier may take it away."""
    rule = """
- filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [traceparent]}}]
  backendRefs: [{name: blue, port: 80}]
"""
    assert serve(rule, traced(collector)).ask(headers=[("traceparent", TRACEPARENT)]).request.values("traceparent") == []


# decisions


def test_a_callers_decision_is_followed(serve: Serve, collector: Collector) -> None:
    """What the caller does not sample is sent on as not sampled and is no span, whatever the share."""
    site = serve(TO_BLUE, traced(collector))
    left_out = site.ask(headers=[("traceparent", f"00-{TRACE}-{PARENT}-00")]).request
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", left_out.value("traceparent") or "")
    site.ask("/second")
    assert [span.attributes["url.path"] for span in collector.wait_for(1)] == ["/second"]


def test_without_a_decision_the_share_decides(serve: Serve, collector: Collector) -> None:
    """samplingPercent 0: a new trace begins, not sampled."""
    request = serve(TO_BLUE, traced(collector, "samplingPercent: 0")).ask().request
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", request.value("traceparent") or "")


def test_a_listener_can_be_left_out(serve: Serve, collector: Collector) -> None:
    """ListenerPolicy.tracing.disabled: nothing is told, and context passes as it came."""
    assert serve(TO_BLUE, traced(collector, "disabled: true")).ask(headers=[("b3", "0")]).request.value("traceparent") is None


# what spans say


def test_attributes_of_a_span(serve: Serve, blue: Echo, collector: Collector) -> None:
    """OpenTelemetry's conventions for HTTP servers, and who served the request."""
    site = serve("- name: shop\n  matches: [{path: {value: /buy}}]\n  backendRefs: [{name: blue, port: 80}]", traced(collector))
    blue.plan(Planned(201, body=b"created"))
    headers = [("User-Agent", "curl/8"), ("traceparent", TRACEPARENT)]
    answer = site.ask("/buy/hat?sig=secret&q=1", method="POST", host="shop.example.com:8080", headers=headers, body=b"please")
    (span,) = collector.wait_for(1)
    assert (span.name, span.kind, span.failed, span.flags) == ("POST /buy", 2, False, 0x301)
    assert span.nanoseconds > 0
    assert span.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "url.path": "/buy/hat",
        "url.query": "sig=REDACTED&q=1",
        "http.route": "/buy",
        "server.address": "shop.example.com",
        "server.port": 8080,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "curl/8",
        "http.response.status_code": 201,
        "http.request.body.size": 6,
        "http.response.body.size": 7,
        "tidegate.gateway": "default/web",
        "tidegate.listener": "http",
        "tidegate.route": "HTTPRoute/default/route",
        "tidegate.rule": "shop",
        "tidegate.backend": "default/blue:80",
        "tidegate.request_id": answer.request.value("x-request-id"),
        "tidegate.endpoint": f"127.0.0.1:{blue.port}",
    }
    assert {"service.name": "web", "service.namespace": "default", "telemetry.sdk.name": "tidegate"}.items() <= span.resource.items()


def test_a_failure_is_an_error(serve: Serve, collector: Collector) -> None:
    """error.type is the status of a 5xx; a 404 is none of the server's errors."""
    site = serve("- backendRefs: [{name: gone, port: 80}]", service("gone", closed_port()), traced(collector))
    site.ask("/", headers=[("traceparent", TRACEPARENT)])
    (span,) = collector.wait_for(1)
    assert (span.failed, span.attributes["error.type"], span.attributes["tidegate.response_flags"]) == (True, "503", "UF")
    assert span.message == span.attributes["tidegate.reason"]
    site.change(traced(collector))
    site.ask("/nowhere")
    span = collector.wait_for(2)[1]
    assert (span.failed, span.name, span.attributes["http.response.status_code"]) == (False, "GET", 404)
    assert "error.type" not in span.attributes


def test_methods_that_nobody_knows_are_not_names(serve: Serve, collector: Collector) -> None:
    """Names of spans have few values, whatever clients send (semantic conventions, http.request.method)."""
    serve(TO_BLUE, traced(collector)).ask(method="BREW")
    (span,) = collector.wait_for(1)
    assert span.name == "HTTP /"
    assert (span.attributes["http.request.method"], span.attributes["http.request.method_original"]) == ("_OTHER", "BREW")


# the collector


def test_spans_go_to_the_path_for_traces(serve: Serve, collector: Collector) -> None:
    """OTLP/HTTP: POST to /v1/traces, binary protobuf; what collectors took is counted."""
    site = serve(TO_BLUE, traced(collector))
    site.ask()
    collector.wait_for(1)
    assert collector.paths == ["/v1/traces"]
    assert collector.headers[0]["content-type"] == "application/x-protobuf"
    site.ask()
    collector.wait_for(2)  # the first is dealt with when the second comes
    assert counted(site, "tidegate_spans_sent_total") >= 1
    assert counted(site, "tidegate_spans_dropped_total") == 0


def test_a_refused_batch_is_dropped_and_counted(serve: Serve, collector: Collector) -> None:
    """OTLP/HTTP "Failures": 400 is not tried again; requests go on, and so do later spans."""
    site = serve(TO_BLUE, traced(collector))
    collector.answers.append(400)
    site.ask("/lost")
    collector.wait_for(requests=1)
    site.ask("/kept")
    assert [span.attributes["url.path"] for span in collector.wait_for(1, requests=2)] == ["/kept"]
    assert counted(site, "tidegate_spans_dropped_total") == 1
