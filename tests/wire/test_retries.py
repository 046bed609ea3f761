"""Retries of a rule (HTTPRouteRetry, GEP-1731), and what is tried again without one."""

from __future__ import annotations

from time import monotonic

import pytest

from tests.wire.backends import Conversation, Echo, Planned, Scripted, closed_port
from tests.wire.conftest import Serve
from tests.wire.flights import CUT
from tests.wire.pairings import every_pairing
from tests.wire.serving import service

pytestmark = every_pairing

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def retrying(retry: str, backend: str = "blue", more: str = "") -> str:
    return f"- retry: {retry}\n  backendRefs: [{{name: {backend}, port: 80}}]\n{more}"


def answers(conversation: Conversation) -> None:
    """A backend that serves one request after another."""
    while conversation.read_head():
        conversation.send(OK)


def resets(conversation: Conversation) -> None:
    """A backend that reads a request and resets the connection."""
    conversation.read_head()
    conversation.reset()


# statuses


@pytest.mark.parametrize("status", [500, 502, 503, 504, 404])
def test_a_listed_status_is_tried_again(serve: Serve, blue: Echo, status: int) -> None:
    """A response with a listed status is turned away, and the request sent again (HTTPRouteRetry)."""
    site = serve(retrying(f"{{codes: [{status}], attempts: 2}}"))
    blue.plan(Planned(status), Planned(status))
    answer = site.ask("/x?y")
    assert (answer.status, answer.backend) == (200, "blue")
    assert [(request.method, request.target) for request in blue.requests] == [("GET", "/x?y")] * 3


def test_attempts_are_retries(serve: Serve, blue: Echo) -> None:
    """`attempts` counts the tries after the first; the last answer is the client's (HTTPRouteRetry.attempts)."""
    site = serve(retrying("{codes: [503], attempts: 2}"))
    blue.always(Planned(503, ("x-which", "last"), body=b"busy"))
    answer = site.ask()
    assert (answer.status, answer.body, answer.headers["x-which"]) == (503, b"busy", "last")
    assert len(blue.requests) == 3


def test_one_retry_by_default(serve: Serve, blue: Echo) -> None:
    """Without `attempts` there is one retry (HTTPRouteRetry.attempts: implementation-specific)."""
    blue.always(Planned(503))
    assert serve(retrying("{codes: [503]}")).ask().status == 503
    assert len(blue.requests) == 2


def test_other_statuses_pass(serve: Serve, blue: Echo) -> None:
    """A status that is not listed is answered as it is (HTTPRouteRetry.codes)."""
    blue.plan(Planned(500))
    assert serve(retrying("{codes: [503], attempts: 2}")).ask().status == 500
    assert len(blue.requests) == 1


def test_a_rule_without_retry_repeats_no_status(serve: Serve, blue: Echo) -> None:
    """Without a retry every status passes (HTTPRouteRule.retry)."""
    blue.plan(Planned(503))
    assert serve("- backendRefs: [{name: blue, port: 80}]").ask().status == 503
    assert len(blue.requests) == 1


def test_backoff_is_the_least_wait(serve: Serve, blue: Echo) -> None:
    """Between two tries at least the backoff passes (HTTPRouteRetry.backoff)."""
    site = serve(retrying("{codes: [503], attempts: 2, backoff: 50ms}"))
    blue.plan(Planned(503), Planned(503))
    began = monotonic()
    assert site.ask().status == 200
    assert monotonic() - began >= 0.1


def test_a_body_is_sent_again(serve: Serve, blue: Echo) -> None:
    """A body up to 64 KiB is kept and replayed, also one without a known length; POST too, since the codes ask for it (issue 3)."""
    site = serve(retrying("{codes: [503], attempts: 1}"))
    body = bytes(range(256)) * 256
    for sent in (body, iter([body[:40_000], body[40_000:]])):
        blue.plan(Planned(503))
        assert site.ask(method="POST", body=sent).request.body == body
    assert [request.body for request in blue.requests] == [body] * 4


