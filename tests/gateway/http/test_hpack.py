"""Header compression, reading: the examples of the RFC, every decoding error, the limits, and the hpack library as second opinion."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import hpack as hpack_module
from gateway.http.fields import FieldLine
from gateway.http.frames import ENHANCE_YOUR_CALM, ConnectionFault
from gateway.http.hpack import FAR_BEYOND, MOST_BUILT, TABLE_SIZE, HeaderDecoder, HpackError
from gateway.http.http2_fields import MALFORMED, field_line
from gateway.http.request import FIELD_LIMIT, HEAD_LIMIT

Pairs = list[tuple[bytes, bytes]]


def read(decoder: HeaderDecoder, block: bytes) -> Pairs:
    entries = decoder.decode(block)
    assert entries is not None
    return [(name, value) for _, name, value, _ in entries]


def pairs(text: str) -> Pairs:
    return [(b":" + name if line[0] == ":" else name, value) for line in text.splitlines() for name, value in [_cut(line)]]


def _cut(line: str) -> tuple[bytes, bytes]:
    name, _, value = line.lstrip(":").partition(": ")
    return name.encode(), value.encode()


# RFC 7541 Appendix C

REQUESTS = (
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
)
RESPONSES = (
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n"
    "content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
)
EXAMPLES = {
    "C.3, requests without Huffman coding": (
        REQUESTS,
        (
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ),
    ),
    "C.4, requests with Huffman coding": (
        REQUESTS,
        (
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ),
    ),
    "C.5, responses without Huffman coding, with evictions": (
        RESPONSES,
        (
            "3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e"
            "1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a"
            "4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ),
    ),
    "C.6, responses with Huffman coding, with evictions": (
        RESPONSES,
        (
            "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8"
            "e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960"
            "d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ),
    ),
}


@pytest.mark.parametrize(("messages", "blocks"), EXAMPLES.values(), ids=EXAMPLES.keys())
def test_the_examples_of_the_rfc_are_read(messages: tuple[str, ...], blocks: tuple[str, ...]) -> None:
    """RFC 7541 Appendix C.3 to C.6, one decoder each; responses with a table of 256 bytes."""
    decoder = HeaderDecoder()
    for message, block in zip(messages, blocks, strict=True):
        assert read(decoder, bytes.fromhex(block)) == pairs(message)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header"),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path"),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret"),
        ("82", ":method: GET"),
    ],
)
def test_each_representation_is_read(block: str, message: str) -> None:
    """RFC 7541 Appendix C.2."""
    assert read(HeaderDecoder(), bytes.fromhex(block)) == pairs(message)


# errors

LITERAL = b"\x40\x01a\x01b"
ERRORS = {
    "index 0": b"\x80",
    "index 0 before strings": b"\x80\x01a\x01b",
    "index of an empty table": b"\xbe",
    "index beyond the table": LITERAL + b"\xbf",
    "index far beyond it": b"\xff\xff\xff\x7f",
    "name beyond the table": LITERAL + b"\x7f\x00\x01b",
    "name beyond the table, without indexing": b"\x0f\x2f\x01b",
    "index without its end": b"\xff\x80",
    "index of six bytes": b"\xff\x80\x80\x80\x80\x80\x00",
    "index of a thousand bytes": b"\xff" + b"\xff" * 1000 + b"\x00",
    "length of six bytes": b"\x40\x7f\x80\x80\x80\x80\x80\x00" + b"n" * 127 + b"\x01v",
    "length beyond the block": b"\x40\x02a",
    "length of four GiB": b"\x40\x7f\xff\xff\xff\xff\x0f",
    "value beyond the block": b"\x40\x01a\x02b",
    "no value": b"\x40\x01a",
    "no name": b"\x40",
    "no value of an indexed name": b"\x44",
    "padding of zeros in a value": b"\x40\x01a\x81\x18",
    "padding of zeros in a name": b"\x40\x81\x18\x01b",
    "EOS in a value": b"\x40\x01a\x84\xff\xff\xff\xff",
    "padding over seven bits": b"\x40\x01a\x82\x1f\xff",
    "table larger than the limit": b"\x3f\xe2\x1f",
    "table of a billion bytes": b"\x3f\xff\xff\xff\xff\x03",
    "table size without its end": b"\x3f\x80",
    "table size after a field": b"\x82\x20",
    "table size at the end": LITERAL + b"\x3f\xe1\x1f",
}


@pytest.mark.parametrize("block", ERRORS.values(), ids=ERRORS.keys())
def test_a_decoding_error_is_one(block: bytes) -> None:
    """RFC 7541 2.3.3, 4.2, 5.1, 5.2, 6.1, 6.3; for the connection it is COMPRESSION_ERROR (RFC 9113 4.3)."""
    with pytest.raises(HpackError):
        HeaderDecoder().decode(block)


def test_the_table_may_be_as_large_as_the_limit_and_change_twice() -> None:
    """RFC 7541 4.2: the smallest size and the last one, at the beginning of a block."""
    decoder = HeaderDecoder()
    assert read(decoder, LITERAL + b"\xbe") == [(b"a", b"b")] * 2
    assert read(decoder, b"\x20\x3f\xe1\x1f\x82") == [(b":method", b"GET")]
    with pytest.raises(HpackError):
        decoder.decode(b"\xbe")
    with pytest.raises(HpackError):
        HeaderDecoder(100).decode(b"\x3f\x46")
    assert HeaderDecoder(100).decode(b"\x3f\x45") == []
    assert HeaderDecoder(8192).decode(b"\x3f\xe1\x3f") == []


def test_an_entry_larger_than_the_table_empties_it() -> None:
    """RFC 7541 4.4: no error, and the field is read."""
    decoder = HeaderDecoder()
    read(decoder, LITERAL)
    assert read(decoder, b"\x40\x01c\x7f\x81\x1f" + b"d" * 4096) == [(b"c", b"d" * 4096)]
    with pytest.raises(HpackError):
        decoder.decode(b"\xbe")


def test_a_malformed_field_is_no_error_of_the_decoder() -> None:
    """It ends its stream; the table holds it like any other (RFC 9113 8.1.1)."""
    decoder = HeaderDecoder()
    for block in (b"\x40\x01A\x01b", b"\xbe"):
        entries = decoder.decode(block)
        assert entries is not None
        assert [entry[:3] for entry in entries] == [(MALFORMED, b"A", b"b")]


# limits


def test_as_many_fields_as_a_head_may_have_are_read_and_more_are_not() -> None:
    """100 and the pseudo-header fields (catalogue 2.2, 2.5); what follows on the connection is read again."""
    decoder = HeaderDecoder()
    read(decoder, LITERAL)
    assert len(read(decoder, b"\xbe" * (FIELD_LIMIT + 8))) == FIELD_LIMIT + 8
    assert decoder.decode(b"\xbe" * (FIELD_LIMIT + 9)) is None
    assert decoder.decode(b"\x00\x01x\x01y" * (FAR_BEYOND * FIELD_LIMIT)) is None
    assert HeaderDecoder(field_limit=200).decode(b"\x82" * 208) is not None
    assert read(decoder, b"\xbe") == [(b"a", b"b")]


@pytest.mark.parametrize("literals", [False, True])
def test_a_list_larger_than_a_head_may_be_is_not_built(literals: bool) -> None:
    """Name, value and 32 bytes for each field (RFC 9113 6.5.2): the HPACK bomb is a large entry and many references to it."""
    decoder = HeaderDecoder()
    value = b"v" * 4000
    block = b"\x40\x01a\x7f\xa1\x1e" + value
    assert read(decoder, block) == [(b"a", value)]
    reference = b"\x0f\x2f\x7f\xa1\x1e" + value if literals else b"\xbe"
    most = HEAD_LIMIT // (len(value) + 33)
    assert len(read(decoder, reference * most)) == most
    assert decoder.decode(reference * (most + 1)) is None


def test_beyond_the_limit_the_table_stays_in_step() -> None:
    """What a block adds after it became too large is there for the next one, judged like any other field (RFC 9113 4.3)."""
    decoder = HeaderDecoder()
    assert decoder.decode(b"\x82" * 200 + LITERAL + b"\x00\x01x\x01y" * 3 + b"\x40\x01C\x01d\x7e\x01e") is None
    assert read(decoder, b"\xbe\xbf\xc0") == [(b"C", b"e"), (b"C", b"d"), (b"a", b"b")]
    entries = decoder.decode(b"\xbe\xc0")
    assert entries is not None
    assert [(entry[0], entry[3]) for entry in entries] == [(MALFORMED, b"C: e\r\n"), (0, b"a: b\r\n")]


def test_beyond_the_limit_an_error_is_still_one() -> None:
    """Whoever lost step must know (RFC 7541 2.3.3, 5.2)."""
    for block in ERRORS.values():
        with pytest.raises(HpackError):
            HeaderDecoder().decode(b"\x00\x01x\x01y" * 200 + block)


@pytest.mark.parametrize("field", [b"\x82", b"\x00\x01x\x00", b"\x40\x01x\x00", b"\x0f\x10\x00", b"\x00\x02:y\x00"])
def test_a_block_far_beyond_the_limit_is_read_no_further(field: bytes) -> None:
    """64 KiB can hold 65,536 fields; four times as many as are taken say enough (HTTP/2 Bomb, CVE-2026-47774)."""
    decoder = HeaderDecoder()
    most = FAR_BEYOND * (FIELD_LIMIT + 8)
    assert decoder.decode(field * most) is None
    with pytest.raises(ConnectionFault) as far:
        decoder.decode(field * most * 2 + b"\x80")  # what stands behind is not even looked at
    assert far.value.code == ENHANCE_YOUR_CALM


def test_a_long_name_in_the_table_is_not_read_for_every_field_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 fields of two bytes each that name 4 KB: soon that is more than any block could say, so cost follows the block."""
    read_lines = 0

    def counted(name: bytes, value: bytes) -> FieldLine:
        nonlocal read_lines
        read_lines += 1
        return field_line(name, value)

    monkeypatch.setattr(hpack_module, "field_line", counted)
    name = b"n" * 4000
    with pytest.raises(ConnectionFault):
        HeaderDecoder().decode(b"\x40\x7f\xa1\x1e" + name + b"\x00" + b"\x7e\x00" * 20_000)
    assert read_lines <= MOST_BUILT // len(name) + 1


