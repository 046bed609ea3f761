"""gateway.ir.hostnames: what hostnames of listeners and routes have in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ir.hostnames import covers, shared

HOSTS = ("a", "b", "a.b", "b.b", "a.a.b", "b.a.b", "a.b.a.b")

names = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(".".join)
hostnames = names | names.map(lambda name: f"*.{name}") | st.just("")


@pytest.mark.parametrize(
    ("wildcard", "covered", "not_covered"),
    [
        ("*.b", ["a.b", "a.a.b", "*.a.b"], ["b", "ab", "*.b", "*.ab", "", "a.b.a"]),
        ("*.a.b", ["b.a.b", "*.b.a.b"], ["a.b", "*.b", "*.a.b"]),
        ("a.b", [], ["a.b", "a.a.b", "*.a.b"]),
        ("", [], ["", "a", "*.a"]),
    ],
)
def test_a_wildcard_covers_one_or_more_labels_before_its_suffix(wildcard: str, covered: list[str], not_covered: list[str]) -> None:
    """Hostname: and narrower wildcards, so that it covers neither itself nor the suffix alone."""
    assert [name for name in covered + not_covered if covers(wildcard, name)] == covered


@pytest.mark.parametrize(
    ("listener", "route", "expected"),
    [
        ("", ("",), ("",)),
        ("", ("a.b", "*.b", "a.b"), ("a.b", "*.b")),
        ("a.b", ("",), ("a.b",)),
        ("a.b", ("*.b", "", "a.b"), ("a.b",)),
        ("*.b", ("a.b", "*.a.b", "c", "b"), ("a.b", "*.a.b")),
        ("*.a.b", ("*.b", "a.b", "c.a.b"), ("*.a.b", "c.a.b")),
        ("a.b", ("b.b",), ()),
        ("*.b", (), ()),
    ],
)
def test_the_narrower_of_two_hostnames_is_shared(listener: str, route: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """HTTPRouteSpec.hostnames: in the order of the route, each once, '' for all hosts."""
    assert shared(listener, route) == expected


def is_of(host: str, hostname: str) -> bool:
    return not hostname or host == hostname or covers(hostname, host)


@given(hostnames, st.lists(hostnames, max_size=3).map(tuple))
def test_what_is_shared_covers_the_hosts_that_both_cover(listener: str, route: tuple[str, ...]) -> None:
    """No host more and none less."""
    common = shared(listener, route)
    for host in HOSTS:
        both = is_of(host, listener) and any(is_of(host, hostname) for hostname in route)
        assert any(is_of(host, hostname) for hostname in common) == both
