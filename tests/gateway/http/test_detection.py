"""The first bytes of a connection: HTTP, something else, or not to be told yet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.detection import LONGEST_LINE, LONGEST_METHOD, begins_http
from gateway.http.frames import PREFACE

REQUESTS = [
    b"GET / HTTP/1.1\r\n", b"M-SEARCH * HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n", b"POST /a?b HTTP/1.0\n", PREFACE,
    b"GET http://example.com/ HTTP/1.1\r\n", b"CONNECT example.com:443 HTTP/1.1\r\n",
]  # fmt: skip
OTHERS = [
    b"\x16\x03\x01", b"\x00", b"\r\n", b" GET / HTTP/1.1\r\n", b"get key\r\n", b"GET key\r\n", b"*1\r\n$4\r\nPING\r\n", b"PING\r\n",
    b"PUB subject 5\r\nhello\r\n", b"CONNECT {\"verbose\":false}\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"GET\t/ HTTP/1.1\r\n",
]  # fmt: skip


@pytest.mark.parametrize("data", REQUESTS)
def test_a_request_line_is_http(data: bytes) -> None:
    """RFC 9112 3 and RFC 9113 3.4, whatever the form of the target (RFC 9112 3.2)."""
    assert begins_http(data) is True


@pytest.mark.parametrize("data", OTHERS)
def test_other_protocols_are_not(data: bytes) -> None:
    """TLS, memcached, Redis, NATS, SSH, and what RFC 9112 3 does not allow."""
    assert begins_http(data) is False


@pytest.mark.parametrize("data", [*REQUESTS, *OTHERS])
def test_no_part_of_it_says_the_opposite(data: bytes) -> None:
    """However a connection's first bytes are cut, the answer is the same, sooner or later."""
    answers = {begins_http(data[:end]) for end in range(len(data) + 1)}
    assert answers <= {None, begins_http(data)}


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_an_answer_stands(data: bytes, more: bytes) -> None:
    """More bytes never change it."""
    answer = begins_http(data)
    assert answer is None or begins_http(data + more) is answer


def test_what_never_becomes_a_request_is_not_waited_for() -> None:
    """Bounds of a method and of a line."""
    assert begins_http(b"A" * LONGEST_METHOD) is None
    assert begins_http(b"A" * (LONGEST_METHOD + 1)) is False
    assert begins_http(b"GET " + b"x" * LONGEST_LINE) is False
