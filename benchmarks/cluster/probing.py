"""A client that asks on one kept-alive connection and costs little: a protocol of its own, one pattern for a head."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple, cast

LIMIT = 10.0
"""Seconds until an answer must be there."""
AGAIN = 0.1
"""Seconds between two tries to connect."""

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    """A response: its head as it came, from the status line on."""

    status: int
    head: bytes
    body: bytes

    def field(self, name: bytes) -> bytes | None:
        """The value of a field, by its name in lower case; of several the first."""
        found = re.search(rb"\r\n" + re.escape(name) + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return None if found is None else found[1]


class BadAnswer(Exception):
    """The connection ended, or what came is no whole response."""


class Probe(asyncio.Protocol):
    """One connection. Asks again only after the answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None
        self._lost = ""

    @classmethod
    async def connect(cls, address: str, port: int = 80) -> Probe:
        """A connection, once the cluster leads there: kube-proxy may need a second after the Gateway is Programmed. Raises OSError."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + LIMIT
        while True:
            try:
                _, probe = await loop.create_connection(cls, address, port)
            except OSError:
                if loop.time() > latest:
                    raise
                await asyncio.sleep(AGAIN)
            else:
                return probe

    async def get(self, host: str, path: str) -> Answer:
        """One request and its answer. Raises BadAnswer."""
        if self._transport is None or self._lost:
            raise BadAnswer(self._lost or "it is not connected")
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        limit = loop.call_later(LIMIT, self._fail, f"no answer within {LIMIT:g} s")
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii"))
        try:
            return await self._answer
        finally:
            limit.cancel()

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end]
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if status is None or length is None:
            self._fail(f"this head is not understood: {head!r}")
            return
        body = self._received[end + 4 :]
        if len(body) < int(length[1]):
            return
        self._received = b""
        if len(body) > int(length[1]):
            self._fail("more came than the response")
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(int(status[1]), head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._fail(f"the connection was lost: {exc or 'it was closed'}")

    def _fail(self, reason: str) -> None:
        self._lost = reason
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BadAnswer(reason))
