"""RequestRedirect: status, scheme, hostname, port and path of Location (HTTPRequestRedirectFilter, reference 5.6)."""

from __future__ import annotations

import ssl

import pytest

from tests.certificates import Authority
from tests.wire.backends import Echo
from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing
from tests.wire.serving import certificate

pytestmark = every_pairing

THREE_LISTENERS = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: alternative, port: 8080, protocol: HTTP}
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: server}]}}
"""


def redirect(fields: str, match: str = "{}") -> str:
    """A rule that redirects."""
    return f"- matches: [{match}]\n  filters: [{{type: RequestRedirect, requestRedirect: {fields}}}]\n"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def trust(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.certificate)
    return context


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_status(serve: Serve, status: int) -> None:
    """Each status of the API is answered as written, to POST too (HTTPRouteRedirectHostAndStatus, HTTPRoute303Redirect, 307, 308)."""
    site = serve(redirect(f"{{hostname: example.org, statusCode: {status}}}"))
    for method in ("GET", "POST"):
        answer = site.ask("/a?b=c", method=method, body=b"x" if method == "POST" else None)
        assert (answer.status, answer.location, answer.body) == (status, "http://example.org/a?b=c", b"")


def test_status_is_302_by_default(serve: Serve) -> None:
    """Without statusCode it is 302 (HTTPRequestRedirectFilter.statusCode)."""
    assert serve(redirect("{hostname: example.org}")).ask().status == 302


def test_the_backend_is_never_asked(serve: Serve, blue: Echo) -> None:
    """A redirect ends the request (HTTPRequestRedirectFilter)."""
    site = serve(redirect("{hostname: example.org}", "{path: {value: /old}}") + "- backendRefs: [{name: blue, port: 80}]")
    assert site.ask("/old").status == 302
    assert blue.requests == []


def test_hostname_is_that_of_the_request_by_default(serve: Serve) -> None:
    """Without hostname the request's Host stays, without its port, which belongs to the connection (HTTPRequestRedirectFilter.hostname)."""
    site = serve(redirect("{statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /new}}"))
    assert site.ask(host="shop.example.com").location == "http://shop.example.com/new"
    assert site.ask(host="shop.example.com:9999").location == "http://shop.example.com/new"


@pytest.mark.parametrize(
    ("fields", "locations"),
    [
        ("{}", ("http://h.org/p", "http://h.org:8080/p", "https://h.org/p")),
        ("{scheme: http}", ("http://h.org/p", "http://h.org/p", "http://h.org/p")),
        ("{scheme: https}", ("https://h.org/p", "https://h.org/p", "https://h.org/p")),
        ("{port: 80}", ("http://h.org/p", "http://h.org/p", "https://h.org:80/p")),
        ("{port: 443}", ("http://h.org:443/p", "http://h.org:443/p", "https://h.org/p")),
        ("{port: 8080}", ("http://h.org:8080/p", "http://h.org:8080/p", "https://h.org:8080/p")),
        ("{scheme: http, port: 80}", ("http://h.org/p", "http://h.org/p", "http://h.org/p")),
        ("{scheme: http, port: 443}", ("http://h.org:443/p", "http://h.org:443/p", "http://h.org:443/p")),
        ("{scheme: https, port: 443}", ("https://h.org/p", "https://h.org/p", "https://h.org/p")),
        ("{scheme: https, port: 80}", ("https://h.org:80/p", "https://h.org:80/p", "https://h.org:80/p")),
        ("{scheme: https, port: 8443}", ("https://h.org:8443/p", "https://h.org:8443/p", "https://h.org:8443/p")),
    ],
)
def test_port_and_scheme(
    serve: Serve, authority: Authority, trust: ssl.SSLContext, fields: str, locations: tuple[str, str, str]
) -> None:
    """Port: the given one, else the given scheme's, else the listener's; left out where it is the scheme's own. On the listeners
    http:80, http:8080 and https:443 (HTTPRequestRedirectFilter.port, HTTPRouteRedirectPortAndScheme)."""
    site = serve(THREE_LISTENERS, certificate("server", authority.issue("h.org")), redirect(fields))
    answers = (
        site.ask("/p", host="h.org"), site.ask("/p", host="h.org:8080", port=8080), site.ask("/p", host="h.org", port=443, tls=trust)
    )  # fmt: skip
    assert tuple(answer.location for answer in answers) == locations


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/original", "http://example.com/full"),
        ("/original/deep?a=b", "http://example.com/full?a=b"),
        ("/original/?", "http://example.com/full?"),
    ],
)
def test_replace_full_path(serve: Serve, target: str, location: str) -> None:
    """ReplaceFullPath replaces the path and keeps the query (HTTPPathModifier, HTTPRouteRedirectPath)."""
    site = serve(redirect("{path: {type: ReplaceFullPath, replaceFullPath: /full}}", "{path: {value: /original}}"))
    assert site.ask(target).location == location


@pytest.mark.parametrize(
    ("target", "prefix", "replacement", "path"),
    [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
    ],
)
def test_replace_prefix_match(serve: Serve, target: str, prefix: str, replacement: str, path: str) -> None:
    """ReplacePrefixMatch replaces the matched segments, by the table of the specification (HTTPPathModifier.replacePrefixMatch)."""
    site = serve(redirect(f"{{path: {{type: ReplacePrefixMatch, replacePrefixMatch: '{replacement}'}}}}", f"{{path: {{value: {prefix}}}}}"))
    assert site.ask(target + "?q").location == f"http://example.com{path}?q"


def test_all_parts_at_once(serve: Serve) -> None:
    """Scheme, hostname, port, path and status together (HTTPRouteRedirectPath)."""
    fields = "{scheme: https, hostname: new.org, port: 8443, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}, statusCode: 308}"
    answer = serve(redirect(fields, "{path: {value: /a}}")).ask("/a/c?d=e")
    assert (answer.status, answer.location) == (308, "https://new.org:8443/b/c?d=e")


def test_location_is_a_proper_uri(serve: Serve) -> None:
    """Escapes stay, and what may not stand in a URI is escaped, so that no client reads another place than was meant (RFC 3986)."""
    site = serve(redirect("{scheme: https}"))
    assert site.ask("/a%20b%2Fc?d=<e>").location == "https://example.com/a%20b%2Fc?d=%3Ce%3E"
    assert site.ask("//evil.org/x").location == "https://example.com//evil.org/x"


def test_a_redirect_keeps_the_connection(serve: Serve) -> None:
    """Local replies do not end a kept-alive connection, even after a body (RFC 9112 9.3)."""
    site = serve(redirect("{hostname: example.org}"))
    with site.connect() as connection:
        request = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        connection.sendall(request + request)
        received = b""
        while received.count(b"\r\n\r\n") < 2:
            received += connection.recv(65_536)
    assert received.count(b"HTTP/1.1 302 Found\r\n") == 2
    assert b"connection: close" not in received


def test_a_backend_ref_may_redirect(serve: Serve, blue: Echo) -> None:
    """A redirect on a backendRef answers for its share without asking the backend; the prefix is that of the rule's match
    (HTTPRouteBackendRequestRedirect)."""
    site = serve("""
- matches: [{path: {value: /foo}}]
  backendRefs:
  - name: blue
    port: 80
    filters:
    - type: RequestRedirect
      requestRedirect: {hostname: example.org, path: {type: ReplacePrefixMatch, replacePrefixMatch: /bar}}
""")
    assert site.ask("/foo/x").location == "http://example.org/bar/x"
    assert blue.requests == []
