"""The head of an HTTP/2 request: what is malformed, what is refused with which status, what passes and with which meaning."""

from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.fields import FieldLine
from gateway.http.frames import ENHANCE_YOUR_CALM, PREFACE, PROTOCOL_ERROR, SETTINGS_ACK, StreamFault, header_frames, settings_frame
from gateway.http.head import Fields, RequestHead
from gateway.http.hpack import HeaderDecoder
from gateway.http.hpack_encoder import HeaderEncoder
from gateway.http.http2_fields import field_line
from gateway.http.http2_request import read_request, read_trailers
from gateway.http.refused import Refused
from gateway.http.request import FIELD_LIMIT, TARGET_LIMIT, VALUE_LIMIT, parse_request

PSEUDO = {b":method": b"GET", b":scheme": b"http", b":path": b"/", b":authority": b"a.example"}


def fields(*ordinary: tuple[bytes, bytes], drop: bytes = b"", **pseudo: bytes) -> Fields:
    """A request for http://a.example/ with other pseudo-header fields, without one of them, and with ordinary ones."""
    named = PSEUDO | {b":" + name.encode(): value for name, value in pseudo.items()}
    return [*[pair for pair in named.items() if pair[0] != drop], *ordinary]


def read(fields: Fields, ended: bool = True) -> RequestHead:
    return read_request([field_line(*pair) for pair in fields], ended)


