"""Hostname intersection as a property: the common hostnames cover exactly the hosts that both sides cover (reference 5.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.translate.attachment import intersection
from controller.translate.facing import covering
from controller.translate.listeners import covers, overlaps

LABELS = st.sampled_from(("a", "b"))
EXACT = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
HOSTNAMES = st.one_of(EXACT, EXACT.map(lambda name: f"*.{name}"))


def covered(hostname: str, host: str) -> bool:
    """Second opinion: '' covers all, `*.` stands for one or more whole labels."""
    labels, pattern = host.split("."), hostname.split(".")
    if not hostname:
        return True
    if pattern[0] != "*":
        return labels == pattern
    return len(labels) >= len(pattern) and labels[-len(pattern) + 1 :] == pattern[1:]


@given(st.one_of(st.just(""), HOSTNAMES), st.lists(HOSTNAMES, max_size=4), EXACT)
def test_the_intersection_covers_what_both_cover(listener: str, route: list[str], host: str) -> None:
    """A host is covered by the intersection if the listener covers it and one of the route's hostnames does, or there are none."""
    expected = covered(listener, host) and (not route or any(covered(hostname, host) for hostname in route))
    found = intersection(listener, tuple(route))
    assert any(covered(hostname, host) for hostname in found) == expected
    assert len(set(found)) == len(found)


@given(HOSTNAMES, HOSTNAMES, EXACT)
def test_overlapping_hostnames_have_a_host_in_common(one: str, other: str, host: str) -> None:
    """Where two hostnames cover one host they overlap, whichever comes first."""
    assert overlaps(one, other) == overlaps(other, one)
    if covered(one, host) and covered(other, host):
        assert overlaps(one, other)


@given(HOSTNAMES, HOSTNAMES)
def test_what_covers_a_hostname(one: str, other: str) -> None:
    """Itself, the wildcards above it, and '' for all; of two that overlap one covers the other."""
    assert (one in covering(other)) == (one == other or covers(one, other))
    assert overlaps(one, other) == (one in covering(other) or other in covering(one))
    assert covering(one)[0] == one
    assert covering(one)[-1] == ""


@pytest.mark.parametrize(("wildcard", "hostname", "expected"), [
    ("*.example.com", "a.example.com", True),
    ("*.example.com", "a.b.example.com", True),
    ("*.example.com", "*.b.example.com", True),
    ("*.example.com", "example.com", False),
    ("*.example.com", "*.example.com", False),
    ("*.example.com", "anexample.com", False),
    ("*.b.example.com", "*.example.com", False),
    ("a.example.com", "a.example.com", False),
])  # fmt: skip
def test_a_wildcard_covers_one_or_more_labels(wildcard: str, hostname: str, expected: bool) -> None:
    """`*.example.com` covers a.b.example.com, not example.com (reference 5.2)."""
    assert covers(wildcard, hostname) is expected
