"""How connections of HTTP/2 clients end: told in time, with all that was asked answered (RFC 9113 6.8, 9.1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, RstStreamFrame

from tests.wire.backends import LIMIT, Echo, Planned
from tests.wire.conftest import Serve
from tests.wire.http2_frames import LARGE, FrameEnd, data, goaway
from tests.wire.serving import Site

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"


def listener_policy(**spec: object) -> str:
    fields = {"targetRefs": [{"name": "web"}], "reasonHeader": True, **spec}
    return json.dumps({"kind": "ListenerPolicy", "metadata": {"name": "reasons"}, "spec": fields})


@contextmanager
def draining(site: Site) -> Iterator[None]:
    """Meanwhile the gateway drains as on SIGTERM; ends when it has."""
    drained = Thread(target=site.drain)
    drained.start()
    yield
    drained.join(LIMIT)
    assert not drained.is_alive()


def statuses(end: FrameEnd, count: int) -> dict[int, str]:
    """Of the next responses, by stream."""
    heads = [end.until(HeadersFrame) for _ in range(count)]
    return {head.stream_id: end.fields(head)[":status"] for head in heads}


@pytest.mark.slow
def test_no_request_is_lost(serve: Serve, blue: Echo) -> None:
    """RFC 9113 6.8: first a GOAWAY that refuses nothing, a moment later the last stream; what is asked in between is answered, and the
    connection goes with the last answer."""
    held = Planned(held=True)
    blue.plan(held)
    site = serve(TO_BLUE)
    with FrameEnd.client(site.connect()) as end:
        end.send(end.request(1, "/held"))
        blue.wait_for(1)
        with draining(site):
            first = end.until(GoAwayFrame)
            assert (first.last_stream_id, first.error_code) == (LARGE, ErrorCodes.NO_ERROR)
            end.send(end.request(3, method="POST", ends=False), data(3, b"in time", ends=True))
            assert statuses(end, 1) == {3: "200"}
            second = end.until(GoAwayFrame)
            assert (second.last_stream_id, second.error_code) == (3, ErrorCodes.NO_ERROR)
            end.send(end.request(5, method="POST", ends=False), *[data(5, b"too late") for _ in range(9)])
            end.ping()
            held.release()
            assert statuses(end, 1) == {1: "200"}
            assert [frame.last_stream_id for frame in end.rest() if isinstance(frame, GoAwayFrame)] == [3]
            assert not [frame for frame in end.seen if isinstance(frame, RstStreamFrame)]
            end.socket.close()
    assert [request.target for request in blue.requests] == ["/held", "/"]


@pytest.mark.slow
def test_an_idle_client_is_told(serve: Serve) -> None:
    """Both GOAWAY, then the end."""
    site = serve(TO_BLUE)
    with FrameEnd.client(site.connect()) as end:
        end.send(end.request(1))
        assert statuses(end, 1) == {1: "200"}
        with draining(site):
            told = [frame for frame in end.rest() if isinstance(frame, GoAwayFrame)]
            assert [(frame.last_stream_id, frame.error_code) for frame in told] == [(LARGE, 0), (1, 0)]
            end.socket.close()


@pytest.mark.slow
def test_a_listener_that_goes_tells_its_clients(serve: Serve, blue: Echo) -> None:
    """Gateway.spec.listeners: what it has begun is answered, by the rule that it began with."""
    held = Planned(held=True)
    blue.plan(held)
    site = serve(TO_BLUE)
    with FrameEnd.client(site.connect()) as end:
        end.send(end.request(1))
        blue.wait_for(1)
        gateway = (
            "{kind: Gateway, metadata: {name: web}, spec: {gatewayClassName: tidegate, listeners: [{name: o, port: 81, protocol: HTTP}]}}"
        )
        site.change(gateway, TO_BLUE)
        assert end.until(GoAwayFrame).last_stream_id == LARGE
        held.release()
        assert statuses(end, 1) == {1: "200"}
        assert [frame for frame in end.rest() if isinstance(frame, GoAwayFrame)]


@pytest.mark.slow
def test_a_connection_ends_after_its_number_of_requests(serve: Serve) -> None:
    """ListenerPolicy.limits.requestsPerConnection: the last of them is told of, and more are answered until the client can know."""
    with FrameEnd.client(serve(TO_BLUE, listener_policy(limits={"requestsPerConnection": 2})).connect()) as end:
        end.send(end.request(1))
        assert statuses(end, 1) == {1: "200"}
        assert not [frame for frame in end.seen if isinstance(frame, GoAwayFrame)]
        end.send(end.request(3), end.request(5))
        assert statuses(end, 2) == {3: "200", 5: "200"}
        end.rest()
        assert [frame.last_stream_id for frame in end.seen if isinstance(frame, GoAwayFrame)] == [LARGE, 5]


def test_an_idle_connection_ends(serve: Serve) -> None:
    """ListenerPolicy.timeouts.idle, from the last answer; GOAWAY before the end (RFC 9113 9.1)."""
    with FrameEnd.client(serve(TO_BLUE, listener_policy(timeouts={"idle": "100ms"})).connect()) as end:
        for stream in (1, 3):
            end.send(end.request(stream))
            assert statuses(end, 1) == {stream: "200"}
        told = [frame for frame in end.rest() if isinstance(frame, GoAwayFrame)]
        assert [(frame.last_stream_id, frame.error_code) for frame in told] == [(3, 0)]


@pytest.mark.parametrize("begun", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"])
def test_a_connection_that_says_nothing_ends(serve: Serve, begun: bytes) -> None:
    """ListenerPolicy.timeouts.header holds for the preface too."""
    connection = serve(TO_BLUE, listener_policy(timeouts={"header": "100ms"})).connect()
    with FrameEnd(connection):
        connection.sendall(begun)
        while connection.recv(65_536):
            pass


def parts(end: FrameEnd, stream: int) -> tuple[bytes, bytes]:
    """A request in two pieces, cut inside its block of fields."""
    whole = end.request(stream, "/", ("x-a", "b")).serialize()
    return whole[:12], whole[12:]


def test_a_head_that_never_ends_ends_the_connection(serve: Serve, blue: Echo) -> None:
    """ListenerPolicy.timeouts.header: also beside streams that go on; they end with it."""
    blue.plan(Planned(), Planned(held=True))
    with FrameEnd.client(serve(TO_BLUE, listener_policy(timeouts={"header": "150ms"})).connect()) as end:
        for number, stream in enumerate((1, 3)):
            begun, ending = parts(end, stream)
            end.socket.sendall(begun)
            end.socket.sendall(ending)
            blue.wait_for(number + 1)
        end.ping()  # its SETTINGS are acknowledged: nothing else goes out inside the frame
        end.socket.sendall(parts(end, 5)[0])
        assert end.until(GoAwayFrame).additional_data == b"request head did not arrive in time"
        end.rest()
    blue.wait_for_abandoned()


def test_a_head_that_came_in_pieces_leaves_no_deadline(serve: Serve, blue: Echo) -> None:
    """A request under way is not ended by the time that its head, or one before it, had."""
    held = Planned(held=True)
    blue.plan(held)
    site = serve(TO_BLUE, listener_policy(timeouts={"header": "150ms", "idle": "0s"}))
    with FrameEnd.client(site.connect()) as end, FrameEnd.client(site.connect()) as later:
        begun, ending = parts(end, 1)
        end.socket.sendall(begun)
        end.socket.sendall(ending)
        blue.wait_for(1)
        later.ping()
        later.socket.sendall(parts(later, 1)[0])
        later.rest()  # what began after it has had its time
        held.release()
        assert statuses(end, 1) == {1: "200"}


def test_a_client_that_leaves_is_answered(serve: Serve, blue: Echo) -> None:
    """RFC 9113 6.8: GOAWAY of a client ends nothing that it has asked; with the last answer the connection goes."""
    held = Planned(held=True)
    blue.plan(held)
    with FrameEnd.client(serve(TO_BLUE).connect()) as end:
        end.send(end.request(1), goaway(0))
        blue.wait_for(1)
        end.ping()
        held.release()
        assert statuses(end, 1) == {1: "200"}
        frames: list[Frame] = end.rest()
        assert isinstance(frames[-1], GoAwayFrame)
