"""In which form paths are matched and forwarded, and the path rules of ListenerPolicy (design.md section 7; RFC 3986, RFC 9110 4.2)."""

from __future__ import annotations

import pytest

from tests.wire.conftest import Serve
from tests.wire.pairings import any_client
from tests.wire.serving import Site

pytestmark = any_client

ROUTES = """
- matches: [{path: {value: /a/b}}]
  backendRefs: [{name: green, port: 80}]
- backendRefs: [{name: blue, port: 80}]
"""


def with_paths(serve: Serve, paths: str) -> Site:
    policy = "kind: ListenerPolicy\nmetadata: {name: reasons}\nspec: {targetRefs: [{name: web}], reasonHeader: true, paths: {%s}}\n"
    return serve(ROUTES, policy % paths)


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        ("/a/x/../b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/%2e/b", "/a/b"),
        ("/a/x/%2E%2e/b/c", "/a/b/c"),
        ("/a/b/..", "/a/"),
        ("/%61/b", "/a/b"),
        ("/a/b%3Fc", "/a/b%3Fc"),
        ("/a/b?x=/../y", "/a/b?x=/../y"),
        ("/a//b", "/a//b"),
    ],
)
def test_a_path_is_matched_in_the_form_in_which_it_is_forwarded(serve: Serve, target: str, forwarded: str) -> None:
    """Dot segments and needless escapes are resolved once, before matching, so that no rule can be passed by (RFC 3986 6.2.2)."""
    answer = serve(ROUTES).ask(target)
    assert answer.request.target == forwarded
    assert answer.backend == ("green" if f"{forwarded}/".startswith(("/a/b/", "/a/b?")) else "blue")


@pytest.mark.parametrize("target", ["/a/..;/b", "/a%00b", "/a/b%zz", "/%", "/../a/b", "/a/%2e%2e/../b"])
def test_paths_that_servers_disagree_about_are_refused(serve: Serve, target: str) -> None:
    """`..;`, %00, broken escapes and what climbs above the root get 400: another server would read another path (design.md section 7)."""
    answer = serve(ROUTES).ask(target)
    assert (answer.status, answer.counted.flags) == (400, "DPE")


def test_escaped_slashes_are_ordinary_by_default(serve: Serve) -> None:
    """Keep: %2F and %5C separate nothing, and are forwarded as they are (ListenerPolicy.paths.escapedSlashes)."""
    site = serve(ROUTES)
    for target in ("/a%2Fb", "/a%5Cb"):
        answer = site.ask(target)
        assert (answer.backend, answer.request.target) == ("blue", target)


def test_escaped_slashes_may_be_refused(serve: Serve) -> None:
    """Reject: 400 (ListenerPolicy.paths.escapedSlashes)."""
    site = with_paths(serve, "escapedSlashes: Reject")
    assert [site.ask(target).status for target in ("/a%2fb", "/a%5Cb", "/a/b", "/a?b=%2F")] == [400, 400, 200, 200]


def test_escaped_slashes_may_be_redirected(serve: Serve) -> None:
    """Redirect: 307 to the unescaped path, so that the client sees what is matched (ListenerPolicy.paths.escapedSlashes)."""
    answer = with_paths(serve, "escapedSlashes: Redirect").ask("/a%2Fb?c=%2F")
    assert (answer.status, answer.location) == (307, "http://example.com/a/b?c=%2F")


def test_escaped_slashes_may_be_unescaped(serve: Serve) -> None:
    """Unescape: matched and forwarded as slashes (ListenerPolicy.paths.escapedSlashes)."""
    answer = with_paths(serve, "escapedSlashes: Unescape").ask("/a%2Fb")
    assert (answer.backend, answer.request.target) == ("green", "/a/b")


def test_slashes_may_be_merged(serve: Serve) -> None:
    """mergeSlashes: a run of slashes counts, and is forwarded, as one (ListenerPolicy.paths.mergeSlashes)."""
    answer = with_paths(serve, "mergeSlashes: true").ask("//a///b/")
    assert (answer.backend, answer.request.target) == ("green", "/a/b/")
    assert serve(ROUTES).ask("//a///b/").backend == "blue"
