"""Compiling the filters of a rule: order, sorting by shape, mirrors, what cannot be resolved."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.compile import NO_FILTERS, compile_filters
from gateway.filters.mirror import Mirror
from gateway.filters.passage import Passage
from gateway.http.head import RequestHead
from gateway.ir.filters import (
    AnyFilter,
    Cors,
    PathModifier,
    RequestHeaderModifier,
    RequestMirror,
    RequestRedirect,
    ResponseHeaderModifier,
    Unresolved,
    UrlRewrite,
)


def head() -> RequestHead:
    return RequestHead(b"GET", b"/", None, b"a.example", b"a.example")


def test_no_filters() -> None:
    """A rule without filters shares one value, so that callers can tell by identity."""
    assert compile_filters(()) is NO_FILTERS


def test_order_of_the_route() -> None:
    """Request filters run in the order in which the route lists them."""
    first, second = RequestHeaderModifier(set=(("x", "1"),)), RequestHeaderModifier(add=(("x", "2"),))
    for order, expected in (((first, second), b"1,2"), ((second, first), b"1")):
        request = head()
        for request_filter in compile_filters(order).request:
            request_filter(request, Passage(b"http", 80))
        assert request.get(b"x") == expected


@pytest.mark.parametrize(
    ("entry", "request_filters", "response_filters", "mirrors", "edits_request"),
    [
        (RequestHeaderModifier(remove=("x",)), 1, 0, 0, True),
        (ResponseHeaderModifier(remove=("x",)), 0, 1, 0, False),
        (RequestRedirect(), 1, 0, 0, False),
        (UrlRewrite(hostname="a.example"), 1, 0, 0, False),
        (RequestMirror("ns/mirror:80"), 0, 0, 1, False),
        (Cors(), 1, 0, 0, False),
        (Unresolved("nothing there"), 1, 0, 0, False),
    ],
)
def test_every_type_has_its_place(entry: AnyFilter, request_filters: int, response_filters: int, mirrors: int, edits_request: bool) -> None:
    """Each type of HTTPRouteFilter becomes functions of one shape; only header modifiers need the head unfolded."""
    filters = compile_filters((entry,))
    assert (len(filters.request), len(filters.response), len(filters.mirrors), filters.edits_request) == (
        request_filters,
        response_filters,
        mirrors,
        edits_request,
    )


def test_unresolved_filters_fail_the_request() -> None:
    """A filter that could not be resolved answers 500 with its reason and is never skipped (HTTPRouteFilter.extensionRef)."""
    (refuse,) = compile_filters((Unresolved("ExtensionRef tidegate.dev/Limit a/b: no such kind"),)).request
    reply = refuse(head(), Passage(b"http", 80))
    assert reply is not None
    assert (reply.status, reply.reason) == (500, "ExtensionRef tidegate.dev/Limit a/b: no such kind")


def test_the_fault_names_its_place() -> None:
    """What is wrong with the second of two filters is said of the second."""
    with pytest.raises(ValueError, match=r"^filters\[1\] \(URLRewrite\): path 'x' is not absolute: begin it with '/'$"):
        compile_filters((RequestHeaderModifier(), UrlRewrite(path=PathModifier("ReplaceFullPath", "x"))))


@given(st.integers(1, 200), st.data())
def test_share_of_a_mirror(denominator: int, data: st.DataObject) -> None:
    """Of all draws exactly numerator of denominator are mirrored (HTTPRequestMirrorFilter.fraction)."""
    numerator = data.draw(st.integers(0, denominator))
    (mirror,) = compile_filters((RequestMirror("ns/mirror:80", numerator, denominator),)).mirrors
    chosen = sum(mirror.chosen(draw) for draw in range(denominator))
    assert Fraction(chosen, denominator) == Fraction(numerator, denominator)
    assert mirror.always == (numerator == denominator)


def test_several_mirrors_keep_their_backends() -> None:
    """A rule may mirror to several backends (feature HTTPRouteRequestMultipleMirrors)."""
    mirrors = compile_filters((RequestMirror("ns/a:80"), RequestMirror("ns/b:80", 1, 2))).mirrors
    assert [(mirror.backend, mirror.numerator, mirror.denominator) for mirror in mirrors] == [("ns/a:80", 100, 100), ("ns/b:80", 1, 2)]


@pytest.mark.parametrize(("numerator", "denominator"), [(-1, 100), (101, 100), (1, 0), (0, -1)])
def test_impossible_shares(numerator: int, denominator: int) -> None:
    """A share lies between 0 and 1."""
    with pytest.raises(ValueError, match="is not between 0 and 1"):
        Mirror("ns/a:80", numerator, denominator)
