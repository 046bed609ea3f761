"""Huffman coding: every string comes back, and what is no code is refused, as the hpack library does."""

from __future__ import annotations

import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as by_half_bytes
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.huffman import BadHuffmanCode, decode_huffman

encode = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode


@given(text=st.binary(max_size=100))
def test_what_the_library_codes_comes_back(text: bytes) -> None:
    """RFC 7541 Appendix B, with every byte."""
    assert decode_huffman(encode(text)) == text
    assert decode_huffman(encode(bytes(range(256)))) == bytes(range(256))


@given(coded=st.binary(max_size=12) | st.tuples(st.binary(max_size=8), st.integers(0, 5)).map(lambda pair: pair[0] + b"\xff" * pair[1]))
def test_any_bytes_are_read_or_refused_as_the_library_does(coded: bytes) -> None:
    """RFC 7541 5.2."""
    try:
        expected = by_half_bytes(coded)
    except HPACKDecodingError:
        with pytest.raises(BadHuffmanCode):
            decode_huffman(coded)
    else:
        assert decode_huffman(coded) == expected


@pytest.mark.parametrize(
    "coded",
    [b"\x1f\xff", b"\xff", b"\x18", b"\x1e", b"\xff\xff\xff\xff", b"\xff\xff\xff\xfc", b"\x1c\x7f\xff\xff\xfc"],
    ids=[
        "padding over seven bits",
        "nothing but padding",
        "padding of zeros",
        "padding with a zero",
        "EOS",
        "EOS exactly",
        "text, then EOS",
    ],
)
def test_wrong_padding_and_the_end_symbol_are_refused(coded: bytes) -> None:
    """RFC 7541 5.2: the most significant bits of EOS, at most seven, and never all of it."""
    with pytest.raises(BadHuffmanCode):
        decode_huffman(coded)
    assert decode_huffman(b"\x1f") == b"a"
