"""Looks at the clients that somebody waits for, and ends those that do not keep up: the deadlines of a connection with an exchange.

What a client has taken is what its system has acknowledged (TCP_INFO): our own buffers may stand still for minutes while the
kernel feeds a slow client from its own.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, assert_never

from gateway.http.head import LocalReply
from gateway.ir.backend import BackendOptions
from gateway.net.deadlines import NEVER
from gateway.net.tcp_information import is_closed
from gateway.proxy import attempts
from gateway.proxy.limits import seconds
from gateway.proxy.pace import Amounts, Fault, Pace, Waits

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.stream import ClientStream


def watch(client: ClientStream) -> None:
    """The exchange that runs begins to wait for its client."""
    pace = client.pace
    if client.deadline == NEVER or pace is None:
        exchange = client.exchange
        listener = exchange.listener if exchange is not None else None
        pace = client.pace = Pace(client.port.pace if listener is None else listener.pace)
    elif pace.behind:
        return  # its transport went back and forth since the last look
    now = monotonic()
    waits = _waits(client)
    pace.look(waits, _amounts(client, waits), now)
    client.core.deadlines.set(client, min(client.deadline, pace.next_look(waits, now)))


def look(client: ClientStream, now: float) -> None:
    """The time of a look has come."""
    pace = client.pace
    if pace is None:
        pace = client.pace = Pace(client.port.pace)
    waits = _waits(client)
    if waits.held and is_closed(client.transport):
        client.transport.abort()
        return
    fault = pace.look(waits, _amounts(client, waits), now)
    if fault is not None:
        _end(client, fault)
        return
    if waits.closing and not waits.blocked:
        transport = client.transport
        if transport.is_closing() or transport.can_write_eof():
            transport.abort()  # nobody reads on for ever
            return
        transport.close()  # TLS, now that all of it has gone out
    client.core.deadlines.set(client, pace.next_look(waits, now))


def _end(client: ClientStream, fault: Fault) -> None:
    exchange = client.exchange
    if fault.kind not in ("gone", "backend"):
        client.core.clients.count_slow(fault.reason)
    match fault.kind:
        case "response":
            if exchange is not None:
                exchange.cut_off(fault.text)
            client.drop()
        case "body" if exchange is not None and not exchange.responded:
            client.close_after()
            exchange.reply(LocalReply(408, fault.text, flag="SI"))
        case "body" | "tunnel":
            assert exchange is not None
            exchange.cut_off(fault.text)
        case "backend":
            assert exchange is not None
            _give_up(exchange, fault.text)
        case "gone":
            client.transport.abort()
        case _:
            assert_never(fault.kind)


def _give_up(exchange: Exchange, reason: str) -> None:
    """The backend does not keep up: another attempt or 504, or the response is cut."""
    if exchange.responded:
        exchange.cut_off(reason, "UT")
    else:
        exchange.leave_attempt()
        attempts.failed(exchange, "timeout", reason)


def _waits(client: ClientStream) -> Waits:
    """What the client is waited for with, and whether it is the backend that is."""
    waits, exchange = client.waits(), client.exchange
    if not waits.held or exchange is None:
        return waits
    stream, share = exchange.last_stream, exchange.share
    if stream is None or not stream.blocked or exchange.backend is not stream:
        return waits
    backend = share.backend if share is not None else None
    options = backend.resource.options if backend is not None and backend.resource is not None else BackendOptions()
    return waits._replace(backend=seconds(options.send_timeout))


def _amounts(client: ClientStream, waits: Waits) -> Amounts:
    exchange = client.exchange
    if exchange is None:
        return Amounts(taken=client.taken(0) if waits.blocked else 0)
    stream = exchange.last_stream
    return Amounts(
        client.came(exchange.received),
        exchange.sent,
        client.taken(exchange.sent) if waits.blocked else 0,
        stream.taken(exchange.received) if waits.backend and stream is not None else 0,
    )
