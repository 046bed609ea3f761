"""Subscribers of a Publisher over real Unix sockets, speaking the stream by hand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.publish import BeforeBatch, Presence, Publisher
from gateway.ir.batch import Subscribe
from gateway.subscribe import LINE_LIMIT
from tests.peer import Peer


@asynccontextmanager
async def served(
    publisher: Publisher, name: str = "p", before_batch: BeforeBatch | None = None, presence: Presence | None = None
) -> AsyncIterator[Peer]:
    """A subscriber that has subscribed already, unless its name is empty."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT)
    peer = Peer(*await asyncio.open_unix_connection(sock=theirs, limit=LINE_LIMIT))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher.serve(reader, writer, before_batch, presence))
        await asyncio.sleep(0)
        if name:
            peer.send(Subscribe(name))
        try:
            yield peer
        finally:
            peer.writer.close()
