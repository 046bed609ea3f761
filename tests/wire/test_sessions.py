"""Session persistence by cookie and by header (SessionPersistence, GEP-1619, reference 5.10)."""

from __future__ import annotations

import ssl
from collections import Counter
from http.cookies import SimpleCookie
from math import sqrt

import httpx
import pytest

from tests.certificates import Authority
from tests.wire.backends import Conversation, Echo, Planned, Scripted
from tests.wire.conftest import Serve
from tests.wire.flights import Connection
from tests.wire.pairings import any_client
from tests.wire.serving import Answer, certificate, service

pytestmark = any_client

BACKENDS = "  backendRefs: [{name: blue, port: 80}, {name: green, port: 80}, {name: red, port: 80}]\n"
COOKIE = "- sessionPersistence: {sessionName: shop}\n" + BACKENDS
TO_ALL = "- sessionPersistence: {sessionName: shop}\n  backendRefs: [{name: all, port: 80}]\n"
HEADER = "- sessionPersistence: {type: Header, sessionName: X-Shop}\n" + BACKENDS


def cookie(answer: Answer, name: str = "shop") -> str:
    """What a browser sends back."""
    jar: SimpleCookie = SimpleCookie(answer.headers["set-cookie"])
    return f"{name}={jar[name].value}"


def test_a_cookie_keeps_its_client_at_one_endpoint(serve: Serve) -> None:
    """After the first answer 50 requests with its cookie reach the same endpoint, and get no other cookie (GEP-1619, planned tests)."""
    site = serve(COOKIE)
    first = site.ask()
    for _ in range(50):
        answer = site.ask(headers=[("Cookie", cookie(first))])
        assert answer.backend == first.backend
        assert "set-cookie" not in answer.headers


def test_a_header_keeps_its_client_at_one_endpoint(serve: Serve) -> None:
    """With type Header the token comes and goes in a field of the given name (GEP-1619)."""
    site = serve(HEADER)
    first = site.ask()
    for _ in range(50):
        answer = site.ask(headers=[("x-shop", first.headers["X-Shop"])])
        assert answer.backend == first.backend
        assert "x-shop" not in answer.headers


def test_sessions_hold_between_endpoints_of_one_backend(serve: Serve, blue: Echo, green: Echo, red: Echo) -> None:
    """A session leads to an endpoint, not merely to a Service (GEP-1619)."""
    site = serve(TO_ALL, service("all", blue.port, green.port, red.port))
    firsts = [site.ask() for _ in range(3)]
    assert {first.backend for first in firsts} == {"blue", "green", "red"}
    for first in firsts:
        assert {site.ask(headers=[("Cookie", cookie(first))]).backend for _ in range(5)} == {first.backend}


@pytest.mark.slow
def test_first_requests_honour_the_weights(serve: Serve) -> None:
    """Requests without a session are shared by weight (GEP-1619, planned tests)."""
    weighted = "  backendRefs: [{name: blue, port: 80, weight: 7}, {name: green, port: 80, weight: 3}]\n"
    site = serve("- sessionPersistence: {sessionName: shop}\n" + weighted)
    site.seed(2)
    counted = Counter(site.ask().backend for _ in range(300))
    assert abs(counted["blue"] - 210) <= 3 * sqrt(300 * 0.7 * 0.3)


def test_a_session_outlives_its_weight(serve: Serve) -> None:
    """Weights are for new sessions: one that is there keeps its backend, even when its weight has become zero (GEP-1619)."""
    site = serve(COOKIE)
    pinned = cookie(next(answer for answer in iter(site.ask, None) if answer.backend == "blue"))
    site.change(COOKIE.replace("{name: blue, port: 80}", "{name: blue, port: 80, weight: 0}"))
    assert site.ask(headers=[("Cookie", pinned)]).backend == "blue"
    assert {site.ask().backend for _ in range(20)} == {"green", "red"}


def test_a_session_whose_endpoint_is_gone_begins_anew(serve: Serve, blue: Echo, green: Echo, red: Echo) -> None:
    """When the endpoint is gone another one is chosen, and the client is pinned to it (GEP-1619)."""
    site = serve(TO_ALL, service("all", blue.port, green.port, red.port))
    old = cookie(next(answer for answer in iter(site.ask, None) if answer.backend == "blue"))
    site.change(TO_ALL, service("all", green.port, red.port))
    again = site.ask(headers=[("Cookie", old)])
    assert again.backend in ("green", "red")
    assert {site.ask(headers=[("Cookie", cookie(again))]).backend for _ in range(10)} == {again.backend}


def test_a_terminating_endpoint_keeps_its_sessions(serve: Serve, blue: Echo, green: Echo) -> None:
    """An endpoint that drains serves its sessions and gets no new ones (EndpointConditions.terminating)."""
    site = serve(TO_ALL, service("all", blue.port), service("all", green.port))
    pinned = cookie(next(answer for answer in iter(site.ask, None) if answer.backend == "blue"))
    leaving = {"ready": False, "serving": True, "terminating": True}
    site.change(TO_ALL, service("all", blue.port, conditions=leaving), service("all", green.port))
    assert site.ask(headers=[("Cookie", pinned)]).backend == "blue"
    assert {site.ask().backend for _ in range(6)} == {"green"}


