"""The far end of a configuration stream, whichever that is."""

from __future__ import annotations

import asyncio

from gateway.ir.batch import AnyMessage, Ask, Batch, decode, encode


class Peer:
    """The far end of one connection, speaking the stream by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *messages: AnyMessage) -> None:
        self.writer.write(b"".join(map(encode, messages)))

    async def receive(self) -> AnyMessage:
        return decode(await self.reader.readuntil(b"\n"))

    async def batch(self) -> Batch:
        message = await self.receive()
        assert isinstance(message, Batch)
        return message

    async def ask(self) -> Ask:
        message = await self.receive()
        assert isinstance(message, Ask)
        return message

    async def ended(self) -> bool:
        return await self.reader.read() == b""
