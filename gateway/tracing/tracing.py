"""All tracing of a process: what it was started with, the tracers of its listeners, and the exporters that they share."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakSet

from gateway.ir.tracing import Tracing as TracingOptions
from gateway.ir.tracing import sampling_of, traces_url
from gateway.telemetry.statistics import Sample
from gateway.tracing.tracer import Tracer

if TYPE_CHECKING:
    from gateway.ir.listener import Listener
    from gateway.tracing.exporter import Exporter

_UNSAID = TracingOptions()


class Tracing:
    """One per worker, owner of its exporters. An exporter lives as long as a tracer has it, or it has something to send."""

    __slots__ = ("_dropped", "_exporters", "_loop", "_sent", "_url", "_users", "instance", "sampling", "service")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._url = ""
        """Of the collector of the data plane; '' for none."""
        self.sampling = 1.0
        """Percent."""
        self.instance = ""
        self.service: Callable[[str], str] = _no_name
        """What the spans of a Gateway's key are of; '' for the Gateway's own name."""
        self._exporters: dict[str, Exporter] = {}
        self._users: dict[str, WeakSet[Tracer]] = {}
        self._sent = self._dropped = 0
        """Spans of exporters that are no more."""

    def default(self, collector: str, sampling: float, instance: str) -> None:
        """What holds where no ListenerPolicy says otherwise; without a collector nothing is traced there. `instance` is what this process
        is called. Raises ValueError."""
        self._url = traces_url(collector) if collector else ""
        self.sampling, self.instance = sampling_of(sampling), instance

    def tracer(self, listener: Listener) -> Tracer | None:
        """For a new version of a listener; None where it is not traced. Raises ValueError for options that cannot be used."""
        self.let_go()
        options = listener.options.tracing or _UNSAID
        if options.disabled or not (options.collector or self._url):
            return None
        url = traces_url(options.collector) if options.collector else self._url
        percent = sampling_of(self.sampling if options.sampling_percent is None else options.sampling_percent)
        exporter = self._exporters.get(url)
        if exporter is None:
            exporter = self._exporters[url] = self._make(url)
            self._users[url] = WeakSet()
        tracer = Tracer(listener, exporter, percent)
        self._users[url].add(tracer)
        return tracer

    def _make(self, url: str) -> Exporter:
        """What it needs of the library is two megabytes, which a process that traces nothing is spared."""
        from gateway.tracing.exporter import DELAY_VARIABLE, Exporter, delay_of  # noqa: PLC0415  # see above
        from gateway.tracing.resource import resource_of  # noqa: PLC0415
        from gateway.tracing.sender import HEADERS_VARIABLE, Sender, headers_of  # noqa: PLC0415

        headers: dict[str, str] = {}
        if url == self._url:
            try:
                headers = headers_of(os.environ.get(HEADERS_VARIABLE, ""))
            except ValueError as error:
                self._say(f"traces: {error}; spans are sent without these fields")
        sender = Sender(url, headers, self._say)
        delay = delay_of(os.environ.get(DELAY_VARIABLE, ""))

        def resource(gateway: str) -> bytes:
            return resource_of(gateway, self.service(gateway), self.instance, os.environ)

        return Exporter(self._loop, sender, resource, delay)

    def _say(self, line: str) -> None:
        print(f"{self.instance}: {line}" if self.instance else line, file=sys.stderr, flush=True)

    def let_go(self) -> None:
        """Ends exporters that nobody uses any more."""
        for url in [url for url, exporter in self._exporters.items() if not self._users[url] and exporter.idle]:
            self._close(self._exporters.pop(url))
            del self._users[url]

    def _close(self, exporter: Exporter) -> None:
        exporter.close()
        self._sent += exporter.sender.sent
        self._dropped += exporter.dropped + exporter.sender.dropped

    def counters(self) -> tuple[Sample, ...]:
        """Nothing where nothing was ever traced."""
        exporters = self._exporters.values()
        sent = self._sent + sum(exporter.sender.sent for exporter in exporters)
        dropped = self._dropped + sum(exporter.dropped + exporter.sender.dropped for exporter in exporters)
        if not exporters and not sent and not dropped:
            return ()
        return Sample("tidegate_spans_sent_total", (), sent), Sample("tidegate_spans_dropped_total", (), dropped)

    def close(self) -> None:
        """The end of the process: what waits is sent, within a second for each collector."""
        while self._exporters:
            self._close(self._exporters.popitem()[1])


def _no_name(gateway: str) -> str:
    return ""
