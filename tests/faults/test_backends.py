"""Backends that end, stall or vanish in the middle of something, and clients that leave them there."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Semaphore

import pytest

from tests.wire.backends import LIMIT, Conversation, Echo, Scripted
from tests.wire.conftest import Serve
from tests.wire.peers import OK, Recorder, Wire, get, post
from tests.wire.serving import service

ROUTE = "- backendRefs: [{name: shop, port: 80}]"

MakeBackend = Callable[..., Scripted]


def reset_at_once(conversation: Conversation) -> None:
    conversation.reset()


def test_a_backend_that_resets_every_connection(serve: Serve, scripted: MakeBackend, blue: Echo) -> None:
    """Faults, "reset before bytes": each request is answered, 503, or by another endpoint; nobody is left waiting."""
    site = serve(service("shop", scripted(reset_at_once).port), ROUTE)
    statuses = [site.ask(method=method).status for _ in range(30) for method in ("GET", "POST")]
    assert set(statuses) == {503}
    site.change(service("shop", blue.port), ROUTE)
    assert site.ask().status == 200


def test_a_backend_that_closes_its_idle_connections_without_a_word(serve: Serve, scripted: MakeBackend) -> None:
    """Faults, "stale pooled connection retried once transparently": whenever the end comes, before the next request, with it or behind
    it, no GET fails (RFC 9112 9.3.1)."""
    drawn = random.Random(3)

    def unreliable(conversation: Conversation) -> None:
        for _ in range(drawn.randrange(1, 4)):
            if not conversation.read_head():
                return
            conversation.send(OK)
        if drawn.random() < 0.3:
            conversation.read_head()  # and no answer
        if drawn.random() < 0.5:
            conversation.reset()

    site = serve(service("shop", scripted(unreliable).port), ROUTE)
    with Wire(site) as wire:
        assert {wire.ask(get()).status for _ in range(300)} == {200}


ENDLESS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "until the close": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("head", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_answer_ends_with_its_client(serve: Serve, scripted: MakeBackend, head: bytes, how: str) -> None:
    """The client leaves: the backend's connection is ended, and does not go on to send for nobody. One that only ends its side may still
    listen; what is sent to it tells (decision 002)."""
    go, ended = Semaphore(1), Event()
    piece = b"5\r\nhello\r\n" if b"chunked" in head else b"hello"

    def endless(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(head)
        try:
            while go.acquire(timeout=LIMIT):
                conversation.send(piece)
        finally:
            ended.set()

    site = serve(service("shop", scripted(endless).port), ROUTE)
    with Wire(site) as wire:
        wire.send(get())
        wire.read_until(b"hello")
        for _ in range(5):
            go.release()
        wire.read_until(b"hello")
        wire.reset() if how == "reset" else wire.socket.close()
    while not ended.is_set():  # each piece finds out whether the connections are still there
        go.release()
        ended.wait(0.005)
    (line,) = site.log.wait_for(1)
    assert (line["status"], line["flags"]) == (200, "DC")


def test_a_backend_that_resets_inside_a_large_request(serve: Serve, scripted: MakeBackend) -> None:
    """The client that still sends is told, and what it sends meanwhile does not pile up; its connection ends, others do not notice."""

    def leaving(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.connection.recv(65_536)
        conversation.reset()

    site = serve(service("shop", scripted(leaving, Recorder()).port), ROUTE)
    size = 50_000_000
    with Wire(site) as wire:
        wire.send(post(b"Content-Length: %d" % size))
        with suppress(ConnectionError):  # the proxy may be gone before all of it is sent
            for _ in range(size // 1_000_000):
                wire.send(b"x" * 1_000_000)
        with suppress(ConnectionError):
            assert wire.response("POST").status == 503
    (line,) = site.log.wait_for(1)
    assert (line["status"], line["flags"]) == (503, "UC")
    assert line["bytes_received"] < size
    with Wire(site) as wire:
        assert wire.ask(get()).status == 200


def test_a_backend_that_hangs_harms_no_other(serve: Serve, scripted: MakeBackend, blue: Echo) -> None:
    """Faults, "hang": fifty requests wait for one that accepts and never answers, and the others are served; then each gets its 504."""

    def hanging(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.read_head()

    rules = """
- {matches: [{path: {value: /hanging}}], backendRefs: [{name: shop, port: 80}], timeouts: {request: 500ms}}
- {matches: [{path: {value: /fine}}], backendRefs: [{name: blue, port: 80}]}
"""
    site = serve(service("shop", scripted(hanging).port), rules)
    waiting = [site.begin("/hanging") for _ in range(50)]
    assert {site.begin("/fine").answer().status for _ in range(20)} == {200}
    assert {flight.answer().status for flight in waiting} == {504}
