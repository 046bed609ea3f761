"""Connections whose other end has vanished without a word: its host lost power, or a firewall has forgotten the connection.

The kernel finds them: it probes a connection on which nothing moves, and gives one up on which nothing is acknowledged. A peer that
acknowledges but does not read is slow and not gone, so TCP_USER_TIMEOUT, which makes no difference between the two, is not used.
"""

from __future__ import annotations

import socket
import sys
from typing import Final, Protocol

BACKEND: Final = (10, 5, 3)
"""Seconds without traffic before the first probe, seconds between probes, and how many stay unanswered: a backend is gone after 25 s."""
CLIENT: Final = (60, 15, 4)
"""Two minutes for clients: a mobile one may be out of reach for a while."""
_RETRANSMISSION: Final = 2_000
"""The longest wait between two retransmissions in milliseconds: with the usual 15 of them data is given up after 27 s, not 15 minutes."""
_TCP_RTO_MAX_MS: Final = 44
"""Linux 6.15; Python has no name for it yet."""


class Socket(Protocol):
    """A socket, or what a transport of uvloop has in its place."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def notice_vanished_backend(connection: Socket) -> None:
    """Ends the connection when its backend has been out of reach for 25 to 30 s, idle or inside an exchange (there from Linux 6.15 on)."""
    _probe(connection, *BACKEND)
    if sys.platform == "linux":
        try:
            connection.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, _RETRANSMISSION)
        except (OSError, ValueError):
            pass  # an older kernel: what is under way ends with the rule's timeouts


def notice_vanished_clients(listening: Socket) -> None:
    """For all connections that this socket will accept, which inherit it: tunnels have no timeout that would end them otherwise."""
    _probe(listening, *CLIENT)


def _probe(connection: Socket, idle: int, interval: int, most: int) -> None:
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform != "darwin":
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, most)
    except (OSError, ValueError):
        pass  # no TCP socket, or one that has been closed meanwhile
