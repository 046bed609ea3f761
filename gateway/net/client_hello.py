"""Reads a TLS ClientHello from bytes that were peeked, not taken: the listener is chosen before the handshake begins.

Understands as much of RFC 8446 4.1.2 (and 5246 7.4.1.2) as the choice needs: server name, protocols, and whether a
session of TLS 1.2 is offered. Every length is checked against what encloses it; what does not add up is refused, since
the TLS library behind would read it differently or not at all.
"""

from __future__ import annotations

from typing import NamedTuple

LONGEST_CLIENT_HELLO = 16_384
"""Bytes of the handshake message, its header of 4 included."""
MOST_RECORDS = 64
"""Records a ClientHello may be cut into; clients use one or two, and each more costs us another look."""
LONGEST_PEEK = LONGEST_CLIENT_HELLO + 5 * MOST_RECORDS
"""More bytes than this are never needed to read a ClientHello or to refuse it."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME, _APPLICATION_PROTOCOLS, _SUPPORTED_VERSIONS = 0, 16, 43
_TLS_1_3 = b"\x03\x04"


class NotTls(Exception):
    """What came is no ClientHello, or one that may not be served; `reason` says why, for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ClientHello(NamedTuple):
    server_name: bytes
    """Lower case, without a trailing dot; b'' when the client sent none."""
    alpn: tuple[bytes, ...]
    """Protocols in the client's order (RFC 7301); () when it sent none."""
    resumes: bool = False
    """Whether the session of an earlier TLS 1.2 connection is offered by its id (RFC 5246 7.3); never by a client of TLS 1.3."""


def read_client_hello(data: bytes) -> ClientHello | None:
    """The ClientHello at the start of `data`, or None when more bytes are needed. Raises NotTls, and nothing else."""
    message, _ = _assemble(data)
    return None if message is None else _parse(_Reader(message, "ClientHello"))


def least_length(data: bytes) -> int:
    """How many bytes there must be, from the start, before it is worth to call `read_client_hello` again, which said None of `data`.

    A socket's SO_RCVLOWAT set to this wakes once a record and not once a byte. Raises NotTls where that would.
    """
    return _assemble(data)[1]


def _assemble(data: bytes) -> tuple[bytes | None, int]:
    """The handshake message out of its records (RFC 8446 5.1), else None and the length at which the next step can be made."""
    parts: list[bytes] = []
    held = position = 0
    wanted = 4
    while held < wanted:
        if len(parts) == MOST_RECORDS:
            raise NotTls(f"ClientHello in more than {MOST_RECORDS} records")
        end = _record_end(data, position)
        if end is None:
            return None, position + 5
        fragment = data[position + 5 : end]
        if not parts and fragment and fragment[0] != _CLIENT_HELLO:
            raise NotTls(f"handshake begins with message type {fragment[0]}, not with a ClientHello")
        if len(data) < end:
            return None, end
        parts.append(fragment)
        held += len(fragment)
        position = end
        if wanted == 4 and held >= 4:
            wanted = _message_length(parts)
    message = b"".join(parts)
    if len(message) > wanted:
        raise NotTls("ClientHello is followed by another handshake message in its record")
    return message, position


def _message_length(parts: list[bytes]) -> int:
    wanted = 4 + int.from_bytes(b"".join(parts)[1:4], "big")
    if wanted > LONGEST_CLIENT_HELLO:
        raise NotTls(f"ClientHello of {wanted} bytes, more than {LONGEST_CLIENT_HELLO}")
    return wanted


def _record_end(data: bytes, position: int) -> int | None:
    """Where the record at `position` ends; None while its header is not whole. What is there of the header is checked."""
    header = data[position : position + 5]
    if header and header[0] != _HANDSHAKE:
        raise NotTls(f"record of type {header[0]}, not a handshake")
    if len(header) > 1 and header[1] != 3:
        raise NotTls(f"record of protocol version {header[1]}.x, not TLS")
    if len(header) < 5:
        return None
    length = int.from_bytes(header[3:5], "big")
    if not 0 < length <= 16_384:
        raise NotTls(f"handshake record of {length} bytes")
    return position + 5 + length


