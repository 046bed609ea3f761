"""Attacks that need more than one message: pipelines, answers to nobody, answers too early, tunnels (reference 2.1, 2.6)."""

from __future__ import annotations

import socket
import struct
from typing import Final

import pytest

from tests.attacks.backend import OK, Link, Plan, turn
from tests.attacks.row import answer, get, lines, post
from tests.attacks.rows.upgrades import ACCEPT, HANDSHAKE, UPGRADE
from tests.attacks.stage import Stage, served_requests
from tests.attacks.test_responses import links_to

SWITCHED: Final = lines(b"HTTP/1.1 101 Switching Protocols", *UPGRADE, b"Sec-WebSocket-Accept: " + ACCEPT)
FIRST, SECOND = get(target=b"/first"), get(target=b"/second")


async def end_of(stage: Stage, link: Link) -> None:
    await stage.backend.wait_until(lambda: link.ended, "the backend's connection is closed")


@pytest.mark.parametrize("separate", [False, True], ids=["in one piece", "one after another"])
def test_a_refused_request_behind_a_good_one_ends_the_pipeline(stage: Stage, separate: bool) -> None:
    """The first is answered, the second refused, the third ignored: after ambiguity nobody knows where it begins (RFC 9112 9.6)."""

    async def pipeline() -> None:
        bad = post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello")
        with await stage.connect_client() as client:
            await client.send([FIRST, bad, SECOND] if separate else [FIRST + bad + SECOND])
            first, refused = await client.answer(), await client.answer()
            assert (first.status, refused.status, refused.closes) == (200, 400, True)
            assert await client.read() == b""
        await stage.canary()

    stage.run(pipeline())
    assert [request.target for request in served_requests(stage.backend)] == [b"/first"]


def test_ten_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    """Each is a request of its own (RFC 9112 9.3.2)."""

    async def pipeline() -> None:
        with await stage.connect_client() as client:
            await client.send([b"".join(get(target=b"/%d" % number) for number in range(10))])
            assert [(await client.answer()).status for _ in range(10)] == [200] * 10

    stage.run(pipeline())
    assert [request.target for request in served_requests(stage.backend)] == [b"/%d" % number for number in range(10)]


@pytest.mark.parametrize("ends", [False, True], ids=["stays", "ends its side"])
def test_an_empty_line_behind_a_request_does_not_hold_the_connection(stage: Stage, ends: bool) -> None:
    """Some clients send one (RFC 9112 2.2); after the answer the connection is idle like any other, and closed in time."""

    async def wait() -> None:
        with await stage.connect_client(port=81) as client:
            await client.send([FIRST + b"\r\n"])
            if ends:
                client.end()
            assert (await client.answer()).status == 200
            assert await client.read() == b""

    stage.run(wait())


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_a_pipelined_request_whose_body_never_comes_is_given_up(stage: Stage, framing: bytes) -> None:
    """A client that ends its side inside a body is gone, also when an answer before it is still under way (RFC 9112 8)."""

    async def leave() -> None:
        stage.backend.plan = Plan(b"")
        with await stage.connect_client() as client:
            await client.send([FIRST + post(framing, target=b"/half")])
            client.end()
            await stage.backend.wait_until(lambda: bool(stage.backend.requests), "the first request")
            await turn()
            [link] = links_to(stage, FIRST)
            link.transport.write(OK)
            assert (await client.answer()).status == 200
            assert await client.read() == b""
        half = links_to(stage, b"POST /half")
        await stage.backend.wait_until(lambda: all(link.ended for link in half), "the end of the connection with half a request")

    stage.run(leave())
    assert [request.target for request in stage.backend.requests] == [b"/first"]


@pytest.mark.parametrize("begun", [b"", b"\r", b"\r\n", b"G", b"GET / HTTP/1.1\r\n", FIRST[:-2], FIRST[:-1]])
def test_a_head_that_does_not_come_is_not_waited_for(stage: Stage, begun: bytes) -> None:
    """408, or nothing where no head has begun, and the end of the connection (slowloris, reference 2.5); no backend is asked."""

    async def wait() -> None:
        with await stage.connect_client(port=81) as client:
            await client.send([begun])
            received = await client.read()
            assert received.startswith(b"HTTP/1.1 408 ") or (not received and not begun.strip())

    stage.run(wait())
    assert not stage.backend.requests


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", OK, b"x"])
def test_an_answer_that_nobody_asked_for_answers_nobody(stage: Stage, unasked: bytes) -> None:
    """What comes on an idle connection of a backend ends that connection; the next request gets its own answer (RFC 9112 9.2)."""

    async def poison() -> None:
        with await stage.connect_client() as client:
            await client.send([FIRST])
            await client.answer()
            [link] = links_to(stage, FIRST)
            link.transport.write(unasked)
            await end_of(stage, link)
            stage.backend.plan = Plan(answer(b"Content-Length: 4", body=b"mine"))
            await client.send([SECOND])
            own = await client.answer()
            assert (own.status, own.body) == (200, b"mine")
            assert links_to(stage, SECOND) != [link]

    stage.run(poison())