MALFORMED = {
    **{f"no {name.decode()}": fields(drop=name) for name in (b":method", b":scheme", b":path")},
    **{f"{name.decode()} twice": [(name, value), *fields()] for name, value in PSEUDO.items()},
    "pseudo-header field after an ordinary one": [(b":method", b"GET"), (b"a", b"b"), *fields(drop=b":method")],
    "pseudo-header field after a cookie": [(b":method", b"GET"), (b"cookie", b"b"), *fields(drop=b":method")],
    "pseudo-header field after a length": [(b":method", b"GET"), (b"content-length", b"0"), *fields(drop=b":method")],
    "unknown pseudo-header field": fields(foo=b"x"),
    ":status in a request": fields(status=b"200"),
    ":protocol without CONNECT": fields(protocol=b"websocket"),
    **{
        f"{name} {value!r}": fields(**{name: value})
        for name, values in {
            "method": (b"", b"GET / HTTP/1.1\r\nx:", b"GET ", b"G\x00T"),
            "path": (b"", b"a", b"http://a.example/", b"*", b"/a b", b"/\r\nx: y", b"/ HTTP/1.1", b"\\", b"?a"),
            "scheme": (b"", b"ftp", b"http://a/", b"HTTP", b"ht tp"),
            "authority": (b"", b"u@a.example", b"a b", b"a\r\nx: y"),
        }.items()
        for value in values
    },
    "path * with a query": fields(method=b"OPTIONS", path=b"*?a"),
    "upper case in a name": fields((b"X", b"y")),
    "space in a name": fields((b"x y", b"z")),
    "line feed in a value": fields((b"x", b"a\nb")),
    "space before a value": fields((b"x", b" a")),
    "connection": fields((b"connection", b"keep-alive")),
    "keep-alive": fields((b"keep-alive", b"5")),
    "proxy-connection": fields((b"proxy-connection", b"close")),
    "transfer-encoding (H2.TE)": fields((b"transfer-encoding", b"chunked")),
    "upgrade": fields((b"upgrade", b"h2c")),
    "te: gzip": fields((b"te", b"gzip")),
    "te: trailers and more": fields((b"te", b"trailers, gzip")),
    "te twice": fields((b"te", b"trailers"), (b"te", b"gzip")),
    "te: nothing": fields((b"te", b"")),
    "another Host": fields((b"host", b"b.example")),
    "another port in Host": fields((b"host", b"a.example:81")),
    "the port of the other scheme in Host": fields((b"host", b"a.example:443")),
    "two hosts": fields((b"host", b"a.example"), (b"host", b"a.example")),
    "length with END_STREAM (H2.CL)": fields((b"content-length", b"5")),
    **{
        f"length {value!r}": fields((b"content-length", value))
        for value in (b"", b"5, 5", b"0 0", b"0" * 19, *b"+0 -0 0x0 0_0 \xb2".split())
    },
    "two lengths": fields((b"content-length", b"0"), (b"content-length", b"1")),
    "two equal lengths": fields((b"content-length", b"0"), (b"content-length", b"0")),
    "CONNECT with a path": fields(method=b"CONNECT", drop=b":scheme"),
    "CONNECT with a scheme": fields(method=b"CONNECT", drop=b":path"),
    "CONNECT without an authority": [(b":method", b"CONNECT")],
    "extended CONNECT without a path": fields(method=b"CONNECT", protocol=b"websocket", drop=b":path"),
    "extended CONNECT without a scheme": fields(method=b"CONNECT", protocol=b"websocket", drop=b":scheme"),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_ends_its_stream(sent: Fields) -> None:
    """RFC 9113 8.1.1, 8.2, 8.2.2, 8.3, 8.3.1, 8.5, RFC 8441 4: what HTTP/1 would read otherwise never passes (catalogue 2.5)."""
    with pytest.raises(StreamFault) as fault:
        read(sent)
    assert fault.value.code == PROTOCOL_ERROR
    assert fault.value.reason


WEBSOCKET = {"method": b"CONNECT", "protocol": b"websocket"}
VERSION = (b"sec-websocket-version", b"13")
REFUSED = {
    "no authority at all": (fields(drop=b":authority"), 400),
    "empty Host": (fields((b"host", b""), drop=b":authority"), 400),
    "empty Host beside :authority": (fields((b"host", b"")), 400),
    "Host that is none": (fields((b"host", b"a,b")), 400),
    "unknown expectation": (fields((b"expect", b"200-ok")), 417),
    "101 fields": (fields(*[(b"x", b"y")] * (FIELD_LIMIT + 1)), 431),
    "101 cookie crumbs": (fields(*[(b"cookie", b"y")] * (FIELD_LIMIT + 1)), 431),
    "value of 16 KiB and one byte": (fields((b"x", b"a" * (VALUE_LIMIT + 1))), 431),
    "cookie of 16 KiB and one byte": (fields((b"cookie", b"a" * (VALUE_LIMIT + 1))), 431),
    "crumbs of 16 KiB and one byte": (fields((b"cookie", b"a" * VALUE_LIMIT), (b"cookie", b"b")), 431),
    "chain of clients of 16 KiB and one byte": (fields((b"x-forwarded-for", b"a" * (VALUE_LIMIT + 1))), 431),
    "path of 8 KiB and one byte": (fields(path=b"/" + b"a" * TARGET_LIMIT), 414),
    "extended CONNECT for something else": (fields(method=b"CONNECT", protocol=b"connect-udp"), 501),
    "WebSocket without a version": (fields(**WEBSOCKET), 426),
    "WebSocket of version 8": (fields((b"sec-websocket-version", b"8"), **WEBSOCKET), 426),
}


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_well_formed_but_not_taken_is_refused_with_its_status(sent: Fields, status: int) -> None:
    """RFC 9110 15.5, RFC 6585 5; the statuses of HTTP/1.1."""
    with pytest.raises(Refused) as refused:
        read(sent)
    assert refused.value.status == status


def test_a_head_beyond_what_the_decoder_reads_is_refused() -> None:
    """431 (RFC 6585 5)."""
    with pytest.raises(Refused) as refused:
        read_request(None, True)
    assert refused.value.status == 431


def test_a_websocket_handshake_with_a_body_is_refused() -> None:
    """As in HTTP/1.1 (catalogue 2.6)."""
    with pytest.raises(Refused) as refused:
        read(fields(VERSION, (b"content-length", b"5"), **WEBSOCKET), ended=False)
    assert refused.value.status == 400


# what passes


def test_a_head_is_the_one_that_http_1_would_give() -> None:
    """RFC 9113 8.3.1; the target and the authority as sent, for their own readers."""
    head = read(fields((b"accept", b"*/*"), (b"x", b""), path=b"/%7e/../\xff?a=b?c", authority=b"A.example:80"))
    assert (head.method, head.path, head.query, head.authority, head.version) == (
        b"GET", b"/%7e/../\xff?a=b?c", None, b"A.example:80", b"2",
    )  # fmt: skip
    assert head.lines == [b"accept: */*\r\n", b"x: \r\n"]
    assert (head.keep_alive, head.upgrade, head.expects, head.trailers, head.identity, head.forwarded_for) == (
        True, None, False, False, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "ended", "length"),
    [
        ([], True, 0),
        ([], False, None),
        ([(b"content-length", b"0")], True, 0),
        ([(b"content-length", b"0")], False, 0),
        ([(b"content-length", b"5")], False, 5),
        ([(b"content-length", b"0005")], False, 5),
    ],
)
def test_the_length_is_derived(sent: Fields, ended: bool, length: int | None) -> None:
    """RFC 9113 8.1.1; the field itself does not pass, since it is written anew."""
    head = read(fields(*sent, method=b"POST"), ended)
    assert (head.length, head.lines) == (length, [])


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"a.example", b"a.example"),
        (b"a.example", b"A.Example"),
        (b"a.example", b"a.example."),
        (b"a.example:80", b"a.example"),
        (b"a.example", b"a.example:80"),
        (b"a.example", b"a.example:"),
        (b"[::1]", b"[::1]:80"),
    ],
)
def test_a_host_that_says_the_same_passes(authority: bytes, host: bytes) -> None:
    """Values are normalised before they are compared (RFC 9113 8.3.1, RFC 3986 6.2); :authority is what counts."""
    head = read(fields((b"host", host), authority=authority))
    assert (head.authority, head.lines) == (authority, [])


