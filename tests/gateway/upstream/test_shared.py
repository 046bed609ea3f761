"""The HTTP/2 connections of a pool: who has room, who is closed, who waits for one that is being made."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hyperframe.frame import GoAwayFrame, SettingsFrame

from gateway.http.head import RequestHead
from gateway.proxy.http2.backend_connection import MOST_STREAMS, Http2BackendConnection
from gateway.proxy.http2.backend_stream import Http2BackendStream
from gateway.upstream.connect import ConnectFailed
from gateway.upstream.shared import MOST_EXPECTED, Shared
from tests.fake_connections import Asked


def greeted(asked: Asked, most: int | None = None) -> Http2BackendConnection:
    """A connection whose endpoint has said how many streams it takes."""
    connection, _ = asked.connect()
    limits = {SettingsFrame.MAX_CONCURRENT_STREAMS: most} if most is not None else {}
    connection.data_received(SettingsFrame(0, settings=limits).serialize())
    return connection


def shared(asked: Asked) -> Shared:
    assert asked.pool.shared is not None
    return asked.pool.shared


def begin(stream: Http2BackendStream | None) -> Http2BackendStream:
    assert stream is not None
    stream.exchange = cast(Any, None)
    stream.send_whole(RequestHead(b"GET", b"/", None, b"a.example", b"a.example"))
    return stream


def test_nobody_takes_a_stream_before_the_settings() -> None:
    """RFC 9113 3.4: until then nobody knows how many there may be."""
    asked = Asked()
    asked.connect()
    assert shared(asked).take() is None
    greeted(asked)
    assert shared(asked).take() is not None


@pytest.mark.parametrize("most", [1, 3, 1_000])
def test_as_many_streams_as_the_endpoint_allows(most: int) -> None:
    """RFC 9113 5.1.2, and not more than we want on one; those that have not begun count, and those given back do not."""
    asked = Asked()
    greeted(asked, most)
    streams = [shared(asked).take() for _ in range(min(most, MOST_STREAMS))]
    assert None not in streams
    assert shared(asked).take() is None
    begun = begin(streams[0])
    assert shared(asked).take() is None
    begun.cancel()
    other = shared(asked).take()
    assert other is not None
    other.rest()
    other.rest()
    assert shared(asked).take() is not None
    assert shared(asked).take() is None


def test_the_oldest_with_room_comes_first() -> None:
    """So that the newest can age."""
    asked = Asked()
    old, new = greeted(asked, 1), greeted(asked, 1)
    taken = [shared(asked).take() for _ in range(2)]
    assert [stream.link for stream in taken if stream is not None] == [old, new]


@pytest.mark.parametrize("frame", [GoAwayFrame(0, last_stream_id=(1 << 31) - 1), GoAwayFrame(0, error_code=2)])
def test_a_connection_that_is_left_has_no_room(frame: GoAwayFrame) -> None:
    """RFC 9113 6.8; it ends with the last that it carries, and a stream that was about to begin is refused."""
    asked = Asked()
    connection = greeted(asked)
    waits = shared(asked).take()
    assert waits is not None
    connection.data_received(frame.serialize())
    assert shared(asked).take() is None
    assert not connection.transport.is_closing()
    told: list[tuple[str, str]] = []
    waits.exchange = cast(Any, type("Far", (), {"response_failed": lambda _, failure, reason: told.append((failure, reason))})())
    waits.send_whole(RequestHead(b"POST", b"/", None, b"a.example", b"a.example"))
    asked.loop.turn()
    assert told == [("refused", "backend has left the connection")]
    assert connection.transport.is_closing()
    assert connection not in shared(asked).connections


def test_what_carries_nothing_ages() -> None:
    """Turns in which it carried something do not count, nor those with a stream about to begin."""
    asked = Asked()
    connection = greeted(asked)
    stream = shared(asked).take()
    for _ in range(9):
        asked.pool.age(1)
    assert stream is not None
    begin(stream)
    for _ in range(9):
        asked.pool.age(1)
    assert not connection.transport.is_closing()
    stream.cancel()
    asked.pool.age(1)
    assert not connection.transport.is_closing()
    asked.pool.age(1)
    assert connection.transport.is_closing()
    assert shared(asked).take() is None


def test_room_is_made_by_what_carries_nothing() -> None:
    """BackendPolicy.limits.connections: never by one that somebody uses or is about to."""
    asked = Asked(most=1)
    connection = greeted(asked)
    stream = shared(asked).take()
    assert not asked.connections.reserve()
    assert stream is not None
    begin(stream)
    assert not asked.connections.reserve()
    stream.cancel()
    assert asked.connections.reserve()
    assert connection.transport.is_closing()


def test_a_retired_pool_ends_with_what_it_carries() -> None:
    """Nobody opens streams any more; what is under way goes on."""
    asked = Asked()
    idle, busy = greeted(asked, 1), greeted(asked, 1)
    for stream in [shared(asked).take(), shared(asked).take()]:
        assert stream is not None
        if stream.link is idle:
            stream.rest()
        else:
            kept = begin(stream)
    asked.pool.retire()
    assert (idle.transport.is_closing(), busy.transport.is_closing()) == (True, False)
    kept.cancel()
    assert busy.transport.is_closing()


def test_whoever_is_told_of_the_end_takes_another_connection() -> None:
    """A stream that failed is asked again in the same callback: never on the connection that is dead."""
    asked = Asked()
    dead, other = greeted(asked), greeted(asked)
    stream = shared(asked).take()
    assert stream is not None
    assert stream.link is dead
    found: list[Http2BackendStream | None] = []
    begin(stream).exchange = cast(Any, type("Far", (), {"response_failed": lambda *_: found.append(shared(asked).take())})())
    dead.connection_lost(ConnectionResetError())
    assert [taken.link for taken in found if taken is not None] == [other]
    assert asked.connections.count == 1


def test_some_wait_for_one_that_is_made() -> None:
    """And no more than it could carry: the next one makes another. Those who wait share its fate."""
    waiting, loop = Shared(), Asked().loop
    first = waiting.begin(cast(Any, loop))
    assert first is not None
    for _ in range(MOST_EXPECTED - 1):
        assert waiting.opening is first
        waiting.expect()
    assert waiting.opening is None
    second = waiting.begin(cast(Any, loop))
    assert second is not None
    assert waiting.opening is second
    waiting.opened(first, ConnectFailed("refused"))
    assert waiting.opening is second
    waiting.opened(second, None)
    assert waiting.opening is None
    assert (str(first.result()), second.result()) == ("refused", None)


def test_nobody_waits_for_what_cannot_be_shared() -> None:
    """RFC 7301: an endpoint that chose HTTP/1.1 is asked on a connection each, until it chooses otherwise."""
    waiting = Shared()
    waiting.multiplexed = False
    assert waiting.begin(cast(Any, Asked().loop)) is None
    assert waiting.opening is None
