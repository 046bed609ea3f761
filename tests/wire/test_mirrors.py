"""RequestMirror: a second backend gets a copy, and nobody waits for it (HTTPRequestMirrorFilter)."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from random import Random
from threading import Event

import pytest

from gateway.proxy import mirror as mirror_of_the_proxy
from tests.wire.backends import LIMIT, Conversation, Echo, Planned, Scripted, closed_port
from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing
from tests.wire.serving import Site, service

pytestmark = every_pairing


def mirrored(*mirrors: str, more: str = "") -> str:
    """A rule towards blue with the given requestMirror filters."""
    filters = ", ".join(f"{{type: RequestMirror, requestMirror: {mirror}}}" for mirror in mirrors)
    return f"- filters: [{filters}{more}]\n  backendRefs: [{{name: blue, port: 80}}]\n"


def dropped(site: Site) -> dict[str, float]:
    """How many copies were not sent whole, by reason."""
    samples = [sample for sample in site.statistics().counters if sample.name == "tidegate_mirrors_dropped_total"]
    return {dict(sample.labels)["reason"]: sample.value for sample in samples}


TO_GREEN = "{backendRef: {name: green, port: 80}}"


def test_the_mirror_gets_the_same_request(serve: Serve, green: Echo) -> None:
    """Method, path, query, fields and body go to the mirror as they go to the backend; the client gets the backend's answer
    (HTTPRouteRequestMirror)."""
    green.always(Planned(500, body=b"never seen"))
    answer = serve(mirrored(TO_GREEN)).ask("/a/b?uuid=7", method="POST", headers=[("x-one", "1")], body=b"hello")
    assert (answer.status, answer.backend) == (200, "blue")
    [copy] = green.wait_for(1)
    original = answer.request
    assert (copy.method, copy.target, copy.body, copy.fields) == (original.method, original.target, b"hello", original.fields)


def test_a_streamed_body_is_mirrored_too(serve: Serve, blue: Echo, green: Echo) -> None:
    """A body without a known length is streamed to both, byte for byte (issue 3: a mirror gets the same bytes streamed)."""
    pieces = [bytes([number]) * 10_000 for number in range(5)]
    serve(mirrored(TO_GREEN)).ask(method="POST", body=iter(pieces))
    assert green.wait_for(1)[0].body == blue.wait_for(1)[0].body == b"".join(pieces)


def test_several_mirrors(serve: Serve, green: Echo, red: Echo) -> None:
    """Each mirror of a rule gets its copy (HTTPRouteRequestMultipleMirrors)."""
    serve(mirrored(TO_GREEN, "{backendRef: {name: red, port: 80}}")).ask("/x")
    assert [copy.target for echo in (green, red) for copy in echo.wait_for(1)] == ["/x", "/x"]


def test_edits_of_the_rule_reach_the_mirror(serve: Serve, green: Echo) -> None:
    """Header modifiers and rewrites apply to the mirrored request, wherever they stand in the list (HTTPRouteRequestMirror)."""
    edit = ", {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}], remove: [c]}}"
    rewrite = ", {type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /new}}}"
    serve(mirrored(TO_GREEN, more=edit + rewrite)).ask("/old", headers=[("c", "d")])
    [copy] = green.wait_for(1)
    assert (copy.target, copy.value("a"), copy.value("c")) == ("/new", "b", None)


REQUESTS = 500
LAST = """
- matches: [{path: {value: /last}}]
  filters: [{type: RequestMirror, requestMirror: {backendRef: {name: green, port: 80}}}]
  backendRefs: [{name: blue, port: 80}]