def test_a_session_cookie_has_no_end(serve: Serve) -> None:
    """A cookie of lifetimeType Session carries neither Expires nor Max-Age; it is for HTTP alone, and for this site (GEP-1619)."""
    attributes = serve(COOKIE).ask().headers["set-cookie"].lower()
    assert "expires" not in attributes
    assert "max-age" not in attributes
    assert "httponly" in attributes
    assert "samesite=strict" in attributes
    assert "path=/" in attributes
    assert "secure" not in attributes


def test_a_permanent_cookie_lasts_as_long_as_the_session(serve: Serve) -> None:
    """lifetimeType Permanent gives the cookie the session's absoluteTimeout (GEP-1619)."""
    persistence = "{sessionName: shop, absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}}"
    assert "Max-Age=3600" in serve(f"- sessionPersistence: {persistence}\n{BACKENDS}").ask().headers["set-cookie"]


def test_over_tls_the_cookie_is_secure(serve: Serve) -> None:
    """A cookie given over HTTPS is never sent without it (RFC 6265 4.1.2.5)."""
    authority = Authority()
    gateway = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: server}]}}]
"""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(cadata=authority.certificate)
    site = serve(gateway, certificate("server", authority.issue("example.com")), COOKIE)
    assert "; Secure" in site.ask(port=443, tls=trust).headers["set-cookie"]


def test_the_backend_does_not_see_the_token(serve: Serve) -> None:
    """The proxy's own cookie is taken out on the way, others stay (issue 3)."""
    site = serve(COOKIE)
    token = cookie(site.ask())
    assert site.ask(headers=[("Cookie", f"a=b; {token}; c=d")]).request.value("cookie") == "a=b; c=d"
    assert site.ask(headers=[("Cookie", token)]).request.value("cookie") is None


def test_the_backends_own_cookies_pass(serve: Serve, blue: Echo) -> None:
    """Set-Cookie of the backend stays beside the session's (RFC 6265 3)."""
    text = "- sessionPersistence: {sessionName: shop}\n  backendRefs: [{name: blue, port: 80}]\n"
    blue.plan(Planned(200, ("set-cookie", "mine=1")))
    cookies = serve(text).ask().headers.get_list("set-cookie")
    assert cookies[0] == "mine=1"
    assert cookies[1].startswith("shop=")


def test_of_several_cookies_the_genuine_one_counts(serve: Serve) -> None:
    """A client may send several cookies of one name, its own inventions among them (RFC 6265 5.4)."""
    site = serve(COOKIE)
    first = site.ask()
    for _ in range(10):
        answer = site.ask(headers=[("Cookie", f"shop=invented; {cookie(first)}; shop=")])
        assert answer.backend == first.backend


def test_a_forged_token_is_no_session(serve: Serve) -> None:
    """A token that was not made here leads nowhere, and a new session begins (GEP-1619)."""
    site = serve(COOKIE)
    token = cookie(site.ask())
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    answers = [site.ask(headers=[("Cookie", forged)]) for _ in range(20)]
    assert all("set-cookie" in answer.headers for answer in answers)
    assert len({answer.backend for answer in answers}) > 1


def test_rules_do_not_share_sessions(serve: Serve) -> None:
    """A token of one rule means nothing to another, even under the same name (GEP-1619)."""
    other = COOKIE.replace("- session", "- matches: [{path: {value: /other}}]\n  session")
    site = serve(COOKIE + other)
    token = cookie(site.ask("/"))
    answers = [site.ask("/other", headers=[("Cookie", token)]) for _ in range(20)]
    assert all("set-cookie" in answer.headers for answer in answers)


def test_without_a_name_each_rule_has_its_own(serve: Serve) -> None:
    """Without sessionName a name is made from the rule: two sessions of one site live side by side (SessionPersistence.sessionName)."""
    plain = "- sessionPersistence: {}\n" + BACKENDS
    site = serve(plain + plain.replace("- session", "- matches: [{path: {value: /other}}]\n  session"))
    names = [site.ask(path).headers["set-cookie"].partition("=")[0] for path in ("/", "/other")]
    assert len(set(names)) == 2


def test_a_failed_first_request_pins_to_whoever_answered(serve: Serve, blue: Echo, green: Echo) -> None:
    """After a retry the session belongs to the endpoint whose answer the client got (GEP-1619, GEP-1731)."""
    text = "- sessionPersistence: {sessionName: shop}\n  retry: {codes: [503], attempts: 3}\n  backendRefs: [{name: all, port: 80}]\n"
    site = serve(text, service("all", blue.port, green.port))
    blue.always(Planned(503))
    first = site.ask()
    assert first.backend == "green"
    assert site.ask(headers=[("Cookie", cookie(first))]).backend == "green"


def test_a_session_whose_endpoint_refuses_connections_moves(serve: Serve, scripted: type[Scripted], blue: Echo) -> None:
    """An endpoint that is still listed but dead is left for another one of its backend, and the client is pinned to that (GEP-1619)."""

    def answers(conversation: Conversation) -> None:
        while conversation.read_head():
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    dying = scripted(answers)
    site = serve(TO_ALL, service("all", dying.port, blue.port))
    pinned = cookie(next(answer for answer in iter(site.ask, None) if answer.backend is None))
    dying.close()
    connection = Connection(site.address())  # not `ask`: no explanation can foresee that an endpoint is dead
    connection.send("POST", "/", [("Host", "example.com"), ("Cookie", pinned)], b"x")
    fields = httpx.Headers(connection.response()[1])
    connection.close()
    assert fields["echo"].startswith("blue/")
    assert site.ask(headers=[("Cookie", fields["set-cookie"].partition(";")[0])]).backend == "blue"
