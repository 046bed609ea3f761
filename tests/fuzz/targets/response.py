"""A backend's bytes through BackendConnection: one end, told once, the same however they arrive; h11 reads the same where both accept."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import h11

from gateway.http.head import Fields, RequestHead, ResponseHead
from gateway.proxy.backend_connection import BackendConnection
from tests.fuzz.cuts import cuts
from tests.fuzz.endpoint import lone_endpoint

ENDPOINT: Final = lone_endpoint()
FAILURES: Final = frozenset({"reset", "malformed", "truncated"})
Heads = tuple[tuple[int, tuple[tuple[bytes, bytes], ...]], ...]


class Taken(NamedTuple):
    """What an exchange was told: interim heads, the final head, the body, how it ended, and whether the connection may serve again."""

    interim: Heads
    final: Heads
    body: bytes
    end: str
    kept: bool


class Transport(asyncio.Transport):
    """Takes everything, and is closed once."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False

    def write(self, data: object) -> None:
        pass

    def writelines(self, list_of_data: object) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write_eof(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Events:
    """BackendEvents that keeps what it is told, and holds the connection to the order of events."""

    def __init__(self) -> None:
        self.interim: list[ResponseHead] = []
        self.final: list[ResponseHead] = []
        self.body = b""
        self.end = ""
        self.trailers: Fields = []

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        self.response_head(head)
        if body:
            self.response_data(body)
        self.response_end([])

    def response_interim(self, head: ResponseHead) -> None:
        assert not self.final
        assert not self.end
        assert head.status < 200
        self.interim.append(head)

    def response_head(self, head: ResponseHead) -> None:
        assert not self.final
        assert not self.end
        assert head.status >= 200 or head.status == 101
        self.final.append(head)

    def response_data(self, data: bytes) -> None:
        assert self.final
        assert not self.end
        self.body += data

    def flush_response(self) -> None:
        pass

    def response_half_closed(self) -> None:
        assert self.final[0].status == 101

    def response_end(self, trailers: Fields) -> None:
        assert self.final
        assert not self.end, "ended twice"
        self.end, self.trailers = "complete", trailers

    def response_failed(self, failure: str, reason: str) -> None:
        assert not self.end, "ended twice"
        assert failure in FAILURES, failure
        assert reason
        self.end = failure

    def hold_request(self) -> None:
        pass

    def release_request(self) -> None:
        pass


def run(data: bytes) -> None:
    """The first byte says what was asked (G: GET, H: HEAD, W: a WebSocket), the rest is the answer."""
    asked, data = data[:1], data[1:]
    found = [take(asked, pieces) for pieces in cuts(data)]
    whole = found[0]
    for other in found[1:]:
        compare(whole, other)
    if asked != b"W":
        compare_with_h11(b"HEAD" if asked == b"H" else b"GET", data, whole)


def compare(whole: Taken, cut: Taken) -> None:
    """An answer that is right is right in any pieces. One that is not may have begun to pass on where its fault came later: then it is
    cut, or, where there was only more behind it, complete on a connection that does not serve again."""
    if whole.end == "complete":
        assert whole == cut, (whole, cut)
    elif cut.end == "complete":
        assert (whole.end, cut.kept) == ("malformed", False), (whole, cut)
    else:
        assert whole.body.startswith(cut.body) or cut.body.startswith(whole.body), (whole, cut)


def take(asked: bytes, pieces: list[bytes]) -> Taken:
    connection = BackendConnection(ENDPOINT, ENDPOINT.plain, memoryview(bytearray()))
    transport, events = Transport(), Events()
    connection.connection_made(transport)
    connection.exchange = events
    head = RequestHead(b"HEAD" if asked == b"H" else b"GET", b"/", None, b"a.example", b"a.example")
    if asked == b"W":
        head.upgrade = b"websocket"
    connection.send_head(head)
    connection.send_end()
    for piece in pieces:
        if transport.closing:
            break
        connection.data_received(piece)
    kept = connection in ENDPOINT.plain.idle
    if not transport.closing:
        connection.eof_received()
    connection.connection_lost(None)
    assert events.end, "the exchange waits for ever"
    assert not ENDPOINT.plain.idle, "a closed connection waits in the pool"
    return Taken(_heads(events.interim), _heads(events.final), events.body, events.end, kept)


def _heads(heads: list[ResponseHead]) -> Heads:
    return tuple((head.status, tuple(head.fields)) for head in heads)


def compare_with_h11(method: bytes, data: bytes, taken: Taken) -> None:
    """A complete answer on a connection that serves again: h11 finds the same status and body, and nothing behind it."""
    if not taken.kept:
        return
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "a.example")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data)
    status, body = 0, b""
    try:
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif not isinstance(event, h11.InformationalResponse):
                raise AssertionError(f"h11 still waits: {event}")
    except h11.RemoteProtocolError:
        return  # it takes no white space before an extension, and reads trailers as a head
    assert (status, body) == (taken.final[0][0], taken.body)
    assert not reader.trailing_data[0]
