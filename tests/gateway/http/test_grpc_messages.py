"""How many messages passed in one direction of a gRPC call."""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st

from gateway.http.grpc_messages import MessageCount, TextMessageCount

messages = st.lists(st.tuples(st.sampled_from([0, 1]), st.binary(max_size=20)), max_size=10)


def written(flag: int, data: bytes) -> bytes:
    return bytes([flag]) + len(data).to_bytes(4, "big") + data


@given(messages, st.lists(st.integers(1, 9)))
def test_messages_are_counted_however_they_are_cut(sent: list[tuple[int, bytes]], sizes: list[int]) -> None:
    """gRPC over HTTP/2, Length-Prefixed-Message: DATA frames have no relation to messages."""
    count, body = MessageCount(), b"".join(written(*message) for message in sent)
    for size in sizes:
        count.add(body[:size])
        body = body[size:]
    count.add(body)
    assert count.count == len(sent)


@given(messages)
def test_trailers_of_grpc_web_are_no_message(sent: list[tuple[int, bytes]]) -> None:
    """PROTOCOL-WEB: the last frame of an answer, with the flag 0x80."""
    count = MessageCount()
    count.add(b"".join(written(*message) for message in (*sent, (0x80, b"grpc-status:0\r\n"))))
    assert count.count == len(sent)


def test_a_message_counts_when_it_has_begun() -> None:
    """Its length is there."""
    count = MessageCount()
    for octet in b"\0\0\0\0":
        count.add(bytes([octet]))
        assert count.count == 0
    count.add(b"\7")
    assert count.count == 1


@given(messages, st.lists(st.integers(1, 9)), st.booleans())
def test_messages_of_text_are_counted_however_they_are_cut(sent: list[tuple[int, bytes]], sizes: list[int], apart: bool) -> None:
    """PROTOCOL-WEB: base64, with padding behind each message or at the end alone; the trailers are none."""
    frames = [*(written(*message) for message in sent), written(0x80, b"grpc-status:0\r\n")]
    body = b"".join(map(b64encode, frames)) if apart else b64encode(b"".join(frames))
    count = TextMessageCount()
    for size in sizes:
        count.add(body[:size])
        body = body[size:]
    count.add(body)
    assert count.count == len(sent)


def test_what_is_no_base64_ends_the_count() -> None:
    """Nothing after it can be told apart."""
    count = TextMessageCount()
    for piece in (b64encode(written(0, b"a")), b"!!!!", b64encode(written(0, b"b"))):
        count.add(piece)
    assert count.count == 1
