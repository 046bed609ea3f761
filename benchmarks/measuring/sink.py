"""What a flood goes to where no proxy is to be measured: it says what opens a connection of HTTP/2, reads, and ends each after a while.

Arguments: port; seconds, from the first byte of a connection to its end.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

OPENING = bytes.fromhex("000000040000000000") + bytes.fromhex("000000040100000000")
"""SETTINGS, and the acknowledgement of the client's."""


class Sink(asyncio.Protocol):
    """Of one connection."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if not self._begun:
            self._begun = True
            self._transport.write(OPENING)
            asyncio.get_running_loop().call_later(self._seconds, self._transport.abort)


async def serve(port: int, seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Sink(seconds), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(**json.loads(sys.argv[1])))
