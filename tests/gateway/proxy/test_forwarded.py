"""Forwarded fields of a proxy that is believed: what is looked up is what would be read, and what is kept is bounded."""

from __future__ import annotations

import pytest

from gateway.http.head import RequestHead
from gateway.ir.listener import ListenerOptions
from gateway.proxy import forwarded
from gateway.proxy.forwarded import Trust, believed_lines, constant_lines

CONSTANT = constant_lines(b"http", 80, b"Hash=1")
DRAWN = b"drawn"


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarded, "_BELIEVED", {})


def asked(*identity: tuple[bytes, bytes], forwarded_for: bytes | None = None, authority: bytes = b"cart") -> RequestHead:
    head = RequestHead(b"GET", b"/", None, authority, b"")
    head.identity = list(identity) or None
    head.forwarded_for = forwarded_for
    return head


def lines(head: RequestHead) -> tuple[dict[bytes, bytes], bytes]:
    """By name, of which none comes twice; and the request's id."""
    written, request_id = believed_lines(CONSTANT, head, b"10.0.0.1", DRAWN)
    pairs = [tuple(line.split(b": ", 1)) for line in written.split(b"\r\n")[:-1]]
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found, request_id


OURS = {
    b"x-forwarded-proto": b"http", b"x-forwarded-port": b"80", b"x-forwarded-client-cert": b"Hash=1", b"x-forwarded-host": b"cart",
    b"x-forwarded-for": b"10.0.0.1", b"x-request-id": DRAWN,
}  # fmt: skip


def test_what_is_not_said_is_ours() -> None:
    """Without a field of theirs, and with one that says nothing of the others."""
    assert lines(asked()) == (OURS, DRAWN)
    assert lines(asked((b"x-real-ip", b"192.0.2.1"))) == ({**OURS, b"x-real-ip": b"192.0.2.1"}, DRAWN)


def test_what_is_said_is_kept_also_the_next_time() -> None:
    """In any spelling, the last of several; ids and the chain of clients are those of each request."""
    said = (b"X-Forwarded-Proto", b"https"), (b"x-forwarded-host", b"shop.example"), (b"x-forwarded-host", b"cart.example")
    for number in (b"1", b"2", b"3"):
        found, request_id = lines(asked(*said, (b"X-Request-ID", b"id-" + number), forwarded_for=b"192.0.2." + number))
        told = {b"x-forwarded-proto": b"https", b"x-forwarded-host": b"cart.example", b"x-request-id": b"id-" + number}
        assert found == {**OURS, **told, b"x-forwarded-for": b"192.0.2.%b, 10.0.0.1" % number}
        assert request_id == b"id-" + number
    assert len(forwarded._BELIEVED) == 1


def test_each_authority_has_its_own_lines() -> None:
    """Where the host is not told, it is the request's."""
    told = (b"x-forwarded-proto", b"https")
    assert [lines(asked(told, authority=host))[0][b"x-forwarded-host"] for host in (b"a", b"b", b"a")] == [b"a", b"b", b"a"]


def test_an_id_that_is_none_is_replaced() -> None:
    """It would break a log line, or fill it."""
    for bad in (b"", b'"', b"a b", b"x" * 129):
        assert lines(asked((b"x-request-id", bad)))[1] == DRAWN


def test_long_values_pass_and_are_not_kept() -> None:
    """A peer must not fill our memory with what it says."""
    long = b"x" * 600
    assert lines(asked((b"forwarded", long)))[0][b"forwarded"] == long
    assert lines(asked((b"x-real-ip", b"1"), authority=long))[0][b"x-forwarded-host"] == long
    assert forwarded._BELIEVED == {}


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts and clients without end."""
    monkeypatch.setattr(forwarded, "_MOST_CACHED", 8)
    trust = Trust.of(ListenerOptions(trusted_hops=1))
    assert trust is not None
    for number in range(100):
        lines(asked((b"x-forwarded-proto", b"https"), authority=b"%d" % number))
        assert trust.client(b"10.0.0.1", b"192.0.2.%d" % number) == b"192.0.2.%d" % number
    assert len(forwarded._BELIEVED) <= 8
    assert len(trust._clients) <= 8


def test_the_client_is_found_again() -> None:
    """The same answer each time, and for each peer its own; what is no address stands for nobody."""
    trust = Trust.of(ListenerOptions(trusted_addresses=("10.0.0.0/8",)))
    assert trust is not None
    for _ in range(2):
        assert trust.client(b"10.0.0.1", b"192.0.2.1, 10.0.0.2") == b"192.0.2.1"
        assert trust.client(b"192.0.2.9", b"192.0.2.1, 10.0.0.2") == b"192.0.2.9"
        assert trust.client(b"10.0.0.1", b"unknown") == b"10.0.0.1"
        assert trust.client(b"10.0.0.1", b"192.0.2.1, " * 100 + b"10.0.0.2") == b"192.0.2.1"
