"""Frames of a client through Http2ClientConnection: no exception, output in bounds, and every stream and exchange comes to its end."""

from __future__ import annotations

from typing import Final
from unittest.mock import patch

from gateway.http.head import LocalReply
from gateway.proxy.exchange import Exchange
from gateway.proxy.http2.client_stream import Http2ClientStream
from tests.fake_connections import PREFACE, Ours
from tests.fuzz.cuts import cuts

SETTINGS: Final = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
LARGE: Final = b"x" * 20_000
ANSWER: Final = 20_300
"""Bytes of an answer at most, with its frames."""


def run(data: bytes) -> None:
    """What comes behind the preface and SETTINGS."""
    for pieces in cuts(data):
        begun: list[Exchange] = []

        def admit(exchange: Exchange, stream: Http2ClientStream, begun: list[Exchange] = begun) -> None:
            begun.append(exchange)
            _answer(exchange)

        with patch("gateway.proxy.http2.client_stream.admit", admit):
            _serve(pieces, begun)


def _answer(exchange: Exchange) -> None:
    """By the first letter of the path: at once, large, never (by anybody but the client), or not before the end of the request."""
    match exchange.head.path[1:2]:
        case b"l":
            exchange.reply(LocalReply(200, "", body=LARGE))
        case b"n":
            pass
        case b"e" if not exchange.request_ended:
            pass
        case _:
            exchange.reply(LocalReply(404, "no route matches"))


def _serve(pieces: list[bytes], begun: list[Exchange]) -> None:
    ours = Ours()
    connection, transport = ours.connection, ours.transport
    connection.data_received(PREFACE + SETTINGS)
    size = 0
    for piece in pieces:
        connection.data_received(piece)
        ours.loop.turn()
        size += len(piece)
        assert len(connection.streams) <= connection.most_streams
        assert set(connection.waiting) <= set(connection.streams.values())
        for exchange in begun:
            if exchange.request_ended and exchange.head.path[1:2] == b"e" and exchange.client is not None:
                exchange.reply(LocalReply(204, ""))
        ours.loop.turn()
    assert len(transport.written) <= 400 + 40 * (size // 9) + ANSWER * len(begun), "much is answered to little"
    transport.closing = True
    connection.connection_lost(None)
    ours.loop.turn()
    assert not connection.streams
    assert not connection.waiting
    assert all(exchange.account is not None and exchange.client is None for exchange in begun), "an exchange waits for ever"
    assert not len(ours.core.deadlines), "a deadline is left behind"
