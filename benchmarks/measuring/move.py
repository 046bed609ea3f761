"""A load: large bodies down or up, one request at a time on each of a few kept-alive connections, a blocking thread each.

Arguments: port, connections, seconds, kind ("known", "chunked" or "upload"), size.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time

from measuring.moved import BLOCK, zeros

_ROOM = 256 * 1024
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Mover:
    """One connection. `milliseconds` and `trouble` say how it went."""

    def __init__(self, port: int, kind: str, size: int, source: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._kind = kind
        self._size = size
        self._source = source
        self._room = memoryview(bytearray(_ROOM))
        self.milliseconds: list[float] = []
        self.trouble = ""

    def run(self, end: float) -> None:
        """Request after request until the monotonic clock says `end`."""
        with self._socket:
            while time.monotonic() < end and not self.trouble:
                begun = time.monotonic()
                try:
                    self.once()
                except OSError as error:
                    self.trouble = str(error) or type(error).__name__
                else:
                    self.milliseconds.append(1000 * (time.monotonic() - begun))

    def once(self) -> None:
        """One request and its response. Raises OSError."""
        if self._kind == "upload":
            self._socket.sendall(b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % self._size)
            remaining = self._size
            while remaining:
                remaining -= os.sendfile(self._socket.fileno(), self._source, 0, min(remaining, BLOCK))
            expected = str(self._size).encode()
            if self._receive(len(expected)) != expected:
                raise ConnectionError("the backend counted something else")
        else:
            self._socket.sendall(b"GET /%b/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (self._kind.encode(), self._size))
            self._receive(self._size)

    def _receive(self, length: int) -> bytes:
        """Reads a whole response; returns the last bytes that came, the whole body if it is small."""
        received = b""
        while (at := received.find(b"\r\n\r\n")) < 0:
            data = self._socket.recv(_ROOM)
            if not data:
                raise ConnectionError(f"the connection was closed after {received[:80]!r}")
            received += data
        head, body = received[:at], received[at + 4 :]
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"answered with {head[:80]!r}")
        return self._rest_chunked(body) if b"chunked" in head.lower() else self._rest(body, length)

    def _rest(self, body: bytes, length: int) -> bytes:
        remaining = length - len(body)
        while remaining > 0:
            remaining -= self._some()
        return body

    def _rest_chunked(self, body: bytes) -> bytes:
        """The body is zeros, so that what ends like a last chunk is one."""
        came, tail = len(body), body[-len(_LAST_CHUNK) :]
        while tail != _LAST_CHUNK:
            some = self._some()
            came += some
            tail = (tail + bytes(self._room[max(0, some - len(_LAST_CHUNK)) : some]))[-len(_LAST_CHUNK) :]
        if came < self._size:
            raise ConnectionError(f"{came} bytes instead of {self._size}")
        return b""

    def _some(self) -> int:
        came = self._socket.recv_into(self._room)
        if not came:
            raise ConnectionError("the connection was closed inside a response")
        return came


def main() -> None:
    arguments = json.loads(sys.argv[1])
    source = zeros()
    movers = [Mover(arguments["port"], arguments["kind"], arguments["size"], source) for _ in range(arguments["connections"])]
    begun = time.monotonic()
    threads = [threading.Thread(target=mover.run, args=(begun + arguments["seconds"],)) for mover in movers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {
        "seconds": time.monotonic() - begun,
        "milliseconds": [each for mover in movers for each in mover.milliseconds],
        "troubles": [mover.trouble for mover in movers if mover.trouble],
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
