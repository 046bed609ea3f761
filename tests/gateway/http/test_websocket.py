"""The proof that a backend speaks WebSocket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.utils import accept_key, generate_key

from gateway.http.head import RequestHead, ResponseHead
from gateway.http.websocket import accepts

RFC_KEY, RFC_ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def request(key: bytes | None) -> RequestHead:
    head = RequestHead(b"GET", b"/", None, b"a", b"a")
    head.fields = [] if key is None else [(b"Sec-WebSocket-Key", key)]
    return head


def response(*fields: tuple[bytes, bytes]) -> ResponseHead:
    return ResponseHead(101, b"Switching Protocols", list(fields), None)


def test_the_answer_of_the_rfc_is_right() -> None:
    """RFC 6455 1.3, the example."""
    assert accepts(request(RFC_KEY), response((b"sec-websocket-accept", RFC_ACCEPT)))


@pytest.mark.parametrize("value", [b"", RFC_KEY, RFC_ACCEPT[:-1], RFC_ACCEPT.lower(), RFC_ACCEPT + b"="])
def test_another_answer_is_wrong(value: bytes) -> None:
    """A server that does not know the key's answer is no WebSocket server (RFC 6455 4.1)."""
    assert not accepts(request(RFC_KEY), response((b"Sec-WebSocket-Accept", value)))


def test_no_answer_is_wrong() -> None:
    """101 alone proves nothing (RFC 6455 4.1)."""
    assert not accepts(request(RFC_KEY), response())


@given(st.builds(generate_key))
def test_the_answers_of_the_websockets_library_are_right(key: str) -> None:
    """The same computation as an implementation that is not ours."""
    assert accepts(request(key.encode()), response((b"Sec-WebSocket-Accept", accept_key(key).encode())))
