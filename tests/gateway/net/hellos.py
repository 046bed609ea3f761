"""ClientHellos: real ones, captured from TLS libraries, and ones written field by field."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Iterable, Sequence


def captured(server_name: str | None, alpn: Sequence[str] = (), *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first flight of Python's ssl module, as it goes on the wire."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack("!HH", kind, len(body)) + body


def server_name(*names: tuple[int, bytes]) -> bytes:
    """A server_name extension of (type, name) entries."""
    entries = b"".join(bytes([kind]) + struct.pack("!H", len(name)) + name for kind, name in names)
    return extension(0, struct.pack("!H", len(entries)) + entries)


def protocols(*names: bytes) -> bytes:
    """An application_layer_protocol_negotiation extension."""
    entries = b"".join(bytes([len(name)]) + name for name in names)
    return extension(16, struct.pack("!H", len(entries)) + entries)


def versions(*numbers: int) -> bytes:
    """A supported_versions extension."""
    return extension(43, bytes([2 * len(numbers)]) + b"".join(struct.pack("!H", number) for number in numbers))


def message(
    extensions: bytes | None = b"", *, session: bytes = b"", suites: bytes = b"\x13\x01", compressions: bytes = b"\0", trailing: bytes = b""
) -> bytes:
    """A ClientHello handshake message; `extensions` None leaves their block out."""
    body = b"\x03\x03" + bytes(32) + bytes([len(session)]) + session
    body += struct.pack("!H", len(suites)) + suites + bytes([len(compressions)]) + compressions
    if extensions is not None:
        body += struct.pack("!H", len(extensions)) + extensions
    body += trailing
    return b"\x01" + len(body).to_bytes(3, "big") + body


def records(handshake: bytes, sizes: Iterable[int] = ()) -> bytes:
    """The message in records of the given sizes, the rest in one more."""
    wire = b""
    for size in sizes:
        fragment, handshake = handshake[:size], handshake[size:]
        if fragment:
            wire += b"\x16\x03\x01" + struct.pack("!H", len(fragment)) + fragment
    if handshake:
        wire += b"\x16\x03\x01" + struct.pack("!H", len(handshake)) + handshake
    return wire
