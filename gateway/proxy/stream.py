"""The one interface in which the two sides of an exchange meet, whatever the protocol on the wire (design.md section 6).

A side of an exchange is a stream: the exchange calls `ClientStream` and `BackendStream`, and they call the exchange back with
the events below. Everything happens in the loop's callbacks; nothing here is awaited.

    client stream -> exchange: request_data, request_end, client_gone, hold_response, release_response
    backend stream -> exchange: response_whole, or response_interim, response_head, response_data, flush_response,
        response_half_closed, response_end; response_failed, hold_request, release_request
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.http.head import Fields, RequestHead, ResponseHead

if TYPE_CHECKING:
    from gateway.net.peer import Origin
    from gateway.proxy.core import Core
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.pace import Pace, Waits
    from gateway.proxy.port import LiveListener, Port


class ClientStream(Protocol):
    """The side that asked. Owned by its connection; valid until `send_end` or `abort`. An item of the worker's deadlines (proxy.watch)."""

    core: Core
    port: Port
    listener: LiveListener | None
    """The listener chosen by the server name; None on a plain port, where each request chooses."""
    origin: Origin
    address: bytes
    fragment: bytes
    """The end of its log lines."""
    forwarded: bytes
    """Fields for backends that are the same for all requests of its connection."""
    exchange: Exchange | None
    writable: bool
    """Whether the client takes more of the response."""
    pace: Pace | None
    deadline: float
    slot: int

    @property
    def transport(self) -> asyncio.Transport:
        """Of its connection."""

    def send_interim(self, head: ResponseHead) -> None:
        """A 1xx response (RFC 9110 15.2); left out for clients that cannot take it."""

    def send_head(self, head: ResponseHead) -> None:
        """The final head. Framing is chosen from `head.length` and the client's version. After 101 the stream is a tunnel."""

    def send_whole(self, head: ResponseHead, body: bytes) -> None:
        """`send_head`, `send_data` and `send_end` of what is at hand in one piece."""

    def send_data(self, data: bytes) -> None:
        """A piece of body, queued until `flush` or `send_end`."""

    def send_end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """The response is complete; the connection takes its next request by itself."""

    def flush(self) -> None:
        """Writes what is queued, in one write."""

    def close_after(self) -> None:
        """The connection must not serve another request."""

    def send_continue(self) -> None:
        """The body is wanted (RFC 9110 10.1.1)."""

    def open_tunnel(self) -> None:
        """After the head of a 101: what the client sends, and what it sent too early, passes as it is."""

    def send_half_close(self) -> None:
        """No more comes through the tunnel in this direction."""

    def abort(self) -> None:
        """The response cannot be completed: the client must be able to see that (RFC 9112 8)."""

    def drop(self) -> None:
        """The client does not take the response: what waits for it is thrown away."""

    def waits(self) -> Waits:
        """What the client is waited for with."""

    def came(self, received: int) -> int:
        """Bytes of the body that have come, `received` of them passed on."""

    def taken(self, sent: int) -> int:
        """A number that grows as the client takes what is sent, `sent` bytes so far."""

    def expire(self, now: float) -> None:
        """Its deadline has passed."""

    def pause(self) -> None:
        """Stop reading the request's body; bytes already read may still be delivered."""

    def resume(self) -> None:
        """Go on reading."""


class BackendStream(Protocol):
    """The side that is asked."""

    @property
    def blocked(self) -> bool:
        """Whether it takes no more of the request for now."""

    def taken(self, sent: int) -> int:
        """A number that grows as the backend takes what is sent, `sent` bytes so far."""

    def send_whole(self, head: RequestHead) -> None:
        """A request without a body."""

    def send_head(self, head: RequestHead) -> None:
        """Queued until `flush`, `send_end` or the next turn."""

    def send_data(self, data: bytes) -> None:
        """A piece of body, queued until `flush` or `send_end`."""

    def send_end(self, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """The request is complete."""

    def flush(self) -> None:
        """Writes what is queued, in one write."""

    def cancel(self) -> None:
        """The exchange no longer wants the answer: no event follows, and the connection is not reused."""

    def pause(self) -> None:
        """Stop reading the response; bytes already read may still be delivered."""

    def resume(self) -> None:
        """Go on reading."""


class BackendEvents(Protocol):
    """What a backend stream reports: an exchange, or a mirror that throws it away."""

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        """Head, body and end in one piece, as most small answers come; the stream is gone."""

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx response other than 100 and 101."""

    def response_head(self, head: ResponseHead) -> None:
        """The final head, or 101 for an upgrade that was asked for."""

    def response_data(self, data: bytes) -> None:
        """A piece of body, or tunnelled bytes."""

    def flush_response(self) -> None:
        """Nothing more came in this turn."""

    def response_half_closed(self) -> None:
        """The backend sends no more through the tunnel, and may still receive."""

    def response_end(self, trailers: Fields) -> None:
        """The response is complete and the stream is gone."""

    def response_failed(self, failure: str, reason: str) -> None:
        """The stream broke: `failure` is 'connect', 'refused' (the backend did not look at the request), 'reset'
        (nothing of the answer came), 'malformed' or 'truncated'."""

    def hold_request(self) -> None:
        """The backend takes no more for now."""

    def release_request(self) -> None:
        """The backend takes more."""
