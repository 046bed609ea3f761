"""One TLS connection to the configuration stream: a first message that is kept small, then a subscriber with more room."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import cached_property
from typing import Final

FIRST_LINE_LIMIT: Final = 64 << 10
"""Bytes of the first message: all that is read of somebody whose right to speak has not been judged."""
MESSAGE_LIMIT: Final = 16 << 20
"""Bytes of a message of a subscriber: an answer with statistics is the largest."""
_FAREWELL: Final = 2.0
"""Seconds that somebody has to take our last words."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Protocol(asyncio.StreamReaderProtocol):
    """Streams, and who is told when something comes."""

    is_lost = False

    def __init__(self, reader: asyncio.StreamReader, heard: Callable[[], None] = lambda: None) -> None:
        super().__init__(reader)
        self._heard = heard

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._heard()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.is_lost = True
        super().connection_lost(exc)


class StreamConnection:
    """A connection whose handshake is done."""

    def __init__(self, transport: asyncio.Transport, protocol: _Protocol, reader: asyncio.StreamReader) -> None:
        self._transport, self._protocol, self._reader = transport, protocol, reader

    @classmethod
    async def open(cls, accepted: socket.socket, context: Callable[[], ssl.SSLContext], deadline: float) -> StreamConnection:
        """Takes over an accepted socket. Raises OSError for a handshake that fails or is not over in time."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(FIRST_LINE_LIMIT)
        protocol = _Protocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, accepted, ssl=context(), ssl_handshake_timeout=deadline, ssl_shutdown_timeout=_FAREWELL
            )
        except BaseException:
            accepted.close()
            raise
        return cls(transport, protocol, reader)

    @property
    def certificate(self) -> bytes | None:
        """Of the other end, DER, verified; None if it has shown none."""
        found: bytes | None = self._transport.get_extra_info("ssl_object").getpeercert(True)
        return found

    async def first_line(self, deadline: float) -> bytes:
        """Raises OSError where nothing whole comes in time, or what comes is too long."""
        try:
            async with asyncio.timeout(deadline):
                line = await self._reader.readline()
        except TimeoutError as error:
            raise TimeoutError(f"it has said nothing within {deadline:.0f} s") from error
        except ValueError as error:
            raise OSError(f"its first message is longer than {FIRST_LINE_LIMIT >> 10} KiB") from error
        if not line.endswith(b"\n"):
            raise ConnectionError("it left without having said anything")
        return line

    async def widen(self, line: bytes, heard: Callable[[], None]) -> Streams:
        """The same connection with room for large messages, as if nothing had been read of it; `heard` is told whenever something comes.

        Raises OSError if it is lost already.
        """
        if self._protocol.is_lost:
            raise ConnectionError("it left before it was served")
        before = self._reader
        reader = asyncio.StreamReader(MESSAGE_LIMIT)
        protocol = _Protocol(reader, heard)
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        self._protocol, self._reader = protocol, reader
        before.feed_eof()
        reader.feed_data(line + await before.read())
        return reader, self._writer

    def abort(self) -> None:
        """Ends it at once."""
        self._transport.abort()

    async def end(self, last: bytes = b"") -> None:
        """Says a last word and ends it; whoever does not take that in time is cut off."""
        try:
            async with asyncio.timeout(_FAREWELL):
                if last:
                    self._writer.write(last)
                self._writer.close()
                await self._writer.wait_closed()
        except OSError:
            pass  # it is gone, or does not listen
        finally:
            self._transport.abort()

    @cached_property
    def _writer(self) -> asyncio.StreamWriter:
        """Made for the last of the protocols: a writer that is left alone closes its transport."""
        return asyncio.StreamWriter(self._transport, self._protocol, self._reader, asyncio.get_running_loop())
