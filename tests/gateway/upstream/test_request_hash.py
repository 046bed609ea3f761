"""What of a request chooses its endpoint (BackendPolicy.balancing.hashOn)."""

from __future__ import annotations

import pytest

from gateway.http.head import RequestHead
from gateway.ir.backend import HashOn
from gateway.upstream.request_hash import RequestHash


def head(*fields: tuple[bytes, bytes], path: bytes = b"/a", query: bytes | None = None, authority: bytes = b"a.test:80") -> RequestHead:
    made = RequestHead(b"GET", path, query, authority, b"a.test")
    made.fields = list(fields)
    return made


def key(part: HashOn, request: RequestHead, address: bytes = b"192.0.2.1") -> int | None:
    return RequestHash((part,)).key(request, address)


@pytest.mark.parametrize(
    ("part", "one", "other"),
    [
        (HashOn("Header", "x-user"), head((b"X-User", b"ann")), head((b"X-User", b"bob"))),
        (HashOn("Cookie", "user"), head((b"cookie", b"a=b; user=ann")), head((b"cookie", b"a=b; user=bob"))),
        (HashOn("QueryParameter", "u"), head(query=b"v=1&u=ann"), head(query=b"v=1&u=bob")),
        (HashOn("Authority"), head(), head(authority=b"example.org")),
        (HashOn("Path"), head(), head(path=b"/b")),
    ],
)
def test_the_named_part_counts_and_nothing_else(part: HashOn, one: RequestHead, other: RequestHead) -> None:
    """Requests with the same part have the same key, whoever sends them."""
    assert key(part, one) == key(part, one, b"192.0.2.2")
    assert key(part, one) is not None
    assert key(part, one) != key(part, other)


def test_the_client_address_is_the_default() -> None:
    """Without hashOn requests of one client have one key."""
    assert RequestHash(()).key(head(), b"192.0.2.1") == RequestHash((HashOn("ClientAddress"),)).key(head(path=b"/b"), b"192.0.2.1")
    assert RequestHash(()).key(head(), b"192.0.2.1") != RequestHash(()).key(head(), b"192.0.2.2")


def test_the_first_part_that_is_there() -> None:
    """Of several the first that the request has; none of them: no key."""
    parts = RequestHash((HashOn("Header", "x-user"), HashOn("Cookie", "user")))
    both = head((b"x-user", b"ann"), (b"cookie", b"user=bob"))
    assert parts.key(both, b"") == parts.key(head((b"x-user", b"ann")), b"")
    assert parts.key(head((b"cookie", b"user=bob")), b"") != parts.key(both, b"")
    assert parts.key(head(), b"192.0.2.1") is None
    assert parts.key(head((b"cookie", b"user")), b"") is None


def test_parts_do_not_stand_for_each_other() -> None:
    """A header with the value of another's cookie is another key."""
    parts = RequestHash((HashOn("Header", "x-user"), HashOn("Cookie", "user")))
    assert parts.key(head((b"x-user", b"ann")), b"") != parts.key(head((b"cookie", b"user=ann")), b"")


def test_details_of_the_parts() -> None:
    """Repeated fields count together, parameters decoded, hosts without regard to case, a path without its query."""
    assert key(HashOn("Header", "a"), head((b"a", b"1"), (b"A", b"2"))) == key(HashOn("Header", "a"), head((b"a", b"1, 2")))
    assert key(HashOn("QueryParameter", "u"), head(query=b"u=%61")) == key(HashOn("QueryParameter", "u"), head(query=b"u=a"))
    assert key(HashOn("Authority"), head(authority=b"EXAMPLE.com")) == key(HashOn("Authority"), head(authority=b"example.com"))
    assert key(HashOn("Path"), head(query=b"a")) == key(HashOn("Path"), head())
