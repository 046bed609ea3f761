"""HostTable: which hostname covers a host best."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import HostTable, hosts

NAMES = (b"", b"*.example", b"*.b.example", b"b.example", b"a.b.example", b"example")
LISTENERS = HostTable({name: name for name in NAMES})

labels = st.lists(st.sampled_from([b"a", b"b", b"example", b"x"]), min_size=1, max_size=5).map(b".".join)
hostnames = labels | labels.map(lambda name: b"*." + name) | st.just(b"")


@pytest.mark.parametrize(
    ("host", "levels"),
    [
        (b"a.b.example", (b"a.b.example", b"*.b.example", b"*.example", b"")),
        (b"b.example", (b"b.example", b"*.example", b"")),
        (b"x.b.example", (b"*.b.example", b"*.example", b"")),
        (b"x.y.z.b.example", (b"*.b.example", b"*.example", b"")),
        (b"example", (b"example", b"")),
        (b"aexample", (b"",)),
        (b".example", (b"",)),
        (b"[::1]", (b"",)),
        (b"*.example", (b"*.example", b"")),
        (b"", (b"",)),
    ],
)
def test_the_most_specific_hostname_comes_first(host: bytes, levels: tuple[bytes, ...]) -> None:
    """Listener.hostname: exact, then the longer wildcard, '*' for one or more labels, then none."""
    assert LISTENERS.levels(host) == LISTENERS.levels(host) == levels
    assert LISTENERS.choose(host) == LISTENERS.choose(host) == levels[0]


def test_a_host_that_nothing_covers_has_nothing() -> None:
    """No hostname, no answer."""
    assert HostTable({b"a.example": 1}).choose(b"b.example") is None
    assert HostTable({b"a.example": 1}).levels(b"b.example") == ()
    assert HostTable[int]().choose(b"a") is None


def covers(hostname: bytes, host: bytes) -> bool:
    if not hostname:
        return True
    if hostname.startswith(b"*."):
        return host.endswith(hostname[1:]) and len(host) >= len(hostname)
    return hostname == host


@given(st.lists(st.tuples(st.booleans(), hostnames), max_size=12), st.lists(labels, max_size=6))
def test_puts_and_removals_agree_with_looking_at_every_hostname(edits: list[tuple[bool, bytes]], asked: list[bytes]) -> None:
    """Whatever came and went, and whatever was asked before: those that cover the host, longest first, exact before wildcards."""
    table: HostTable[bytes] = HostTable()
    kept: set[bytes] = set()
    for put, name in edits:
        before, expected = table, {host: table.levels(host) for host in asked}
        table = table.copy()
        assert {host: (table.levels(host), table.choose(host)) for host in asked} == {
            host: (levels, levels[0] if levels else None) for host, levels in expected.items()
        }
        if put:
            table.put(name, name)
        else:
            table.remove(name)
        (kept.add if put else kept.discard)(name)
        assert {host: before.levels(host) for host in asked} == expected
    for host in asked:
        ordered = sorted((name for name in kept if covers(name, host)), key=lambda name: (name != host, -len(name)))
        assert table.levels(host) == tuple(ordered)
        assert table.choose(host) == (ordered[0] if ordered else None)
    assert all((table.get(name) == name) == (name in kept) for _, name in edits)


def test_caches_are_bounded() -> None:
    """Hosts that a client makes up cost one full cache at most; long ones are not kept."""
    table = HostTable({b"": 1})
    for number in range(hosts.CACHE_ENTRIES + 10):
        table.choose(b"h%d.example" % number)
    assert 0 < len(table._chosen) <= hosts.CACHE_ENTRIES
    assert 0 < len(table._levels) <= hosts.CACHE_ENTRIES
    sizes = len(table._chosen), len(table._levels)
    assert table.choose(b"long." * 100) == 1
    assert (len(table._chosen), len(table._levels)) == sizes
