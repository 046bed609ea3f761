"""The thread that posts spans to a collector (OTLP 1.5, "OTLP/HTTP"): one connection, one request at a time, a few tries for each.

A collector that is away costs nobody anything: its spans are dropped and counted, and one line says that it is away, one that it is back.
"""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Event, Thread
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from gateway.tracing.otlp import rejected

TRIES: Final = 4
"""Of one batch, `FIRST_WAIT` seconds apart at first and twice as long each time: seven seconds in all."""
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 30.0
"""Seconds that a collector may ask us to wait (Retry-After)."""
TIMEOUT: Final = 10.0
"""Seconds for each step of a request."""
CLOSING: Final = 1.0
"""Seconds that the end of a process waits for what is under way."""
_RETRIED: Final = frozenset({429, 502, 503, 504})
_LONGEST_ANSWER: Final = 64 * 1024
HEADERS_VARIABLE: Final = "OTEL_EXPORTER_OTLP_HEADERS"
"""Environment variable with fields for the collector of the data plane, `name=value` separated by commas, values percent-encoded. In the
environment and not in an option, because other users of a machine can read arguments."""
AUTHORITIES_VARIABLE: Final = "OTEL_EXPORTER_OTLP_CERTIFICATE"
"""Environment variable that names a file of CA certificates for collectors of https; those of the system without it."""


class Batch(NamedTuple):
    """An ExportTraceServiceRequest, and how many spans are in it."""

    data: bytes
    spans: int


class _Refused(Exception):
    """The collector did not take it: why, whether another try makes sense, and after how many seconds it asks for that."""

    def __init__(self, reason: str, again: bool, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.again, self.wait = again, wait


class Sender:
    """Each counter has one writer, the loop or the thread, so that none is lost."""

    def __init__(self, url: str, headers: Mapping[str, str], say: Callable[[str], None]) -> None:
        """`headers` go with every request."""
        self._url, self._say = urlsplit(url), say
        self._headers = {"Content-Type": "application/x-protobuf", "User-Agent": "tidegate", **headers}
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()
        self._closing = Event()
        self._thread: Thread | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._away = False
        self._put = self._taken = 0
        self.sent = self.dropped = 0
        """Spans that the collector has, and those that it did not take."""

    @property
    def url(self) -> str:
        """Where spans are posted."""
        return self._url.geturl()

    @property
    def waiting(self) -> int:
        """Spans that it has not dealt with."""
        return self._put - self._taken

    def put(self, batch: Batch) -> None:
        """From the loop. The first one starts the thread."""
        self._put += batch.spans
        self._queue.put(batch)
        if self._thread is None:
            self._thread = Thread(target=self._run, name="traces", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Nobody puts anything any more. A batch that is under way gets no other try."""
        self._closing.set()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout=CLOSING)

    # in the thread

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            self._deliver(batch)
            self._taken += batch.spans
        self._disconnect()

    def _deliver(self, batch: Batch) -> None:
        wait = FIRST_WAIT
        for attempt in range(1, TRIES + 1):
            try:
                refused, reason = self._post(batch)
            except _Refused as failure:
                if failure.again and attempt < TRIES and not self._closing.is_set():
                    self._closing.wait(failure.wait or wait)
                    wait *= 2
                    continue
                self.dropped += batch.spans
                self._tell_away(str(failure))
                return
            self.dropped += min(refused, batch.spans)
            self.sent += batch.spans - min(refused, batch.spans)
            self._tell_back(refused, reason)
            return

    def _post(self, batch: Batch) -> tuple[int, str]:
        """Spans that the collector refused of those that it got, and why. Raises _Refused."""
        try:
            connection = self._connection or self._connect()
            connection.request("POST", self._url.path, batch.data, self._headers)
            answer = connection.getresponse()
            body = answer.read(_LONGEST_ANSWER)
            if answer.will_close or not answer.isclosed():
                self._disconnect()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._disconnect()
            raise _Refused(str(error) or type(error).__name__, True) from None
        if 200 <= answer.status < 300:
            return rejected(body)
        raise _Refused(f"it answered {answer.status}", answer.status in _RETRIED, _seconds(answer.getheader("Retry-After")))

    def _connect(self) -> http.client.HTTPConnection:
        url = self._url
        assert url.hostname is not None
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=os.environ.get(AUTHORITIES_VARIABLE) or None)
            self._connection = http.client.HTTPSConnection(url.hostname, url.port or 443, timeout=TIMEOUT, context=context)
        else:
            self._connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=TIMEOUT)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _tell_away(self, reason: str) -> None:
        if not self._away:
            self._away = True
            self._say(f"traces: the collector {self.url} takes no spans: {reason}; they are dropped until it does")

    def _tell_back(self, refused: int, reason: str) -> None:
        if refused and not self._away:
            self._away = True
            self._say(f"traces: the collector {self.url} refused {refused} spans: {reason or 'it does not say why'}")
        elif not refused and self._away:
            self._away = False
            self._say(f"traces: the collector {self.url} takes spans again")


def _seconds(retry_after: str | None) -> float:
    """0 where it says nothing, or a date, which nobody sends with these answers."""
    if retry_after is None or not retry_after.isdecimal() or len(retry_after) > 6:
        return 0.0
    return min(float(retry_after), LONGEST_WAIT)


def headers_of(text: str) -> dict[str, str]:
    """The fields of HEADERS_VARIABLE. Raises ValueError for what is none."""
    headers = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        name, value = name.strip(), unquote(value.strip())
        if not part.strip():
            continue
        if not equals or not name.replace("-", "").replace("_", "").isalnum() or not value.isprintable() or not value.isascii():
            remedy = "write for example api-key=abc,x-team=a%20b"
            raise ValueError(f"{HEADERS_VARIABLE}: a part is no name=value of printable characters; {remedy}")
        headers[name] = value
    return headers
