"""The access log: one line an exchange, relayed connection or flow, formatted outside the request in small slices and written by a thread
of its own.

A sink that does not take what we write never blocks the loop: what waits is bounded, and what is dropped is counted.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from gateway.standard_streams import write_some
from gateway.telemetry.streams import StreamRecord

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.telemetry.counters import CounterLabels, SeriesKey

    Finished: TypeAlias = Exchange | StreamRecord

LINES_AT_ONCE: Final = 100
"""Lines formatted in one callback: about 0.3 ms. Fewer where lines are long."""
BYTES_AT_ONCE: Final = 64 * 1024
PIECE: Final = 256 * 1024
"""Bytes of lines that are handed to the thread together, if there are so many: more would have left the processor's caches before they are
written."""
WAITING_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of lines that may wait for a slow sink."""
ATOMIC: Final = 4096
"""What a pipe takes in one piece (PIPE_BUF): lines of several workers never mix."""

_column_breaking = re.compile(rb"[^!#-\[\]-~]").sub
_PLAIN: Final = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')


def fragment(labels: CounterLabels) -> bytes:
    """The part of a JSON line that all exchanges of one rule and backend share."""
    named = {
        "gateway": labels.gateway, "listener": labels.listener, "route": f"{labels.route_kind}/{labels.route}" if labels.route else None,
        "rule": labels.rule or None, "backend": labels.backend or None,
    }  # fmt: skip
    if labels.parties is not None:
        named.update(zip(("reporter", "source", "destination"), [end or None for end in labels.ends], strict=True))
    return msgspec.json.encode(named)[1:-1]


def client_fragment(tls: bytes, digest: bytes, identity: str = "") -> bytes:
    """The end of a JSON line, which all exchanges of a connection share: TLS version, SHA-256 of the verified client certificate, in hex,
    and the SPIFFE ID that a caller of the mesh has proven; empty where there is none."""
    if not (tls or digest or identity):
        return _OF_NOBODY
    return b'"tls":%b,"peer":%b,"peer_identity":%b}\n' % tuple(
        [b'"%b"' % value if value else b"null" for value in (tls, digest, identity.encode("ascii"))]
    )


_OF_NOBODY: Final = b'"tls":null,"peer":null,"peer_identity":null}\n'
"""The usual one, without TLS."""


_QUOTED: Final[dict[bytes, bytes]] = {}
"""Targets and authorities seen before, as `_quoted` wrote them: most repeat."""
_MOST_QUOTED: Final = 4096
_LONGEST_QUOTED: Final = 258
"""As they are written: escapes make six bytes of one."""


def _quoted(value: bytes, *, plain: bool = False) -> bytes:
    """A JSON string; bytes that are no plain ASCII are shown as Latin-1 characters, escaped. `plain`: there are none."""
    quoted = b'"%b"' % value if plain or not value.translate(None, _PLAIN) else json.dumps(value.decode("latin-1")).encode("ascii")
    if len(quoted) <= _LONGEST_QUOTED:
        if len(_QUOTED) >= _MOST_QUOTED:
            _QUOTED.clear()
        _QUOTED[value] = quoted
    return quoted


def _shown(value: bytes) -> bytes:
    """For the text form: what could be taken for the end of a column stands as \\xNN, so that nobody can forge one."""
    return _column_breaking(lambda found: b"\\x%02x" % found[0][0], value)


_WITH_ENDPOINT: Final = (
    b'{"time":"%b.%03dZ","method":"%b","path":%b,%b,"reason":%b,"bytes_received":%d,"bytes_sent":%d,"duration_ms":%.3f,'
    b'"backend_ms":%.3f,"client":"%b","request_id":"%b","authority":%b,%b,"endpoint":"%b",%b'
)
_WITHOUT_ENDPOINT: Final = _WITH_ENDPOINT.replace(b'"endpoint":"%b"', b'"endpoint":%b')
_OUTCOMES: Final[dict[SeriesKey, bytes]] = {}
"""Parts of lines that say how an exchange ended, as `_outcome` wrote them: there are few."""
_MOST_OUTCOMES: Final = 1024


