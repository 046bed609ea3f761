"""The thread that posts spans, against a real server: what is tried again, what is dropped, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.tracing import sender as module
from gateway.tracing.otlp import SERVER, SpanData, rejected, span_field, spans_of_resource, text_attribute
from gateway.tracing.sender import Batch, Sender, headers_of
from tests.wire.backends import closed_port
from tests.wire.collectors import Collector, collecting, spans_of

SPAN = span_field(SpanData(b"\1" * 16, b"\2" * 8, b"", b"", b"GET", SERVER, 1, 2, None), b"")
BATCH = Batch(spans_of_resource(b"", b"1", [SPAN, SPAN]), 2)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two tries."""
    monkeypatch.setattr(module, "FIRST_WAIT", 0.0)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def sent(url: str, *batches: Batch, headers: dict[str, str] | None = None) -> tuple[Sender, list[str]]:
    """A sender that has dealt with the batches, and what it said."""
    said: list[str] = []
    sender = Sender(url, headers or {}, said.append)
    for batch in batches:
        sender.put(batch)
    assert sender._thread is not None
    sender._queue.put(None)
    sender._thread.join(10)
    assert sender.waiting == 0
    return sender, said


def test_batches_arrive_over_one_connection(collector: Collector) -> None:
    """Nothing is lost and nothing said; fields of OTEL_EXPORTER_OTLP_HEADERS go with each."""
    sender, said = sent(collector.url + "/v1/traces", BATCH, BATCH, headers={"api-key": "abc"})
    assert (sender.sent, sender.dropped, said, len(collector.spans)) == (4, 0, [], 4)
    assert [headers["api-key"] for headers in collector.headers] == ["abc", "abc"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_collector_that_asks_for_another_try_gets_it(collector: Collector, status: int) -> None:
    """OTLP/HTTP, "Retryable Response Codes"."""
    collector.answers += [status, status]
    sender, said = sent(collector.url + "/v1/traces", BATCH)
    assert (sender.sent, sender.dropped, said, len(collector.paths)) == (2, 0, [], 3)


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_what_is_refused_for_good_is_dropped_at_once(collector: Collector, status: int) -> None:
    """OTLP/HTTP: every other status must not be tried again."""
    collector.answers.append(status)
    sender, said = sent(collector.url + "/v1/traces", BATCH)
    assert (sender.sent, sender.dropped, len(collector.paths)) == (0, 2, 1)
    assert f"it answered {status}" in said[0]


def test_tries_are_bounded(collector: Collector) -> None:
    """After the last one the batch is dropped, and the next has its turn."""
    collector.answers += [503] * module.TRIES
    sender, said = sent(collector.url + "/v1/traces", BATCH, BATCH)
    assert (sender.sent, sender.dropped, len(collector.paths)) == (2, 2, module.TRIES + 1)
    assert [line.rpartition("/v1/traces ")[2].partition(":")[0] for line in said] == ["takes no spans", "takes spans again"]


def test_a_collector_that_is_away_is_told_of_once() -> None:
    """The line says where, why, and what becomes of the spans."""
    port = closed_port()
    sender, said = sent(f"http://127.0.0.1:{port}/v1/traces", BATCH, BATCH)
    assert (sender.sent, sender.dropped, len(said)) == (0, 4, 1)
    assert said[0].startswith(f"traces: the collector http://127.0.0.1:{port}/v1/traces takes no spans: ")
    assert "refused" in said[0]


def test_a_part_may_be_refused() -> None:
    """ExportTracePartialSuccess: how many spans, and why; what is no message says nothing."""
    assert rejected(b"\x0a\x08\x08\x03\x12\x04full") == (3, "full")
    assert rejected(b"") == rejected(b"not a message") == (0, "")


def test_closing_ends_the_tries(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a process does not wait for a collector that is away."""
    monkeypatch.setattr(module, "FIRST_WAIT", 1e6)
    collector.answers += [429] * 9
    sender = Sender(collector.url + "/v1/traces", {}, lambda line: None)
    sender.put(BATCH)
    collector.wait_for(requests=1)
    sender.close()
    assert sender._thread is not None
    assert not sender._thread.is_alive()
    assert (sender.sent, sender.dropped) == (0, 2)


def test_headers_of_the_environment() -> None:
    """OTEL_EXPORTER_OTLP_HEADERS: name=value, separated by commas, values percent-encoded."""
    assert headers_of("api-key=abc, x-team=a%20b,") == {"api-key": "abc", "x-team": "a b"}
    assert headers_of("") == {}
    for text in ("novalue", "a b=c", "a=%0d%0ab"):
        with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_HEADERS"):
            headers_of(text)


def test_a_value_is_cut_and_becomes_utf8() -> None:
    """Clients choose names and values: none can make a span large, or one that a collector cannot read."""
    data = SpanData(b"\1" * 16, b"\2" * 8, b"", b"", b"n", SERVER, 1, 2, b"why")
    (span,) = spans_of(spans_of_resource(b"", b"", [span_field(data, text_attribute(b"url.path", b"\xff" * 5000))]))
    assert span.attributes == {"url.path": "\N{REPLACEMENT CHARACTER}" * 1024}
    assert (span.failed, span.message) == (True, "why")
