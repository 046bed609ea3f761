"""Reading a ClientHello out of peeked bytes."""

from __future__ import annotations

import ssl
import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.client_hello import (
    LONGEST_CLIENT_HELLO,
    LONGEST_PEEK,
    MOST_RECORDS,
    ClientHello,
    NotTls,
    least_length,
    read_client_hello,
)
from tests.gateway.net.hellos import captured, extension, message, protocols, records, server_name, versions

REAL = captured("app.example.com", ["h2", "http/1.1"])


def refusal(data: bytes) -> str:
    with pytest.raises(NotTls) as refused:
        read_client_hello(data)
    return refused.value.reason


def test_a_real_hello_gives_its_server_name_and_protocols() -> None:
    """RFC 6066 3, RFC 7301 3.1: as Python's TLS library sends them."""
    assert read_client_hello(REAL) == ClientHello(b"app.example.com", (b"h2", b"http/1.1"))


def test_a_real_hello_of_tls_1_2_is_read_as_well() -> None:
    """RFC 5246 7.4.1.2."""
    assert read_client_hello(captured("a.test", newest=ssl.TLSVersion.TLSv1_2)) == ClientHello(b"a.test", ())


def test_a_hello_without_a_server_name_has_an_empty_one() -> None:
    """Clients that connect by address send none."""
    assert read_client_hello(captured(None)) == ClientHello(b"", ())


def test_a_hello_without_any_extension_is_read() -> None:
    """RFC 5246 7.4.1.2: the block of extensions may be left out."""
    assert read_client_hello(records(message(None))) == ClientHello(b"", ())


def test_a_server_name_is_lower_case_and_has_no_trailing_dot() -> None:
    """RFC 6066 3 has no trailing dot, some clients send one; RFC 9499: names are compared without case."""
    hello = read_client_hello(records(message(server_name((0, b"App.Example.COM.")))))
    assert hello == ClientHello(b"app.example.com", ())


def test_bytes_after_the_hello_do_not_matter() -> None:
    """Early data may follow in records of its own."""
    assert read_client_hello(REAL + b"\x17\x03\x03\x00\x01x") == read_client_hello(REAL)


def test_every_prefix_needs_more_and_says_how_much() -> None:
    """Byte by byte: None until the last byte, and the wanted length is never beyond what is to come."""
    for length in range(len(REAL)):
        assert read_client_hello(REAL[:length]) is None
        assert length < least_length(REAL[:length]) <= len(REAL)


@given(st.lists(st.integers(1, 120), max_size=MOST_RECORDS - 1), st.data())
def test_the_cut_into_records_makes_no_difference(sizes: list[int], data: st.DataObject) -> None:
    """RFC 8446 5.1: a handshake message may be split over records at any byte."""
    wire = records(REAL[5:], sizes)
    assert read_client_hello(wire) == read_client_hello(REAL)
    length = data.draw(st.integers(0, len(wire) - 1))
    assert read_client_hello(wire[:length]) is None
    assert length < least_length(wire[:length]) <= len(wire)


def test_a_hello_of_16_kib_is_read_and_a_longer_one_refused() -> None:
    """The limit that the listener promises."""
    fixed = len(message(extension(21, b"")))
    longest = message(extension(21, bytes(LONGEST_CLIENT_HELLO - fixed)))
    assert len(longest) == LONGEST_CLIENT_HELLO
    wire = records(longest, [200] * (MOST_RECORDS - 1))
    assert read_client_hello(wire) == ClientHello(b"", ())
    assert len(wire) == LONGEST_PEEK
    too_long = message(extension(21, bytes(LONGEST_CLIENT_HELLO - fixed + 1)))
    assert "16385 bytes, more than 16384" in refusal(records(too_long, [300]))