def _outcome(key: SeriesKey) -> bytes:
    status, flag, version, grpc_status = key
    text = b'"protocol":"HTTP/%b","status":%d,"grpc_status":%b,"flags":"%b"' % (
        version,
        status,
        grpc_status.encode() if grpc_status else b"null",
        flag.encode() or b"-",
    )
    if len(_OUTCOMES) >= _MOST_OUTCOMES:
        _OUTCOMES.clear()
    _OUTCOMES[key] = text
    return text


class LineFormat:
    """Formats lines; keeps the text of the current second."""

    __slots__ = ("_format", "_format_stream", "_second", "_text", "offset")

    def __init__(self, form: Literal["json", "text"]) -> None:
        self._format = self._json if form == "json" else self._plain_text
        self._format_stream = _stream_json if form == "json" else _stream_text
        self.offset = time.time() - time.monotonic()
        """From the monotonic clock to the wall's; brought up to date with every slice."""
        self._second = -1
        self._text = b""

    def line(self, finished: Finished) -> bytes:
        began = finished.began + self.offset
        second = int(began)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        milliseconds = int((began - second) * 1000)
        if isinstance(finished, StreamRecord):
            return self._format_stream(finished, b"%b.%03dZ" % (self._text, milliseconds))
        return self._format(finished, self._text, milliseconds)

    def _json(self, exchange: Exchange, second: bytes, milliseconds: int) -> bytes:
        head, account, endpoint, asked = exchange.head, exchange.account, exchange.endpoint, exchange.asked
        assert account is not None
        if asked is None:
            authority, target = head.authority, head.path
            if head.query is not None:
                target = head.target
        else:
            target, authority = asked
        quoted = _QUOTED.get(target) if len(target) <= _LONGEST_QUOTED else None  # to look for a long one costs its hash
        outcome = exchange.status, exchange.flag, head.version, exchange.grpc_status
        return (_WITHOUT_ENDPOINT if endpoint is None else _WITH_ENDPOINT) % (
            second,
            milliseconds,
            head.method,
            # a path in normal form, which a request has with its id, has no byte to escape
            quoted or _quoted(target, plain=target is exchange.matched_path and exchange.request_id != b""),
            _OUTCOMES.get(outcome) or _outcome(outcome),
            _quoted(exchange.reason.encode("latin-1", "replace")) if exchange.reason else b"null",
            exchange.received,
            exchange.sent,
            (exchange.ended - exchange.began) * 1000,
            exchange.backend_milliseconds,
            exchange.client_address,
            exchange.request_id,
            _QUOTED.get(authority) or _quoted(authority),  # of a refused request it may hold anything
            account.fragment,
            b"null" if endpoint is None else endpoint.label,
            exchange.client_fragment
            if exchange.span is None
            else b'"trace_id":"%b",%b' % (exchange.span.context.trace_id, exchange.client_fragment),
        )

    def _plain_text(self, exchange: Exchange, second: bytes, milliseconds: int) -> bytes:
        head, account, endpoint = exchange.head, exchange.account, exchange.endpoint
        target, authority = exchange.asked or (head.target, head.authority)
        assert account is not None
        labels = account.labels
        return b'%b.%03dZ %b "%b %b HTTP/%b" %d %b %d %d %.3f %b %b %b %b%b%b\n' % (
            second,
            milliseconds,
            exchange.client_address,
            _shown(head.method),
            _shown(target),
            head.version,
            exchange.status,
            exchange.flag.encode() or b"-",
            exchange.received,
            exchange.sent,
            (exchange.ended - exchange.began) * 1000,
            _shown(authority) or b"-",
            f"{labels.gateway} {labels.route or '-'}".encode(),
            b"-" if endpoint is None else endpoint.label,
            b'"%b"' % exchange.reason.replace('"', "'").encode("ascii", "replace") if exchange.reason else b"-",
            _mark(exchange.client_fragment),
            b"" if exchange.span is None else b" trace=" + exchange.span.context.trace_id,
        )


def _stream_json(record: StreamRecord, moment: bytes) -> bytes:
    return (
        b'{"time":"%b","protocol":"%b","flags":"%b","reason":%b,"bytes_received":%d,"bytes_sent":%d,"duration_ms":%.3f,"client":"%b",'
        b'"server_name":%b,%b,"endpoint":%b,%b'
    ) % (
        moment,
        record.protocol.encode(),
        record.flag.encode() or b"-",
        _quoted(record.reason.encode("latin-1", "replace")) if record.reason else b"null",
        record.received,
        record.sent,
        (record.ended - record.began) * 1000,
        record.client,
        _quoted(record.server_name) if record.server_name else b"null",
        record.account.fragment,
        b'"%b"' % record.endpoint if record.endpoint else b"null",
        record.client_fragment,
    )


