"""Header compression, writing: what the hpack library reads from it, what enters the table and what never does."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import hpack_encoder
from gateway.http.head import Fields, RequestHead, ResponseHead
from gateway.http.hpack import HeaderDecoder
from gateway.http.hpack_encoder import HeaderEncoder


@pytest.fixture(autouse=True)
def nothing_seen_before() -> None:
    """What was written before, in other tests too, decides what enters a table."""
    hpack_encoder._LITERALS.clear()


def response(*lines: bytes, status: int = 200, length: int | None = None) -> ResponseHead:
    head = ResponseHead(status, b"", None, length)
    head.lines = [line + b"\r\n" for line in lines]
    return head


def request(*lines: bytes, method: bytes = b"GET", path: bytes = b"/", query: bytes | None = None) -> RequestHead:
    head = RequestHead(method, path, query, b"a.example", b"a.example")
    head.lines = [line + b"\r\n" for line in lines]
    return head


def read(decoder: hpack.Decoder, block: bytes) -> Fields:
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]


def fields_of(head: RequestHead, scheme: bytes = b"http") -> Fields:
    return read(hpack.Decoder(), HeaderEncoder().request(head, scheme, b"b.example"))


# heads


def test_a_response_is_its_status_its_fields_and_its_length() -> None:
    """RFC 9113 8.3.2; names in lower case (8.2.1)."""
    block = HeaderEncoder().response(response(b"Server: x", b"X-A: 1", b"x-a: 2", length=12))
    assert read(hpack.Decoder(), block) == [
        (b":status", b"200"), (b"server", b"x"), (b"x-a", b"1"), (b"x-a", b"2"), (b"content-length", b"12"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "length", "written"),
    [(200, 0, b"0"), (200, None, None), (204, 0, None), (204, 5, None), (304, 5, b"5"), (404, 7, b"7"), (299, 1, b"1")],
)
def test_the_length_is_written_where_the_status_allows_it(status: int, length: int | None, written: bytes | None) -> None:
    """RFC 9110 8.6."""
    found = dict(read(hpack.Decoder(), HeaderEncoder().response(response(status=status, length=length))))
    assert (found[b":status"], found.get(b"content-length")) == (b"%d" % status, written)


def test_edited_fields_are_what_counts() -> None:
    """Filters give names and values, in any case."""
    head = response(b"Server: x")
    head.fields = [(b"X-New", b"1"), (b"x-empty", b"")]
    assert read(hpack.Decoder(), HeaderEncoder().response(head)) == [(b":status", b"200"), (b"x-new", b"1"), (b"x-empty", b"")]


def test_an_interim_response_and_trailers_are_blocks_of_their_own() -> None:
    """RFC 9113 8.1."""
    encoder, decoder = HeaderEncoder(), hpack.Decoder()
    assert read(decoder, encoder.interim(response(b"Link: </a>", status=103))) == [(b":status", b"103"), (b"link", b"</a>")]
    assert read(decoder, encoder.trailers([(b"Grpc-Status", b"0")])) == [(b"grpc-status", b"0")]


def test_a_request_has_its_pseudo_header_fields_first() -> None:
    """RFC 9113 8.3.1; what the proxy adds follows what the client sent."""
    head = request(b"Accept: */*", path=b"/a", query=b"b")
    head.forwarded = b"x-forwarded-for: 1.2.3.4\r\nx-request-id: 5\r\n"
    head.trailers = True
    assert fields_of(head, b"https") == [
        (b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"b.example"), (b":path", b"/a?b"), (b"accept", b"*/*"),
        (b"x-forwarded-for", b"1.2.3.4"), (b"x-request-id", b"5"), (b"te", b"trailers"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "length", "written"),
    [(b"GET", 0, None), (b"GET", 5, b"5"), (b"POST", 0, b"0"), (b"POST", None, None), (b"PATCH", 10**17, b"%d" % 10**17)],
)
def test_the_length_of_a_request_is_written_where_it_says_something(method: bytes, length: int | None, written: bytes | None) -> None:
    """RFC 9110 8.6."""
    head = request(method=method)
    head.length = length
    assert dict(fields_of(head)).get(b"content-length") == written


def test_a_websocket_handshake_becomes_extended_connect() -> None:
    """RFC 8441 4 and 5: no key, no length, and the version stays."""
    head = request(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13", path=b"/chat")
    head.upgrade = b"websocket"
    assert fields_of(head) == [
        (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":authority", b"b.example"), (b":path", b"/chat"),
        (b"sec-websocket-version", b"13"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", b"Connection keep-alive Proxy-Connection Transfer-Encoding upgrade".split())
def test_connection_specific_fields_do_not_go_out(name: bytes) -> None:
    """RFC 9113 8.2.2: whoever put them into a head, a local reply for instance."""
    assert read(hpack.Decoder(), HeaderEncoder().response(response(name + b": x", b"A: b"))) == [(b":status", b"200"), (b"a", b"b")]


def test_white_space_around_a_value_does_not_go_out() -> None:
    """RFC 9113 8.2.1: it would be malformed; a filter's value may have it. The table counts what was written."""
    encoder, decoder = HeaderEncoder(), HeaderDecoder()
    head = response(b"a:  b ", b"c: d")
    for _ in range(4):
        entries = decoder.decode(encoder.response(head))
        assert entries is not None
        assert [entry[1:3] for entry in entries[1:]] == [(b"a", b"b"), (b"c", b"d")]
    assert encoder._size == decoder._size == 2 * 34


# the table


