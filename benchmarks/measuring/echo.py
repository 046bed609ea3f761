"""A backend that gives back what it gets, as cheaply as Python can: on TCP, in WebSocket messages, in datagrams, and in messages of gRPC.

For gRPC it reads no field blocks and keeps to no window: whatever is called is answered message by message, with status 0 at the end. Its
own windows are as large as may be. Arguments: tcp, websocket, udp, grpc (ports; what is not named is not served).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from typing import Any

import uvloop

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
LARGEST = (1 << 31) - 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Of HTTP/2."""
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3, "big"), kind, flags, stream.to_bytes(4, "big"), payload)


def greeting() -> bytes:
    """SETTINGS with 1,000 streams and the largest windows, and the connection's window as large."""
    settings = b"\x00\x03" + (1000).to_bytes(4, "big") + b"\x00\x04" + LARGEST.to_bytes(4, "big")
    return frame(4, 0, 0, settings) + frame(8, 0, 0, (LARGEST - 65_535).to_bytes(4, "big"))


HEAD = b"\x88" + b"\x0f\x10\x10application/grpc"
TRAILERS = b"\x00\x0bgrpc-status\x010"


class Echo(asyncio.Protocol):
    """TCP."""

    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class WebSocketEcho(Echo):
    """Messages of up to 125 bytes, whose masking keys are all zeros."""

    def __init__(self) -> None:
        self._received = b""
        self._open = False

    def data_received(self, data: bytes) -> None:
        received = self._received + data
        if not self._open:
            head, mark, received = received.partition(b"\r\n\r\n")
            if not mark:
                self._received = head
                return
            [key] = [line.partition(b":")[2].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            self.transport.write(SWITCHED % accept)
            self._open = True
        at, answers = 0, []
        while len(received) - at >= 6 and len(received) >= at + 6 + (size := received[at + 1] & 0x7F):
            answers.append(b"%c%c%b" % (received[at], size, received[at + 6 : at + 6 + size]))
            at += 6 + size
        self._received = received[at:]
        if answers:
            self.transport.write(b"".join(answers))


class GrpcEcho(Echo):
    """One connection of HTTP/2."""

    def __init__(self) -> None:
        self._received = b""
        self._greeted = False
        self._begun: set[int] = set()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        answers: list[bytes] = []
        at = 0
        if not self._greeted:
            if len(received) < len(PREFACE):
                self._received = received
                return
            at = len(PREFACE)
            self._greeted = True
            answers.append(greeting())
        end = len(received)
        while end - at >= 9:
            size = received[at] << 16 | received[at + 1] << 8 | received[at + 2]
            if end - at < 9 + size:
                break
            self._take(received[at : at + 9], received[at + 9 : at + 9 + size], answers)
            at += 9 + size
        self._received = received[at:]
        if answers:
            self.transport.write(b"".join(answers))

    def _take(self, head: bytes, payload: bytes, answers: list[bytes]) -> None:
        kind, flags = head[3], head[4]
        stream = int.from_bytes(head[5:9], "big")
        if kind == 0:
            if payload:
                if stream not in self._begun:
                    self._begun.add(stream)
                    answers.append(frame(1, 0x4, stream, HEAD))
                answers.append(b"%b\x00\x00%b%b" % (head[:3], head[5:9], payload))
            if flags & 1:
                self._begun.discard(stream)
                answers.append(frame(1, 0x5, stream, TRAILERS))
        elif kind == 4 and not flags & 1:
            answers.append(frame(4, 1, 0))
        elif kind == 6 and not flags & 1:
            answers.append(frame(6, 1, 0, payload))
        elif kind == 3:
            self._begun.discard(stream)


class DatagramEcho(asyncio.DatagramProtocol):
    """UDP."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are no subclasses of it

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.transport.sendto(data, address)


async def serve(ports: dict[str, int]) -> None:
    loop = asyncio.get_running_loop()
    for name, protocol in (("tcp", Echo), ("websocket", WebSocketEcho), ("grpc", GrpcEcho)):
        if name in ports:
            await loop.create_server(protocol, "127.0.0.1", ports[name], backlog=1024)
    if "udp" in ports:
        await loop.create_datagram_endpoint(DatagramEcho, ("127.0.0.1", ports["udp"]))
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(json.loads(sys.argv[1])))
