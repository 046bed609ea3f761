"""PROXY headers, byte by byte: what is one, who its client is, and what is refused (haproxy.org, doc/proxy-protocol.txt)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.proxy_protocol import LONGEST, SIGNATURE, Ends, Header, MalformedHeader, begins, crc32c, read_header, write_header

FOUR = bytes.fromhex("c0a80001 c0a8000b dc04 01bb")
SIX = bytes(15) + b"\x01" + bytes(15) + b"\x02" + bytes.fromhex("dc04 01bb")


def binary(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + bytes((command, family)) + (len(body) if length is None else length).to_bytes(2, "big") + body


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def with_checksum(header: bytes) -> bytes:
    """Version 2 with a right CRC-32c behind it."""
    length = int.from_bytes(header[14:16], "big") + 7
    grown = header[:14] + length.to_bytes(2, "big") + header[16:] + tlv(3, bytes(4))
    return grown[:-4] + crc32c(grown).to_bytes(4, "big")


ENDS = Ends(b"192.168.0.1", 56324, b"192.168.0.11", 443)
GOOD = [
    (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", ENDS),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", Ends(b"255.255.255.255", 65535, b"255.255.255.255", 0)),
    (b"PROXY TCP6 2001:DB8::1 ::1 1 2\r\n", Ends(b"2001:db8::1", 1, b"::1", 2)),
    (b"PROXY TCP6 ::ffff:1.2.3.4 ::ffff:5.6.7.8 1 2\r\n", Ends(b"1.2.3.4", 1, b"5.6.7.8", 2)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (binary(0x21, 0x11, FOUR), ENDS),
    (binary(0x21, 0x21, SIX), Ends(b"::1", 56324, b"::2", 443)),
    (binary(0x21, 0x11, FOUR + tlv(1, b"h2") + tlv(4, bytes(90)) + tlv(0xE0, b"")), ENDS),
    (with_checksum(binary(0x21, 0x11, FOUR + tlv(2, b"a.test"))), ENDS),
    (binary(0x20, 0x00, b""), None),
    (binary(0x20, 0x11, FOUR + tlv(4, b"x")), None),
    (binary(0x21, 0x00, b"whatever"), None),
    (binary(0x21, 0x31, bytes(216)), None),
]


@pytest.mark.parametrize(("header", "ends"), GOOD)
def test_a_header_is_read_whole_and_byte_by_byte_with_whatever_behind_it(header: bytes, ends: Ends | None) -> None:
    """2.1, 2.2: exactly its bytes are taken; LOCAL, UNKNOWN, UNSPEC and Unix sockets name no client; TLVs are skipped."""
    for more in (b"", b"GET / HTTP/1.1\r\n", SIGNATURE, b"PROXY "):
        assert read_header(header + more) == Header(len(header), ends)
    for end in range(len(header)):
        assert read_header(header[:end]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP6 ::1%eth0 ::2 1 2\r\n",
        b"PROXY TCP5 ::1 ::2 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + b" " * 80,
        b"PROXY UNKNOWN " + b"x" * 107,
        binary(0x11, 0x11, FOUR),
        binary(0x22, 0x11, FOUR),
        binary(0x21, 0x12, FOUR),
        binary(0x21, 0x13, FOUR),
        binary(0x21, 0x11, FOUR[:-1]),
        binary(0x21, 0x21, FOUR),
        binary(0x21, 0x11, FOUR + b"\x04"),
        binary(0x21, 0x11, FOUR + b"\x04\x00\x02x"),
        binary(0x21, 0x11, FOUR + tlv(3, bytes(4))),
        binary(0x21, 0x11, FOUR + tlv(3, bytes(3))),
        with_checksum(binary(0x21, 0x11, FOUR))[:-1] + b"\x00",
        binary(0x21, 0x11, b"", LONGEST - 15),
        binary(0x20, 0x00, b"", 0xFFFF),
    ],
)
def test_what_is_not_exactly_a_header_is_refused(data: bytes) -> None:
    """2: "The receiver MUST NOT try to guess"; also when the fault is at its end."""
    with pytest.raises(MalformedHeader):
        read_header(data)


def test_the_checksum_is_that_of_the_rfc() -> None:
    """RFC 3720 B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@given(
    st.binary(max_size=300),
    st.sampled_from((b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11", SIGNATURE + b"\x21\x11\x00")),
)
def test_any_bytes_are_a_header_or_refused_or_too_few(data: bytes, beginning: bytes) -> None:
    """Nothing else is ever raised, and whether they begin like one does not change with more bytes."""
    whole = beginning + data
    try:
        header = read_header(whole)
    except MalformedHeader:
        return
    if header is None:
        assert len(whole) < LONGEST
        return
    assert begins(whole)
    assert 0 < header.length <= len(whole)
    assert read_header(whole[: header.length]) == header


addresses = st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address))
ports = st.integers(0, 65_535)


@given(st.sampled_from(("v1", "v2")), addresses, addresses, ports, ports)
def test_what_is_written_is_read_again(
    version: str, one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address, port: int, number: int
) -> None:
    """Also when one end is IPv4 and the other IPv6, which one header cannot say in their own forms."""
    ends = Ends(str(one).encode(), port, str(other).encode(), number)
    header = write_header(version, ends)
    read = read_header(header)
    assert read is not None
    assert read.length == len(header)
    assert read.ends is not None
    assert (read.ends.port, read.ends.destination_port) == (port, number)
    for text, wanted in ((read.ends.address, one), (read.ends.destination, other)):
        mapped = wanted.ipv4_mapped if isinstance(wanted, IPv6Address) else None
        assert ip_address(text.decode()) == (mapped or wanted)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_connection_of_our_own_names_nobody(version: str) -> None:
    """2.1 UNKNOWN, 2.2 LOCAL: a health check."""
    header = write_header(version, None)
    assert read_header(header) == Header(len(header), None)
