"""The peek at a ClientHello: NotTls or what it says, in any pieces; OpenSSL, which reads the same bytes later, sees no other name."""

from __future__ import annotations

import ssl
from typing import Final

from gateway.net.client_hello import LONGEST_PEEK, ClientHello, NotTls, least_length, read_client_hello

_SEEN: Final[list[str | None]] = []


def _take_name(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int:
    _SEEN.append(name)
    return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


def _server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = _take_name
    return context


_SERVER: Final = _server()


def run(data: bytes) -> None:
    """`data` is what a client sends first."""
    whole = peek(data)
    for length in {0, 1, 5, 6, len(data) // 2, len(data) - 1} & set(range(len(data))):
        before = peek(data[:length])
        assert before is None or before == whole, f"{length} bytes say {before}, all of them {whole}"
    if isinstance(whole, ClientHello):
        check(whole)
        seen = name_for_openssl(data)
        assert seen is None or seen == whole.server_name, f"OpenSSL reads {seen!r}, we {whole.server_name!r}"


def peek(data: bytes) -> ClientHello | str | None:
    """What it says; a refusal as text; None where more is needed, and then there is a length that is worth waiting for."""
    try:
        hello = read_client_hello(data)
        if hello is None:
            assert len(data) < least_length(data) <= LONGEST_PEEK
        return hello
    except NotTls as refused:
        assert refused.reason
        return "refused"


def check(hello: ClientHello) -> None:
    name = hello.server_name
    assert name == name.lower()
    assert not name or all(name.split(b"."))
    assert len(name) <= 255
    assert all(0x21 <= byte <= 0x7E for byte in name)
    assert all(hello.alpn)


def name_for_openssl(data: bytes) -> bytes | None:
    """The server name that OpenSSL finds, as we write names; None where it gives up before it looks."""
    incoming = ssl.MemoryBIO()
    incoming.write(data)
    _SEEN.clear()
    try:
        _SERVER.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    except (ssl.SSLError, UnicodeDecodeError):
        pass
    if not _SEEN:
        return None
    return (_SEEN[0] or "").lower().encode("latin-1").removesuffix(b".")
