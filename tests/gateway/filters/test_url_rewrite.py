"""URLRewrite (HTTPURLRewriteFilter): host and path towards the backend."""

from __future__ import annotations

import pytest

from gateway.filters.compile import compile_filters
from gateway.filters.passage import Passage
from gateway.http.head import LocalReply, RequestHead
from gateway.ir.filters import PathModifier, RequestHeaderModifier, UrlRewrite


def rewrite(rule: UrlRewrite, path: bytes, prefix: bytes | None = None) -> tuple[RequestHead, LocalReply | None]:
    head = RequestHead(b"OPTIONS", path, b"q=1", b"rewrite.example:8080", b"rewrite.example")
    (request_filter,) = compile_filters((rule,)).request
    return head, request_filter(head, Passage(b"http", 8080, prefix))


def test_host() -> None:
    """The new Host is the name alone; what was matched and the rest of the request stay."""
    head, reply = rewrite(UrlRewrite(hostname="one.example.org"), b"/one")
    assert reply is None
    assert (head.authority, head.host, head.target) == (b"one.example.org", b"rewrite.example", b"/one?q=1")


@pytest.mark.parametrize(
    ("path", "before", "prefix", "after"),
    [
        (PathModifier("ReplaceFullPath", "/one"), b"/full/one/two", b"/full", b"/one?q=1"),
        (PathModifier("ReplaceFullPath", "/one"), b"/exact", None, b"/one?q=1"),
        (PathModifier("ReplacePrefixMatch", "/"), b"/prefix/one/two", b"/prefix", b"/one/two?q=1"),
        (PathModifier("ReplacePrefixMatch", "/x"), b"/prefix/", b"/prefix", b"/x/?q=1"),
        (PathModifier("ReplacePrefixMatch", "/x"), b"/any", b"/", b"/x/any?q=1"),
    ],
)
def test_path(path: PathModifier, before: bytes, prefix: bytes | None, after: bytes) -> None:
    """Full path or prefix; the query is kept and the Host is not touched."""
    head, reply = rewrite(UrlRewrite(path=path), before, prefix)
    assert reply is None
    assert (head.target, head.authority) == (after, b"rewrite.example:8080")


def test_asterisk_form_has_no_path() -> None:
    """OPTIONS * asks about the server, so there is no path to rewrite (RFC 9112 3.2.4)."""
    for path in (PathModifier("ReplaceFullPath", "/one"), PathModifier("ReplacePrefixMatch", "/x")):
        head, reply = rewrite(UrlRewrite(path=path), b"*", b"/")
        assert (head.path, reply) == (b"*", None)


def test_prefix_without_match() -> None:
    """ReplacePrefixMatch where no prefix matched is answered 500 with the reason, never forwarded as it is."""
    _, reply = rewrite(UrlRewrite(path=PathModifier("ReplacePrefixMatch", "/x")), b"/exact")
    assert reply is not None
    assert (reply.status, reply.reason) == (500, "ReplacePrefixMatch, but no path prefix matched")


def test_together_with_header_modifier() -> None:
    """Rewrite and header edits apply to one request, in any order (conformance HTTPRouteRewritePath)."""
    filters = (UrlRewrite(path=PathModifier("ReplaceFullPath", "/test")), RequestHeaderModifier(set=(("x", "1"),)))
    for order in (filters, filters[::-1]):
        head = RequestHead(b"GET", b"/full", None, b"a", b"a")
        for request_filter in compile_filters(order).request:
            assert request_filter(head, Passage(b"http", 80)) is None
        assert (head.path, head.fields) == (b"/test", [(b"x", b"1")])


@pytest.mark.parametrize("hostname", ["a b", "a:80", "a\r\n", ".a"])
def test_refused_hosts(hostname: str) -> None:
    """A rewrite's hostname is a name without port (PreciseHostname)."""
    with pytest.raises(ValueError, match="is not a host name"):
        compile_filters((UrlRewrite(hostname=hostname),))
