"""Hostnames of listeners and routes that have hosts in common (reference 5.2)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.ir.hostnames import covering, covers, overlaps

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


@given(st.just("") | HOSTNAMES, st.just("") | HOSTNAMES)
def test_the_hostnames_that_cover_one_are_itself_and_wider_ones(hostname: str, other: str) -> None:
    """A wildcard covers a narrower one, and no hostname that has not a label more; '' covers all, and is covered by none but itself."""
    wider = covering(hostname)
    assert {hostname, ""} <= set(wider)
    assert (other in wider) == (other in (hostname, "") or covers(other, hostname))