"""


def assert_mirrored(site: Site, mirror: Echo, numerator: int, denominator: int) -> None:
    """Sends many requests: those that the seeded draws choose are mirrored and no others, and they are the share that was asked for."""
    draws = Random(3)
    expected = sum(draws.randrange(denominator) < numerator for _ in range(REQUESTS))
    share = numerator / denominator
    assert abs(expected - REQUESTS * share) <= 3 * sqrt(REQUESTS * share * (1 - share))
    site.seed(3)
    for _ in range(REQUESTS):
        site.ask("/counted")
    mirror.wait_for(expected)
    site.ask("/last")
    received = mirror.wait_until(lambda requests: any(each.target == "/last" for each in requests))
    assert [each.target for each in received].count("/counted") == expected


@pytest.mark.slow
def test_percent(serve: Serve, green: Echo) -> None:
    """`percent` of the requests are mirrored (HTTPRouteRequestPercentageMirror)."""
    assert_mirrored(serve(mirrored("{backendRef: {name: green, port: 80}, percent: 20}") + LAST), green, 20, 100)


@pytest.mark.slow
def test_fraction(serve: Serve, green: Echo) -> None:
    """`fraction` may be finer than percents (HTTPRouteRequestPercentageMirror)."""
    site = serve(mirrored("{backendRef: {name: green, port: 80}, fraction: {numerator: 25, denominator: 50}}") + LAST)
    assert_mirrored(site, green, 25, 50)


@pytest.mark.slow
def test_zero_percent_is_nothing(serve: Serve, green: Echo) -> None:
    """A mirror of 0 percent gets no request (HTTPRequestMirrorFilter.percent)."""
    assert_mirrored(serve(mirrored("{backendRef: {name: green, port: 80}, percent: 0}") + LAST), green, 0, 100)


def test_a_mirror_that_never_answers_delays_nothing(serve: Serve, green: Echo) -> None:
    """The client's answer does not wait for the mirror's, not even on the same connection (issue 3: never awaited)."""
    held = Planned(held=True)
    green.plan(held)
    site = serve(mirrored(TO_GREEN))
    assert [site.ask().backend for _ in range(3)] == ["blue"] * 3
    assert len(green.wait_for(3)) == 3
    held.release()


def test_a_mirror_that_refuses_connections_delays_nothing(serve: Serve) -> None:
    """A dead mirror costs the request nothing, and is counted (issue 3)."""
    site = serve(mirrored("{backendRef: {name: dead, port: 80}}"), service("dead", closed_port()))
    assert [site.ask().backend for _ in range(3)] == ["blue"] * 3
    assert set(dropped(site)) <= {"connect"}


def test_a_mirror_without_endpoints_delays_nothing(serve: Serve) -> None:
    """A mirror whose Service has no endpoint is left out (HTTPRequestMirrorFilter.backendRef)."""
    assert serve(mirrored("{backendRef: {name: empty, port: 80}}"), service("empty")).ask().backend == "blue"


def test_a_mirror_to_a_missing_service_is_left_out(serve: Serve) -> None:
    """A bad mirror reference drops the mirror, not the rule (HTTPRequestMirrorFilter.backendRef)."""
    assert serve(mirrored("{backendRef: {name: missing, port: 80}}")).ask().backend == "blue"


def test_a_mirror_that_does_not_read_is_dropped(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """A mirror that takes no bytes is given up; the upload to the backend goes on at its own pace (issue 3: dropped when slow)."""
    done = Event()

    def deaf(conversation: Conversation) -> None:
        done.wait(LIMIT)

    mirror = scripted(deaf)
    site = serve(mirrored("{backendRef: {name: deaf, port: 80}}"), service("deaf", mirror.port))
    body = b"x" * 16_000_000
    answer = site.ask(method="POST", body=body)
    done.set()
    assert answer.request.body == body
    assert dropped(site) == {"slow": 1}


@pytest.mark.parametrize("size", [100_000, 300_000, 3_000_000])
def test_a_large_body_is_mirrored_whole(serve: Serve, green: Echo, size: int) -> None:
    """What arrives while the mirror's connection is made waits for it: a mirror that keeps up misses nothing."""
    site = serve(mirrored(TO_GREEN))
    body = bytes(range(250)) * (size // 250)
    for _ in range(3):
        site.ask(method="POST", body=body)
    assert [copy.body == body for copy in green.wait_for(3)] == [True] * 3
    assert dropped(site) == {}


def test_a_mirror_that_hangs_is_given_up(serve: Serve, green: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that does not answer keeps its connection for a limited time (gateway.proxy.mirror.PATIENCE)."""
    monkeypatch.setattr(mirror_of_the_proxy, "PATIENCE", 0.1)
    green.plan(Planned(held=True))
    site = serve(mirrored(TO_GREEN))
    site.ask()
    green.wait_for_abandoned()
    assert dropped(site) == {"slow": 1}


def test_mirrors_under_way_are_bounded(serve: Serve, green: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that hangs does not use up the proxy's descriptors: beyond a number copies are left out (MOST_AT_ONCE)."""
    monkeypatch.setattr(mirror_of_the_proxy, "MOST_AT_ONCE", 2)
    first, second = Planned(held=True), Planned(held=True)
    green.plan(first, second)
    site = serve(mirrored(TO_GREEN))
    assert [site.ask().backend for _ in range(4)] == ["blue"] * 4
    assert len(green.wait_for(2)) == 2
    assert dropped(site) == {"crowded": 2}
    first.release()
    second.release()


def test_the_mirror_of_another_namespace_needs_a_grant(serve: Serve, green: Echo, red: Echo) -> None:
    """Without a ReferenceGrant a mirror of another namespace gets nothing, while the one beside it does (ReferenceGrant)."""
    away = service("away", red.port, namespace="team")
    serve(mirrored("{backendRef: {name: away, namespace: team, port: 80}}", TO_GREEN), away).ask()
    green.wait_for(1)
    assert red.requests == []


def test_a_mirror_does_not_get_upgrades_or_expectations(serve: Serve, green: Echo) -> None:
    """Expect: 100-continue is the proxy's own matter: the mirror gets the body without it (RFC 9110 10.1.1)."""
    site = serve(mirrored(TO_GREEN))
    with site.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"body")
        assert connection.recv(1024).startswith(b"HTTP/1.1 200 ")
    [copy] = green.wait_for(1)
    assert (copy.body, copy.value("expect")) == (b"body", None)
