"""Connections: kept, pipelined, half closed, timed out, drained (RFC 9112 9)."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.wire.backends import LIMIT, Conversation, Echo, Planned, Scripted
from tests.wire.conftest import Serve
from tests.wire.peers import DELIVERIES, OK, Delivery, Recorder, Wire, chunked, get, post
from tests.wire.serving import Site, service

ROUTE = "- backendRefs: [{name: kept, port: 80}]"
MATCHED = "- matches: [{path: {value: /to}}]\n  backendRefs: [{name: kept, port: 80}]"
"""Everything but /to is answered 404 by the proxy itself."""

Keep = Callable[..., Site]


@pytest.fixture
def keep(serve: Serve, scripted: Callable[..., Scripted]) -> Keep:
    """Makes a gateway with the given backend as `kept`."""

    def make(backend: Callable[[Conversation], None], *texts: str) -> Site:
        return serve(service("kept", scripted(backend).port), *(texts or (ROUTE,)))

    return make


def timeouts(spec: str, listener: str = "") -> str:
    """Limits of all listeners, or of one."""
    target = f"{{name: web, sectionName: {listener}}}" if listener else "{name: web}"
    return f"kind: ListenerPolicy\nmetadata: {{name: {listener or 'reasons'}}}\nspec: {{targetRefs: [{target}], timeouts: {spec}}}"


# keep-alive


def test_both_connections_serve_one_request_after_another(keep: Keep) -> None:
    """Persistence is the rule in HTTP/1.1, on both sides (RFC 9112 9.3)."""
    backend = Recorder()
    site = keep(backend)
    with Wire(site) as wire:
        for number in range(5):
            response = wire.ask(get(target=b"/%d" % number))
            assert (response.status, response.body, response.value("connection")) == (200, b"ok", None)
    assert [request.line for request in backend.requests] == [b"GET /%d HTTP/1.1" % number for number in range(5)]
    assert backend.connections == 1


def test_clients_share_the_connections_to_a_backend(keep: Keep) -> None:
    """A connection that has ended its exchange serves the next one, whoever asks."""
    backend = Recorder()
    site = keep(backend)
    for _ in range(3):
        with Wire(site) as wire:
            assert wire.ask(get()).status == 200
    assert (len(backend.requests), backend.connections) == (3, 1)


def test_a_library_keeps_its_connection(keep: Keep) -> None:
    """httpx, which decides by itself whether to use a connection again, needs only one for requests of all kinds."""
    site = keep(Recorder())
    connections = []
    with httpx.Client(trust_env=False) as client:
        for method, body in (("GET", None), ("POST", b"x"), ("PUT", iter([b"a", b"b"])), ("HEAD", None), ("DELETE", None)):
            response = client.request(method, f"http://127.0.0.1:{site.address()[1]}/", content=body, headers={"Host": "example.com"})
            assert response.status_code == 200
            connections.append(response.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(set(connections)) == 1


@pytest.mark.parametrize("option", [b"close", b"CLOSE", b"x, close"])
def test_a_client_may_end_the_connection_with_its_request(keep: Keep, option: bytes) -> None:
    """After `close` the response says the same, and nothing that follows is read (RFC 9112 9.6)."""
    backend = Recorder()
    with Wire(keep(backend)) as wire:
        wire.send(get(b"Connection: " + option) + get(target=b"/ignored"))
        response = wire.response()
        assert (response.status, response.value("connection")) == (200, "close")
        assert wire.is_ended()
    assert len(backend.requests) == 1


def test_a_backend_may_end_its_connection_without_the_client_noticing(keep: Keep) -> None:
    """Each side has its own connection: `Connection: close` of the backend is not passed on (RFC 9110 7.6.1)."""
    backend = Recorder(otherwise=b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    with Wire(keep(backend)) as wire:
        for _ in range(3):
            response = wire.ask(get())
            assert (response.status, response.value("connection")) == (200, None)
    backend.wait_for(lambda backend: backend.left == 3)
    assert backend.connections == 3


# pipelining


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_pipelined_requests_are_answered_in_order(keep: Keep, delivery: Delivery) -> None:
    """Answers of the backend and of the proxy itself, with and without bodies, stand in the order of the requests (RFC 9112 9.3.2)."""
    backend = Recorder(OK.replace(b"ok", b"/1"), OK.replace(b"ok", b"/3"), OK.replace(b"ok", b"/5"), b"HTTP/1.1 204 No Content\r\n\r\n")
    requests = [
        get(target=b"/to/1"),
        get(target=b"/2"),
        post(b"Content-Length: 5", target=b"/to/3", body=b"hello"),
        post(b"Transfer-Encoding: chunked", target=b"/4", body=chunked(b"nobody reads this")),
        post(b"Transfer-Encoding: chunked", target=b"/to/5", body=chunked(b"a", b"bc")),
        get(target=b"/to/6"),
        get(target=b"/7"),
    ]
    with Wire(keep(backend, MATCHED)) as wire:
        wire.deliver(b"".join(requests), delivery, get(target=b"/8"))
        answers = [(response.status, response.body) for response in (wire.response() for _ in requests)]
    assert answers == [(200, b"/1"), (404, b""), (200, b"/3"), (404, b""), (200, b"/5"), (204, b""), (404, b"")]
    assert [request.line for request in backend.requests] == [
        b"GET /to/1 HTTP/1.1", b"POST /to/3 HTTP/1.1", b"POST /to/5 HTTP/1.1", b"GET /to/6 HTTP/1.1"
    ]  # fmt: skip


def test_a_long_pipeline_is_held_and_served_to_its_end(keep: Keep) -> None:
    """More requests than are held wait in the client's own buffers; none is lost and none overtakes another."""
    backend = Recorder()
    count = 1000
    with Wire(keep(backend)) as wire, ThreadPoolExecutor(1) as sending:
        sent = sending.submit(wire.send, b"".join(get(b"X: " + b"x" * 500, target=b"/%d" % number) for number in range(count)))
        for _ in range(count):
            assert wire.response().status == 200
        sent.result(LIMIT)
    assert [request.line for request in backend.requests] == [b"GET /%d HTTP/1.1" % number for number in range(count)]


