"""The PROXY protocol, versions 1 and 2: a header before everything else on a connection, in which a load balancer says who its client is.

Source: haproxy.org, doc/proxy-protocol.txt (2020/03/05). Bytes in, values out. What is not exactly as written there is refused: whoever
reads it differently would take somebody else for the client.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

LONGEST: Final = 4_096
"""Bytes of a header of version 2, its TLVs included; the longest of version 1 has 107."""
SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""Of version 2; no request and no ClientHello begins so."""

_LONGEST_V1: Final = 107
_WORD: Final = b"PROXY "
_LINE: Final = re.compile(rb"PROXY (TCP4|TCP6) ([0-9a-fA-F.:]{2,45}) ([0-9a-fA-F.:]{2,45}) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n").fullmatch
_LOCAL, _PROXY = 0x20, 0x21
"""Version and command."""
_UNSPECIFIED, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_UNIX: Final = frozenset({0x31, 0x32})
_LENGTHS: Final = {_TCP4: 12, _TCP6: 36, 0x31: 216, 0x32: 216}
"""Bytes of the addresses, by address family and transport."""
_CRC32C: Final = 0x03


class MalformedHeader(Exception):
    """What came is no PROXY header; the text says why, in one of a few ways."""


class Ends(NamedTuple):
    """Both ends of a connection as its client sees them: its own, and the one that it has asked. Addresses are IP addresses in text."""

    address: bytes
    port: int
    destination: bytes
    destination_port: int


class Header(NamedTuple):
    """`length` bytes are the header; without `ends` it says that the connection is the load balancer's own, or nothing of its client."""

    length: int
    ends: Ends | None


def begins(data: bytes) -> bool | None:
    """Whether a connection begins with a header; None where there is not enough of it to tell."""
    for beginning in (SIGNATURE, _WORD):
        if data.startswith(beginning):
            return True
        if beginning.startswith(data):
            return None
    return False


def read_header(data: bytes) -> Header | None:
    """The header at the start of `data`, None when more bytes are needed. Raises MalformedHeader, and nothing else."""
    beginning = begins(data)
    if beginning is None:
        return None
    if not beginning:
        raise MalformedHeader("no PROXY header")
    return _read_binary(data) if data.startswith(SIGNATURE) else _read_line(data)


# version 1


def _read_line(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _LONGEST_V1)
    if end < 0:
        if len(data) >= _LONGEST_V1:
            raise MalformedHeader("PROXY line too long")
        return None
    line = data[: end + 2]
    if line == b"PROXY UNKNOWN\r\n" or line.startswith(b"PROXY UNKNOWN "):
        return Header(len(line), None)
    parts = _LINE(line)
    if parts is None:
        raise MalformedHeader("malformed PROXY line")
    family, source, destination = parts[1], _address(parts[2], parts[1]), _address(parts[3], parts[1])
    ports = int(parts[4]), int(parts[5])
    if source is None or destination is None or max(ports) > 65_535:
        raise MalformedHeader(f"PROXY line with a bad address or port of {family.decode()}")
    return Header(len(line), Ends(source, ports[0], destination, ports[1]))


def _address(text: bytes, family: bytes) -> bytes | None:
    try:
        parsed = IPv4Address(text.decode("ascii")) if family == b"TCP4" else IPv6Address(text.decode("ascii"))
    except AddressValueError:
        return None
    return _shown(parsed)


def _shown(address: IPv4Address | IPv6Address) -> bytes:
    """An IPv4 address in its own form, however it came."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address).encode("ascii")


# version 2


def _read_binary(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    command, family, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise MalformedHeader("PROXY header of another version or command")
    if 16 + length > LONGEST:
        raise MalformedHeader("PROXY header too long")
    if len(data) < 16 + length:
        return None
    header = data[: 16 + length]
    if command == _LOCAL:
        return Header(len(header), None)
    if family == _UNSPECIFIED:
        return Header(len(header), None)
    size = _LENGTHS.get(family)
    if size is None:
        raise MalformedHeader("PROXY header of another address family or transport")
    if length < size:
        raise MalformedHeader("PROXY header shorter than its addresses")
    _check_additions(header, 16 + size)
    return Header(len(header), None if family in _UNIX else _ends(header, family))


def _ends(header: bytes, family: int) -> Ends:
    size = 4 if family == _TCP4 else 16
    kind = IPv4Address if family == _TCP4 else IPv6Address
    source, destination = header[16 : 16 + size], header[16 + size : 16 + 2 * size]
    ports = header[16 + 2 * size : 20 + 2 * size]
    return Ends(_shown(kind(source)), int.from_bytes(ports[:2], "big"), _shown(kind(destination)), int.from_bytes(ports[2:], "big"))


def _check_additions(header: bytes, position: int) -> None:
    """The TLVs behind the addresses: they must fill the header; the checksum is verified where there is one, the others are skipped."""
    while position < len(header):
        end = position + 3 + int.from_bytes(header[position + 1 : position + 3], "big")
        if position + 3 > len(header) or end > len(header):
            raise MalformedHeader("PROXY header with a TLV that does not fit")
        if header[position] == _CRC32C:
            sent = header[position + 3 : end]
            if len(sent) != 4 or crc32c(header[: position + 3] + bytes(4) + header[end:]) != int.from_bytes(sent, "big"):
                raise MalformedHeader("PROXY header whose checksum does not match")
        position = end


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(map(_entry, range(256)))


def crc32c(data: bytes) -> int:
    """RFC 3309, with the polynomial of Castagnoli."""
    value, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


# writing


def write_header(version: str, ends: Ends | None) -> bytes:
    """Of version "v1" or "v2"; without ends for a connection of our own, such as a health check."""
    if ends is None:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else SIGNATURE + bytes((_LOCAL, _UNSPECIFIED, 0, 0))
    four = b":" not in ends.address and b":" not in ends.destination
    if version == "v1":
        source, destination = (ends.address, ends.destination) if four else map(_six, (ends.address, ends.destination))
        return b"PROXY %b %b %b %d %d\r\n" % (b"TCP4" if four else b"TCP6", source, destination, ends.port, ends.destination_port)
    addresses = (ends.address, ends.destination) if four else tuple(map(_six, (ends.address, ends.destination)))
    packed = b"".join([(IPv4Address if four else IPv6Address)(address.decode("ascii")).packed for address in addresses])
    body = packed + ends.port.to_bytes(2, "big") + ends.destination_port.to_bytes(2, "big")
    return SIGNATURE + bytes((_PROXY, _TCP4 if four else _TCP6)) + len(body).to_bytes(2, "big") + body


def _six(address: bytes) -> bytes:
    """In one header both addresses are of one family."""
    return address if b":" in address else b"::ffff:" + address
