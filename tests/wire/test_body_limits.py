"""How long the body of a request may be (ListenerPolicy.limits.requestBody): 413 before or while it comes (RFC 9110 15.5.14)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event

import pytest

from tests.wire.backends import LIMIT, Conversation, Echo, Scripted
from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing
from tests.wire.peers import Wire, chunked, get, post
from tests.wire.serving import Site, service

pytestmark = every_pairing

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]\n"
CHUNKED = b"Transfer-Encoding: chunked"


def policy(size: str) -> str:
    spec = f"{{targetRefs: [{{name: web}}], reasonHeader: true, limits: {{requestBody: {size}}}}}"
    return f"kind: ListenerPolicy\nmetadata: {{name: reasons}}\nspec: {spec}"


def refused(site: Site) -> dict[str, float]:
    samples = [sample for sample in site.statistics().counters if sample.name == "tidegate_requests_refused_total"]
    return {dict(sample.labels)["reason"]: sample.value for sample in samples}


@pytest.mark.parametrize("streamed", [False, True], ids=["counted", "chunked"])
def test_a_body_may_be_as_long_as_the_limit(serve: Serve, blue: Echo, streamed: bool) -> None:
    """A body of exactly the limit passes, one byte more is 413."""
    site = serve(TO_BLUE, policy("1Ki"))
    body = bytes(1024)
    assert site.ask(method="POST", body=iter([body[:1000], body[1000:]]) if streamed else body).request.body == body
    answer = site.ask(method="POST", body=iter([body, b"x"]) if streamed else body + b"x")
    assert (answer.status, answer.counted.flags, answer.reason) == (413, "DPE", "request body too large")
    assert refused(site) == {"request body too large": 1}


def test_nothing_of_a_body_that_says_it_is_too_long_is_sent(serve: Serve, blue: Echo) -> None:
    """Content-Length above the limit is refused with the head, before any backend is asked; a short rest is read and the connection
    kept."""
    with Wire(serve(TO_BLUE, policy("10"))) as wire:
        wire.send(post(b"Content-Length: 11"))
        assert wire.response().status == 413
        wire.send(b"x" * 11 + get())
        assert wire.response().status == 200
    assert [request.method for request in blue.requests] == ["GET"]


def test_a_client_that_waits_for_100_is_not_told_to_send(serve: Serve, blue: Echo) -> None:
    """Expect: 100-continue with a body that is too long: 413 and no 100, and the connection ends (RFC 9110 10.1.1)."""
    with Wire(serve(TO_BLUE, policy("10"))) as wire:
        wire.send(post(b"Content-Length: 11", b"Expect: 100-continue"))
        answer = wire.response()
        assert (answer.status, answer.informational, answer.value("connection")) == (413, (), "close")
        assert wire.is_ended()
    assert blue.requests == []


@pytest.mark.parametrize("pieces", [(b"x" * 30,), (b"x" * 8, b"x" * 8), tuple([b"x"] * 12)], ids=["one", "two", "many"])
def test_a_chunked_body_is_refused_when_it_passes_the_limit(serve: Serve, pieces: tuple[bytes, ...]) -> None:
    """The sum of the chunks counts, whether the end of the body is there or not; the connection ends with the 413."""
    site = serve(TO_BLUE, policy("10"))
    for rest in (b"", b"0\r\n\r\n", b"0\r\n\r\n" + get()):
        with Wire(site) as wire:
            wire.send(post(CHUNKED, body=chunked(*pieces).removesuffix(b"0\r\n\r\n") + rest))
            answer = wire.response()
            assert (answer.status, answer.value("connection")) == (413, "close")
            assert wire.is_ended()


def test_a_backend_never_sees_the_end_of_a_body_that_is_too_long(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """What was sent to it before the limit was passed does not look complete: its connection is cut."""
    begun, cut = Event(), Event()

    def reads(conversation: Conversation) -> None:
        conversation.read_head()
        begun.set()
        body = conversation.received
        with suppress(ConnectionResetError):
            while data := conversation.connection.recv(65_536):
                body += data
        assert b"0\r\n\r\n" not in body
        cut.set()

    site = serve("- backendRefs: [{name: shop, port: 80}]", service("shop", scripted(reads).port), policy("10"))
    with Wire(site) as wire:
        wire.send(post(CHUNKED, body=b"8\r\n12345678\r\n"))
        assert begun.wait(LIMIT)
        wire.send(b"8\r\n12345678\r\n0\r\n\r\n")
        assert wire.response().status == 413
    assert cut.wait(LIMIT)


def test_a_response_that_has_begun_is_cut(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """Where the backend has begun to answer there is no other status: the client sees a response cut short (RFC 9112 8)."""

    def answers(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
        conversation.read_until(b"never")

    site = serve("- backendRefs: [{name: shop, port: 80}]", service("shop", scripted(answers).port), policy("10"))
    with Wire(site) as wire:
        wire.send(post(CHUNKED, body=b"8\r\n12345678\r\n"))
        assert wire.read_until(b"begun").startswith(b"HTTP/1.1 200")
        wire.send(b"8\r\n12345678\r\n0\r\n\r\n")
        assert wire.is_ended()
    line = site.log.wait_for(1)[0]
    assert (line["status"], line["flags"], line["reason"]) == (200, "DPE", "request body too large")


def test_without_a_limit_any_length_passes(serve: Serve) -> None:
    """By default a listener limits no body."""
    site = serve(TO_BLUE)
    assert len(site.ask(method="POST", body=bytes(3_000_000)).request.body) == 3_000_000


def test_a_mirror_gets_no_body_that_is_too_long(serve: Serve, green: Echo) -> None:
    """A copy is given up with its original."""
    mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: green, port: 80}}}"
    site = serve(f"- filters: [{mirror}]\n  backendRefs: [{{name: blue, port: 80}}]", policy("10"))
    with Wire(site) as wire:
        wire.send(post(CHUNKED, body=b"8\r\n12345678\r\n"), b"8\r\n12345678\r\n0\r\n\r\n")
        assert wire.response().status == 413
    assert site.ask("/whole", method="POST", body=iter([b"1234", b"5678"])).status == 200
    assert [(copy.target, copy.body) for copy in green.wait_for(1)] == [("/whole", b"12345678")]


def test_it_is_explained(serve: Serve) -> None:
    """`explain` refuses what says that it is too long."""
    site = serve(TO_BLUE, policy("10"))
    said = site.explain(method="POST", headers=[("Host", "example.com"), ("Content-Length", "11")])
    assert (said["reply"]["status"], said["reply"]["reason"]) == (413, "request body too large")
    assert site.explain(method="POST", headers=[("Host", "example.com"), ("Content-Length", "10")])["reply"] is None