def test_a_body_over_64_kib_is_not_sent_again(serve: Serve, blue: Echo) -> None:
    """Beyond the replay limit the first answer is final (issue 3, Serving)."""
    site = serve(retrying("{codes: [503], attempts: 1}"))
    body = b"x" * (64 * 1024 + 1)
    for sent in (body, iter([body[:40_000], body[40_000:]])):
        blue.plan(Planned(503))
        answer = site.ask(method="POST", body=sent)
        assert (answer.status, answer.request.body) == (503, body)
    assert len(blue.requests) == 2


def test_each_try_gets_the_same_request(serve: Serve, blue: Echo) -> None:
    """Filters run once, not once a try (HTTPRouteRetry)."""
    edits = "  filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: a, value: b}]}}]\n"
    blue.plan(Planned(503), Planned(503))
    serve(retrying("{codes: [503], attempts: 2}", more=edits)).ask(headers=[("a", "sent")])
    assert [request.values("a") for request in blue.requests] == [["sent,b"]] * 3


def test_a_mirror_gets_one_copy(serve: Serve, blue: Echo, green: Echo) -> None:
    """A retry concerns the backend, not the mirrors (HTTPRequestMirrorFilter)."""
    mirror = "  filters: [{type: RequestMirror, requestMirror: {backendRef: {name: green, port: 80}}}]\n"
    site = serve(retrying("{codes: [503], attempts: 2}", more=mirror))
    blue.plan(Planned(503), Planned(503))
    site.ask("/first")
    green.wait_for(1)
    site.ask("/second")
    assert [request.target for request in green.wait_until(lambda requests: requests[-1].target == "/second")] == ["/first", "/second"]


# connections


def test_a_reset_is_tried_again(serve: Serve, scripted: type[Scripted]) -> None:
    """A connection error is retried also without codes (HTTPRouteRetryConnectionError)."""
    backend = scripted(resets, resets, answers)
    answer = serve(retrying("{attempts: 2}", "raw"), service("raw", backend.port)).ask()
    assert (answer.status, answer.body, backend.connections) == (200, b"ok", 3)


def test_resets_without_end_are_503(serve: Serve, scripted: type[Scripted]) -> None:
    """When every try ends with a connection error the client gets 503 (HTTPRouteRetryConnectionError)."""
    backend = scripted(resets)
    answer = serve(retrying("{attempts: 2}", "raw"), service("raw", backend.port)).ask()
    assert (answer.status, answer.counted.flags, backend.connections) == (503, "UC", 3)


def test_a_reset_is_final_without_a_retry(serve: Serve, scripted: type[Scripted]) -> None:
    """A rule without a retry does not repeat what a backend may have begun to do (issue 3, Serving)."""
    backend = scripted(resets, answers)
    answer = serve("- backendRefs: [{name: raw, port: 80}]", service("raw", backend.port)).ask()
    assert (answer.status, answer.counted.flags, backend.connections) == (503, "UC", 1)


def test_a_post_that_was_sent_is_not_repeated_without_codes(serve: Serve, scripted: type[Scripted]) -> None:
    """A non-idempotent request is not tried again once a byte of it was sent, unless codes say so (issue 3; RFC 9110 9.2.2)."""
    backend = scripted(resets, answers)
    site = serve(retrying("{attempts: 2}", "raw"), service("raw", backend.port))
    assert (site.ask(method="POST", body=b"once").status, backend.connections) == (503, 1)


def test_a_post_that_was_sent_is_repeated_with_codes(serve: Serve, scripted: type[Scripted]) -> None:
    """Whoever lists codes wants a request repeated that a backend has answered, so one without an answer too (GEP-1731)."""
    backend = scripted(resets, answers)
    site = serve(retrying("{codes: [503], attempts: 2}", "raw"), service("raw", backend.port))
    assert (site.ask(method="POST", body=b"twice").status, backend.connections) == (200, 2)


