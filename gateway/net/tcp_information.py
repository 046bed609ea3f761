"""What Linux tells of a connection (TCP_INFO): what its peer has acknowledged, and whether it is closed already."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Final

_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_ACKNOWLEDGED: Final = slice(120, 128)
"""tcpi_bytes_acked in Linux's struct tcp_info, since 4.1."""
_CLOSED: Final = b"\x07"
"""TCP_CLOSE, the first byte of it."""


def acknowledged(transport: asyncio.Transport, sent: int) -> int:
    """A number that grows as the peer takes what was sent, `sent` bytes so far; while nothing more is sent, where the system does not
    tell."""
    found = _information(transport, _ACKNOWLEDGED.stop)[_ACKNOWLEDGED]
    if len(found) == _ACKNOWLEDGED.stop - _ACKNOWLEDGED.start:
        return int.from_bytes(found, sys.byteorder)
    return sent - transport.get_write_buffer_size()


def is_closed(transport: asyncio.Transport) -> bool:
    """Whether the peer has reset a connection that is not read, which nobody would notice."""
    return _information(transport, 1) == _CLOSED


def _information(transport: asyncio.Transport, size: int) -> bytes:
    """So many bytes of struct tcp_info; b'' where there is none."""
    connection = transport.get_extra_info("socket")
    if _TCP_INFO is None or connection is None:
        return b""
    try:
        information: bytes = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, size)
    except OSError:
        return b""  # it has ended by itself, or is no TCP
    return information