class _Reader:
    """Takes lengths and bytes off a buffer, and refuses to read past its end."""

    __slots__ = ("_data", "_position", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._position, self._what = data, 0, what

    def take(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._data):
            raise NotTls(f"{self._what} ends too early")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """A vector with a length of `size` bytes before it (RFC 8446 3.4)."""
        return self.take(self.number(size))

    @property
    def more(self) -> bool:
        return self._position < len(self._data)

    def end(self) -> None:
        if self.more:
            raise NotTls(f"{self._what} is longer than what it says it holds")


def _parse(reader: _Reader) -> ClientHello:
    reader.take(4 + 2 + 32)  # header, legacy_version and random
    session = reader.vector(1)
    if len(session) > 32:
        raise NotTls(f"session id of {len(session)} bytes")
    suites = reader.vector(2)
    if not suites or len(suites) % 2:
        raise NotTls(f"cipher suites of {len(suites)} bytes")
    if not reader.vector(1):
        raise NotTls("no compression method")
    extensions = _extensions(reader)
    name = _server_name(extensions.get(_SERVER_NAME))
    alpn = _application_protocols(extensions.get(_APPLICATION_PROTOCOLS))
    newest = _supports_tls_1_3(extensions.get(_SUPPORTED_VERSIONS))
    return ClientHello(name, alpn, bool(session) and not newest)


def _extensions(reader: _Reader) -> dict[int, bytes]:
    """Extensions by type; a type twice is refused (RFC 8446 4.2), or two readers could pick different ones."""
    extensions: dict[int, bytes] = {}
    if not reader.more:
        return extensions
    block = _Reader(reader.vector(2), "extensions")
    reader.end()
    while block.more:
        kind = block.number(2)
        if kind in extensions:
            raise NotTls(f"extension {kind} appears twice")
        extensions[kind] = block.vector(2)
    return extensions


def _server_name(extension: bytes | None) -> bytes:
    """RFC 6066 3: one name of type host_name, ASCII, without a trailing dot (which is dropped here, as some clients send it)."""
    if extension is None:
        return b""
    reader = _Reader(extension, "server_name")
    names = _Reader(reader.vector(2), "server_name list")
    reader.end()
    kind, name = names.number(1), names.vector(2)
    if kind != 0 or names.more:
        raise NotTls("server_name is not a single host name")
    if not 0 < len(name) <= 255 or not all(0x21 <= byte <= 0x7E for byte in name):
        raise NotTls("server_name is not a host name")
    name = name.lower().removesuffix(b".")
    if b"" in name.split(b"."):  # nor does any Host have such a name; and "." would pass for none at all
        raise NotTls("server_name is not a host name")
    return name


def _application_protocols(extension: bytes | None) -> tuple[bytes, ...]:
    """RFC 7301 3.1."""
    if extension is None:
        return ()
    reader = _Reader(extension, "application_layer_protocol_negotiation")
    names = _Reader(reader.vector(2), "protocol list")
    reader.end()
    protocols: list[bytes] = []
    while names.more:
        protocols.append(names.vector(1))
    if not all(protocols) or not protocols:
        raise NotTls("protocol list is empty or holds an empty protocol")
    return tuple(protocols)


def _supports_tls_1_3(extension: bytes | None) -> bool:
    """RFC 8446 4.2.1."""
    if extension is None:
        return False
    reader = _Reader(extension, "supported_versions")
    versions = reader.vector(1)
    reader.end()
    if not versions or len(versions) % 2:
        raise NotTls(f"supported_versions of {len(versions)} bytes")
    return _TLS_1_3 in (versions[at : at + 2] for at in range(0, len(versions), 2))
