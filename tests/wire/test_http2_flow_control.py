"""Flow control through the gateway: a slow side holds back its stream and no other, and one that stands still is cut (RFC 9113 6.9)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from gateway.proxy.http2.stream import LARGE_WINDOW, STREAM_WINDOW
from tests.wire.backends import Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.http2_backends import Http2Echo, Http2Plan, http2_service
from tests.wire.http2_clients import Http2Client
from tests.wire.http2_frames import LARGE, FrameEnd, data, window
from tests.wire.pools import policy, until
from tests.wire.serving import Site

Echoing = Callable[..., Http2Echo]
Connecting = Callable[..., Http2Client]

TO_POOL = "- backendRefs: [{name: pool, port: 80}]"
BOTH = """
- matches: [{path: {value: /slow}}]
  backendRefs: [{name: pool, port: 80}]
- backendRefs: [{name: blue, port: 80}]
"""
MIB = 1024 * 1024
BODY = bytes(range(256)) * 4096 * 4
TRAILERS = (("x-sum", "abc"),)
STALLED = "client took nothing of the response for 0.3 s"
SMALL_WINDOWS = {SettingCodes.INITIAL_WINDOW_SIZE: 4000}


def listener_policy(**spec: object) -> str:
    fields = {"targetRefs": [{"name": "web"}], "reasonHeader": True, **spec}
    return json.dumps({"kind": "ListenerPolicy", "metadata": {"name": "reasons"}, "spec": fields})


def held(site: Site) -> int:
    """Bytes that wait for room on the streams of clients."""

    def count() -> int:
        links: list[Any] = [connection for port in site.runtime._live.ports.values() for connection in port.connections]
        return sum(stream.unsent for link in links for stream in link.streams.values())

    return site._thread.call(count)


# windows


@pytest.mark.parametrize("size", [0, 1, 1000, 65_535, LARGE])
def test_whatever_window_a_client_gives(serve: Serve, blue: Echo, size: int) -> None:
    """SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 6.5.2, 6.9.1): never a byte more than there is room for, and all of the body in the end."""
    blue.plan(Planned(body=BODY[:200_000]))
    with FrameEnd.client(serve(BOTH).connect(), {4: size}) as end:
        end.send(end.request(1))
        end.until(HeadersFrame)
        room, whole, got = size, 65_535, b""
        while len(got) < 200_000:
            while room > 0 and whole > 0 and len(got) < 200_000:
                frame = end.until(DataFrame)
                got += frame.data
                room, whole = room - len(frame.data), whole - len(frame.data)
                assert room >= 0
                assert whole >= 0
            end.ping()
            assert not any(isinstance(frame, DataFrame) and frame.data for frame in end.seen[-1:])
            if len(got) < 200_000:
                more = [window(0, 30_000)] + ([window(1, 30_000)] if room < 30_000 else [])
                end.send(*more)
                room, whole = room + 30_000 * (len(more) - 1), whole + 30_000
        assert got == BODY[:200_000]


def test_a_window_may_become_negative(serve: Serve, blue: Echo) -> None:
    """RFC 9113 6.9.2: SETTINGS take room back from streams under way; nothing is sent until there is some again."""
    blue.plan(Planned(body=BODY[:100_000]))
    with FrameEnd.client(serve(BOTH).connect(), {4: 20_000}) as end:
        end.send(window(0, MIB), end.request(1))
        got = 0
        while got < 20_000:
            got += len(end.until(DataFrame).data)
        end.send(SettingsFrame(0, settings={4: 5_000}), window(1, 15_000))
        end.ping()
        end.ping()
        assert got == 20_000
        assert not any(isinstance(frame, DataFrame) for frame in end.seen[-3:])
        end.send(window(1, 1), window(1, LARGE - 20_000))
        assert len(end.until(DataFrame).data) == 1
        got += 1
        while got < 100_000:
            got += len(end.until(DataFrame).data)


def test_one_stream_without_room_holds_no_other(serve: Serve, blue: Echo, http2_client: Connecting) -> None:
    """RFC 9113 5.2.1: a client that takes nothing of one response takes all of others, on the same connection."""
    blue.plan(Planned(body=BODY[:65_535]), *[Planned(body=BODY[:100_000])] * 3)
    client = http2_client(serve(BOTH).address(), settings=SMALL_WINDOWS, reads=False)
    waits = client.begin("/waits")
    client.read_until(lambda: len(client.responses[waits].body) == 4000)
    client.reads = True
    for _ in range(3):
        assert len(client.ask("/passes").body) == 100_000
    assert len(client.responses[waits].body) == 4000
    client.h2.increment_flow_control_window(70_000, waits)
    client._flush()
    assert client.answer(waits).body == BODY[:65_535]


@pytest.mark.parametrize("trailers", [(), TRAILERS], ids=["", "trailers"])
def test_what_waits_for_room_goes_out_before_its_end(
    serve: Serve, http2_echo: Echoing, http2_client: Connecting, trailers: tuple[tuple[str, str], ...]
) -> None:
    """RFC 9113 8.1: END_STREAM, or the trailers, behind the last byte of a body that waited, in both directions."""
    two = http2_echo("two", settings=SMALL_WINDOWS)
    two.plan(Http2Plan(body=BODY[:50_000], trailers=trailers))
    client = http2_client(serve(http2_service("pool", two.port), TO_POOL).address(), settings=SMALL_WINDOWS)
    answer = client.ask(method="POST", fields=(("te", "trailers"),), body=BODY[:50_000], trailers=trailers)
    assert (answer.status, answer.body, answer.trailers) == (200, BODY[:50_000], trailers)
    [request] = two.requests
    assert (request.body, getattr(request, "trailers", None)) == (BODY[:50_000], trailers)


# back pressure


def fill(end: FrameEnd) -> int:
    """Sends a body for as long as there is room for more, once there is a backend to take it; how much it was."""
    end.send(end.request(1))
    end.fields(end.until(HeadersFrame))
    end.send(end.request(3, method="POST", ends=False))
    sent, room = 0, STREAM_WINDOW
    while sent < room:
        for at in range(sent, room, 16_384):
            end.send(data(3, BODY[at : min(at + 16_384, room)]))
        sent = room
        end.ping()
        end.ping()
        updates = [frame for frame in end.seen if isinstance(frame, WindowUpdateFrame) and frame.stream_id]
        room = STREAM_WINDOW + sum(frame.window_increment for frame in updates)
    return sent


def test_a_backend_that_takes_nothing_holds_the_client(serve: Serve, http2_echo: Echoing) -> None:
    """Beyond what the backend has room for, the client is given no more than the window of a stream; more than that ends it."""
    two = http2_echo("two", reads=False)
    with FrameEnd.client(serve(http2_service("pool", two.port), TO_POOL).connect()) as end:
        assert STREAM_WINDOW <= fill(end) <= 65_535 + LARGE_WINDOW
        end.send(data(3, b"x"))
        assert end.until(RstStreamFrame).error_code == ErrorCodes.FLOW_CONTROL_ERROR
        two.wait_until(lambda: bool(two.resets))


def test_a_client_that_takes_nothing_holds_the_backend(serve: Serve, http2_echo: Echoing, http2_client: Connecting) -> None:
    """A backend may send no more than one window while the client gives no room; the rest comes when it does."""
    two = http2_echo("two")
    two.plan(Http2Plan(body=BODY))
    site = serve(http2_service("pool", two.port), TO_POOL)
    client = http2_client(site.address(), reads=False)
    stream = client.begin()
    client.read_until(lambda: len(client.responses[stream].body) == 65_535)
    for _ in range(9):
        two.thread.call(lambda: None)
        client.ping()
        assert held(site) <= LARGE_WINDOW
    client.reads = True
    client.h2.increment_flow_control_window(len(BODY))
    client.h2.increment_flow_control_window(len(BODY), stream)
    client._flush()
    assert client.answer(stream).body == BODY


def test_a_client_that_does_not_read_at_all_asks_no_more(serve: Serve, http2_client: Connecting) -> None:
    """What is answered to a client that never reads is bounded, however much it asks (CVE-2019-9517): it is not read either, and ends on
    ListenerPolicy.timeouts.send."""
    redirect = {"type": "RequestRedirect", "requestRedirect": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/" + "x" * 900}}}
    site = serve(json.dumps([{"filters": [redirect]}]), listener_policy(timeouts={"send": "300ms"}))
    with FrameEnd.client(site.connect()) as end:
        end.socket.settimeout(0.25)
        with pytest.raises((TimeoutError, ConnectionError)):
            send_without_end(end)
        until(
            lambda: not site._thread.call(lambda: [port.connections for port in site.runtime._live.ports.values() if port.connections]),
            "its end",
        )


def send_without_end(end: FrameEnd) -> None:
    """Requests that nobody reads the answers to."""
    for stream in range(1, 2_000_000, 2):
        end.send(end.request(stream))


# timers


def stream_of(site: Site) -> FrameEnd:
    """A stream with a body that does not come, beside others."""
    end = FrameEnd.client(site.connect())
    end.send(end.request(1, "/stops", ("content-length", "9"), method="POST", ends=False), data(1, b"abc"))
    return end


def test_a_body_that_stops_ends_its_stream(serve: Serve) -> None:
    """ListenerPolicy.timeouts.body: 408, the stream ends without a fault of its own, and the connection serves others before and after."""
    site = serve(BOTH, listener_policy(timeouts={"body": "200ms"}))
    with stream_of(site) as end:
        end.send(end.request(3))
        assert end.fields(end.until(HeadersFrame, lambda frame: frame.stream_id == 3))[":status"] == "200"
        fields = end.fields(end.until(HeadersFrame, lambda frame: frame.stream_id == 1))
        assert (fields[":status"], fields["x-tidegate-reason"]) == ("408", "nothing of the request's body came for 0.2 s")
        assert end.until(RstStreamFrame).error_code == ErrorCodes.NO_ERROR
        end.send(end.request(5))
        assert end.fields(end.until(HeadersFrame))[":status"] == "200"


def test_a_body_that_trickles_ends_its_stream(serve: Serve) -> None:
    """ListenerPolicy.minimumRates.body: a byte now and then keeps no stream."""
    site = serve(BOTH, listener_policy(minimumRates={"body": 100_000, "grace": "200ms"}))
    with FrameEnd.client(site.connect()) as end:
        end.send(end.request(1, method="POST", ends=False))
        while not any(isinstance(frame, RstStreamFrame) for frame in end.seen):
            end.send(data(1, b"x"))
            end.ping()
        [ended] = [frame for frame in end.seen if isinstance(frame, HeadersFrame)]
        assert end.fields(ended)[":status"] == "408"
        end.send(end.request(3))
        end.until(HeadersFrame)


@pytest.mark.parametrize("given", [0, 1], ids=["nothing", "a byte now and then"])
def test_a_client_that_gives_no_room_loses_its_stream(serve: Serve, blue: Echo, given: int) -> None:
    """ListenerPolicy.timeouts.send and minimumRates.send: RST_STREAM to it, the log says why, others go on meanwhile and afterwards."""
    timers = {"minimumRates": {"send": 1_000_000, "grace": "200ms"}} if given else {"timeouts": {"send": "300ms"}}
    blue.plan(Planned(body=BODY))
    site = serve(BOTH, listener_policy(**timers))
    with FrameEnd.client(site.connect(), {4: 100}) as end:
        end.send(end.request(1, "/"))
        end.until(DataFrame)
        stream = 1
        while not any(isinstance(frame, RstStreamFrame) for frame in end.seen):
            stream += 2
            end.send(*[window(1, given)] * given, end.request(stream))
            end.until(HeadersFrame)
        end.ping()
    [cut] = [line for line in site.log.wait_for(stream // 2 + 1) if line["flags"] != "-"]
    assert (cut["status"], cut["flags"]) == (200, "SI")
    assert cut["reason"] == ("client takes the response slower than 1000000 bytes a second" if given else STALLED)


def test_a_backend_that_never_takes_a_body_is_given_up(serve: Serve, http2_echo: Echoing) -> None:
    """BackendPolicy.sendTimeout, where the backend gives no room: 504, and the client is not to blame."""
    two = http2_echo("two", reads=False)
    site = serve(http2_service("pool", two.port), policy(sendTimeout="300ms"), TO_POOL, listener_policy(timeouts={"body": "100ms"}))
    with FrameEnd.client(site.connect()) as end:
        fill(end)
        fields = end.fields(end.until(HeadersFrame))
        assert (fields[":status"], fields["x-tidegate-reason"]) == ("504", "backend took nothing of the request's body for 0.3 s")
    two.wait_until(lambda: bool(two.resets))