def test_more_records_than_64_are_refused() -> None:
    """Each record costs another look at all that came."""
    assert "more than 64 records" in refusal(records(REAL[5:], [1] * MOST_RECORDS))


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n", "record of type 71", id="http"),
        pytest.param(b"G", "record of type 71", id="first byte of http"),
        pytest.param(b"\x80\x2e\x01\x03\x01", "record of type 128", id="SSL 2"),
        pytest.param(b"\x15\x03\x01\x00\x02\x01\x00", "record of type 21", id="alert"),
        pytest.param(b"\x16\x02", "protocol version 2.x", id="version"),
        pytest.param(b"\x16\x03\x01\x00\x00", "record of 0 bytes", id="empty record"),
        pytest.param(b"\x16\x03\x01\x40\x01", "record of 16385 bytes", id="record too long"),
        pytest.param(b"\x16\x03\x01\x00\x05\x02", "message type 2", id="ServerHello"),
        pytest.param(records(REAL[5:] + b"\x01\0\0\0"), "followed by another", id="two messages"),
        pytest.param(records(message(trailing=b"x")), "longer than what it says", id="trailing bytes"),
        pytest.param(records(message(None, session=bytes(33))), "session id of 33", id="session id"),
        pytest.param(records(message(suites=b"")), "cipher suites of 0", id="no suites"),
        pytest.param(records(message(suites=b"\x13\x01\x13")), "cipher suites of 3", id="half a suite"),
        pytest.param(records(message(compressions=b"")), "no compression method", id="no compression"),
        pytest.param(records(message(None, trailing=b"\x00\x09\x00")), "ends too early", id="extensions cut"),
        pytest.param(records(message(b"\x00\x00\x00\x05x")), "ends too early", id="extension longer than its block"),
        pytest.param(records(b"\x01\x00\x00\x03\x03\x03\x00"), "ends too early", id="hello of three bytes"),
        pytest.param(records(message(server_name((0, b"a"), (0, b"b")))), "not a single host name", id="two names"),
        pytest.param(records(message(server_name((1, b"a")))), "not a single host name", id="other type of name"),
        pytest.param(records(message(server_name((0, b"")))), "not a host name", id="empty name"),
        pytest.param(records(message(server_name((0, b"a\0b")))), "not a host name", id="NUL in name"),
        pytest.param(records(message(server_name((0, b".")))), "not a host name", id="name of the root"),
        pytest.param(records(message(server_name((0, b"a..test")))), "not a host name", id="empty label"),
        pytest.param(records(message(server_name((0, b"a.test..")))), "not a host name", id="two trailing dots"),
        pytest.param(records(message(server_name((0, b"\xc3\xa4.test")))), "not a host name", id="name not ASCII"),
        pytest.param(records(message(server_name((0, b"a" * 256)))), "not a host name", id="name of 256 bytes"),
        pytest.param(records(message(server_name((0, b"a")) + server_name((0, b"b")))), "extension 0 appears twice", id="twice"),
        pytest.param(records(message(extension(0, b"\x00\x04\x00\x00\x05a"))), "ends too early", id="name longer than its list"),
        pytest.param(records(message(extension(0, b"\x00\x04\x00\x00\x01a!"))), "longer than what", id="bytes after the list"),
        pytest.param(records(message(extension(0, b""))), "ends too early", id="server_name of the server's kind"),
        pytest.param(records(message(protocols())), "is empty", id="no protocols"),
        pytest.param(records(message(protocols(b"h2", b""))), "empty protocol", id="empty protocol"),
        pytest.param(records(message(versions())), "supported_versions of 0", id="no versions"),
        pytest.param(records(message(extension(43, b"\x03\x03\x04\x03"))), "supported_versions of 3", id="half a version"),
    ],
)
def test_what_is_no_client_hello_is_refused_with_a_reason(wire: bytes, reason: str) -> None:
    """RFC 8446 4.1.2, 4.2, 5.1; RFC 6066 3; RFC 7301 3.1: lengths must add up and names be names."""
    assert reason in refusal(wire)


@pytest.mark.parametrize(
    ("session", "extensions", "resumes"),
    [
        pytest.param(b"", b"", False, id="TLS 1.2 without a session"),
        pytest.param(bytes(32), b"", True, id="TLS 1.2 with a session"),
        pytest.param(bytes(32), versions(0x0303), True, id="TLS 1.2 named as newest"),
        pytest.param(bytes(32), versions(0x0304, 0x0303), False, id="TLS 1.3 in compatibility mode"),
        pytest.param(bytes(32), versions(0x0A0A, 0x0303, 0x0304), False, id="TLS 1.3 among others"),
    ],
)
def test_only_a_client_without_tls_1_3_resumes_by_session_id(session: bytes, extensions: bytes, resumes: bool) -> None:
    """RFC 8446 4.1.2: clients of TLS 1.3 send a session id that means nothing."""
    hello = read_client_hello(records(message(extensions, session=session)))
    assert hello is not None
    assert hello.resumes is resumes


@given(st.binary(max_size=600))
def test_random_bytes_never_raise_anything_but_not_tls(data: bytes) -> None:
    """Whoever connects can send anything."""
    only_not_tls(data)
    only_not_tls(b"\x16\x03\x01" + data)
    only_not_tls(records(b"\x01" + len(data).to_bytes(3, "big") + data))


@given(st.lists(st.tuples(st.integers(0, len(REAL) - 1), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, len(REAL)))
def test_a_mutated_hello_never_raises_anything_but_not_tls(edits: list[tuple[int, int]], cut: int) -> None:
    """Every length in it is checked against what encloses it."""
    data = bytearray(REAL)
    for position, value in edits:
        data[position] = value
    only_not_tls(bytes(data))
    only_not_tls(bytes(data[:cut]) + bytes(data[cut + 1 :]))


NAMES = st.text(string.ascii_letters + string.digits + "-._*", min_size=1, max_size=200)


@given(
    NAMES.filter(lambda name: all(name.removesuffix(".").split("."))),
    st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5),
    st.permutations([0, 1, 2]),
)
def test_what_was_written_is_read_back(name: str, alpn: list[bytes], order: list[int]) -> None:
    """Names and protocols come out as they went in, whatever the order of the extensions."""
    parts = [server_name((0, name.encode())), protocols(*alpn), extension(10, b"\x00\x02\x00\x17")]
    hello = read_client_hello(records(message(b"".join(parts[place] for place in order))))
    assert hello == ClientHello(name.lower().encode().removesuffix(b"."), tuple(alpn))


def only_not_tls(data: bytes) -> None:
    with suppress(NotTls):
        hello = read_client_hello(data)
        assert hello is not None or least_length(data) > len(data)