def test_only_what_was_seen_before_enters_the_table() -> None:
    """The first time a literal, then a literal that is indexed, then one byte."""
    encoder = HeaderEncoder()
    sizes = [len(encoder.response(response(b"Server: something"))) for _ in range(4)]
    assert sizes == [13, 12, 2, 2]  # index 54 takes two bytes of a literal that is not indexed
    assert len(HeaderEncoder().response(response(b"Server: something"))) == 12


@pytest.mark.parametrize("name", b"set-cookie Set-Cookie cookie authorization Authorization proxy-authorization".split())
def test_secrets_are_never_indexed_and_not_remembered(name: bytes) -> None:
    """RFC 7541 7.1.3."""
    encoder, decoder = HeaderEncoder(), hpack.Decoder()
    for _ in range(3):
        [_, field] = decoder.decode(encoder.response(response(name + b": secret")), raw=True)
        assert isinstance(field, hpack.NeverIndexedHeaderTuple)
    assert not hpack_encoder._LITERALS
    assert not encoder._numbers


def test_what_its_sender_never_indexes_is_never_indexed_here() -> None:
    """RFC 7541 6.2.3, even where somebody else let the equal line into the table; the same field without the mark is indexed."""
    [plain] = HeaderDecoder().decode(b"\x00\x05x-key\x06secret") or ()
    [marked] = HeaderDecoder().decode(b"\x10\x05x-key\x06secret") or ()
    assert plain == marked
    encoder, decoder = HeaderEncoder(), hpack.Decoder()
    for written, never in ((plain, False), (plain, False), (plain, False), (marked, True), (plain, False)):
        head = request()
        head.lines = [written[3]]
        *_, field = decoder.decode(encoder.request(head, b"http", b"a"), raw=True)
        assert tuple(field) == (b"x-key", b"secret")
        assert isinstance(field, hpack.NeverIndexedHeaderTuple) is never
    assert b"".join([marked[3]]) == b"x-key: secret\r\n"


@pytest.mark.parametrize(
    "line", [b'ETag: "1"', b"Last-Modified: today", b"X-Request-Id: 1", b"Location: /", b"Accept-Encoding: gzip, deflate"]
)
def test_what_differs_each_time_or_needs_no_table_stays_out_of_it(line: bytes) -> None:
    """It would only drive out what repeats."""
    encoder = HeaderEncoder()
    assert len({encoder.response(response(line)) for _ in range(4)}) == 1
    assert not encoder._numbers


def test_what_is_remembered_is_bounded() -> None:
    """Lines come from backends and clients."""
    encoder = HeaderEncoder()
    for number in range(hpack_encoder._MOST_LITERALS + 10):
        encoder.response(response(b"x-%d: y" % number))
    assert len(hpack_encoder._LITERALS) == 10
    encoder.response(response(b"x: " + b"y" * 300))
    assert len(hpack_encoder._LITERALS) == 10


def test_a_larger_limit_of_the_peer_changes_nothing() -> None:
    """4096 bytes are enough, and no update is due (RFC 7541 4.2)."""
    encoder = HeaderEncoder()
    before = encoder.response(response())
    encoder.table_limit(65536)
    assert encoder.response(response()) == before == b"\x88"


@pytest.mark.parametrize(
    ("limits", "updates"),
    [
        ((0,), b"\x20"),
        ((100,), b"\x3f\x45"),
        ((100, 50), b"\x3f\x13"),
        ((50, 100), b"\x3f\x13\x3f\x45"),
        ((0, 4096), b"\x20\x3f\xe1\x1f"),
        ((0, 65536), b"\x20\x3f\xe1\x1f"),
        ((4096,), b""),
    ],
)
def test_the_next_block_begins_with_the_smallest_and_the_last_size(limits: tuple[int, ...], updates: bytes) -> None:
    """RFC 7541 4.2."""
    encoder = HeaderEncoder()
    for limit in limits:
        encoder.table_limit(limit)
    assert encoder.response(response()) == updates + b"\x88"
    assert encoder.response(response()) == b"\x88"


# second opinion

LINES = st.sampled_from(
    [
        b"%b: %b" % (name, value)
        for name in b"A b x-LONG server Set-Cookie etag grpc-status".split()
        for value in (b"", b"1", b"2", b"v" * 180)
    ]
) | st.integers(0, 60).map(lambda number: b"x-number: %d" % number)


@given(
    heads=st.lists(
        st.tuples(st.lists(LINES, max_size=12), st.sampled_from((200, 204, 304, 404, 418)), st.none() | st.integers(0, 300)), max_size=12
    ),
    limits=st.dictionaries(st.integers(0, 11), st.lists(st.integers(0, 5000), min_size=1, max_size=3)),
)
def test_the_library_reads_what_is_written_on_a_whole_connection(
    heads: list[tuple[list[bytes], int, int | None]], limits: dict[int, list[int]]
) -> None:
    """With changes of the table's size and evictions; our own decoder reads the same, and all three tables have the same size."""
    encoder, library, decoder = HeaderEncoder(), hpack.Decoder(), HeaderDecoder()
    for place, (lines, status, length) in enumerate(heads):
        for limit in limits.get(place, ()):
            encoder.table_limit(limit)
            library.max_allowed_table_size = min(limit, 4096)
        block = encoder.response(response(*lines, status=status, length=length))
        expected = [(b":status", b"%d" % status)]
        expected += [(name.lower(), value.lstrip()) for name, _, value in [line.partition(b":") for line in lines]]
        if length is not None and status != 204:
            expected.append((b"content-length", b"%d" % length))
        assert read(library, block) == expected
        entries = decoder.decode(block)
        assert entries is not None
        assert [entry[1:3] for entry in entries] == expected
        assert encoder._size == decoder._size == library.header_table._current_size
