"""URLRewrite: another host or path towards the backend (HTTPURLRewriteFilter, reference 5.6)."""

from __future__ import annotations

import pytest

from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing

pytestmark = every_pairing


def rewrite(fields: str, match: str = "{}", more: str = "") -> str:
    """A rule that rewrites towards blue."""
    return f"""
- matches: [{match}]
  filters: [{{type: URLRewrite, urlRewrite: {fields}}}{more}]
  backendRefs: [{{name: blue, port: 80}}]
"""


def test_hostname(serve: Serve) -> None:
    """The backend is asked for the new host, the path stays, and what the client asked for is x-forwarded-host (HTTPRouteRewriteHost)."""
    request = serve(rewrite("{hostname: one.example.org}")).ask("/a?b", host="rewrite.example").request
    assert (request.value("host"), request.target, request.value("x-forwarded-host")) == ("one.example.org", "/a?b", "rewrite.example")


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
        ("/foo/b%2Fr", "/foo", "/x", "/x/b%2Fr"),
        ("/x", "/", "/y", "/y/x"),
    ],
)
def test_replace_prefix_match(serve: Serve, target: str, prefix: str, replacement: str, path: str) -> None:
    """ReplacePrefixMatch replaces the matched segments and keeps rest and query (HTTPPathModifier, HTTPRouteRewritePath)."""
    fields = f"{{path: {{type: ReplacePrefixMatch, replacePrefixMatch: '{replacement}'}}}}"
    assert serve(rewrite(fields, f"{{path: {{value: {prefix}}}}}")).ask(target + "?q=1").request.target == path + "?q=1"


@pytest.mark.parametrize(("target", "expected"), [("/full/rewrite/more", "/new"), ("/full/rewrite?a=b", "/new?a=b")])
def test_replace_full_path(serve: Serve, target: str, expected: str) -> None:
    """ReplaceFullPath replaces the path and keeps the query (HTTPPathModifier, HTTPRouteRewritePath)."""
    site = serve(rewrite("{path: {type: ReplaceFullPath, replaceFullPath: /new}}", "{path: {value: /full/rewrite}}"))
    assert site.ask(target).request.target == expected


def test_host_and_path_with_header_filters(serve: Serve) -> None:
    """Rewrites and header modifiers of one rule all take effect, in any order (HTTPRouteRewritePath)."""
    header = ", {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}}"
    fields = "{hostname: inner.org, path: {type: ReplacePrefixMatch, replacePrefixMatch: /two}}"
    request = serve(rewrite(fields, "{path: {value: /one}}", header)).ask("/one/x").request
    assert (request.value("host"), request.target, request.value("a")) == ("inner.org", "/two/x", "b")


def test_a_backend_ref_may_rewrite(serve: Serve) -> None:
    """A rewrite on a backendRef uses the prefix of the rule's match, and touches that backend alone (HTTPRouteBackendURLRewrite)."""
    site = serve("""
- matches: [{path: {value: /foo}}]
  backendRefs:
  - name: blue
    port: 80
    filters:
    - type: URLRewrite
      urlRewrite: {hostname: blue.org, path: {type: ReplacePrefixMatch, replacePrefixMatch: /blue}}
  - {name: green, port: 80}
""")
    answers = [site.ask("/foo/x") for _ in range(60)]
    seen = {(answer.backend, answer.request.target, answer.request.value("host")) for answer in answers}
    assert seen == {("blue", "/blue/x", "blue.org"), ("green", "/foo/x", "example.com")}


def test_the_log_shows_what_the_client_asked_for(serve: Serve) -> None:
    """The access log has the path and authority of the request, not those that a filter made of them (design.md section 8)."""
    site = serve(rewrite("{hostname: inner.org, path: {type: ReplaceFullPath, replaceFullPath: /new}}"))
    site.ask("/asked?for=this", host="outer.org")
    [line] = site.log.wait_for(1)
    assert (line["path"], line["authority"]) == ("/asked?for=this", "outer.org")