def test_a_refusal_stands_behind_the_answers_before_it(keep: Keep) -> None:
    """What was asked before the error is answered; nothing after it is (RFC 9112 9.3.2)."""
    backend = Recorder()
    with Wire(keep(backend)) as wire:
        wire.send(get(target=b"/1") + get(target=b"/2") + b"GET / \r\n\r\n" + get(target=b"/3"))
        assert [wire.response().status for _ in range(3)] == [200, 200, 400]
        assert wire.is_ended()
    assert len(backend.requests) == 2


# HTTP/1.0


def test_an_old_client_gets_its_answer_and_the_end(keep: Keep) -> None:
    """HTTP/1.0 without keep-alive (RFC 9112 9.3); the response is of our own version (RFC 9110 2.5)."""
    with Wire(keep(Recorder())) as wire:
        wire.send(b"GET / HTTP/1.0\r\n\r\n")
        assert wire.rest() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


def test_an_old_client_may_ask_for_keeping(keep: Keep) -> None:
    """And is told so (RFC 9112 9.3, C.2.2)."""
    with Wire(keep(Recorder())) as wire:
        for _ in range(3):
            response = wire.ask(get(b"Connection: keep-alive", version=b"1.0"))
            assert (response.status, response.value("connection")) == (200, "keep-alive")


@pytest.mark.parametrize("options", [(), (b"Connection: keep-alive",)])
@pytest.mark.parametrize("framing", ["chunked", "until close"])
def test_an_old_client_gets_a_body_of_unknown_length_until_the_end(keep: Keep, options: tuple[bytes, ...], framing: str) -> None:
    """HTTP/1.0 knows no chunks (RFC 9112 6.1), so the end of the connection ends the body whatever it asked for."""

    def answer(conversation: Conversation) -> None:
        conversation.read_head()
        if framing == "chunked":
            conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hel", b"lo"))
        else:
            conversation.send(b"HTTP/1.0 200 OK\r\n\r\nhello")

    with Wire(keep(answer)) as wire:
        wire.send(get(*options, version=b"1.0"))
        assert wire.rest() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello"


