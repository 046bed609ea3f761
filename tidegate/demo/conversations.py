"""What a client of a demo backend speaks, by its first bytes; and what is neither HTTP/1.1 nor HTTP/2 is sent back.

A request begins with a capital letter, that of its method. Bytes that begin otherwise get the backend's name and come back as they are,
which is all that a TCPRoute, a TLSRoute or a UDPRoute can be tried with.
"""

from __future__ import annotations

import asyncio
from typing import cast

from gateway.http.frames import PREFACE
from tidegate.demo.answers import DemoBackend
from tidegate.demo.http1 import Http1Conversation
from tidegate.demo.http2 import Http2Conversation


class EchoConversation(asyncio.Protocol):
    """Bytes of one connection, which come back until the client ends its side. It never rests: when it is over, only the client knows."""

    transport: asyncio.Transport
    rests = False

    def __init__(self, backend: DemoBackend) -> None:
        self._backend = backend

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._backend.greeting)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


Speaking = Http1Conversation | Http2Conversation | EchoConversation


class Conversation(asyncio.Protocol):
    """One connection from its first byte to its end; what it speaks is chosen once it is known."""

    transport: asyncio.Transport

    def __init__(self, backend: DemoBackend, all_open: set[Conversation]) -> None:
        self._backend = backend
        self._all_open = all_open
        self._begun = b""
        self._speaking: Speaking | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._all_open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_open.discard(self)
        if self._speaking is not None:
            self._speaking.connection_lost(exc)

    @property
    def rests(self) -> bool:
        """Whether it has answered, and nothing more has come."""
        return self._speaking is not None and self._speaking.rests

    def data_received(self, data: bytes) -> None:
        if self._speaking is not None:
            self._speaking.data_received(data)
            return
        self._begun += data
        if len(self._begun) < len(PREFACE) and PREFACE.startswith(self._begun):
            return
        self._choose()

    def eof_received(self) -> bool:
        if self._speaking is None:
            self.transport.close()
            return True
        return bool(self._speaking.eof_received())

    def pause_writing(self) -> None:
        if self._speaking is not None:
            self._speaking.pause_writing()

    def resume_writing(self) -> None:
        if self._speaking is not None:
            self._speaking.resume_writing()

    def _choose(self) -> None:
        begun, self._begun = self._begun, b""
        if begun.startswith(PREFACE):
            speaking: Speaking = Http2Conversation(self._backend)
        elif begun[:1].isalpha() and begun[:1].isupper():
            speaking = Http1Conversation(self._backend)
        else:
            speaking = EchoConversation(self._backend)
        self._speaking = speaking
        speaking.connection_made(self.transport)
        speaking.data_received(begun)


class EchoDatagrams(asyncio.DatagramProtocol):
    """Datagrams, each of which comes back behind the backend's name."""

    def __init__(self, backend: DemoBackend) -> None:
        self._backend = backend

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._backend.greeting + data, addr)
