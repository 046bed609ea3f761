"""What a ListenerPolicy allows clients, in seconds, bytes a second and counts, as the proxy compares them.

Several listeners may share a port. What belongs to a connection as a whole, or is decided before a host is known, follows
the most patient of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Final

from gateway.ir.listener import ListenerOptions
from gateway.net.deadlines import GRAIN

LONGEST_HANDSHAKE: Final = 3600.0
"""Seconds, where the listeners set no limit: a handshake that is never finished must end some day."""
_LONGEST_STEP: Final = 2.0
"""Seconds between two looks at a client that somebody waits for, at most; a quarter of the shortest limit otherwise."""


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """How fast a client must be: seconds, inf for no limit, and bytes a second, 0 for no limit."""

    body_timeout: float = 30.0
    send_timeout: float = 30.0
    tunnel_idle: float = 3600.0
    body_rate: int = 240
    send_rate: int = 240
    grace: float = 10.0

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, options: ListenerOptions) -> PaceLimits:
        """The same for all listeners with these options."""
        return cls(
            seconds(options.body_timeout),
            seconds(options.send_timeout),
            seconds(options.tunnel_idle_timeout),
            options.minimum_body_rate,
            options.minimum_send_rate,
            options.rate_grace / 1000,
        )

    @property
    def step(self) -> float:
        """Seconds between two looks: a limit is noticed at most this late."""
        shortest = min(self.body_timeout, self.send_timeout, self.grace or inf)
        return max(min(shortest / 4, _LONGEST_STEP), GRAIN)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Counts of one port in one worker; inf for no limit."""

    connections: float = inf
    per_client: float = inf
    requests: float = inf
    streams: int = 100
    """On one HTTP/2 connection."""

    @classmethod
    def of(cls, options: ListenerOptions) -> ConnectionLimits:
        return cls(
            options.most_connections or inf,
            options.most_connections_per_client or inf,
            options.most_requests_per_connection or inf,
            options.most_streams_per_connection,
        )


def loosest_pace(listeners: Sequence[ListenerOptions]) -> PaceLimits:
    """Of the listeners of a port; the defaults without any."""
    limits = [PaceLimits.of(options) for options in listeners] or [PaceLimits()]
    return PaceLimits(
        max(each.body_timeout for each in limits),
        max(each.send_timeout for each in limits),
        max(each.tunnel_idle for each in limits),
        min(each.body_rate for each in limits),
        min(each.send_rate for each in limits),
        max(each.grace for each in limits),
    )


def loosest_connections(listeners: Sequence[ListenerOptions]) -> ConnectionLimits:
    """Of the listeners of a port; none without any."""
    limits = [ConnectionLimits.of(options) for options in listeners] or [ConnectionLimits()]
    return ConnectionLimits(
        max(each.connections for each in limits),
        max(each.per_client for each in limits),
        max(each.requests for each in limits),
        max(each.streams for each in limits),
    )


def seconds(milliseconds: int) -> float:
    """Zero means no limit, as in HTTPRouteTimeouts."""
    return milliseconds / 1000 if milliseconds else inf