def test_an_old_client_gets_no_interim_response(keep: Keep) -> None:
    """1xx is for HTTP/1.1 (RFC 9110 15.2)."""
    with Wire(keep(Recorder(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK))) as wire:
        wire.send(get(version=b"1.0"))
        assert wire.rest().startswith(b"HTTP/1.1 200 OK\r\n")


def test_curl_as_an_old_client_understands_every_answer(keep: Keep) -> None:
    """Two requests in HTTP/1.0, one after the other."""
    site = keep(Recorder())
    url = f"http://127.0.0.1:{site.address()[1]}/"
    output = subprocess.run(
        ["curl", "-sS", "--http1.0", "-H", "Host: example.com", url, url], capture_output=True, timeout=LIMIT, check=True
    )
    assert output.stdout == b"okok"


# ends


def test_a_client_that_has_ended_its_side_still_gets_its_answers(keep: Keep) -> None:
    """A half close after complete requests takes none of them back (RFC 9112 9.6)."""
    backend = Recorder()
    with Wire(keep(backend)) as wire:
        wire.send(get(target=b"/1") + get(target=b"/2") + post(b"Content-Length: 2", body=b"ab"))
        wire.end()
        assert [wire.response().status for _ in range(3)] == [200, 200, 200]
        assert wire.is_ended()
    assert len(backend.requests) == 3


@pytest.mark.parametrize(
    "begun", [b"", b"GET / HT", get(), get() + b"GET / HT"], ids=["nothing", "a head", "a request", "a request and a head"]
)
def test_what_will_never_be_complete_is_not_waited_for(keep: Keep, begun: bytes) -> None:
    """Without a complete request there is nothing to answer after a half close."""
    with Wire(keep(Recorder())) as wire:
        wire.send(begun)
        wire.end()
        answers = wire.rest()
    assert answers.count(b"HTTP/1.1 200 OK") == begun.count(b"\r\n\r\n")
    assert answers.count(b"HTTP/1.1") == begun.count(b"\r\n\r\n")


@pytest.mark.parametrize("leave", [Wire.end, Wire.reset], ids=["half close", "reset"])
@pytest.mark.parametrize(
    "body", [post(b"Content-Length: 9", body=b"abc"), post(b"Transfer-Encoding: chunked", body=b"9\r\nabc")], ids=["counted", "chunked"]
)
def test_a_request_cut_short_is_cut_short_at_the_backend(keep: Keep, body: bytes, leave: Callable[[Wire], None]) -> None:
    """Its body never looks complete, and the backend's connection ends (RFC 9112 8)."""
    backend = Recorder()
    with Wire(keep(backend)) as wire:
        wire.send(body)
        backend.wait_for(lambda backend: backend.begun == 1)
        leave(wire)
        backend.wait_for(lambda backend: backend.left == 1)
    assert [request.body for request in backend.requests if request.body not in (b"abc", b"3\r\nabc\r\n")] == []


def test_a_client_that_leaves_ends_the_work_of_the_backend(serve: Serve, blue: Echo) -> None:
    """The backend sees its connection end while it prepares the answer, and the log says who left."""
    site = serve("- backendRefs: [{name: blue, port: 80}]")
    blue.plan(Planned(held=True))
    with Wire(site) as wire:
        wire.send(get())
        blue.wait_for(1)
        wire.reset()
        blue.wait_for_abandoned()
    assert site.log.wait_for(1)[0]["flags"] == "DC"


