"""Bounds of what a client may have under way on one connection of HTTP/2: room for bodies, small at first and large where the far side
keeps up, and the heads of all requests together. And of what is done for it in one turn of the loop, which ends nothing early."""

from __future__ import annotations

from time import monotonic

from hyperframe.frame import GoAwayFrame, HeadersFrame, RstStreamFrame, WindowUpdateFrame

from gateway.http import frames
from gateway.proxy.http2.client_connection import ENDED_AT_ONCE
from gateway.proxy.http2.connection import MOST_AHEAD
from gateway.proxy.http2.floods import FREE_HEADS, MOST_OF_HEADS, REFUSED_BURST, RESET_RATE
from gateway.proxy.http2.stream import GROWTH, LARGE_WINDOW, MOST_GROWTH, STREAM_WINDOW
from tests.wire.backends import Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.http2_frames import FrameEnd, data

ROUTE = "- backendRefs: [{name: blue, port: 80}]"
ONE_STREAM = "{kind: ListenerPolicy, metadata: {name: one}, spec: {targetRefs: [{name: web}], limits: {streamsPerConnection: 1}}}"
FRAME = bytes(16_384)


def upload(end: FrameEnd, stream: int, size: int) -> None:
    """The head of a POST and so much of its body."""
    end.send(end.request(stream, method="POST", ends=False))
    for _ in range(0, size, len(FRAME)):
        end.send(data(stream, FRAME))


def given(end: FrameEnd, stream: int) -> int:
    """The next room for a stream."""
    return end.until(WindowUpdateFrame, lambda frame: frame.stream_id == stream).window_increment


def test_a_stream_whose_far_side_keeps_up_gets_a_large_window(serve: Serve, blue: Echo) -> None:
    """RFC 9113 6.9: once half of the first window was taken; from then on room comes for what is taken, again by halves."""
    with FrameEnd.client(serve(ROUTE).connect()) as end:
        upload(end, 1, STREAM_WINDOW // 2)
        assert given(end, 1) == STREAM_WINDOW // 2 + GROWTH
        for _ in range(0, LARGE_WINDOW // 2, len(FRAME)):
            end.send(data(1, FRAME))
        assert given(end, 1) == LARGE_WINDOW // 2
        end.send(data(1, ends=True))
        end.until(HeadersFrame)
    assert len(blue.wait_for(1)[0].body) == STREAM_WINDOW // 2 + LARGE_WINDOW // 2


def test_large_windows_are_few_and_are_given_back(serve: Serve, blue: Echo) -> None:
    """What all streams of a connection may bring that nobody takes is bounded: beyond MOST_GROWTH a window stays as it is, until one that
    was large has left."""
    blue.always(Planned())
    most = MOST_GROWTH // GROWTH
    with FrameEnd.client(serve(ROUTE).connect()) as end:
        for stream in range(1, 2 * most, 2):
            upload(end, stream, STREAM_WINDOW // 2)
            assert given(end, stream) == STREAM_WINDOW // 2 + GROWTH
        last = 2 * most + 1
        upload(end, last, STREAM_WINDOW // 2)
        assert given(end, last) == STREAM_WINDOW // 2
        end.send(RstStreamFrame(1, error_code=8), data(3, ends=True))
        end.until(HeadersFrame)
        for stream in (last + 2, last + 4):
            upload(end, stream, STREAM_WINDOW // 2)
            assert given(end, stream) == STREAM_WINDOW // 2 + GROWTH
        upload(end, last + 6, STREAM_WINDOW // 2)
        assert given(end, last + 6) == STREAM_WINDOW // 2


def test_the_heads_of_a_connection_are_bounded_together(serve: Serve, blue: Echo) -> None:
    """reference 2.5: beyond MOST_OF_HEADS a request is refused (RFC 9113 8.7: not looked at, it may be asked again), the others are not
    harmed, and once one of them has ended there is room again."""
    blue.always(Planned())
    large = ("x-large", "y" * 16_000)
    most = FREE_HEADS + MOST_OF_HEADS // len(": ".join(large) + "\r\n")
    with FrameEnd.client(serve(ROUTE).connect()) as end:
        stream = 1
        while not any(isinstance(frame, RstStreamFrame) for frame in end.seen):
            end.send(end.request(stream, "/", large, method="POST", ends=False))
            end.ping()
            stream += 2
        refused = end.seen[-2]
        assert (refused.stream_id, getattr(refused, "error_code", None)) == (2 * most + 1, frames.REFUSED_STREAM)
        for ended in (stream - 4, stream - 6):
            end.send(data(ended, ends=True))
            assert end.until(HeadersFrame).stream_id == ended
        end.send(end.request(stream, "/", large))
        assert end.until(HeadersFrame).stream_id == stream


def test_whoever_opens_more_streams_than_it_may_is_ended(serve: Serve, blue: Echo) -> None:
    """RFC 9113 5.1.2: it knows how many it may; that the others are answered makes up for none that is refused."""
    begun = monotonic()
    with FrameEnd.client(serve(ROUTE, ONE_STREAM).connect()) as end:
        rounds = 0
        while not any(isinstance(frame, GoAwayFrame) for frame in end.seen):
            stream = 4 * rounds + 1
            end.send(end.request(stream, method="POST", ends=False), end.request(stream + 2), data(stream, ends=True))
            while not isinstance(end.read(), (HeadersFrame, GoAwayFrame)):
                pass
            rounds += 1
        assert end.seen[-1].error_code == frames.ENHANCE_YOUR_CALM
    assert REFUSED_BURST <= rounds <= REFUSED_BURST + (monotonic() - begun) * RESET_RATE + 1


def test_what_takes_many_turns_is_read_whole_and_in_order(serve: Serve, blue: Echo) -> None:
    """Far more comes at once than a turn has time for, and than waits while more is read: every request is answered, with its own path."""
    site = serve(ROUTE)
    streams = range(1, 200, 2)
    with FrameEnd.client(site.connect()) as end:
        requests = [end.request(stream, f"/{stream}", ("x-large", f"{stream:04}" * 800)) for stream in streams]
        assert sum(len(request.data) for request in requests) > 2 * MOST_AHEAD
        end.send(*requests)
        answered = {end.until(HeadersFrame).stream_id for _ in streams}
    assert answered == set(streams)
    assert sorted(request.target for request in blue.wait_for(len(streams))) == sorted(f"/{stream}" for stream in streams)


def test_all_requests_under_way_end_with_their_connection(serve: Serve, blue: Echo) -> None:
    """RFC 9113 5.4.1: however many turns it takes, each is logged with what ended it, and its connection to the backend is given back."""
    blue.always(Planned())
    site = serve(ROUTE)
    most = 3 * ENDED_AT_ONCE + 1
    with FrameEnd.client(site.connect()) as end:
        end.send(*[end.request(stream, method="POST", ends=False) for stream in range(1, 2 * most, 2)])
        end.ping()
        end.send(data(2 * most + 1))
        assert end.until(GoAwayFrame).error_code == frames.PROTOCOL_ERROR
    lines = site.log.wait_for(most + 1)
    assert {line["flags"] for line in lines} == {"DPE"}
    assert {line["reason"] for line in lines} == {"DATA on an idle stream"}