def test_an_integer_of_five_bytes_is_read() -> None:
    """More than the shortest form is legal (RFC 7541 5.1)."""
    assert read(HeaderDecoder(), b"\x40\x7f\x80\x80\x80\x80\x00" + b"n" * 127 + b"\x01v") == [(b"n" * 127, b"v")]


# second opinion

NAMES = st.sampled_from((b":path", b":status", b"a", b"accept", b"cookie", b"x-long-name", b"authorization")) | st.binary(max_size=6)
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=12) | st.sampled_from((b"/", b"200", b"gzip", b"v" * 1000))), max_size=12)


@given(
    blocks=st.lists(st.tuples(FIELDS, st.sets(st.integers(0, 11)), st.none() | st.integers(0, TABLE_SIZE)), max_size=8),
    huffman=st.booleans(),
)
def test_what_the_library_writes_is_read_on_a_whole_connection(blocks: list[tuple[Pairs, set[int], int | None]], huffman: bool) -> None:
    """All representations, with changes of the table's size and evictions."""
    encoder, decoder = hpack.Encoder(), HeaderDecoder()
    for fields, secret, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        marked = [hpack.NeverIndexedHeaderTuple(*pair) if place in secret else pair for place, pair in enumerate(fields)]
        assert read(decoder, encoder.encode(marked, huffman=huffman)) == fields


@given(blocks=st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_are_read_or_refused_as_the_library_does(blocks: list[bytes]) -> None:
    """Both give the same fields, or both an error."""
    library, decoder = hpack.Decoder(), HeaderDecoder()
    for block in blocks:
        try:
            expected = [tuple(pair) for pair in library.decode(block, raw=True)]
        except hpack.HPACKError:
            with pytest.raises(HpackError):
                decoder.decode(block)
            return
        assert read(decoder, block) == expected
