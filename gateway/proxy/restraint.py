"""What a port holds back: connections that end with their response, requests that are turned away.

A port without a reason for any of it has no Restraint, so that the usual request pays for one look at an attribute.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.http.head import LocalReply
from gateway.http.refused import Refused
from gateway.http.target import parse_authority

if TYPE_CHECKING:
    from gateway.proxy.client import Client
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.stream import ClientStream

RETRY_AFTER: Final = b"1"
"""Seconds that a client which was turned away is asked to wait: pressure is looked at four times a second."""


@dataclass(frozen=True, slots=True)
class Restraint:
    """Replaced as a whole when a reason comes or goes."""

    closing: bool = False
    """Whether every response ends its connection."""
    requests: float = inf
    """The request after which a connection ends."""
    shortage: str = ""
    """What has run so short that requests are turned away, '' for nothing."""

    def closes(self, client: Client) -> bool:
        """Whether the response to the request that begins ends the connection; called once for each."""
        client.requests += 1
        return self.closing or client.requests >= self.requests

    def sheds(self, exchange: Exchange, client: ClientStream) -> bool:
        """Whether the exchange was answered with 503 (RFC 9110 15.6.4), for the listener it is meant for; a malformed request is not."""
        if not self.shortage:
            return False
        authority = exchange.head.authority
        try:
            host = parse_authority(authority)[0] if authority else b""
        except Refused:
            return False
        core = exchange.core
        exchange.listener = client.listener or client.port.hosts.choose(host)
        exchange.request_id = core.request_id()
        core.clients.count_shed(self.shortage)
        reason = f"overloaded: {self.shortage}"
        exchange.reply(LocalReply(503, reason, [(b"retry-after", RETRY_AFTER)], flag="OM"))
        return True