@pytest.mark.parametrize("length", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_a_backend_that_answers_before_it_has_the_request_is_not_asked_again(stage: Stage, length: bytes) -> None:
    """It may take the rest of the body for the next request, so its connection is closed (CL.0, 0.CL; RFC 9112 9.3)."""

    async def answer_early() -> None:
        stage.backend.plan = Plan(early=True)
        with await stage.connect_client() as client:
            await client.send([post(length, target=b"/first")])
            early = await client.answer()
            assert early.status == 200
            [link] = links_to(stage, b"POST /first")
            await end_of(stage, link)
        await stage.canary()
        assert b"/canary" not in link.received

    stage.run(answer_early())


def test_a_body_that_looks_like_a_request_is_never_one(stage: Stage) -> None:
    """A backend that answers early and a client that then sends the rest: it is thrown away, not forwarded (0.CL)."""
    hidden = get(target=b"/hidden")

    async def smuggle() -> None:
        stage.backend.plan = Plan(early=True)
        with await stage.connect_client() as client:
            await client.send([post(b"Content-Length: %d" % len(hidden), target=b"/first")])
            assert (await client.answer()).status == 200
            stage.backend.plan = Plan()
            await client.send([hidden + SECOND])
            following = await client.answer()
            assert following.status == 200
        await stage.canary()

    stage.run(smuggle())
    assert [request.target for request in stage.backend.requests] == [b"/second", b"/canary"]
    assert not any(b"/hidden" in link.received for link in stage.backend.links)


def test_an_expectation_is_answered_by_the_backend_that_gets_the_body(stage: Stage) -> None:
    """A final answer to `Expect` without the body ends both connections: nobody knows whether it comes (RFC 9110 10.1.1)."""

    async def expect() -> None:
        stage.backend.plan = Plan(answer(b"Content-Length: 0", body=b"", status=b"HTTP/1.1 403 Forbidden"), early=True)
        with await stage.connect_client() as client:
            await client.send([post(b"Expect: 100-continue", b"Content-Length: 5", target=b"/first")])
            refused = await client.answer()
            assert refused.status == 403
            [link] = links_to(stage, b"POST /first")
            await end_of(stage, link)

    stage.run(expect())


@pytest.mark.parametrize("head", [b"", b"Transfer-Encoding: chunked", b"Content-Length: 10"], ids=["until the end", "chunked", "counted"])
def test_a_reset_inside_an_answer_is_a_visible_cut(stage: Stage, head: bytes) -> None:
    """A body that ends with its connection is whole after an end of the stream alone, not after a reset (RFC 9112 8)."""
    body = b"2\r\nok\r\n" if head.startswith(b"Transfer") else b"ok"

    async def reset() -> None:
        stage.backend.plan = Plan(answer(*[head] if head else [], body=body))
        with await stage.connect_client() as client:
            await client.send([FIRST])
            await client.read(lambda received: b"ok" in received)
            [link] = links_to(stage, FIRST)
            link.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.transport.abort()
            assert not (await client.answer()).complete

    stage.run(reset())


# tunnels


def test_a_tunnel_carries_bytes_both_ways(stage: Stage) -> None:
    """After 101 with the right accept both sides get what the other says, byte for byte (RFC 6455 4.2.2)."""

    async def tunnel() -> None:
        stage.backend.plan = Plan(SWITCHED + b"\x81\x02hi")
        with await stage.connect_client() as client:
            await client.send([HANDSHAKE])
            switched = await client.answer()
            assert (switched.status, switched.rest) == (101, b"\x81\x02hi")
            [link] = links_to(stage, HANDSHAKE)
            await client.send([b"\x00\xff GET / HTTP/1.1\r\n\r\n"])
            await stage.backend.wait_until(lambda: link.received.endswith(b"\x00\xff GET / HTTP/1.1\r\n\r\n"), "the client's bytes")
        await end_of(stage, link)
        await stage.canary()

    stage.run(tunnel())


def test_what_a_client_sends_before_the_tunnel_waits_for_it(stage: Stage) -> None:
    """Early bytes are held until the backend agrees (CVE-2025-64763), and are not lost then."""

    async def tunnel() -> None:
        stage.backend.plan = Plan(b"")
        with await stage.connect_client() as client:
            await client.send([HANDSHAKE + SECOND])
            await stage.backend.wait_until(lambda: bool(stage.backend.requests), "the handshake")
            await turn()
            [link] = links_to(stage, HANDSHAKE)
            assert not link.received.endswith(SECOND)
            link.transport.write(SWITCHED)
            assert (await client.answer()).status == 101
            await stage.backend.wait_until(lambda: link.received.endswith(SECOND), "the early bytes")

    stage.run(tunnel())


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request", b"426 Upgrade Required", b"503 Service Unavailable"])
def test_a_declined_upgrade_leaves_http(stage: Stage, status: bytes) -> None:
    """Without a 101 the client's bytes are requests, read as strictly as any; the backend's connection is not used again
    (CVE-2026-73548, CVE-2026-71324)."""

    async def decline() -> None:
        stage.backend.plan = Plan(answer(b"Content-Length: 0", body=b"", status=b"HTTP/1.1 " + status))
        with await stage.connect_client() as client:
            await client.send([HANDSHAKE])
            declined = await client.answer()
            assert declined.status == int(status[:3])
            [link] = links_to(stage, HANDSHAKE)
            await end_of(stage, link)
            stage.backend.plan = Plan()
            if not declined.closes:
                await client.send([SECOND + get(b"X : y", target=b"/third")])
                assert ((await client.answer()).status, (await client.answer()).status) == (200, 400)
        await stage.canary()
        assert b"/canary" not in link.received

    stage.run(decline())
    assert b"/third" not in [request.target for request in stage.backend.requests]