def _stream_text(record: StreamRecord, moment: bytes) -> bytes:
    """The columns of a request's line; the server name stands for the authority."""
    labels = record.account.labels
    return b'%b %b "%b" - %b %d %d %.3f %b %b %b %b%b\n' % (
        moment,
        record.client,
        record.protocol.encode(),
        record.flag.encode() or b"-",
        record.received,
        record.sent,
        (record.ended - record.began) * 1000,
        _shown(record.server_name) or b"-",
        f"{labels.gateway} {labels.route or '-'}".encode(),
        record.endpoint or b"-",
        b'"%b"' % record.reason.replace('"', "'").encode("ascii", "replace") if record.reason else b"-",
        _mark(record.client_fragment),
    )


def _mark(fragment: bytes) -> bytes:
    """In the text form: what AUDIT policies had to say (proxy.guard), a column that only such a line has."""
    return b" audit=" + fragment[8 : fragment.index(b',"tls"')] if fragment.startswith(b'"audit":') else b""


class AccessLog:
    """Takes what has finished out of a list that the connections fill, and writes their lines to a descriptor.

    Each counter has one writer, the loop or the thread: two that add to one lose counts, and what waits would seem to be more and more.
    """

    def __init__(self, finished: list[Finished], form: Literal["json", "text"], descriptor: int) -> None:
        self._finished = finished
        self._descriptor = os.dup(descriptor)
        """Our own, until the thread has written its last line: whoever closes theirs meanwhile gives its number to somebody else."""
        self._lines = LineFormat(form)
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._at_once = LINES_AT_ONCE
        """Lines of the next slice, by how long those of the last one were."""
        self._queued = self._written = 0
        """Bytes that were put into the queue by the loop, and taken out by the thread."""
        self._overflown = self._refused = 0
        """Lines for which the loop had no room, and those that the sink did not take from the thread."""
        self._writer = Thread(target=self._write, name="access-log", daemon=True)
        self._writer.start()

    @property
    def dropped(self) -> int:
        """Lines that were lost."""
        return self._overflown + self._refused

    def format_some(self) -> bool:
        """Formats a slice; True when more is waiting."""
        finished = self._finished
        if not finished:
            return False
        some = finished[: self._at_once]
        del finished[: self._at_once]
        self._lines.offset = time.time() - time.monotonic()
        lines = b"".join(map(self._lines.line, some))
        self._pending.append(lines)
        self._pending_bytes += len(lines)
        self._at_once = max(1, min(LINES_AT_ONCE, BYTES_AT_ONCE * len(some) // len(lines)))
        if self._pending_bytes >= PIECE or not finished:
            self._put(b"".join(self._pending))
            self._pending.clear()
            self._pending_bytes = 0
        return bool(finished)

    def _put(self, data: bytes) -> None:
        room = WAITING_LIMIT - (self._queued - self._written)
        if len(data) > room:
            end = data.rfind(b"\n", 0, max(room, 0)) + 1
            self._overflown += data.count(b"\n", end)
            data = data[:end]
        if data:
            self._queued += len(data)
            self._queue.put(data)

    def _write(self) -> None:
        at_once = ATOMIC if stat.S_ISFIFO(os.fstat(self._descriptor).st_mode) else WAITING_LIMIT
        while (data := self._queue.get()) is not None:
            size = len(data)
            try:
                while data:
                    end = len(data) if len(data) <= at_once else data.rfind(b"\n", 0, at_once) + 1 or data.find(b"\n") + 1
                    data = data[write_some(self._descriptor, data[:end]) :]
            except OSError:
                self._refused += data.count(b"\n")  # the sink is gone or full; serving goes on
            self._written += size
        os.close(self._descriptor)

    def close(self) -> None:
        """Writes what is left; waits at most a second for a slow sink."""
        while self.format_some():
            pass
        self._queue.put(None)
        self._writer.join(timeout=1.0)