def test_a_client_that_leaves_inside_a_response_ends_it(keep: Keep) -> None:
    """The backend cannot go on sending to nobody."""

    def endless(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            conversation.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")

    site = keep(endless)
    with Wire(site) as wire:
        wire.send(get())
        wire.read_until(b"xxxx")
        wire.reset()
    assert site.log.wait_for(1)[0]["flags"] == "DC"


# time


def test_a_head_that_takes_too_long_is_answered_408(keep: Keep) -> None:
    """Whether it stops or trickles: the limit counts from the first byte (catalogue 2.5, slowloris; RFC 9110 15.5.9)."""
    backend = Recorder()
    site = keep(backend, ROUTE, timeouts("{header: 150ms}"))
    with Wire(site) as stopped, Wire(site) as trickling:
        stopped.send(b"GET / HTTP/1.1\r\nHost: exa")
        trickling.send(b"GET / HTTP/1.1\r\nX: ")
        while not select.select([trickling.socket], [], [], 0.01)[0]:
            trickling.send(b"x")
        for wire in (stopped, trickling):
            response = wire.response()
            assert (response.status, response.value("connection")) == (408, "close")
            assert wire.is_ended()
    assert {line["flags"] for line in site.log.wait_for(2)} == {"DPE"}
    assert backend.connections == 0


def test_the_head_of_a_later_request_has_the_same_limit(keep: Keep) -> None:
    """It counts from the first byte of each head."""
    with Wire(keep(Recorder(), ROUTE, timeouts("{header: 150ms}"))) as wire:
        assert wire.ask(get()).status == 200
        wire.send(b"GET / HT")
        assert wire.response().status == 408
        assert wire.is_ended()


def test_a_connection_without_a_request_is_closed_in_silence(keep: Keep) -> None:
    """There is no request that 408 could answer (RFC 9112 9.5)."""
    with Wire(keep(Recorder(), ROUTE, timeouts("{header: 150ms}"))) as wire:
        assert wire.is_ended()


def test_an_idle_connection_is_closed_in_silence(keep: Keep) -> None:
    """After the idle limit, between two requests (RFC 9112 9.5)."""
    with Wire(keep(Recorder(), ROUTE, timeouts("{idle: 100ms}"))) as wire:
        assert wire.ask(get()).status == 200
        assert wire.is_ended()


def test_a_slow_answer_is_not_idleness(serve: Serve, blue: Echo) -> None:
    """Limits of heads and of idle connections do not count while an exchange runs."""
    site = serve("- backendRefs: [{name: blue, port: 80}]", timeouts("{header: 100ms, idle: 100ms}"))
    held = Planned(held=True)
    blue.plan(held)
    with Wire(site) as slow, Wire(site) as idle:
        slow.send(get())
        blue.wait_for(1)
        assert idle.ask(get()).status == 200
        assert idle.is_ended()  # a whole idle limit has passed
        held.release()
        assert slow.response().status == 200


def test_zero_disables_a_limit(keep: Keep) -> None:
    """A connection without limits outlives one that has them (ListenerPolicy.timeouts)."""
    gateway = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners: [{name: http, port: 80, protocol: HTTP}, {name: quick, port: 81, protocol: HTTP}]
"""
    site = keep(Recorder(), gateway, ROUTE, timeouts("{header: 0s, idle: 0s}", "http"), timeouts("{header: 100ms, idle: 100ms}", "quick"))
    with Wire(site) as silent, Wire(site) as begun, Wire(site) as idle, Wire(site, 81) as quick, Wire(site, 81) as quick_idle:
        begun.send(b"GET / HTTP/1.1\r\n")
        assert idle.ask(get()).status == 200
        quick.send(b"GET / HTTP/1.1\r\n")
        assert quick_idle.ask(get()).status == 200
        assert quick.response().status == 408
        assert quick_idle.is_ended()
        begun.send(b"Host: example.com\r\n\r\n")
        assert begun.response().status == 200
        assert (idle.ask(get()).status, silent.ask(get()).status) == (200, 200)


# lingering


@pytest.mark.parametrize(
    ("line", "status"), [(b"Expect: nothing we know", 417), (b"Connection: host", 400), (b"X-Plain: 1", 404)], ids=["417", "400", "404"]
)
def test_a_client_that_is_still_sending_sees_the_answer(keep: Keep, line: bytes, status: int) -> None:
    """Closing at once would reset the connection under the answer; instead the proxy reads on for a while (RFC 9112 9.6)."""
    size = 8 << 20
    with Wire(keep(Recorder(), MATCHED)) as wire:
        wire.send(post(line, b"Content-Length: %d" % size))
        wire.send(b"x" * size)
        assert wire.response().status == status
        assert wire.is_ended()


def test_curl_sees_the_answer_to_an_upload_that_nobody_wants(keep: Keep, tmp_path: Path) -> None:
    """A client of the real world, in the middle of its upload."""
    site = keep(Recorder(), MATCHED)
    body = tmp_path / "body"
    body.write_bytes(b"x" * (8 << 20))
    url = f"http://127.0.0.1:{site.address()[1]}/"
    command = ["curl", "-sS", "-o", str(tmp_path / "out"), "-w", "%{json}", "-H", "Expect:", "-T", str(body), url]
    output = subprocess.run(command, capture_output=True, timeout=LIMIT, check=True)
    assert json.loads(output.stdout)["response_code"] == 404


def test_a_small_body_that_nobody_wants_is_thrown_away(keep: Keep) -> None:
    """The connection is kept for the next request, and not a byte of the body is taken for it (RFC 9112 9.3)."""
    with Wire(keep(Recorder(), MATCHED)) as wire:
        for framed in (
            post(b"Content-Length: 100000", body=get(target=b"/to") * 1000)[:100_000],
            post(b"Transfer-Encoding: chunked", body=chunked(*[get(target=b"/to")] * 1000)),
        ):
            head, _, body = framed.partition(b"\r\n\r\n")
            wire.send(head + b"\r\n\r\n")
            assert wire.response().status == 404
            wire.send(body + b"x" * (100_000 - len(body)) if b"Content-Length" in head else body)
        assert wire.ask(get(target=b"/to")).status == 200


# the end of the process


def test_draining_finishes_what_runs_and_closes_what_is_idle(serve: Serve, blue: Echo) -> None:
    """In-flight exchanges end with `connection: close`, idle connections end now, new ones are refused (design.md 2, --drain-timeout)."""
    site = serve("- backendRefs: [{name: blue, port: 80}]")
    held = Planned(body=b"late", held=True)
    with Wire(site) as running, Wire(site) as idle, Wire(site) as silent, ThreadPoolExecutor(1) as draining:
        assert idle.ask(get()).status == 200
        blue.plan(held)
        running.send(get())
        blue.wait_for(2)
        silent.turn()
        drained = draining.submit(site.drain)
        assert idle.is_ended()
        assert silent.is_ended()
        with pytest.raises(ConnectionRefusedError):
            site.connect()
        assert not drained.done()
        held.release()
        response = running.response()
        assert (response.status, response.body, response.value("connection")) == (200, b"late", "close")
        assert running.is_ended()
        running.socket.close()
        drained.result(LIMIT)


def test_a_response_under_way_is_finished_when_draining(keep: Keep) -> None:
    """Its head is out, so that the connection just ends after its body."""
    go_on = ThreadPoolExecutor(1)
    sent: list[Conversation] = []

    def answer(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        sent.append(conversation)
        conversation.read_head()

    site = keep(answer)
    with Wire(site) as wire, go_on as draining:
        wire.send(get())
        wire.read_until(b"hello")
        drained = draining.submit(site.drain)
        sent[0].send(b"world")
        assert wire.rest() == b"world"
        wire.socket.close()
        drained.result(LIMIT)


def test_what_does_not_end_in_time_is_cut_when_draining(serve: Serve, blue: Echo) -> None:
    """After --drain-timeout nothing is waited for."""
    site = serve("- backendRefs: [{name: blue, port: 80}]")
    blue.plan(Planned(held=True))
    with Wire(site) as wire:
        wire.send(get())
        blue.wait_for(1)
        site.drain(timeout=0.1)
        assert wire.is_ended()
    blue.wait_for_abandoned()


def test_while_balancers_learn_of_the_end_requests_are_served_and_told(keep: Keep) -> None:
    """During --drain-delay new connections are still accepted, and every response says `connection: close` (RFC 9112 9.6)."""
    site = keep(Recorder())
    with Wire(site) as before, ThreadPoolExecutor(1) as draining:
        assert before.ask(get()).value("connection") is None
        drained = draining.submit(site.drain, delay=0.5)
        while (response := before.ask(get())).value("connection") is None:
            pass  # the drain has not begun yet
        assert response.status == 200
        assert before.is_ended()
        before.socket.close()
        with Wire(site) as after:
            assert after.ask(get()).value("connection") == "close"
        drained.result(LIMIT)
