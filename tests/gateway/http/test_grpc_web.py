"""gRPC-Web as values (PROTOCOL-WEB of gRPC): heads, the text form, the frame of trailers."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.grpc_web import (
    TextDecoder,
    TextEncoder,
    answers_in_text,
    call_head,
    edit_answer,
    is_answer,
    is_text,
    is_web,
    trailer_frame,
)
from gateway.http.head import RequestHead, ResponseHead

PIECES = st.lists(st.binary(max_size=40), max_size=8)


def web_head(kind: bytes, *fields: tuple[bytes, bytes], length: int | None = 10) -> RequestHead:
    head = RequestHead(b"POST", b"/s/m", None, b"a", b"a")
    head.fields, head.grpc, head.length = [(b"Content-Type", kind), *fields], kind, length
    return head


def test_content_types() -> None:
    """application/grpc-web is binary, application/grpc-web-text base64; application/grpc is neither."""
    kinds = (b"application/grpc", b"application/grpc-web", b"application/grpc-web+proto", b"application/grpc-web-text+proto")
    assert [(is_web(kind), is_text(kind)) for kind in kinds] == [(False, False), (True, False), (True, False), (True, True)]


@pytest.mark.parametrize(
    ("web", "call"),
    [(b"application/grpc-web", b"application/grpc"), (b"application/grpc-web+proto", b"application/grpc+proto"),
     (b"application/grpc-web-text", b"application/grpc"), (b"application/grpc-web-text+json", b"application/grpc+json")],
)  # fmt: skip
def test_a_request_becomes_a_call(web: bytes, call: bytes) -> None:
    """Its content type is that of gRPC; trailers are wanted and compressed messages are not; the length of text is another one."""
    head = web_head(web, (b"X-Grpc-Web", b"1"), (b"grpc-accept-encoding", b"gzip"), (b"grpc-timeout", b"1S"), (b"x-a", b"b"))
    made = call_head(head)
    fields = [(b"content-type", call), (b"grpc-accept-encoding", b"identity"), (b"grpc-timeout", b"1S"), (b"x-a", b"b")]
    assert (made.grpc, made.trailers, made.length) == (call, True, None if is_text(web) else 10)
    assert sorted(made.fields) == fields
    assert (head.grpc, head.trailers, head.get(b"content-type")) == (web, False, web)


@pytest.mark.parametrize(
    ("kind", "accept", "text"),
    [(b"application/grpc-web", b"", False), (b"application/grpc-web-text", b"", True), (b"application/grpc-web-text", b"*/*", True),
     (b"application/grpc-web", b"application/grpc-web-text", True),
     (b"application/grpc-web-text", b"application/grpc-web+proto, */*", False)],
)  # fmt: skip
def test_the_client_says_what_it_reads(kind: bytes, accept: bytes, text: bool) -> None:
    """By Accept, else as it writes itself."""
    assert answers_in_text(web_head(kind, (b"Accept", accept))) is text


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [(False, b"application/grpc", b"application/grpc-web"), (True, b"application/grpc+proto", b"application/grpc-web-text+proto")],
)
def test_an_answer_becomes_one_of_the_web(text: bool, kind: bytes, expected: bytes) -> None:
    """Its content type; a length would not count the trailers."""
    head = ResponseHead(200, b"OK", [(b"Content-Type", kind), (b"a", b"b")], 10)
    assert is_answer(head)
    edit_answer(head, text)
    assert (head.fields, head.length) == ([(b"a", b"b"), (b"content-type", expected)], None)


def test_other_answers_stay() -> None:
    """What is no call's answer is passed on as it is."""
    assert not is_answer(ResponseHead(200, b"OK", [(b"content-type", b"text/html")], 0))
    assert not is_answer(ResponseHead(503, b"", [(b"content-type", b"application/grpc")], 0))
    assert not is_answer(ResponseHead(200, b"OK", [], 0))


def test_trailers_are_a_frame() -> None:
    """Flag 0x80, four bytes of length, then lines as in HTTP/1.1 with names in lower case."""
    assert trailer_frame([(b"Grpc-Status", b"0"), (b"x", b"y z")]) == b"\x80\0\0\0\x18grpc-status: 0\r\nx: y z\r\n"


@given(PIECES, st.lists(st.booleans(), min_size=8, max_size=8))
def test_text_is_base64_with_padding_where_its_sender_pauses(pieces: list[bytes], pauses: list[bool]) -> None:
    """Whatever is held back at the end of a piece comes with the next, or with the pause; reading it gives the bytes back."""
    encoder, decoder = TextEncoder(), TextDecoder()
    text = b""
    for piece, pause in zip(pieces, pauses, strict=False):
        text += encoder.feed(piece)
        if pause:
            text += encoder.pause()
    text += encoder.pause()
    assert len(text) % 4 == 0
    assert b"".join(b64decode(text[at : at + 4], validate=True) for at in range(0, len(text), 4)) == b"".join(pieces)
    assert decoder.feed(text) == b"".join(pieces)
    decoder.end()


@given(PIECES, st.lists(st.integers(0, 60), max_size=6))
def test_text_is_read_in_pieces_of_any_size(frames: list[bytes], cuts: list[int]) -> None:
    """Each frame was encoded alone, with padding of its own; where the network cuts it is nobody's business."""
    text = b"".join(b64encode(frame) for frame in frames)
    decoder, data, at = TextDecoder(), b"", 0
    for cut in (*sorted(cuts), len(text)):
        data += decoder.feed(text[at : max(at, cut)])
        at = max(at, cut)
    decoder.end()
    assert data == b"".join(frames)


@pytest.mark.parametrize("text", [b"AA!A", b"A===", b"====", b"AA=A", b"AAA\n", b"AAAA AAA"])
def test_what_is_no_base64_is_refused(text: bytes) -> None:
    """RFC 4648 3.3: nothing is passed over."""
    with pytest.raises(ValueError, match="no base64"):
        TextDecoder().feed(text)


def test_text_that_is_cut_is_refused() -> None:
    """A body must not look complete that is not."""
    decoder = TextDecoder()
    assert decoder.feed(b"AAAAA") == b"\0\0\0"
    with pytest.raises(ValueError, match="four characters"):
        decoder.end()


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    """Nothing else is raised."""
    try:
        TextDecoder().feed(data)
    except ValueError:
        pass