def test_host_stands_in_for_authority() -> None:
    """As a converter from HTTP/1.1 leaves it (RFC 9113 8.3.1)."""
    assert read(fields((b"host", b"b.example:8080"), drop=b":authority")).authority == b"b.example:8080"


def test_options_may_ask_for_everything() -> None:
    """RFC 9113 8.3.1."""
    assert read(fields(method=b"OPTIONS", path=b"*")).path == b"*"


def test_cookie_crumbs_become_one_field() -> None:
    """RFC 9113 8.2.3."""
    assert read(fields((b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d; e=f"))).lines == [b"x: y\r\n", b"cookie: a=b; c=d; e=f\r\n"]
    assert read(fields((b"cookie", b"a=b"))).lines == [b"cookie: a=b\r\n"]


def test_what_the_proxy_must_know_stands_apart() -> None:
    """As `request` sets it: the chain of clients, identity, the expectation, trailers; hop-by-hop fields do not pass."""
    head = read(
        fields(
            (b"x-forwarded-for", b"1.1.1.1"), (b"x-real-ip", b"2.2.2.2"), (b"x-forwarded-for", b"3.3.3.3"), (b"expect", b"100-Continue"),
            (b"te", b"Trailers"), (b"trailer", b"x"), (b"proxy-authorization", b"x"), (b"x_forwarded_for", b"x"), (b"x", b"y"),
        ),
        ended=False,
    )  # fmt: skip
    assert (head.forwarded_for, head.identity) == (b"1.1.1.1, 3.3.3.3", [(b"x-real-ip", b"2.2.2.2")])
    assert (head.expects, head.trailers, head.lines) == (True, True, [b"x: y\r\n"])


def test_as_many_fields_as_the_limit_pass() -> None:
    """100, pseudo-header fields not counted (catalogue 2.2)."""
    assert len(read(fields(*[(b"x", b"y")] * FIELD_LIMIT)).lines) == FIELD_LIMIT
    assert len(read(fields(path=b"/" + b"a" * (TARGET_LIMIT - 1))).path) == TARGET_LIMIT


def test_connect_reaches_admission_which_answers_it() -> None:
    """RFC 9113 8.5."""
    head = read([(b":method", b"CONNECT"), (b":authority", b"a.example:443")], ended=False)
    assert (head.method, head.path, head.authority) == (b"CONNECT", b"a.example:443", b"a.example:443")


def test_extended_connect_becomes_a_handshake_without_a_key() -> None:
    """RFC 8441 4 and 5; a key that was sent all the same means nothing."""
    head = read(
        fields(VERSION, (b"sec-websocket-key", b"x"), (b"sec-websocket-protocol", b"chat"), path=b"/chat?a", **WEBSOCKET), ended=False
    )
    assert (head.method, head.path, head.upgrade, head.length) == (b"GET", b"/chat?a", b"websocket", 0)
    assert head.fields == [VERSION, (b"sec-websocket-protocol", b"chat")]


def test_a_websocket_handshake_comes_back_from_the_encoder() -> None:
    """What goes to an HTTP/2 backend is what came from an HTTP/2 client (RFC 8441 4)."""
    sent = fields(VERSION, **WEBSOCKET)
    block = HeaderEncoder().request(read(sent, ended=False), b"http", b"a.example")
    again = HeaderDecoder().decode(block)
    assert again is not None
    assert sorted([entry[1:3] for entry in again]) == sorted(sent)


# trailers


def test_trailers_pass_but_not_what_belongs_into_a_head() -> None:
    """RFC 9110 6.5.1, as in HTTP/1.1."""
    sent = [
        (b"grpc-status", b"0"), (b"cookie", b"a"), (b"content-length", b"5"), (b"host", b"a"), (b"authorization", b"x"), (b"te", b"gzip"),
        (b"x-forwarded-for", b"1"), (b"if-match", b"x"), (b"grpc-status", b"1"),
    ]  # fmt: skip
    assert read_trailers([field_line(*pair) for pair in sent]) == [(b"grpc-status", b"0"), (b"grpc-status", b"1")]


@pytest.mark.parametrize(
    "pair", [(b":path", b"/"), (b":status", b"200"), (b"X", b"y"), (b"x", b"a\n"), (b"connection", b"close"), (b":x", b"")]
)
def test_malformed_trailers_end_their_stream(pair: tuple[bytes, bytes]) -> None:
    """RFC 9113 8.1, 8.2."""
    with pytest.raises(StreamFault) as fault:
        read_trailers([field_line(b"a", b"b"), field_line(*pair)])
    assert fault.value.code == PROTOCOL_ERROR


@pytest.mark.parametrize("entries", [None, [field_line(b"x", b"y")] * 101, [field_line(b"x", b"y" * 1000)] * 9])
def test_trailers_beyond_the_limits_of_http_1_end_their_stream(entries: list[FieldLine] | None) -> None:
    """100 fields, 8 KiB (catalogue 2.1)."""
    with pytest.raises(StreamFault) as fault:
        read_trailers(entries)
    assert fault.value.code == ENHANCE_YOUR_CALM


# second opinion

NAMES = st.sampled_from(b":method :scheme :path :authority :protocol :x host te cookie connection content-length x X accept".split())
VALUES = st.sampled_from(
    [b"GET", b"CONNECT", b"http", b"/", b"*", b"a.example", b"trailers", b"0", b"5", b"websocket", b"", b"a b", b"x\n"]
)


def refused_by_h2(sent: Fields, ended: bool) -> bool:
    connection = H2Connection(H2Configuration(client_side=False, header_encoding=False))
    connection.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
    connection.initiate_connection()
    connection.receive_data(PREFACE + settings_frame([]) + SETTINGS_ACK)
    try:
        connection.receive_data(header_frames(1, Encoder().encode(sent), ended, 1 << 14))
    except ProtocolError:
        return True
    return False


@given(
    changed=st.dictionaries(NAMES, VALUES, max_size=2),
    more=st.lists(st.tuples(NAMES, VALUES), max_size=3),
    dropped=st.none() | NAMES,
    ended=st.booleans(),
)
def test_what_h2_refuses_is_refused(changed: dict[bytes, bytes], more: Fields, dropped: bytes | None, ended: bool) -> None:
    """Of the two of us h2 is the lenient one."""
    sent = [pair for pair in (PSEUDO | changed).items() if pair[0] != dropped] + more
    try:
        read(sent, ended)
    except (StreamFault, Refused):
        return
    assert not refused_by_h2(sent, ended)


@given(
    method=st.sampled_from((b"GET", b"POST", b"x-own")),
    path=st.text("abz019-._~%/?&=:@!$'()*+,;", max_size=20).map(lambda text: b"/" + text.encode()),
    ordinary=st.lists(
        st.tuples(st.text("xyz-", min_size=1, max_size=5).map(lambda name: b"x-" + name.encode()), st.binary(max_size=8)), max_size=6
    ),
)
def test_written_as_http_1_it_is_the_same_request(method: bytes, path: bytes, ordinary: Fields) -> None:
    """A head that passes means the same to the reader of HTTP/1.1: nothing can be smuggled by going down a version (RFC 9113 10.3)."""
    try:
        head = read(fields(*ordinary, method=method, path=path))
    except StreamFault:
        return
    data = b"%b %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (head.method, head.path, head.authority, b"".join(head.written()))
    again = parse_request(data, len(data) - 4)
    assert (again.method, again.path, again.authority, again.fields) == (head.method, head.path, head.authority, head.fields)
