"""Windows of streams and connections, both ways: what may be sent, what room is given, and what order is kept (RFC 9113 5.2, 6.9)."""

from __future__ import annotations

from typing import cast

import pytest
from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.head import RequestHead
from gateway.proxy.http2.backend_stream import Http2BackendStream
from gateway.proxy.http2.connection import CONNECTION_CREDIT, CONNECTION_WINDOW
from gateway.proxy.http2.stream import GROWTH, LARGE_WINDOW, STREAM_WINDOW
from tests.fake_connections import Asked, Kept


class Silent:
    """A far side that keeps what it is told to do."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""

    def __getattr__(self, name: str) -> object:
        def take(*arguments: object) -> None:
            self.told.append(name)
            if name == "response_data":
                self.data += cast(bytes, arguments[0])

        return take


def asking(**limits: int) -> tuple[Asked, Http2BackendStream, Kept, Silent]:
    """A request with a body under way, to an endpoint with this initial window."""
    asked = Asked()
    connection, transport = asked.connect()
    connection.data_received(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: limits.get("window", 65_535)}).serialize())
    stream, far = connection.open(), Silent()
    stream.exchange = far  # type: ignore[assignment]  # it takes everything
    head = RequestHead(b"POST", b"/", None, b"a.example", b"a.example")
    head.length = None
    stream.send_head(head)
    asked.loop.turn()
    transport.take()
    return asked, stream, transport, far


def receive(asked: Asked, stream: Http2BackendStream, transport: Kept, *frames: Frame) -> list[Frame]:
    stream.link.data_received(b"".join(frame.serialize() for frame in frames))
    asked.loop.turn()
    return transport.take()


def sent(frames: list[Frame]) -> bytes:
    return b"".join(frame.data for frame in frames if isinstance(frame, DataFrame))


@settings(deadline=None)
@given(
    window=st.integers(0, 3_000),
    steps=st.lists(
        st.one_of(st.tuples(st.just("put"), st.integers(1, 2_000)), st.tuples(st.just("room"), st.integers(1, 2_000))), max_size=30
    ),
)
def test_never_more_than_there_is_room_for(window: int, steps: list[tuple[str, int]]) -> None:
    """RFC 9113 6.9.1: in order, as much as the window allows at every moment, and no less."""
    asked, stream, transport, _ = asking(window=window)
    put, room, got = b"", window, b""
    for kind, size in steps:
        if kind == "put":
            piece = bytes([len(put) % 251]) * size
            put += piece
            stream.send_data(piece)
            stream.flush()
            asked.loop.turn()
            got += sent(transport.take())
        else:
            room += size
            got += sent(receive(asked, stream, transport, WindowUpdateFrame(stream.number, window_increment=size)))
        assert got == put[: min(len(put), room)]
        assert stream.blocked == (len(put) > room)
        assert stream.unsent == max(0, len(put) - room)


def test_trailers_go_out_behind_what_waits() -> None:
    """RFC 9113 8.1."""
    asked, stream, transport, far = asking(window=3)
    stream.send_data(b"hello")
    stream.send_end([(b"x-sum", b"1")])
    asked.loop.turn()
    assert sent(transport.take()) == b"hel"
    assert far.told == ["hold_request"]
    frames = receive(asked, stream, transport, WindowUpdateFrame(1, window_increment=2))
    assert [type(frame) for frame in frames] == [DataFrame, HeadersFrame]
    assert frames[-1].flags >= {"END_STREAM"}
    assert stream.sent_all


def test_streams_take_turns() -> None:
    """Room of the connection goes to all who wait, a frame each."""
    asked, first, transport, far = asking(window=1 << 30)
    second = first.link.open()
    second.exchange = far  # type: ignore[assignment]  # it takes everything
    second.send_head(RequestHead(b"POST", b"/", None, b"a.example", b"a.example"))
    for stream in (first, second):
        stream.send_data(b"x" * 200_000)
    asked.loop.turn()
    transport.take()
    frames = receive(asked, first, transport, WindowUpdateFrame(0, window_increment=65_536))
    assert [frame.stream_id for frame in frames if isinstance(frame, DataFrame)] == [1, 3, 1, 3]


@pytest.mark.parametrize("end", ["reset", "goaway", "lost", "cancelled"])
def test_nothing_waits_for_a_stream_that_is_gone(end: str) -> None:
    """Room that comes afterwards sends nothing, and the connection keeps nothing of it."""
    asked, stream, transport, far = asking(window=0)
    stream.send_data(b"hello")
    link = stream.link
    match end:
        case "reset":
            receive(asked, stream, transport, RstStreamFrame(1, error_code=2))
        case "goaway":
            receive(asked, stream, transport, GoAwayFrame(0, last_stream_id=0))
        case "cancelled":
            stream.cancel()
            asked.loop.turn()
        case "lost":
            link.connection_lost(None)
    assert (link.streams, link.waiting, stream.unsent) == ({}, {}, 0)
    assert ("response_failed" in far.told) == (end != "cancelled")
    link.data_received(WindowUpdateFrame(0, window_increment=9).serialize())
    assert not sent(transport.take())


def test_what_is_taken_is_room_again() -> None:
    """A frame for every half of a window that the far side took, the first of which makes the window a large one; none while it asks to
    wait, and all of it afterwards."""
    asked, stream, transport, far = asking()
    head = HeadersFrame(1, Encoder().encode([(":status", "200")]), flags=["END_HEADERS"])
    piece = b"x" * 16_384
    half = STREAM_WINDOW // 2 // len(piece)
    frames = receive(asked, stream, transport, head, *[DataFrame(1, piece)] * (half - 1))
    assert frames == []
    [update] = receive(asked, stream, transport, DataFrame(1, piece))
    assert isinstance(update, WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (1, STREAM_WINDOW // 2 + GROWTH)
    stream.pause()
    assert receive(asked, stream, transport, *[DataFrame(1, piece)] * (LARGE_WINDOW // 2 // len(piece))) == []
    stream.resume()
    asked.loop.turn()
    [update] = transport.take()
    assert isinstance(update, WindowUpdateFrame)
    assert update.window_increment == LARGE_WINDOW // 2
    assert len(far.data) == STREAM_WINDOW // 2 + LARGE_WINDOW // 2


def test_a_peer_that_sends_more_than_it_may() -> None:
    """RFC 9113 6.9.1: beyond the window of the stream the stream ends, whoever holds it back."""
    asked, stream, transport, far = asking()
    head = HeadersFrame(1, Encoder().encode([(":status", "200")]), flags=["END_HEADERS"])
    receive(asked, stream, transport, head)
    stream.pause()
    pieces = [DataFrame(1, b"x" * 16_384)] * (STREAM_WINDOW // 16_384)
    assert receive(asked, stream, transport, *pieces) == []
    [end] = receive(asked, stream, transport, DataFrame(1, b"x"))
    assert isinstance(end, RstStreamFrame)
    assert end.error_code == 3
    assert far.told[-1] == "response_failed"


def test_data_for_nobody_gives_the_connection_its_room_back() -> None:
    """RFC 9113 5.1: what comes for streams that were reset counts, so the window of the connection does not leak away; more than such a
    stream had room for ends the connection."""
    asked, stream, transport, far = asking()
    link, piece = stream.link, b"x" * 16_384
    updates: list[Frame] = []
    for _ in range(2 * CONNECTION_WINDOW // STREAM_WINDOW):
        stream.cancel()
        asked.loop.turn()
        transport.take()
        updates += receive(asked, stream, transport, *[DataFrame(stream.number, piece)] * (STREAM_WINDOW // len(piece)))
        last, stream = stream, link.open()
        stream.exchange = far  # type: ignore[assignment]  # it takes everything
        stream.send_head(RequestHead(b"POST", b"/", None, b"a.example", b"a.example"))
    assert [(type(frame), frame.stream_id) for frame in updates] == [(WindowUpdateFrame, 0)] * (2 * CONNECTION_WINDOW // CONNECTION_CREDIT)
    assert isinstance(receive(asked, stream, transport, DataFrame(last.number, b"x"))[-1], GoAwayFrame)
