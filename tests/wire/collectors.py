"""A collector of traces that is not ours: a server of the standard library that takes OTLP over HTTP and reads what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread

from gateway.http.protobuf import Message, last_text, merged, read_fields, texts
from tests.wire.backends import LIMIT


@dataclass(frozen=True, slots=True)
class Span:
    """As trace.proto has it; ids in hex, of the attributes each value as text or number."""

    trace_id: str
    span_id: str
    parent_id: str
    state: str
    name: str
    kind: int
    nanoseconds: int
    attributes: dict[str, str | int]
    failed: bool
    message: str
    flags: int
    resource: dict[str, str | int]


class Collector:
    """What came is in `spans`, in order of arrival; `answers` are statuses for the next requests, 200 after them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        self._came = Condition()
        collector = self

        class Taking(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                status = collector._take(self.path, dict(self.headers.items()), data)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status == 503:
                    self.send_header("Retry-After", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _take(self, path: str, headers: dict[str, str], data: bytes) -> int:
        with self._came:
            self.paths.append(path)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            status = self.answers.pop(0) if self.answers else 200
            if status == 200:
                self.spans += spans_of(data)
            self._came.notify_all()
        return status

    def wait_for(self, spans: int = 0, requests: int = 0) -> list[Span]:
        """The spans, once there are so many and that many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.spans) >= spans and len(self.paths) >= requests, LIMIT), (self.spans, self.paths)
            return list(self.spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    thread = Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.server.shutdown()
        collector.server.server_close()
        thread.join(LIMIT)


def spans_of(request: bytes) -> list[Span]:
    """Of an ExportTraceServiceRequest."""
    found = []
    for resource_spans in map(read_fields, texts(read_fields(request), 1)):
        resource = _attributes(merged(resource_spans, 1) or [], 1)
        for scope_spans in map(read_fields, texts(resource_spans, 2)):
            found += [_span(read_fields(span), resource) for span in texts(scope_spans, 2)]
    return found


def _span(fields: Message, resource: dict[str, str | int]) -> Span:
    status = merged(fields, 15)
    began, ended = (int.from_bytes(last_text(fields, number), "little") for number in (7, 8))
    return Span(
        last_text(fields, 1).hex(), last_text(fields, 2).hex(), last_text(fields, 4).hex(), last_text(fields, 3).decode(),
        last_text(fields, 5).decode(), dict(fields)[6], ended - began, _attributes(fields, 9), status is not None and (3, 2) in status,
        last_text(status or [], 2).decode(), int.from_bytes(last_text(fields, 16), "little"), resource,
    )  # type: ignore[arg-type]  # a number  # fmt: skip


def _attributes(fields: Message, number: int) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for attribute in map(read_fields, texts(fields, number)):
        ((kind, value),) = merged(attribute, 2) or []
        key = last_text(attribute, 1).decode()
        assert key not in found, f"{key} stands there twice"
        assert kind in (1, 3), f"{key} is neither text nor number"
        found[key] = value.decode() if isinstance(value, bytes) else value
    return found