def test_a_refused_connection_is_tried_at_another_endpoint(serve: Serve, blue: Echo) -> None:
    """A try that could not connect goes to an endpoint that was not tried yet, whatever the method (GEP-1731)."""
    site = serve(retrying("{attempts: 2}", "shop"), service("shop", closed_port(), closed_port(), blue.port))
    assert {site.ask(method="POST", body=b"x").backend for _ in range(6)} == {"blue"}


def test_a_stale_connection_is_replaced(serve: Serve, scripted: type[Scripted]) -> None:
    """A pooled connection that the backend closes as the next request comes is replaced, and nobody notices (RFC 9112 9.3.1)."""

    def serves_once(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(OK)
        conversation.read_head()

    backend = scripted(serves_once, answers)
    site = serve("- backendRefs: [{name: raw, port: 80}]", service("raw", backend.port))
    assert [site.ask().body for _ in range(3)] == [b"ok"] * 3
    assert backend.connections == 2


def test_a_stale_connection_ends_a_post(serve: Serve, scripted: type[Scripted]) -> None:
    """Nobody knows whether the backend took a POST that it did not answer, so it is not repeated (RFC 9110 9.2.2)."""

    def serves_once(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(OK)
        conversation.read_head()

    backend = scripted(serves_once, answers)
    site = serve("- backendRefs: [{name: raw, port: 80}]", service("raw", backend.port))
    assert site.ask().status == 200
    assert site.ask(method="POST", body=b"x").status == 503
    assert backend.connections == 1


def test_nothing_is_tried_again_inside_a_response(serve: Serve, scripted: type[Scripted]) -> None:
    """Once the client has a byte of the response, it gets that one, visibly cut if need be (RFC 9112 8)."""

    def breaks(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        conversation.reset()

    backend = scripted(breaks, answers)
    site = serve(retrying("{codes: [503], attempts: 2}", "raw"), service("raw", backend.port))
    flight = site.begin()
    with pytest.raises(CUT):
        flight.answer()
    assert backend.connections == 1


def test_an_answer_that_is_not_http_is_502(serve: Serve, scripted: type[Scripted]) -> None:
    """A malformed response is the backend's fault, and final (design.md section 7)."""

    def garbage(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        conversation.read_head()

    backend = scripted(garbage)
    answer = serve(retrying("{attempts: 2}", "raw"), service("raw", backend.port)).ask()
    assert (answer.status, answer.counted.flags, backend.connections) == (502, "UPE", 1)


# with timeouts


def test_a_try_that_timed_out_is_tried_again(serve: Serve, blue: Echo) -> None:
    """A backendRequest timeout is retried also without codes (HTTPRouteRetryBackendTimeout)."""
    site = serve(retrying("{attempts: 1}", more="  timeouts: {backendRequest: 100ms}\n"))
    blue.plan(Planned(held=True))
    assert site.ask().status == 200
    blue.wait_for_abandoned()
    assert len(blue.requests) == 2


def test_tries_that_all_time_out_are_504(serve: Serve, blue: Echo) -> None:
    """When the last try has timed out the client gets 504 (HTTPRouteRetryWithTimeouts)."""
    site = serve(retrying("{attempts: 1}", more="  timeouts: {backendRequest: 50ms}\n"))
    blue.always(Planned(held=True))
    answer = site.ask()
    assert (answer.status, answer.counted.flags) == (504, "UT")
    assert len(blue.requests) == 2


def test_the_request_timeout_covers_all_tries(serve: Serve, blue: Echo) -> None:
    """Retries end with the whole request's time, however many are left (HTTPRouteRetryWithTimeouts)."""
    site = serve(retrying("{codes: [503], attempts: 1000, backoff: 20ms}", more="  timeouts: {request: 200ms}\n"))
    blue.always(Planned(503))
    answer = site.ask()
    assert answer.status in (503, 504)
    assert 1 < len(blue.requests) < 20
