"""A load: gRPC calls that stream both ways, one message of 100 bytes under way on each at any time, all on a few connections.

Frames are written by hand and windows are as large as may be: what is measured is the proxy, not the client.
Arguments: port, connections, streams (of each), seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop
from hpack import Decoder

from measuring.echo import PREFACE, frame, greeting

LIMIT = 10.0
MESSAGE = b"\x00\x00\x00\x00\x64" + b"m" * 100
"""A message of gRPC: not compressed, its length, its bytes."""
PATH = b"/echo.Echo/Bidi"


def string(data: bytes) -> bytes:
    """A short literal of HPACK."""
    return b"%c%b" % (len(data), data)


def head(authority: bytes) -> bytes:
    """The field block of a call, which touches no table."""
    pseudo = b"\x83\x86\x04" + string(PATH) + b"\x01" + string(authority)
    fields = ((b"te", b"trailers"), (b"content-type", b"application/grpc"), (b"user-agent", b"load"))
    return pseudo + b"".join(b"\x00" + string(name) + string(value) for name, value in fields)


class Calls(asyncio.Protocol):
    """One connection. `done` is set when its time is over, or something is wrong."""

    transport: Any

    def __init__(self, streams: int, end: float) -> None:
        self._streams = [2 * number + 1 for number in range(streams)]
        self._end = end
        self._received = b""
        self._missing: dict[int, int] = {}
        self._begun: dict[int, float] = {}
        self._decoder = Decoder()
        self._message = {stream: frame(0, 0, stream, MESSAGE) for stream in self._streams}
        self.milliseconds: list[float] = []
        self.troubles: list[str] = []
        self.done = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        block = head(b"127.0.0.1")
        now = time.monotonic()
        for stream in self._streams:
            self._missing[stream], self._begun[stream] = len(MESSAGE), now
        opened = b"".join(frame(1, 0x4, stream, block) + self._message[stream] for stream in self._streams)
        self.transport.write(PREFACE + greeting() + opened)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.is_set():
            self._fail("the connection was closed")

    def _fail(self, trouble: str) -> None:
        self.troubles.append(trouble)
        self.done.set()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        answers: list[bytes] = []
        at, end, now = 0, len(received), time.monotonic()
        while end - at >= 9:
            size = received[at] << 16 | received[at + 1] << 8 | received[at + 2]
            if end - at < 9 + size:
                break
            kind, flags = received[at + 3], received[at + 4]
            stream = int.from_bytes(received[at + 5 : at + 9], "big")
            if kind == 0 and not flags:
                self._take(stream, size, now, answers)
            else:
                self._control(kind, flags, stream, received[at + 9 : at + 9 + size], answers)
            at += 9 + size
        self._received = received[at:]
        if now >= self._end:
            self.done.set()
        elif answers:
            self.transport.write(b"".join(answers))

    def _take(self, stream: int, size: int, now: float, answers: list[bytes]) -> None:
        missing = self._missing[stream] - size
        if not missing:
            self.milliseconds.append(1000 * (now - self._begun[stream]))
            self._begun[stream] = now
            answers.append(self._message[stream])
            missing = len(MESSAGE)
        elif missing < 0:
            self._fail("more came back than was sent")
        self._missing[stream] = missing

    def _control(self, kind: int, flags: int, stream: int, payload: bytes, answers: list[bytes]) -> None:
        if kind == 4 and not flags & 1:
            answers.append(frame(4, 1, 0))
        elif kind == 6 and not flags & 1:
            answers.append(frame(6, 1, 0, payload))
        elif kind == 1:
            fields = dict(self._decoder.decode(payload, raw=True))
            if flags & 1 or fields.get(b":status") != b"200":
                self._fail(f"a call was answered with {fields}")
        elif kind in (0, 3, 7):
            self._fail(f"stream {stream} ended with a frame of kind {kind}: {payload[:40]!r}")


async def run(port: int, connections: int, streams: int, seconds: float) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    begun = time.monotonic()
    made = [await loop.create_connection(lambda: Calls(streams, begun + seconds), "127.0.0.1", port) for _ in range(connections)]
    calls = [protocol for _, protocol in made]
    troubles: list[str] = []
    try:
        async with asyncio.timeout(seconds + LIMIT):
            for call in calls:
                await call.done.wait()
    except TimeoutError:
        troubles.append(f"nothing came back for {LIMIT:g} s")
    took = time.monotonic() - begun
    for call in calls:
        call.done.set()
        call.transport.abort()
    milliseconds = [each for call in calls for each in call.milliseconds]
    return {
        "seconds": took,
        "milliseconds": milliseconds,
        "troubles": [*troubles, *(each for call in calls for each in call.troubles)][:100],
    }


def main() -> None:
    asked = json.loads(sys.argv[1])
    json.dump(uvloop.run(run(asked["port"], asked["connections"], asked["streams"], asked["seconds"])), sys.stdout)


if __name__ == "__main__":
    main()
